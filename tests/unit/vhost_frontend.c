/* SPDX-License-Identifier: MIT */
/* The vhost-user front end: connecting, negotiating, setting queues up; every message as it has to be. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <l4vio/virtqueue.h>

#include "usage.h"
#include "vhost_rig.h"

#define BIT(n) (UINT64_C(1) << (n))

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

static void settles_what_is_useful_and_nothing_else(void **state)
{
    static const uint32_t order[] = {RAW_GET_FEATURES,
                                     RAW_GET_PROTOCOL_FEATURES,
                                     RAW_SET_PROTOCOL_FEATURES,
                                     RAW_GET_QUEUE_NUM,
                                     RAW_GET_MAX_MEM_SLOTS,
                                     RAW_SET_BACKEND_REQ_FD,
                                     RAW_SET_OWNER,
                                     RAW_GET_CONFIG};
    struct vhost_rig *rig = *state;
    struct raw_backend *backend = rig->backend;

    backend->protocol_features = UINT64_MAX;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        assert_int_equal(backend->log[i].request, order[i]);
    assert_int_equal(raw_backend_find(backend, RAW_SET_PROTOCOL_FEATURES, 0)->u.words[0],
                     RAW_P_ALL);
    assert_int_equal(raw_backend_find(backend, RAW_SET_BACKEND_REQ_FD, 0)->fd_count, 1);
    assert_int_equal(raw_backend_count(backend, RAW_SET_OWNER), 1);
}

static void describes_what_it_learnt(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_vhost_user_info info;

    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    l4vio_vhost_user_describe(rig->connection, &info);
    assert_int_equal(info.features, rig->backend->features);
    assert_int_equal(info.protocol_features_offered, rig->backend->protocol_features);
    assert_int_equal(info.protocol_features_used, rig->backend->protocol_features);
    assert_int_equal(info.device_id, rig->options.device_id);
    assert_int_equal(info.queue_count, RAW_BACKEND_QUEUES);
    assert_true(info.queue_count_known && info.memory_slots_known);
    assert_int_equal(info.memory_slots, RAW_BACKEND_REGIONS);
    assert_int_equal(info.config_bytes, rig->backend->config_bytes);
    assert_true(info.stops_on_reset && info.resets_queues && info.tells_changes);
}

static void describes_a_back_end_that_has_nothing(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_vhost_user_info info;

    rig->backend->features = BIT(32);
    rig->options.queue_count = 3;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    l4vio_vhost_user_describe(rig->connection, &info);
    assert_int_equal(info.protocol_features_offered, 0);
    assert_int_equal(info.queue_count, 3);
    assert_int_equal(info.memory_slots, 8);
    assert_int_equal(info.config_bytes, 0);
    assert_false(info.queue_count_known || info.memory_slots_known || info.stops_on_reset ||
                 info.resets_queues || info.tells_changes);
}

static void does_without_protocol_features(void **state)
{
    struct vhost_rig *rig = *state;
    struct raw_backend *backend = rig->backend;

    backend->features = BIT(32);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(backend, RAW_GET_PROTOCOL_FEATURES), 0);
    assert_int_equal(raw_backend_count(backend, RAW_SET_PROTOCOL_FEATURES), 0);
    assert_int_equal(raw_backend_count(backend, RAW_SET_VRING_ENABLE), 0);
    assert_int_equal(raw_backend_find(backend, RAW_SET_FEATURES, 0)->u.words[0], BIT(32));
    assert_int_equal(raw_backend_count(backend, RAW_SET_MEM_TABLE), 1);
}

static void leaves_out_what_it_is_told_to(void **state)
{
    struct vhost_rig *rig = *state;

    rig->options.unused_protocol_features = RAW_P_STATUS | RAW_P_SLOTS;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_find(rig->backend, RAW_SET_PROTOCOL_FEATURES, 0)->u.words[0],
                     rig->backend->protocol_features & ~(RAW_P_STATUS | RAW_P_SLOTS));
}

static void features_of_the_protocol_are_none_of_the_device(void **state)
{
    struct vhost_rig *rig = *state;
    const uint64_t ours = BIT(28) | BIT(29) | BIT(32) | BIT(40);

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(rig->driver.identity.offered.word[0] |
                         (uint64_t)rig->driver.identity.offered.word[1] << 32,
                     ours);
    assert_int_equal(l4vio_driver_negotiate(&rig->driver, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_find(rig->backend, RAW_SET_FEATURES, 0)->u.words[0],
                     ours | BIT(30));
}

static void what_it_cannot_carry_is_not_accepted(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->features |= BIT(33) | BIT(38);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).accepted & (BIT(33) | BIT(38)), 0);
}

static void check_queue(struct vhost_rig *rig, unsigned queue, uint32_t position)
{
    struct raw_backend *backend = rig->backend;
    const struct raw_backend_ring copy = raw_backend_look(backend).rings[queue];
    const struct raw_backend_ring *ring = &copy;
    const struct l4vio_queue *ours = &rig->queues[queue];

    assert_int_equal(ring->size, VHOST_RIG_QUEUE_SIZE);
    assert_int_equal(ring->position, position);
    assert_int_equal(ring->desc, ours->desc_address);
    assert_int_equal(ring->avail, ours->avail_address);
    assert_int_equal(ring->used, ours->used_address);
    assert_true(ring->kick >= 0 && ring->call >= 0 && ring->err >= 0);
    assert_true(ring->started && ring->enabled);
    /* The same memory at both ends, by either kind of address. */
    const void *rings = raw_backend_user_memory(backend, ring->desc, 16);
    assert_non_null(rings);
    assert_ptr_equal(rings, raw_backend_memory(backend, ring->desc, 16));
}

