/* SPDX-License-Identifier: MIT */
/*
 * A queue whose device dies and whose next one has a record of what was taken: everything comes out once, for
 * every format and every ring feature. The queue is attached by the driver core, whose word on the positions is all
 * that the next device has, besides the record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fake_transport.h"
#include "ring_rig.h"

#define SIZE     8u
#define REQUESTS 400u

struct fixture {
    struct ring_rig *rig;
    struct fake_transport *fake;
    struct ring_rig_request record[SIZE]; /* Taken and not completed, in this order. */
    unsigned recorded;
    unsigned used[REQUESTS];      /* Times that the device completed it. */
    unsigned completed[REQUESTS]; /* Times that the driver got it back. */
    unsigned added;
    unsigned finished;
    uint32_t random;
};

static unsigned below(struct fixture *f, unsigned bound)
{
    f->random = f->random * 1664525u + 1013904223u;
    return (f->random >> 16) % bound;
}

static int reconnect(void *self, struct l4vio_transport_properties *properties,
                     struct l4vio_identity *identity, uint64_t deadline_ns,
                     struct l4vio_error *error)
{
    struct fake_transport *fake = self;
    (void)deadline_ns;
    (void)error;
    *properties = fake->properties;
    *identity = fake->identity;
    fake->dead = false;
    return L4VIO_OK;
}

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->random = 1;
    f->rig = ring_rig_create(SIZE, BUFFER_LEVEL);
    f->rig->queue.live = false;
    f->fake = fake_transport_new();
    f->fake->properties.tracks_in_flight = true;
    f->fake->ops.reconnect = reconnect;
    f->fake->driver_config.allowed = f->rig->config.features;
    f->fake->identity.offered =
        l4vio_features_or(&f->fake->identity.offered, &f->rig->config.features);
    fake_transport_connect(f->fake);
    assert_int_equal(l4vio_driver_attach_queue(&f->fake->driver, &f->rig->queue, NULL), 0);
    assert_false(f->fake->setups[0].resumes);
    assert_int_equal(l4vio_driver_acknowledge(&f->fake->driver, NULL), 0);
    return f;
}

static void fixture_free(struct fixture *f)
{
    fake_transport_free(f->fake);
    ring_rig_free(f->rig);
    free(f);
}

static void add(struct fixture *f)
{
    struct l4vio_buffer buffers[3];
    unsigned count = 1 + below(f, 3);
    if (f->added == REQUESTS)
        return;
    for (unsigned i = 0; i < count; i++)
        buffers[i] =
            (struct l4vio_buffer){.address = 0x1000 + 0x100u * f->added, .length_bytes = 8};
    struct l4vio_request request = {
        .buffers = buffers, .writable = (uint16_t)count, .cookie = (void *)(uintptr_t)f->added};
    int result = l4vio_queue_add(&f->rig->queue, &request, 1);
    if (result == 1)
        f->added++;
    else
        assert_int_equal(result, L4VIO_EAGAIN);
}

static void take(struct fixture *f)
{
    if (f->recorded < SIZE && ring_rig_next(f->rig, &f->record[f->recorded]))
        f->recorded++;
}

static unsigned number_of(const struct ring_rig_request *request)
{
    return (unsigned)((request->pieces[0].address - 0x1000) / 0x100);
}

static void complete(struct fixture *f)
{
    if (!f->recorded)
        return;
    unsigned which = ring_rig_has(L4VIO_F_IN_ORDER) ? 0 : below(f, f->recorded);
    struct ring_rig_request request = f->record[which];
    f->used[number_of(&request)]++;
    ring_rig_complete(f->rig, &request, 8);
    f->recorded--;
    memmove(&f->record[which], &f->record[which + 1], (f->recorded - which) * sizeof(f->record[0]));
}

static void get_used(struct fixture *f)
{
    struct l4vio_completion completion;
    int result = l4vio_queue_get_used(&f->rig->queue, &completion, 1);
    assert_true(result >= 0);
    if (result) {
        f->completed[(uintptr_t)completion.cookie]++;
        f->finished++;
    }
}

/* Where a device of that record and that word goes on. */
static void start_device(struct fixture *f, const struct l4vio_queue_setup *setup)
{
    struct ring_rig *rig = f->rig;
    if (!rig->packed) {
        rig->split_device.used_index = setup->used_position;
        rig->split_device.avail_seen = (uint16_t)(setup->used_position + f->recorded);
        assert_int_equal(setup->avail_position, fake_device_avail_index(&rig->split_device));
        return;
    }
    struct fake_packed *device = &rig->packed_device;
    device->next_used = device->next_avail = setup->used_position & 0x7fff;
    device->used_wrap = device->avail_wrap = setup->used_position >> 15;
    for (unsigned i = 0; i < f->recorded; i++) {
        unsigned place = (unsigned)device->next_avail + f->record[i].entries;
        if (place >= SIZE)
            device->avail_wrap = !device->avail_wrap;
        device->next_avail = (uint16_t)(place % SIZE);
    }
    /* As far as everything goes that is available. */
    struct fake_packed ahead = *device;
    struct fake_packed_buffer buffer;
    while (fake_packed_next(&ahead, &buffer))
        continue;
    assert_int_equal(setup->avail_position, ahead.next_avail | (ahead.avail_wrap ? 0x8000 : 0));
}

