/* SPDX-License-Identifier: MIT */
/* How a vhost-user front end resets a device and its queues, and what becomes of the record of requests. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "usage.h"
#include "vhost_rig.h"

static struct usage before;

static int set_up(void **state)
{
    before = usage_now();
    *state = vhost_rig_new();
    return 0;
}

static int tear_down(void **state)
{
    vhost_rig_free(*state);
    struct usage after = usage_now();
    return before.descriptors == after.descriptors && before.mappings == after.mappings ? 0 : -1;
}

static uint32_t status_of(const struct vhost_rig *rig)
{
    uint32_t status = 0;

    assert_int_equal(rig->transport.ops->get_status(rig->transport.self, &status), L4VIO_OK);
    return status;
}

static void a_reset_stops_every_ring_and_then_the_device(void **state)
{
    static const uint32_t order[] = {RAW_GET_VRING_BASE, RAW_GET_VRING_BASE, RAW_RESET_DEVICE,
                                     RAW_SET_STATUS, RAW_GET_STATUS};
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).resets, 0);
    raw_backend_clear_log(rig->backend);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).logged, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rig->backend->log[i].request, order[i]);
    assert_int_equal(rig->backend->log[1].u.halves[0], 1);
    assert_int_equal(rig->backend->log[3].u.words[0], 0);
    assert_int_equal(status_of(rig), 0);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 1);
}

static void either_way_of_resetting_is_enough(void **state)
{
    static const uint64_t ways[] = {RAW_P_RESET, RAW_P_STATUS};

    for (unsigned i = 0; i < 2; i++) {
        struct vhost_rig *rig = i ? vhost_rig_new_beside(*state) : *state;
        rig->backend->protocol_features &= ~(RAW_P_RESET | RAW_P_STATUS);
        rig->backend->protocol_features |= ways[i];
        assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
        assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
        assert_false(raw_backend_look(rig->backend).rings[0].started);
        if (i)
            vhost_rig_free(rig);
    }
}

/* As qemu-storage-daemon: it answers, and may go on with what it has begun. */
static void without_either_memory_stays_with_the_device(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features &= ~(RAW_P_RESET | RAW_P_STATUS);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_EBUSY);
    assert_false(raw_backend_look(rig->backend).rings[0].started);
    assert_int_equal(status_of(rig), 0);
    assert_int_equal(l4vio_driver_release(&rig->driver, &rig->region, NULL), L4VIO_EBUSY);
}

static void a_driver_can_be_restarted(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
        assert_int_equal(l4vio_driver_restart(&rig->driver, NULL), L4VIO_OK);
        assert_int_equal(l4vio_queue_initialize_rings(&rig->queues[0]), L4VIO_OK);
        assert_int_equal(l4vio_driver_attach_queue(&rig->driver, &rig->queues[0], NULL), L4VIO_OK);
        assert_int_equal(l4vio_driver_acknowledge(&rig->driver, NULL), L4VIO_OK);
        assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
        vhost_rig_use(rig, 0, 0, 1);
        assert_int_equal(
            l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
            L4VIO_OK);
        struct l4vio_completion completion;
        assert_int_equal(l4vio_queue_get_used(&rig->queues[0], &completion, 1), 1);
    }
}

/* It finishes what it has begun first. */
static enum raw_verdict reset_slowly(struct raw_backend *backend, struct raw_message *message)
{
    unsigned *looks = backend->script_self;

    if (message->request != RAW_GET_STATUS || backend->state.status != 0 || *looks == 0)
        return RAW_DEFAULT;
    --*looks;
    raw_backend_reply_number(backend, message, 15);
    return RAW_DONE;
}

static void a_slow_reset_is_waited_for(void **state)
{
    struct vhost_rig *rig = *state;
    static unsigned looks;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    raw_backend_clear_log(rig->backend);
    raw_backend_lock(rig->backend);
    looks = 5;
    rig->backend->script_self = &looks;
    rig->backend->script = reset_slowly;
    raw_backend_unlock(rig->backend);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_GET_STATUS), 6);
    assert_int_equal(status_of(rig), 0);
}

static void one_queue_is_reset_where_that_was_negotiated(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset_queue(&rig->driver, &rig->queues[1], NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_GET_VRING_BASE), 1);
    assert_true(raw_backend_look(rig->backend).rings[0].started);
    assert_false(raw_backend_look(rig->backend).rings[1].started);
    assert_int_equal(l4vio_queue_initialize_rings(&rig->queues[1]), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(&rig->driver, &rig->queues[1], NULL), L4VIO_OK);
    assert_true(raw_backend_look(rig->backend).rings[1].started &&
                raw_backend_look(rig->backend).rings[1].enabled);
}

static void elsewhere_one_queue_cannot_be_reset(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->features &= ~(UINT64_C(1) << 40);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset_queue(&rig->driver, &rig->queues[0], NULL), L4VIO_ENOSYS);
    assert_true(raw_backend_look(rig->backend).rings[0].started);
}

