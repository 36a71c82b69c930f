/* SPDX-License-Identifier: MIT */
/* Queues that go on where another device has stopped: positions, holding, memory that outlives a reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_driver.h"

#define FEATURES(...) ((const int[]){__VA_ARGS__, -1})
#define NONE          -1
#define ROUND         (1u << VIRTQ_EVENT_WRAP_SHIFT)

static const int *const formats[] = {
    FEATURES(NONE),
    FEATURES(L4VIO_F_EVENT_IDX),
    FEATURES(L4VIO_F_IN_ORDER),
    FEATURES(L4VIO_F_RING_PACKED, NONE),
    FEATURES(L4VIO_F_RING_PACKED, L4VIO_F_EVENT_IDX, NONE),
    FEATURES(L4VIO_F_RING_PACKED, L4VIO_F_IN_ORDER, NONE),
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static void use_some(struct raw_queue *rig, uint16_t id, uint32_t length_bytes)
{
    struct raw_used used;
    raw_queue_publish(rig, id, length_bytes);
    assert_int_equal(raw_queue_take(rig), 1);
    assert_int_equal(rig->chain.head, id);
    assert_int_equal(rig->chain.writable_bytes, length_bytes);
    raw_queue_finish(rig, &rig->chain, length_bytes);
    assert_true(raw_ring_get_used(&rig->ring, &used));
    assert_int_equal(used.id, id);
    assert_int_equal(used.length_bytes, length_bytes);
    assert_false(raw_ring_get_used(&rig->ring, &used));
}

static struct l4vio_device_queue_resume position_of(const struct raw_queue *rig)
{
    struct l4vio_device_queue_resume resume = {0};
    l4vio_device_queue_position(&rig->queue, &resume.avail, &resume.used);
    return resume;
}

/* At every place of several rounds, after the queue was disabled, too. */
static void successors_go_on_where_a_queue_stopped(void **state)
{
    (void)state;
    for (unsigned f = 0; f < FORMATS; f++) {
        struct raw_queue *rig = raw_queue_new(8, formats[f]);
        for (unsigned i = 0; i < 70; i++) {
            use_some(rig, (uint16_t)(i * 3 % 8), i + 1);
            if (i % 2)
                l4vio_device_queue_disable(&rig->queue);
            struct l4vio_device_queue_resume resume = position_of(rig);
            assert_int_equal(resume.avail, resume.used);
            assert_int_equal(raw_queue_resume(rig, &resume), 0);
            struct l4vio_device_queue_resume again = position_of(rig);
            assert_int_equal(again.avail, resume.avail);
            assert_int_equal(again.used, resume.used);
            assert_int_equal(raw_queue_take(rig), 0);
        }
        raw_queue_free(rig);
    }
}

/* What was made available meanwhile is found, although nobody kicks any more. */
static void successors_find_what_came_meanwhile(void **state)
{
    (void)state;
    for (unsigned f = 0; f < FORMATS; f++) {
        struct raw_queue *rig = raw_queue_new(4, formats[f]);
        struct raw_used used;
        use_some(rig, 1, 5);
        l4vio_device_queue_disarm(&rig->queue);
        struct l4vio_device_queue_resume resume = position_of(rig);
        l4vio_device_queue_disable(&rig->queue);
        for (uint16_t id = 0; id < 4; id++)
            raw_queue_publish(rig, id, 10u + id);
        assert_int_equal(raw_queue_resume(rig, &resume), 0);
        assert_true(l4vio_device_queue_arm(&rig->queue));
        for (uint16_t id = 0; id < 4; id++) {
            assert_int_equal(raw_queue_take(rig), 1);
            assert_int_equal(rig->chain.head, id);
            raw_queue_finish(rig, &rig->chain, 10u + id - (id & 1u));
            assert_true(raw_ring_get_used(&rig->ring, &used));
            assert_int_equal(used.id, id);
        }
        assert_false(l4vio_device_queue_arm(&rig->queue));
        raw_queue_free(rig);
    }
}