static void queues_are_told_as_they_are(void **state)
{
    static const uint32_t order[] = {RAW_SET_VRING_NUM,  RAW_SET_VRING_BASE, RAW_SET_VRING_ADDR,
                                     RAW_SET_VRING_CALL, RAW_SET_VRING_ERR,  RAW_SET_VRING_KICK};
    struct vhost_rig *rig = *state;
    struct raw_backend *backend = rig->backend;
    unsigned at = 0;

    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    for (unsigned i = 0; i < VHOST_RIG_QUEUES; i++)
        check_queue(rig, i, 0);
    while (backend->log[at].request != RAW_SET_VRING_NUM)
        at++;
    for (unsigned i = 0; i < VHOST_RIG_QUEUES * 6; i++)
        assert_int_equal(backend->log[at + i].request, order[i % 6]);
    /* Enabled by DRIVER_OK, before the status says so. */
    at += VHOST_RIG_QUEUES * 6;
    for (unsigned i = 0; i < VHOST_RIG_QUEUES; i++)
        assert_int_equal(backend->log[at + i].request, RAW_SET_VRING_ENABLE);
    assert_int_equal(backend->log[at + VHOST_RIG_QUEUES].request, RAW_SET_STATUS);
    assert_int_equal(backend->log[at + VHOST_RIG_QUEUES].u.words[0], 15);
}

static void packed_queues_begin_with_both_wrap_counters_set(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->features |= BIT(34);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_true(rig->queues[0].packed);
    check_queue(rig, 0, UINT32_C(0x80008000));
}

static void a_queue_after_driver_ok_is_enabled_at_once(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset_queue(&rig->driver, &rig->queues[0], NULL), L4VIO_OK);
    raw_backend_clear_log(rig->backend);
    assert_int_equal(l4vio_queue_initialize_rings(&rig->queues[0]), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(&rig->driver, &rig->queues[0], NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_SET_VRING_ENABLE), 1);
    check_queue(rig, 0, 0);
}

static void every_answer_is_asked_for_where_there_are_any(void **state)
{
    struct vhost_rig *rig = *state;
    struct raw_backend *backend = rig->backend;
    bool settled = false;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    for (unsigned i = 0; i < raw_backend_look(backend).logged; i++) {
        const struct raw_record *entry = &backend->log[i];
        bool get = entry->request == RAW_GET_FEATURES || entry->request == RAW_GET_STATUS ||
                   entry->request == RAW_GET_PROTOCOL_FEATURES ||
                   entry->request == RAW_GET_QUEUE_NUM || entry->request == RAW_GET_CONFIG ||
                   entry->request == RAW_GET_MAX_MEM_SLOTS;
        assert_int_equal(entry->flags & 3, 1);
        assert_int_equal((entry->flags & RAW_FLAG_NEED_REPLY) != 0, settled && !get);
        settled |= entry->request == RAW_SET_PROTOCOL_FEATURES;
    }
    assert_int_equal(raw_backend_count(backend, RAW_GET_FEATURES), 1);
}

