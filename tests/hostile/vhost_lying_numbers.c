/* SPDX-License-Identifier: MIT */
/* A back end whose answers are well-formed, and absurd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_rig.h"

#define SHORT_NS UINT64_C(50000000)

static void no_queues_at_all(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct l4vio_vhost_user_info info;

    (void)state;
    rig->backend->queue_num = 0;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    l4vio_vhost_user_describe(rig->connection, &info);
    assert_int_equal(info.queue_count, 0);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_ERANGE);
    vhost_rig_free(rig);
}

static void more_queues_than_can_be_named(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct l4vio_vhost_user_info info;

    (void)state;
    rig->backend->queue_num = UINT64_MAX;
    assert_int_equal(vhost_rig_bring_up(rig, 2, NULL), L4VIO_OK);
    l4vio_vhost_user_describe(rig->connection, &info);
    assert_int_equal(info.queue_count, L4VIO_VHOST_USER_QUEUES_MAX);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    vhost_rig_free(rig);
}

static void no_slots_for_memory(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    rig->backend->memory_slots = 0;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_ENOMEM);
    vhost_rig_free(rig);
}

static void slots_without_end(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    rig->backend->memory_slots = UINT64_MAX;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    vhost_rig_free(rig);
}

/* Those of which nobody here knows are not accepted, and those of transport and protocol are not shown. */
static void every_feature_there_is(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct l4vio_features none = {0};

    (void)state;
    rig->backend->features = UINT64_MAX;
    rig->backend->protocol_features = UINT64_MAX;
    rig->allowed = none;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_false(l4vio_features_has(&rig->driver.identity.offered, 30));
    assert_int_equal(
        raw_backend_look(rig->backend).accepted & ~(UINT64_C(1) << 32 | UINT64_C(1) << 30), 0);
    assert_int_equal(raw_backend_look(rig->backend).protocol_accepted & ~RAW_P_ALL, 0);
    vhost_rig_free(rig);
}

static enum raw_verdict change_features(struct raw_backend *backend, struct raw_message *message)
{
    if (message->request == RAW_GET_FEATURES && backend->state.received > 1)
        backend->features = 0;
    return RAW_DEFAULT;
}

/* What was settled stays; the second GET_FEATURES of a back end without acknowledgements is a barrier. */
static void features_that_change_between_two_looks(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct l4vio_features before;

    (void)state;
    rig->backend->protocol_features = RAW_P_CONFIG;
    rig->backend->queue_num = 1;
    rig->backend->script = change_features;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    before = rig->driver.identity.offered;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_memory_equal(&before, &rig->driver.identity.offered, sizeof(before));
    vhost_rig_free(rig);
}

static uint64_t status_to_tell;

static enum raw_verdict tell_status(struct raw_backend *backend, struct raw_message *message)
{
    if (message->request != RAW_GET_STATUS)
        return RAW_DEFAULT;
    raw_backend_reply_number(backend, message, status_to_tell);
    return RAW_DONE;
}

static void a_status_of_more_than_eight_bits(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    status_to_tell = UINT64_C(1) << 32;
    rig->backend->script = tell_status;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_EBADPROTO);
    vhost_rig_free(rig);
}

/* Of one's own memory alone: the back end, a thread of this process, lets go of it in its own time. */
static bool is_mapped(void *base)
{
    return msync(base, 1, MS_ASYNC) == 0;
}

/* Before it is reset, every bit is set, and so it is afterwards: that is no reset. */
static void a_status_that_never_becomes_zero(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    void *base = rig->region.base;
    assert_true(is_mapped(base));
    raw_backend_lock(rig->backend);
    status_to_tell = 0xff;
    rig->backend->script = tell_status;
    raw_backend_unlock(rig->backend);
    rig->driver.control_timeout_ns = SHORT_NS;
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_ETIMEDOUT);
    /* Its memory is not ours. */
    assert_true(l4vio_driver_release(&rig->driver, &rig->region, NULL) < 0);
    assert_true(is_mapped(base));
    l4vio_driver_disconnect(&rig->driver);
    assert_false(is_mapped(base));
    rig->driving = false;
    vhost_rig_free(rig);
}

static enum raw_verdict answer_for_another_ring(struct raw_backend *backend,
                                                struct raw_message *message)
{
    const uint32_t state[2] = {message->u.halves[0] + 1, 0};

    if (message->request != RAW_GET_VRING_BASE)
        return RAW_DEFAULT;
    raw_backend_reply(backend, message, state, sizeof(state));
    return RAW_DONE;
}