/* The driver asks for a notification of the next entry; the device asks for a kick of the next one. */
static void event_indexes_are_those_of_the_position(void **state)
{
    (void)state;
    struct raw_queue *rig = raw_queue_new(4, FEATURES(L4VIO_F_EVENT_IDX));
    struct virtq_avail *avail = rig->ring.avail;
    l4vio_le16 *avail_ring = (l4vio_le16 *)(void *)(avail + 1);
    const l4vio_le16 *avail_event =
        (const l4vio_le16 *)(const void *)((unsigned char *)rig->ring.used + 4 + 4 * 8);
    struct l4vio_device_queue_resume resume = {.avail = 65534, .used = 65534};
    rig->ring.avail_index = 65534;
    rig->ring.used_index = 65534;
    assert_int_equal(raw_queue_resume(rig, &resume), 0);
    assert_int_equal(l4vio_load16(avail_event), 65534);
    for (unsigned i = 0; i < 5; i++) {
        l4vio_store16(&avail_ring[4], (uint16_t)(65534u + i));
        use_some(rig, 0, 1);
        assert_true(l4vio_device_queue_needs_notify(&rig->queue));
        assert_false(l4vio_device_queue_arm(&rig->queue));
        assert_int_equal(l4vio_load16(avail_event), (uint16_t)(65535u + i));
    }
    raw_queue_free(rig);
}

static void any_split_position_will_do(void **state)
{
    (void)state;
    static const uint16_t positions[] = {0, 1, 7, 8, 32767, 32768, 65535};
    for (unsigned i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
        struct raw_queue *rig = raw_queue_new(8, formats[i % 3]);
        struct l4vio_device_queue_resume resume = {.avail = positions[i], .used = positions[i]};
        rig->ring.avail_index = positions[i];
        rig->ring.used_index = positions[i];
        /* As the driver that has been there has it. */
        l4vio_store16(&((struct virtq_avail *)rig->ring.avail)->idx, positions[i]);
        assert_int_equal(raw_queue_resume(rig, &resume), 0);
        for (unsigned turn = 0; turn < 20; turn++)
            use_some(rig, (uint16_t)(turn % 8), turn + 1);
        raw_queue_free(rig);
    }
}

static void packed_positions_outside_the_ring_are_refused(void **state)
{
    (void)state;
    static const struct l4vio_device_queue_resume wrong[] = {
        {.avail = 5},
        {.used = 5},
        {.avail = ROUND | 5u, .used = 0},
        {.avail = 1, .used = 0x7fffu},
        {.avail = 0xffffu, .used = ROUND},
    };
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct raw_queue *rig = raw_queue_new(5, FEATURES(L4VIO_F_RING_PACKED));
        assert_int_equal(raw_queue_resume(rig, &wrong[i]), L4VIO_EINVAL);
        assert_false(l4vio_device_queue_ready(&rig->queue));
        assert_int_equal(raw_queue_take(rig), 0);
        raw_queue_free(rig);
    }
    struct raw_queue *rig = raw_queue_new(5, FEATURES(L4VIO_F_RING_PACKED));
    struct l4vio_device_queue_resume last = {.avail = 4, .used = ROUND | 4u};
    assert_int_equal(raw_queue_resume(rig, &last), 0);
    raw_queue_free(rig);
}

static void used_index_comes_from_the_ring_if_asked_for(void **state)
{
    (void)state;
    struct raw_queue *rig = raw_queue_new(8, FEATURES(NONE));
    use_some(rig, 1, 1);
    use_some(rig, 2, 2);
    raw_queue_publish(rig, 3, 3);
    assert_int_equal(raw_queue_take(rig), 1);
    /* The third one was taken, and nobody knows of it: it is the driver's to try again. */
    struct l4vio_device_queue_resume resume = {.avail = 3, .used_in_ring = true};
    assert_int_equal(raw_queue_resume(rig, &resume), 0);
    struct l4vio_device_queue_resume now = position_of(rig);
    assert_int_equal(now.avail, 3);
    assert_int_equal(now.used, 2);
    assert_int_equal(raw_queue_take(rig), 0);
    use_some(rig, 3, 3);
    raw_queue_free(rig);
}

static void held_queues_finish_but_take_nothing(void **state)
{
    (void)state;
    for (unsigned f = 0; f < FORMATS; f++) {
        struct raw_queue *rig = raw_queue_new(8, formats[f]);
        struct raw_used used;
        raw_queue_publish(rig, 1, 1);
        raw_queue_publish(rig, 2, 2);
        assert_int_equal(raw_queue_take(rig), 1);
        assert_int_equal(l4vio_device_queue_in_flight(&rig->queue), 1);
        l4vio_device_queue_hold(&rig->queue, true);
        struct l4vio_device_chain taken = rig->chain;
        assert_int_equal(raw_queue_take(rig), 0);
        assert_false(l4vio_device_queue_has_avail(&rig->queue));
        assert_false(l4vio_device_queue_arm(&rig->queue));
        raw_queue_finish(rig, &taken, 1);
        assert_int_equal(l4vio_device_queue_in_flight(&rig->queue), 0);
        assert_true(raw_ring_get_used(&rig->ring, &used));
        assert_int_equal(used.id, 1);
        l4vio_device_queue_hold(&rig->queue, false);
        assert_true(l4vio_device_queue_arm(&rig->queue));
        assert_int_equal(raw_queue_take(rig), 1);
        assert_int_equal(rig->chain.head, 2);
        raw_queue_free(rig);
    }
}