static void without_answers_a_question_comes_after_what_matters(void **state)
{
    static const uint32_t matter[] = {RAW_SET_FEATURES, RAW_ADD_MEM_REG, RAW_SET_VRING_KICK,
                                      RAW_SET_VRING_ENABLE};
    struct vhost_rig *rig = *state;
    struct raw_backend *backend = rig->backend;

    backend->protocol_features &= ~RAW_P_REPLY_ACK;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    for (unsigned i = 0; i < raw_backend_look(backend).logged; i++) {
        assert_int_equal(backend->log[i].flags, 1);
        for (unsigned k = 0; k < sizeof(matter) / sizeof(matter[0]); k++) {
            if (backend->log[i].request == matter[k])
                assert_int_equal(backend->log[i + 1].request, RAW_GET_FEATURES);
        }
    }
}

static enum raw_verdict refuse(struct raw_backend *backend, struct raw_message *message)
{
    return message->request == *(const uint32_t *)backend->script_self ? RAW_REFUSE : RAW_DEFAULT;
}

static void features_may_be_refused(void **state)
{
    static uint32_t refused = RAW_SET_FEATURES;
    struct vhost_rig *rig = *state;
    struct l4vio_error error = {0};

    rig->backend->protocol_features &= ~RAW_P_STATUS;
    rig->backend->script = refuse;
    rig->backend->script_self = &refused;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_negotiate(&rig->driver, &error), L4VIO_EINVAL);
    assert_string_equal(error.text, "the device refused the features");
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
}

static enum raw_verdict forget_features_ok(struct raw_backend *backend, struct raw_message *message)
{
    if (message->request == RAW_GET_STATUS)
        backend->state.status &= ~UINT64_C(8);
    return RAW_DEFAULT;
}

static void the_status_is_the_back_ends_own(void **state)
{
    struct vhost_rig *rig = *state;
    uint32_t status = 0;

    rig->backend->script = forget_features_ok;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).status, 3);
    assert_int_equal(l4vio_driver_negotiate(&rig->driver, NULL), L4VIO_EINVAL);
    assert_int_equal(rig->transport.ops->get_status(rig->transport.self, &status), L4VIO_OK);
    assert_int_equal(status & 8, 0);
}

static void a_refused_queue_is_reported_and_the_connection_goes_on(void **state)
{
    static uint32_t messages[] = {RAW_SET_VRING_NUM,   RAW_SET_VRING_BASE, RAW_SET_VRING_ADDR,
                                  RAW_SET_VRING_CALL,  RAW_SET_VRING_ERR,  RAW_SET_VRING_KICK,
                                  RAW_SET_VRING_ENABLE};
    for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct vhost_rig *rig = i ? vhost_rig_new_beside(*state) : *state;
        struct l4vio_error error = {0};
        rig->backend->script = refuse;
        rig->backend->script_self = &messages[i];
        assert_int_equal(vhost_rig_bring_up(rig, 1, &error), L4VIO_EINVAL);
        assert_string_equal(error.text, "the back end refused a message");
        assert_int_equal(error.value, messages[i]);
        assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_OK);
        assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_OK);
        if (i)
            vhost_rig_free(rig);
    }
}

