/* SPDX-License-Identifier: MIT */
/* IN_ORDER on the device's side, both formats: results leave in the order of the requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_ring.h"

#define SPLIT     ((const int[]){L4VIO_F_IN_ORDER, -1})
#define PACKED    ((const int[]){L4VIO_F_RING_PACKED, L4VIO_F_IN_ORDER, -1})
#define COUNT_MAX 64u

/* What a driver remembers: its requests in order. */
struct model {
    struct raw_queue *rig;
    struct l4vio_device_chain chains[COUNT_MAX];
    uint32_t written_bytes[COUNT_MAX];
    bool finished[COUNT_MAX];
    unsigned count;
    unsigned free_entries;
    uint16_t next_id;
    unsigned elements; /* Used elements seen. */
};

static void begin(struct model *model, uint16_t size, const int *features)
{
    *model = (struct model){.rig = raw_queue_new(size, features), .free_entries = size};
}

static bool add(struct model *model, unsigned length)
{
    struct raw_queue *rig = model->rig;
    if (length > model->free_entries)
        return false;
    raw_queue_publish_many(rig, model->next_id, length, 4);
    model->next_id = (uint16_t)((model->next_id + length) % rig->ring.size);
    assert_int_equal(raw_queue_take(rig), 1);
    model->chains[model->count] = rig->chain;
    model->finished[model->count++] = false;
    model->free_entries -= length;
    return true;
}

static void forget(struct model *model, unsigned count)
{
    for (unsigned i = 0; i + count < model->count; i++) {
        model->chains[i] = model->chains[i + count];
        model->written_bytes[i] = model->written_bytes[i + count];
        model->finished[i] = model->finished[i + count];
    }
    model->count -= count;
}

/* The driver reads what is there: one element is for all requests up to that of its head. */
static void read_used(struct model *model)
{
    struct raw_ring *ring = &model->rig->ring;
    struct raw_used used;
    while (raw_ring_get_used(ring, &used)) {
        unsigned at = 0;
        unsigned entries = 0;
        for (; model->chains[at].head != used.id; at++) {
            assert_true(at + 1 < model->count);
            assert_true(model->finished[at]);
            assert_int_equal(model->written_bytes[at], model->chains[at].writable_bytes);
            entries += ring->entries[model->chains[at].head];
        }
        assert_true(model->finished[at]);
        assert_int_equal(used.length_bytes, model->written_bytes[at]);
        raw_ring_skip_used(ring, at, entries);
        model->free_entries += entries + ring->entries[used.id];
        model->elements++;
        forget(model, at + 1);
    }
}

static void finish(struct model *model, unsigned at, uint32_t written_bytes)
{
    model->written_bytes[at] = written_bytes;
    model->finished[at] = true;
    raw_queue_finish(model->rig, &model->chains[at], written_bytes);
}

static unsigned finished_in_front(const struct model *model)
{
    unsigned count = 0;
    while (count < model->count && model->finished[count])
        count++;
    return count;
}

/* Random lengths, orders, batches; after every call the driver sees exactly what is due. */
static void check_order(uint16_t size, const int *features)
{
    struct model model;
    struct l4vio_device_used used[COUNT_MAX];
    begin(&model, size, features);
    for (unsigned step = 0; step < 4000; step++) {
        if (rand() % 2 && add(&model, 1 + (unsigned)rand() % 4))
            continue;
        unsigned count = 0;
        for (unsigned tries = (unsigned)rand() % 5; tries && model.count; tries--) {
            unsigned at = (unsigned)rand() % model.count;
            if (model.finished[at])
                continue;
            model.finished[at] = true;
            model.written_bytes[at] =
                (uint32_t)model.chains[at].writable_bytes - (rand() % 3 ? 0 : 1);
            used[count++] = l4vio_device_chain_used(&model.rig->queue, &model.chains[at],
                                                    model.written_bytes[at]);
        }
        l4vio_device_queue_finish(&model.rig->queue, used, count);
        unsigned left = model.count - finished_in_front(&model);
        read_used(&model);
        assert_int_equal(model.count, left);
        assert_int_equal(model.rig->queue.in_flight, left);
    }
    assert_int_equal(model.rig->queue.counters.refused_results, 0);
    raw_queue_free(model.rig);
}

/* Clause V-6.2-5. */
static void results_leave_in_the_order_of_the_requests(void **state)
{
    (void)state;
    srand(3);
    for (uint16_t size = 1; size <= 32; size = (uint16_t)(size * 2))
        check_order(size, SPLIT);
    for (uint16_t size = 1; size <= 33; size++)
        check_order(size, PACKED);
}

static void result_waits_for_its_predecessors(void **state)
{
    const int *const formats[] = {SPLIT, PACKED};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct model model;
        begin(&model, 8, formats[f]);
        for (unsigned i = 0; i < 3; i++)
            assert_true(add(&model, 1));
        finish(&model, 2, 4);
        finish(&model, 1, 4);
        read_used(&model);
        assert_int_equal(model.elements, 0);
        assert_false(l4vio_device_queue_needs_notify(&model.rig->queue));
        assert_int_equal(model.rig->queue.in_flight, 3);
        finish(&model, 0, 4);
        read_used(&model);
        assert_int_equal(model.elements, 1); /* One for all three. */
        assert_int_equal(model.count, 0);
        assert_true(l4vio_device_queue_needs_notify(&model.rig->queue));
        raw_queue_free(model.rig);
    }
}