static void another_ring_than_the_one_asked_for(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    rig->backend->script = answer_for_another_ring;
    assert_int_equal(vhost_rig_bring_up(rig, 2, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_EBADPROTO);
    assert_true(l4vio_driver_release(&rig->driver, &rig->region, NULL) < 0);
    vhost_rig_free(rig);
}

struct config_lie {
    uint32_t add_offset, add_size, add_bytes;
};

static enum raw_verdict lie_about_config(struct raw_backend *backend, struct raw_message *message)
{
    const struct config_lie *lie = backend->script_self;
    uint32_t payload[3 + 64 + 64] = {0};

    if (message->request != RAW_GET_CONFIG || !lie)
        return RAW_DEFAULT;
    payload[0] = message->u.halves[0] + lie->add_offset;
    payload[1] = message->u.halves[1] + lie->add_size;
    raw_backend_reply(backend, message, payload, message->size + lie->add_bytes);
    return RAW_DONE;
}

static void configuration_that_was_not_asked_for(void **state)
{
    static const struct config_lie lies[] = {
        {1, 0, 0},          {0, 1, 0},          {0, 0, 1},   {0, 1, 1},
        {0, UINT32_MAX, 0}, {UINT32_MAX, 0, 0}, {0, 0, 250},
    };
    uint32_t word = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct vhost_rig *rig = vhost_rig_new();
        rig->backend->script = lie_about_config;
        assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
        raw_backend_lock(rig->backend);
        rig->backend->script_self = (void *)(uintptr_t)&lies[i];
        raw_backend_unlock(rig->backend);
        assert_int_equal(l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, NULL),
                         L4VIO_EBADPROTO);
        vhost_rig_free(rig);
    }
}

static enum raw_verdict no_config_any_more(struct raw_backend *backend, struct raw_message *message)
{
    if (message->request == RAW_GET_CONFIG)
        backend->config_bytes = backend->script_self ? 0 : backend->config_bytes;
    return RAW_DEFAULT;
}

static void configuration_that_vanishes(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();
    uint32_t word = 0;

    (void)state;
    rig->backend->script = no_config_any_more;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    raw_backend_lock(rig->backend);
    rig->backend->script_self = rig;
    raw_backend_unlock(rig->backend);
    assert_int_equal(l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, NULL),
                     L4VIO_EIO);
    vhost_rig_free(rig);
}

static enum raw_verdict refuse_one(struct raw_backend *backend, struct raw_message *message)
{
    const uint32_t *request = backend->script_self;

    return message->request == *request ? RAW_REFUSE : RAW_DEFAULT;
}

/* Nothing is left half done: what was asked for fails, what is there stays and is given back. */
static void refusals_of_everything_that_can_be_refused(void **state)
{
    static const uint32_t requests[] = {
        RAW_SET_OWNER,      RAW_SET_FEATURES,     RAW_ADD_MEM_REG,    RAW_SET_VRING_NUM,
        RAW_SET_VRING_BASE, RAW_SET_VRING_ADDR,   RAW_SET_VRING_CALL, RAW_SET_VRING_ERR,
        RAW_SET_VRING_KICK, RAW_SET_VRING_ENABLE,
    };
    const struct usage before = usage_now();

    (void)state;
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct vhost_rig *rig = vhost_rig_new();
        rig->backend->script = refuse_one;
        rig->backend->script_self = (void *)(uintptr_t)&requests[i];
        assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_EINVAL);
        vhost_rig_free(rig);
    }
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
}

static void memory_that_the_back_end_does_not_give_back_stays(void **state)
{
    static const uint32_t request = RAW_REM_MEM_REG;
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
    const struct usage live = usage_now();
    raw_backend_lock(rig->backend);
    rig->backend->script = refuse_one;
    rig->backend->script_self = (void *)(uintptr_t)&request;
    raw_backend_unlock(rig->backend);
    assert_int_equal(l4vio_driver_release(&rig->driver, &rig->region, NULL), L4VIO_EINVAL);
    assert_int_equal(usage_now().mappings, live.mappings);
    vhost_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_queues_at_all),
        cmocka_unit_test(more_queues_than_can_be_named),
        cmocka_unit_test(no_slots_for_memory),
        cmocka_unit_test(slots_without_end),
        cmocka_unit_test(every_feature_there_is),
        cmocka_unit_test(features_that_change_between_two_looks),
        cmocka_unit_test(a_status_of_more_than_eight_bits),
        cmocka_unit_test(a_status_that_never_becomes_zero),
        cmocka_unit_test(another_ring_than_the_one_asked_for),
        cmocka_unit_test(configuration_that_was_not_asked_for),
        cmocka_unit_test(configuration_that_vanishes),
        cmocka_unit_test(refusals_of_everything_that_can_be_refused),
        cmocka_unit_test(memory_that_the_back_end_does_not_give_back_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