static void queues_that_are_not_there_are_refused(void **state)
{
    struct vhost_rig *rig = *state;
    const struct l4vio_transport_ops *ops;
    const struct l4vio_queue_setup setup = {.size = 16};
    struct l4vio_notification notification = {.handle = L4VIO_NO_HANDLE};

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    ops = rig->transport.ops;
    void *self = rig->transport.self;
    assert_int_equal(ops->queue_size_max(self, RAW_BACKEND_QUEUES, NULL), L4VIO_ERANGE);
    assert_int_equal(ops->device_notify_index(self, RAW_BACKEND_QUEUES, NULL), L4VIO_ERANGE);
    assert_int_equal(ops->config_queue(self, RAW_BACKEND_QUEUES, &setup, 0, NULL), L4VIO_ERANGE);
    assert_int_equal(ops->reset_queue(self, RAW_BACKEND_QUEUES, 0, NULL), L4VIO_ERANGE);
    assert_int_equal(ops->get_notification(self, RAW_BACKEND_QUEUES, &notification, 0, NULL),
                     L4VIO_OK);
    assert_int_equal(notification.handle, L4VIO_NO_HANDLE);
    assert_int_equal(ops->get_notification(self, RAW_BACKEND_QUEUES + 1, &notification, 0, NULL),
                     L4VIO_ERANGE);
    assert_int_equal(ops->bind_notification(self, RAW_BACKEND_QUEUES + 1, &notification, 0, NULL),
                     L4VIO_ERANGE);
    assert_int_equal(ops->set_config_notify(self, RAW_BACKEND_QUEUES + 1, 0), L4VIO_ERANGE);
}

static void a_queue_that_is_set_up_is_not_set_up_again(void **state)
{
    struct vhost_rig *rig = *state;
    const struct l4vio_queue_setup setup = {.size = 16};

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(rig->transport.ops->config_queue(rig->transport.self, 0, &setup,
                                                      vhost_rig_deadline(rig), NULL),
                     L4VIO_EINVAL);
    check_queue(rig, 0, 0);
}

static void bits_that_no_message_can_say_are_refused(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_features features = {{0}};

    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    l4vio_features_set(&features, L4VIO_F_L4_CMD_CONFIG);
    assert_int_equal(rig->transport.ops->set_features(rig->transport.self, &features, NULL),
                     L4VIO_EINVAL);
}

static void options_say_what_the_back_end_does_not(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features &= ~RAW_P_MQ;
    rig->options.queue_count = 2;
    rig->options.queue_size_max = 64;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(rig->driver.identity.device_id, rig->options.device_id);
    assert_int_equal(rig->driver.identity.queue_count, 2);
    assert_int_equal(l4vio_driver_queue_size_max(&rig->driver, 1, NULL), 64);
}

static void more_queues_than_can_be_named_are_cut(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_vhost_user_info info;

    rig->backend->queue_num = UINT64_MAX;
    rig->backend->memory_slots = UINT64_MAX;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    l4vio_vhost_user_describe(rig->connection, &info);
    assert_int_equal(info.queue_count, 256);
}

static void options_out_of_range_are_refused(void **state)
{
    struct vhost_rig *rig = *state;

    rig->options.queue_count = 257;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_EINVAL);
    rig->options.queue_count = 0;
    rig->options.queue_size_max = 32769;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_EINVAL);
}

static void nobody_at_the_path_is_said_so(void **state)
{
    struct vhost_rig *rig = *state;
    char too_long[200];

    assert_int_equal(l4vio_vhost_user_connect(rig->backend->path, &rig->platform, NULL,
                                              &rig->connection, &rig->transport, NULL),
                     L4VIO_ENOENT);
    memset(too_long, 'x', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(l4vio_vhost_user_connect(too_long, &rig->platform, NULL, &rig->connection,
                                              &rig->transport, NULL),
                     L4VIO_EINVAL);
    assert_null(rig->connection);
}

static void kicks_and_calls_arrive(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_completion completion;

    assert_int_equal(vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL), L4VIO_OK);
    for (unsigned i = 0; i < VHOST_RIG_QUEUES; i++) {
        assert_int_equal(vhost_rig_submit(rig, i), L4VIO_OK);
        struct pollfd kick = {.fd = raw_backend_look(rig->backend).rings[i].kick, .events = POLLIN};
        assert_int_equal(poll(&kick, 1, 5000), 1);
        vhost_rig_use(rig, i, 0, 7);
        assert_int_equal(
            l4vio_driver_wait_used(&rig->driver, &rig->queues[i], vhost_rig_deadline(rig)),
            L4VIO_OK);
        assert_int_equal(l4vio_queue_get_used(&rig->queues[i], &completion, 1), 1);
        assert_int_equal(completion.length_bytes, 7);
    }
}