/* The driver takes it that what it does not hear of was written completely. */
static void run_ends_behind_a_buffer_that_is_not_full(void **state)
{
    const int *const formats[] = {SPLIT, PACKED};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct model model;
        begin(&model, 8, formats[f]);
        for (unsigned i = 0; i < 5; i++)
            assert_true(add(&model, 1));
        finish(&model, 4, 4);
        finish(&model, 3, 4);
        finish(&model, 2, 3);
        finish(&model, 1, 4);
        finish(&model, 0, 4);
        read_used(&model);
        assert_int_equal(model.elements, 2);
        assert_int_equal(model.count, 0);
        raw_queue_free(model.rig);
    }
}

static void result_that_is_not_due_is_refused(void **state)
{
    const int *const formats[] = {SPLIT, PACKED};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct model model;
        begin(&model, 8, formats[f]);
        for (unsigned i = 0; i < 2; i++)
            assert_true(add(&model, 1));
        struct l4vio_device_queue *queue = &model.rig->queue;
        struct l4vio_device_used none[] = {
            {.head = 5, .entries = 1}, {.head = 8, .entries = 1}, {.head = UINT16_MAX}};
        l4vio_device_queue_finish(queue, none, 3);
        assert_int_equal(queue->counters.refused_results, 3);
        finish(&model, 1, 4);
        finish(&model, 1, 4);
        assert_int_equal(queue->counters.refused_results, 4);
        struct l4vio_device_used late =
            l4vio_device_chain_used(&model.rig->queue, &model.chains[0], 4);
        finish(&model, 0, 4);
        read_used(&model);
        assert_int_equal(model.count, 0);
        l4vio_device_queue_finish(queue, &late, 1);
        assert_int_equal(queue->counters.refused_results, 5);
        assert_int_equal(queue->in_flight, 0);
        read_used(&model);
        assert_int_equal(model.elements, 1);
        raw_queue_free(model.rig);
    }
}

static void rewound_chains_are_taken_again(void **state)
{
    const int *const formats[] = {SPLIT, PACKED};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct model model;
        begin(&model, 8, formats[f]);
        for (unsigned round = 0; round < 9; round++) {
            for (unsigned i = 0; i < 3; i++)
                assert_true(add(&model, 1 + i % 2));
            struct l4vio_device_queue *queue = &model.rig->queue;
            assert_int_equal(l4vio_device_queue_rewind(queue, &model.chains[1]), L4VIO_EINVAL);
            assert_int_equal(l4vio_device_queue_rewind(queue, &model.chains[2]), 0);
            assert_int_equal(l4vio_device_queue_rewind(queue, &model.chains[1]), 0);
            struct l4vio_device_used used =
                l4vio_device_chain_used(&model.rig->queue, &model.chains[2], 4);
            l4vio_device_queue_finish(queue, &used, 1); /* Not in flight any more. */
            assert_int_equal(queue->counters.refused_results, round + 1);
            for (unsigned i = 1; i < 3; i++) {
                assert_int_equal(raw_queue_take(model.rig), 1);
                assert_int_equal(model.rig->chain.head, model.chains[i].head);
            }
            for (unsigned i = 3; i-- > 0;)
                finish(&model, i, 4);
            read_used(&model);
            assert_int_equal(model.count, 0);
        }
        raw_queue_free(model.rig);
    }
}

static void finished_chain_is_not_rewound(void **state)
{
    const int *const formats[] = {SPLIT, PACKED};
    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        struct model model;
        begin(&model, 4, formats[f]);
        assert_true(add(&model, 1));
        assert_true(add(&model, 1));
        finish(&model, 1, 4);
        assert_int_equal(l4vio_device_queue_rewind(&model.rig->queue, &model.chains[1]),
                         L4VIO_EINVAL);
        raw_queue_free(model.rig);
    }
}

static void records_are_needed(void **state)
{
    struct raw_queue *rig = raw_queue_new(4, SPLIT);
    struct l4vio_device_queue_config config = {.size = 4,
                                               .desc_address = RAW_QUEUE_RINGS,
                                               .avail_address = RAW_QUEUE_RINGS + 1024,
                                               .used_address = RAW_QUEUE_RINGS + 2048};
    (void)state;
    l4vio_features_set(&config.features, L4VIO_F_IN_ORDER);
    assert_int_equal(l4vio_device_queue_init(&rig->queue, &config, &rig->memory, NULL),
                     L4VIO_EINVAL);
    assert_int_equal(raw_queue_take(rig), 0);
    config.slots = rig->slots;
    assert_int_equal(l4vio_device_queue_init(&rig->queue, &config, &rig->memory, NULL), 0);
    raw_queue_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_leave_in_the_order_of_the_requests),
        cmocka_unit_test(result_waits_for_its_predecessors),
        cmocka_unit_test(run_ends_behind_a_buffer_that_is_not_full),
        cmocka_unit_test(result_that_is_not_due_is_refused),
        cmocka_unit_test(rewound_chains_are_taken_again),
        cmocka_unit_test(finished_chain_is_not_rewound),
        cmocka_unit_test(records_are_needed),
    };
    return cmocka_run_group_tests_name("device_in_order", tests, NULL, NULL);
}