static void broken_queues_stay_broken_when_let_go(void **state)
{
    (void)state;
    struct raw_queue *rig = raw_queue_new(8, FEATURES(L4VIO_F_RING_PACKED));
    raw_packed_desc(&rig->ring, 0, (struct raw_piece){RAW_QUEUE_BASE, 1, RAW_WRITE}, 9,
                    raw_packed_bits(&rig->ring, 0));
    assert_int_equal(raw_queue_take(rig), L4VIO_EBADPROTO);
    l4vio_device_queue_hold(&rig->queue, true);
    assert_int_equal(raw_queue_take(rig), L4VIO_EBADPROTO);
    l4vio_device_queue_hold(&rig->queue, false);
    assert_int_equal(raw_queue_take(rig), L4VIO_EBADPROTO);
    l4vio_device_queue_disable(&rig->queue);
    l4vio_device_queue_hold(&rig->queue, false);
    assert_int_equal(raw_queue_take(rig), 0);
    raw_queue_free(rig);
}

/* The predecessor may have died between the used entry and its notification. */
static void drivers_are_notified_once_of_a_resumed_queue(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_queue_setup setup = {.size = RAW_QUEUE_SIZE,
                                      .driver_notify_index = 3,
                                      .desc_address = RAW_BASE,
                                      .avail_address = RAW_BASE + RAW_AVAIL,
                                      .used_address = RAW_BASE + RAW_USED};
    struct l4vio_device_queue_resume resume = {.avail = ROUND | 2u, .used = ROUND | 2u};
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
    unsigned before = driver->triggers[3];
    assert_int_equal(l4vio_device_config_queue(&driver->device, 0, &setup, NULL), 0);
    assert_int_equal(driver->triggers[3], before);
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
    assert_int_equal(l4vio_device_resume_queue(&driver->device, 0, &setup, &resume, NULL), 0);
    assert_int_equal(driver->triggers[3], before + 1);
    resume.avail = UINT16_MAX;
    assert_int_equal(l4vio_device_reset_queue(&driver->device, 0), 0);
    assert_int_equal(l4vio_device_resume_queue(&driver->device, 0, &setup, &resume, NULL),
                     L4VIO_EINVAL);
    assert_int_equal(driver->triggers[3], before + 1);
    assert_null(l4vio_device_queue(&driver->device, 0));
}

static void no_publishing(void *self, uint32_t status)
{
    (void)self;
    (void)status;
}

static void memory_stays_through_a_reset_if_the_port_says_so(void **state)
{
    static const struct l4vio_device_port_ops stays = {.publish_status = no_publishing,
                                                       .memory_survives_reset = true};
    struct raw_driver *driver = *state;
    l4vio_device_set_port(&driver->device, &stays, NULL);
    l4vio_device_reset(&driver->device);
    assert_int_equal(driver->released, 0);
    assert_int_equal(driver->device.memory.count, 1);
    assert_int_equal(l4vio_device_remove_region(&driver->device, RAW_BASE, RAW_MEMORY_BYTES), 0);
    assert_int_equal(driver->released, 1);
    l4vio_device_reset(&driver->device);
    assert_int_equal(driver->released, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(successors_go_on_where_a_queue_stopped),
        cmocka_unit_test(successors_find_what_came_meanwhile),
        cmocka_unit_test(event_indexes_are_those_of_the_position),
        cmocka_unit_test(any_split_position_will_do),
        cmocka_unit_test(packed_positions_outside_the_ring_are_refused),
        cmocka_unit_test(used_index_comes_from_the_ring_if_asked_for),
        cmocka_unit_test(held_queues_finish_but_take_nothing),
        cmocka_unit_test(broken_queues_stay_broken_when_let_go),
        RAW_PACKED_RING(drivers_are_notified_once_of_a_resumed_queue),
        RAW_SPLIT(memory_stays_through_a_reset_if_the_port_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