static void another_object_for_completions_is_told(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_notification own;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(rig->platform.ops->notification_create(rig->platform.self, &own, NULL),
                     L4VIO_OK);
    assert_int_equal(l4vio_driver_bind_notification(&rig->driver, 1, &own, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_SET_VRING_CALL), 2);
    const uint64_t one = 1;
    assert_int_equal(write(raw_backend_look(rig->backend).rings[0].call, &one, sizeof(one)),
                     sizeof(one));
    assert_int_equal(rig->platform.ops->notification_drain(rig->platform.self, &own), 1);
    rig->platform.ops->notification_destroy(rig->platform.self, &own);
}

static void *connect_backend(void *backend)
{
    raw_backend_start_connecting(backend);
    return NULL;
}

static void the_back_end_may_connect(void **state)
{
    struct vhost_rig *rig = *state;
    struct stat status;

    rig->options.listen = true;
    /* The front end makes the socket: the other side tries until it is there. */
    pthread_t helper;
    assert_int_equal(pthread_create(&helper, NULL, connect_backend, rig->backend), 0);
    assert_int_equal(l4vio_vhost_user_connect(rig->backend->path, &rig->platform, &rig->options,
                                              &rig->connection, &rig->transport, NULL),
                     L4VIO_OK);
    pthread_join(helper, NULL);
    assert_int_equal(stat(rig->backend->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    l4vio_driver_disconnect(&rig->driver);
    assert_int_equal(stat(rig->backend->path, &status), -1);
}

static void a_path_in_use_is_not_taken(void **state)
{
    struct vhost_rig *rig = *state;

    rig->options.listen = true;
    raw_backend_start(rig->backend);
    assert_int_equal(l4vio_vhost_user_connect(rig->backend->path, &rig->platform, &rig->options,
                                              &rig->connection, &rig->transport, NULL),
                     L4VIO_EEXIST);
    assert_true(raw_backend_await_end(rig->backend));
}

static void nobody_comes_and_time_runs_out(void **state)
{
    struct vhost_rig *rig = *state;
    struct stat status;

    rig->options.listen = true;
    rig->options.timeout_ns = 20000000;
    assert_int_equal(l4vio_vhost_user_connect(rig->backend->path, &rig->platform, &rig->options,
                                              &rig->connection, &rig->transport, NULL),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(stat(rig->backend->path, &status), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settles_what_is_useful_and_nothing_else),
        TEST(describes_what_it_learnt),
        TEST(describes_a_back_end_that_has_nothing),
        TEST(does_without_protocol_features),
        TEST(leaves_out_what_it_is_told_to),
        TEST(features_of_the_protocol_are_none_of_the_device),
        TEST(what_it_cannot_carry_is_not_accepted),
        TEST(queues_are_told_as_they_are),
        TEST(packed_queues_begin_with_both_wrap_counters_set),
        TEST(a_queue_after_driver_ok_is_enabled_at_once),
        TEST(every_answer_is_asked_for_where_there_are_any),
        TEST(without_answers_a_question_comes_after_what_matters),
        TEST(features_may_be_refused),
        TEST(the_status_is_the_back_ends_own),
        TEST(a_refused_queue_is_reported_and_the_connection_goes_on),
        TEST(queues_that_are_not_there_are_refused),
        TEST(a_queue_that_is_set_up_is_not_set_up_again),
        TEST(bits_that_no_message_can_say_are_refused),
        TEST(options_say_what_the_back_end_does_not),
        TEST(more_queues_than_can_be_named_are_cut),
        TEST(options_out_of_range_are_refused),
        TEST(nobody_at_the_path_is_said_so),
        TEST(kicks_and_calls_arrive),
        TEST(another_object_for_completions_is_told),
        TEST(the_back_end_may_connect),
        TEST(a_path_in_use_is_not_taken),
        TEST(nobody_comes_and_time_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
