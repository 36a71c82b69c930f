/* SPDX-License-Identifier: MIT */
/*
 * Memory between the driver and a hostile back end: what it may do to ours, what it gives us for its own,
 * what it writes into the rings, and when memory that it has had is ours again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_rig.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

struct attack {
    bool seen;
    int truncate_errno, grow_errno, seal_errno;
};

static int error_of(int result)
{
    return result < 0 ? errno : 0;
}

static enum raw_verdict attack_memory(struct raw_backend *backend, struct raw_message *message)
{
    struct attack *attack = backend->script_self;
    const int fd = message->fds[0];

    if (message->fd_count == 0 ||
        (message->request != RAW_ADD_MEM_REG && message->request != RAW_SET_MEM_TABLE))
        return RAW_DEFAULT;
    attack->seen = true;
    attack->truncate_errno = error_of(ftruncate(fd, 0));
    attack->grow_errno = error_of(ftruncate(fd, 1 << 30));
    attack->seal_errno = error_of(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    /* This is allowed: zeroes, but no fault. */
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    return RAW_DEFAULT;
}

static void our_memory_cannot_be_cut_short(uint64_t protocol_features)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct attack attack = {0};

    rig->backend->protocol_features = protocol_features;
    rig->backend->script = attack_memory;
    rig->backend->script_self = &attack;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_true(attack.seen);
    assert_int_equal(attack.truncate_errno, EPERM);
    assert_int_equal(attack.grow_errno, EPERM);
    assert_int_equal(attack.seal_errno, EPERM);
    memset(rig->region.base, 1, (size_t)rig->region.size_bytes);
    vhost_rig_free(rig);
}

static void a_back_end_cannot_cut_our_memory_short(void **state)
{
    (void)state;
    our_memory_cannot_be_cut_short(RAW_P_ALL);
    our_memory_cannot_be_cut_short(RAW_P_MQ | RAW_P_CONFIG);
}

/* Neither RESET_DEVICE nor STATUS: nobody says that it has stopped. */
static void memory_stays_in_quarantine_until_the_connection_is_closed(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    const struct usage before = usage_now();
    struct l4vio_region more;

    (void)state;
    rig->backend->protocol_features = RAW_P_ALL & ~(RAW_P_RESET | RAW_P_STATUS | RAW_P_INFLIGHT);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    const struct usage live = usage_now();
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_EBUSY);
    /* The rings were stopped, but that promises nothing. */
    assert_int_equal(raw_backend_count(rig->backend, RAW_GET_VRING_BASE), 1);
    assert_int_equal(l4vio_driver_release(&rig->driver, &rig->region, NULL), L4VIO_EBUSY);
    assert_int_equal(l4vio_queue_initialize_rings(&rig->queues[0]), L4VIO_EBUSY);
    void *cookie = NULL;
    assert_int_equal(l4vio_queue_detach(&rig->queues[0], &cookie, 1), L4VIO_EBUSY);
    assert_int_equal(usage_now().mappings, live.mappings);
    assert_int_equal(raw_backend_count(rig->backend, RAW_REM_MEM_REG), 0);
    /* Other memory may come; it is not the same. */
    if (l4vio_driver_restart(&rig->driver, NULL) == L4VIO_OK) {
        assert_int_equal(l4vio_driver_allocate(&rig->driver, 4096, &more, NULL), L4VIO_OK);
        assert_true(more.device_address >= rig->region.device_address + rig->region.size_bytes);
    }
    l4vio_driver_disconnect(&rig->driver);
    rig->driving = false;
    assert_int_equal(l4vio_queue_detach(&rig->queues[0], &cookie, 1), 1);
    assert_true(raw_backend_await_end(rig->backend));
    assert_int_equal(usage_now().mappings, before.mappings);
    vhost_rig_free(rig);
}

/* The record of requests in flight is the back end's own memory: what is none is refused. */
static int make_record(unsigned kind, uint64_t *size, uint64_t *offset)
{
    int pair[2] = {-1, -1};
    int fd = -1;

    switch (kind) {
    case 0: /* Shorter than it says. */
        fd = memfd_create("record", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)*size - 1), 0);
        return fd;
    case 1:
    case 2:
    case 3: /* Beyond the end, and around the end of the numbers. */
        fd = memfd_create("record", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)*size), 0);
        *offset = kind == 1 ? *size : kind == 2 ? UINT64_MAX : 0;
        *size = kind == 3 ? UINT64_MAX : *size;
        return fd;
    case 10: /* Both together wrap around. */
        fd = memfd_create("record", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)*size), 0);
        *offset = 4096;
        *size = UINT64_MAX - 4095;
        return fd;
    case 4: /* Nothing. */
        *size = 0;
        return memfd_create("record", MFD_CLOEXEC);
    case 5:
        return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case 6:
        return open("/dev/zero", O_RDWR | O_CLOEXEC);
    case 7:
        return open("/proc/self/exe", O_PATH | O_CLOEXEC);
    case 8:
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        close(pair[1]);
        return pair[0];
    default:
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        close(pair[1]);
        return pair[0];
    }
}

#define RECORD_KINDS 11u

static enum raw_verdict give_bad_record(struct raw_backend *backend, struct raw_message *message)
{
    const unsigned *kind = backend->script_self;
    struct raw_message reply = *message;
    uint64_t size = 8192;
    uint64_t offset = 0;