static int configure(struct vhost_rig *rig, uint32_t queue, uint16_t size, bool resumes)
{
    const struct l4vio_queue_setup setup = {
        .size = size,
        .driver_notify_index = 1,
        .desc_address = rig->region.device_address,
        .avail_address = rig->region.device_address,
        .used_address = rig->region.device_address,
        .resumes = resumes,
        .avail_position = resumes ? 9 : 0,
        .used_position = resumes ? 7 : 0,
    };

    return rig->transport.ops->config_queue(rig->transport.self, queue, &setup,
                                            vhost_rig_deadline(rig), NULL);
}

static void a_record_is_made_before_the_first_queue(void **state)
{
    struct vhost_rig *rig = *state;
    struct raw_backend *backend = rig->backend;
    unsigned at = 0;

    backend->protocol_features |= RAW_P_INFLIGHT;
    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    assert_true(rig->driver.properties.tracks_in_flight);
    while (backend->log[at].request != RAW_GET_INFLIGHT_FD)
        at++;
    assert_int_equal(backend->log[at].size, 24);
    assert_int_equal(backend->log[at].u.words[2], RAW_BACKEND_QUEUES | VHOST_RIG_QUEUE_SIZE << 16);
    assert_int_equal(backend->log[at + 1].request, RAW_SET_INFLIGHT_FD);
    assert_int_equal(backend->log[at + 1].fd_count, 1);
    assert_int_equal(backend->log[at + 2].request, RAW_SET_VRING_NUM);
    assert_int_equal(raw_backend_look(backend).inflight_gets, 1);
    assert_int_equal(raw_backend_look(backend).inflight_sets, 1);
}

static void a_reset_wants_a_new_record(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features |= RAW_P_INFLIGHT;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_restart(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_queue_initialize_rings(&rig->queues[0]), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(&rig->driver, &rig->queues[0], NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).inflight_gets, 2);
    assert_int_equal(raw_backend_look(rig->backend).inflight_sets, 2);
}

static void a_queue_that_the_record_has_no_room_for_is_refused(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features |= RAW_P_INFLIGHT;
    assert_int_equal(vhost_rig_bring_up(rig, 0, NULL), L4VIO_OK);
    assert_int_equal(configure(rig, 0, 16, true), L4VIO_EINVAL);
    assert_int_equal(configure(rig, 0, 16, false), L4VIO_OK);
    assert_int_equal(configure(rig, 1, 32, false), L4VIO_EINVAL);
    assert_int_equal(configure(rig, 1, 8, true), L4VIO_EINVAL);
    assert_int_equal(configure(rig, 1, 8, false), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).inflight_gets, 1);
}

static void without_a_record_nothing_resumes(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 0, NULL), L4VIO_OK);
    assert_false(rig->driver.properties.tracks_in_flight);
    assert_int_equal(configure(rig, 0, 16, true), L4VIO_ENOSYS);
}

/* What is handed out instead of a record: by number. */
static enum raw_verdict hand_out(struct raw_backend *backend, struct raw_message *message)
{
    struct raw_message reply = *message;
    const unsigned kind = *(const unsigned *)backend->script_self;

    if (message->request != RAW_GET_INFLIGHT_FD)
        return RAW_DEFAULT;
    reply.flags = 1 | RAW_FLAG_REPLY;
    reply.u.words[0] = 4096;
    reply.u.words[1] = 0;
    reply.fd_count = 1;
    reply.fds[0] = memfd_create("record", MFD_CLOEXEC);
    if (ftruncate(reply.fds[0], 4096))
        abort();
    switch (kind) {
    case 0:
        reply.u.words[0] = 4097;
        break;
    case 1:
        reply.u.words[1] = 1;
        break;
    case 2:
        reply.u.words[1] = UINT64_MAX;
        break;
    case 3:
        reply.u.words[0] = 0;
        break;
    case 4:
        close(reply.fds[0]);
        reply.fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
        break;
    case 5:
        reply.u.words[2] += 1;
        break;
    default:
        reply.u.words[2] += UINT64_C(1) << 16;
        break;
    }
    raw_backend_send(backend->state.socket, &reply);
    raw_message_close_fds(&reply);
    return RAW_DONE;
}

static void a_record_that_is_none_ends_the_connection(void **state)
{
    static unsigned kind;

    for (kind = 0; kind < 7; kind++) {
        struct vhost_rig *rig = kind ? vhost_rig_new_beside(*state) : *state;
        rig->backend->protocol_features |= RAW_P_INFLIGHT;
        rig->backend->script = hand_out;
        rig->backend->script_self = &kind;
        assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_EBADPROTO);
        assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
        if (kind)
            vhost_rig_free(rig);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reset_stops_every_ring_and_then_the_device),
        TEST(either_way_of_resetting_is_enough),
        TEST(without_either_memory_stays_with_the_device),
        TEST(a_driver_can_be_restarted),
        TEST(a_slow_reset_is_waited_for),
        TEST(one_queue_is_reset_where_that_was_negotiated),
        TEST(elsewhere_one_queue_cannot_be_reset),
        TEST(a_record_is_made_before_the_first_queue),
        TEST(a_reset_wants_a_new_record),
        TEST(a_queue_that_the_record_has_no_room_for_is_refused),
        TEST(without_a_record_nothing_resumes),
        TEST(a_record_that_is_none_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