static void die_and_come_back(struct fixture *f)
{
    struct l4vio_driver *driver = &f->fake->driver;
    /* Whatever the dead one wanted, and whatever its places were. */
    ring_rig_ask_for_kicks(f->rig, false);
    if (!f->rig->packed && ring_rig_has(L4VIO_F_EVENT_IDX))
        fake_device_put_avail_event(
            &f->rig->split_device,
            (uint16_t)(fake_device_avail_index(&f->rig->split_device) + 100));
    f->fake->dead = true;
    assert_int_equal(l4vio_driver_reconnect(driver, L4VIO_FOREVER, NULL), 0);
    while (l4vio_queue_has_used(&f->rig->queue)) {
        assert_int_equal(l4vio_queue_resume(&f->rig->queue), L4VIO_EAGAIN);
        get_used(f);
    }
    assert_int_equal(l4vio_queue_resume(&f->rig->queue), 0);
    assert_int_equal(l4vio_driver_restart(driver, NULL), 0);
    assert_int_equal(l4vio_driver_attach_queue(driver, &f->rig->queue, NULL), 0);
    assert_true(f->fake->setups[0].resumes);
    start_device(f, &f->fake->setups[0]);
    unsigned kicks = f->fake->calls[FAKE_KICK];
    assert_int_equal(l4vio_driver_acknowledge(driver, NULL), 0);
    bool in_flight = f->rig->queue.published_index != f->rig->queue.used_index;
    assert_int_equal(f->fake->calls[FAKE_KICK] - kicks, in_flight);
}

static void step(struct fixture *f)
{
    switch (below(f, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        add(f);
        break;
    case 4:
    case 5:
        l4vio_queue_publish(&f->rig->queue);
        break;
    case 6:
    case 7:
    case 8:
        take(f);
        break;
    case 9:
    case 10:
    case 11:
        complete(f);
        break;
    case 12:
        die_and_come_back(f);
        break;
    default:
        /* Published first: see queue.h of what a split queue does not know. */
        l4vio_queue_publish(&f->rig->queue);
        get_used(f);
        break;
    }
}

static void deaths_at_any_time_lose_and_repeat_nothing(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    for (unsigned i = 0; f->finished != REQUESTS; i++) {
        assert_true(i < 200000);
        step(f);
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(f->used[i], 1);
        assert_int_equal(f->completed[i], 1);
    }
    fixture_free(f);
}

static void a_queue_that_cannot_be_resumed_says_why(void **state)
{
    struct fixture *f = fixture_new();
    struct l4vio_driver *driver = &f->fake->driver;
    struct l4vio_queue *queue = &f->rig->queue;
    struct l4vio_error error = {0};
    void *cookie;
    (void)state;
    assert_int_equal(l4vio_queue_resume(queue), L4VIO_EBUSY);
    add(f);
    add(f);
    l4vio_queue_publish(queue);
    f->fake->properties.tracks_in_flight = false;
    f->fake->dead = true;
    assert_int_equal(l4vio_driver_reconnect(driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_queue_resume(queue), 0);
    assert_int_equal(l4vio_driver_restart(driver, NULL), 0);
    assert_int_equal(l4vio_driver_attach_queue(driver, queue, &error), L4VIO_ENOSYS);
    assert_string_equal(error.text, "the device keeps no record of requests in flight");
    /* Once requests are taken out, the rings have more than the queue knows of. */
    assert_int_equal(l4vio_queue_detach(queue, &cookie, 1), 1);
    assert_int_equal(l4vio_queue_resume(queue), L4VIO_EINVAL);
    assert_int_equal(l4vio_queue_detach(queue, &cookie, 1), 1);
    assert_int_equal(l4vio_queue_initialize_rings(queue), 0);
    /* Rings that no device knows are just attached. */
    assert_int_equal(l4vio_queue_resume(queue), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_attach_queue(driver, queue, NULL), 0);
    assert_false(f->fake->setups[0].resumes);
    fixture_free(f);
}

static void a_broken_queue_is_not_resumed(void **state)
{
    struct fixture *f = fixture_new();
    struct l4vio_completion completion;
    (void)state;
    add(f);
    l4vio_queue_publish(&f->rig->queue);
    ring_rig_complete_id(f->rig, SIZE, 0);
    assert_int_equal(l4vio_queue_get_used(&f->rig->queue, &completion, 1), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_driver_reconnect(&f->fake->driver, L4VIO_FOREVER, NULL), 0);
    assert_int_equal(l4vio_queue_resume(&f->rig->queue), L4VIO_EBADPROTO);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deaths_at_any_time_lose_and_repeat_nothing),
        cmocka_unit_test(a_queue_that_cannot_be_resumed_says_why),
        cmocka_unit_test(a_broken_queue_is_not_resumed),
    };
    int failed = 0;
    while (ring_rig_next_combination())
        failed += cmocka_run_group_tests_name(ring_rig_name(), tests, NULL, NULL);
    return failed;
}