    if (message->request != RAW_GET_INFLIGHT_FD)
        return RAW_DEFAULT;
    const int fd = make_record(*kind, &size, &offset);
    reply.flags = 1u | RAW_FLAG_REPLY;
    reply.u.words[0] = size;
    reply.u.words[1] = offset;
    reply.fds[0] = fd;
    reply.fd_count = 1;
    raw_backend_send(backend->state.socket, &reply);
    close(fd);
    return RAW_DONE;
}

static void a_record_that_is_no_memory_is_refused(void **state)
{
    const struct usage before = usage_now();

    (void)state;
    for (unsigned kind = 0; kind < RECORD_KINDS; kind++) {
        struct vhost_rig *rig = vhost_rig_new();
        rig->backend->protocol_features = RAW_P_ALL;
        rig->backend->script = give_bad_record;
        rig->backend->script_self = &kind;
        assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_EBADPROTO);
        assert_int_equal(raw_backend_count(rig->backend, RAW_SET_INFLIGHT_FD), 0);
        vhost_rig_free(rig);
    }
    assert_int_equal(usage_now().descriptors, before.descriptors);
}

static enum raw_verdict record_of_other_size(struct raw_backend *backend,
                                             struct raw_message *message)
{
    struct raw_message reply = *message;

    if (message->request != RAW_GET_INFLIGHT_FD)
        return RAW_DEFAULT;
    const int fd = memfd_create("record", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 65536), 0);
    reply.flags = 1u | RAW_FLAG_REPLY;
    reply.u.words[0] = 65536;
    reply.u.words[1] = 0;
    reply.u.words[2] = backend->script_self ? UINT64_MAX : 0; /* Queues, their size. */
    reply.fds[0] = fd;
    reply.fd_count = 1;
    raw_backend_send(backend->state.socket, &reply);
    close(fd);
    return RAW_DONE;
}

static void a_record_of_other_queues_is_refused(void **state)
{
    (void)state;
    for (uintptr_t i = 0; i < 2; i++) {
        struct vhost_rig *rig = vhost_rig_new();
        rig->backend->protocol_features = RAW_P_ALL;
        rig->backend->script = record_of_other_size;
        rig->backend->script_self = (void *)i; // NOLINT
        assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_EBADPROTO);
        vhost_rig_free(rig);
    }
}

/* Nobody here looks into it: a record that is gone is the next back end's business. */
static void a_record_that_is_cut_short_does_us_no_harm(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    rig->backend->protocol_features = RAW_P_ALL;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(ftruncate(raw_backend_look(rig->backend).inflight, 0), 0);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    vhost_rig_use(rig, 0, 0, 1);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    vhost_rig_free(rig);
}

static struct vhost_rig *with_one_request(void)
{
    struct vhost_rig *rig = vhost_rig_new();

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    return rig;
}

/* The queue is broken; after a reset the same connection serves again. */
static void check_broken_and_usable_again(struct vhost_rig *rig)
{
    struct l4vio_completion completion;
    struct l4vio_error error = {0};
    void *cookie = NULL;

    l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig));
    assert_int_equal(l4vio_queue_get_used(&rig->queues[0], &completion, 1), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_queue_broken_error(&rig->queues[0], &error), L4VIO_EBADPROTO);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_queue_detach(&rig->queues[0], &cookie, 1), 1);
    assert_int_equal(l4vio_driver_restart(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_queue_initialize_rings(&rig->queues[0]), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(&rig->driver, &rig->queues[0], NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    vhost_rig_use(rig, 0, 0, 1);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_OK);
    assert_int_equal(l4vio_queue_get_used(&rig->queues[0], &completion, 1), 1);
    assert_int_equal(raw_backend_look(rig->backend).connections, 1);
    vhost_rig_free(rig);
}

static void used_entries_that_lie_break_the_queue(void **state)
{
    struct vhost_rig *rig = with_one_request();

    (void)state;
    vhost_rig_use(rig, 0, 0xffff, 1);
    check_broken_and_usable_again(rig);
    rig = with_one_request();
    vhost_rig_use(rig, 0, VHOST_RIG_QUEUE_SIZE - 1, 1); /* Not in flight. */
    check_broken_and_usable_again(rig);
}

static void a_used_length_that_lies_is_clamped(void **state)
{
    struct vhost_rig *rig = with_one_request();
    struct l4vio_completion completion;

    (void)state;
    vhost_rig_use(rig, 0, 0, UINT32_MAX);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_OK);
    assert_int_equal(l4vio_queue_get_used(&rig->queues[0], &completion, 1), 1);
    assert_true(completion.length_bytes <= 4096);
    vhost_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_back_end_cannot_cut_our_memory_short),
        cmocka_unit_test(memory_stays_in_quarantine_until_the_connection_is_closed),
        cmocka_unit_test(a_record_that_is_no_memory_is_refused),
        cmocka_unit_test(a_record_of_other_queues_is_refused),
        cmocka_unit_test(a_record_that_is_cut_short_does_us_no_harm),
        cmocka_unit_test(used_entries_that_lie_break_the_queue),
        cmocka_unit_test(a_used_length_that_lies_is_clamped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
