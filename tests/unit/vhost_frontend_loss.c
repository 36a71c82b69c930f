/* SPDX-License-Identifier: MIT */
/* A vhost-user back end that dies, keeps silent or comes back: no hang, no leak, no lost wake-up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "usage.h"
#include "vhost_rig.h"

#define SHORT_NS UINT64_C(30000000)

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

/* A whole life: the code of what failed first, 0 if nothing did. */
static int live(struct vhost_rig *rig)
{
    int result = vhost_rig_bring_up(rig, VHOST_RIG_QUEUES, NULL);
    uint32_t word = 0;

    if (result == L4VIO_OK)
        result = l4vio_driver_read_config(&rig->driver, 0, &word, 4, 4, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_write_config(&rig->driver, 4, &word, 4, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_reset_queue(&rig->driver, &rig->queues[1], NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_reset(&rig->driver, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_release(&rig->driver, &rig->region, NULL);
    /* qemu-storage-daemon is like this: reset, and no promise. */
    return result == L4VIO_EBUSY ? L4VIO_OK : result;
}

/* Features of the protocol that change the course of things. */
static const uint64_t courses[] = {
    RAW_P_ALL,
    RAW_P_ALL & ~(RAW_P_REPLY_ACK | RAW_P_SLOTS),
    RAW_P_MQ | RAW_P_CONFIG,
};

static unsigned messages_of_a_life(const struct vhost_rig *other, uint64_t protocol_features)
{
    struct vhost_rig *rig = vhost_rig_new_beside(other);

    rig->backend->protocol_features = protocol_features;
    assert_int_equal(live(rig), L4VIO_OK);
    unsigned count = raw_backend_look(rig->backend).received;
    vhost_rig_free(rig);
    return count;
}

static void death_at_any_message_is_noticed(void **state)
{
    for (unsigned course = 0; course < 3; course++) {
        const unsigned messages = messages_of_a_life(*state, courses[course]);
        for (unsigned i = 0; i < messages; i++) {
            struct vhost_rig *rig = vhost_rig_new_beside(*state);
            rig->backend->protocol_features = courses[course];
            rig->backend->hang_up_after = (int)i;
            int result = live(rig);
            /* After the last message nobody looks again. */
            if (result != L4VIO_EPIPE)
                assert_int_equal(i, messages - 1);
            if (rig->connection && result == L4VIO_EPIPE)
                assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
            vhost_rig_free(rig);
        }
    }
}

static enum raw_verdict keep_silent(struct raw_backend *backend, struct raw_message *message)
{
    return message->request == *(const uint32_t *)backend->script_self ? RAW_SILENT : RAW_DEFAULT;
}

/* False if time ran out before that request: the machine was busy, or the time too short. */
static bool silence_ends_it(const struct vhost_rig *other, uint32_t request, uint64_t span_ns)
{
    static uint32_t silent;
    struct vhost_rig *rig = vhost_rig_new_beside(other);

    silent = request;
    rig->backend->protocol_features = RAW_P_ALL;
    rig->backend->script = keep_silent;
    rig->backend->script_self = &silent;
    rig->options.timeout_ns = rig->control_timeout_ns = span_ns;
    assert_int_equal(live(rig), L4VIO_ETIMEDOUT);
    bool heard = raw_backend_count(rig->backend, request) == 1;
    if (rig->connection) {
        const struct l4vio_transport_ops *ops = rig->transport.ops;
        uint32_t word;
        assert_int_equal(ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
        assert_int_equal(ops->set_status(rig->transport.self, 0, 0, NULL), L4VIO_EPIPE);
        int result = ops->read_config(rig->transport.self, 0, &word, 4, 4, NULL);
        assert_true(result == L4VIO_EPIPE || result == L4VIO_ERANGE);
    }
    vhost_rig_free(rig);
    return heard;
}

static void silence_after_any_request_ends_the_connection(void **state)
{
    static const uint32_t requests[] = {RAW_GET_FEATURES,       RAW_GET_PROTOCOL_FEATURES,
                                        RAW_GET_QUEUE_NUM,      RAW_GET_MAX_MEM_SLOTS,
                                        RAW_SET_BACKEND_REQ_FD, RAW_SET_OWNER,
                                        RAW_GET_CONFIG,         RAW_SET_STATUS,
                                        RAW_GET_STATUS,         RAW_SET_FEATURES,
                                        RAW_ADD_MEM_REG,        RAW_GET_INFLIGHT_FD,
                                        RAW_SET_INFLIGHT_FD,    RAW_SET_VRING_NUM,
                                        RAW_SET_VRING_BASE,     RAW_SET_VRING_ADDR,
                                        RAW_SET_VRING_CALL,     RAW_SET_VRING_ERR,
                                        RAW_SET_VRING_KICK,     RAW_SET_VRING_ENABLE,
                                        RAW_SET_CONFIG,         RAW_GET_VRING_BASE,
                                        RAW_RESET_DEVICE,       RAW_REM_MEM_REG};

    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        uint64_t span_ns = SHORT_NS;
        while (!silence_ends_it(*state, requests[i], span_ns))
            span_ns *= 4;
    }
}

static void death_wakes_who_waits(void **state)
{
    struct vhost_rig *rig = *state;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(vhost_rig_submit(rig, 0), L4VIO_OK);
    raw_backend_stop(rig->backend);
    assert_int_equal(l4vio_driver_wait_used(&rig->driver, &rig->queues[0], vhost_rig_deadline(rig)),
                     L4VIO_EPIPE);
}

/* Byte after byte, with all of a header before any payload. */
static enum raw_verdict answer_in_pieces(struct raw_backend *backend, struct raw_message *message)
{
    unsigned char bytes[20];
    const uint32_t header[3] = {message->request, 1 | RAW_FLAG_REPLY, 8};
    const uint64_t features = backend->features;

    if (message->request != RAW_GET_FEATURES)
        return RAW_DEFAULT;
    memcpy(bytes, header, 12);
    memcpy(bytes + 12, &features, 8);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        raw_backend_send_bytes(backend->state.socket, bytes + i, 1, NULL, 0);
    return RAW_DONE;
}

static void answers_may_come_in_pieces(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->script = answer_in_pieces;
    rig->backend->protocol_features &= ~RAW_P_REPLY_ACK;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
}

/* As libvhost-user does. */
static enum raw_verdict keep_flags(struct raw_backend *backend, struct raw_message *message)
{
    const uint64_t success = 0;
    struct raw_message reply = {
        .request = message->request, .flags = message->flags | RAW_FLAG_REPLY, .size = 8};

    if (message->request != RAW_SET_VRING_NUM)
        return RAW_DEFAULT;
    memcpy(reply.u.bytes, &success, sizeof(success));
    raw_backend_send(backend->state.socket, &reply);
    return RAW_DONE;
}

static void an_answer_may_have_the_flags_of_its_question(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->script = keep_flags;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
}

/* Ways to answer wrongly. */
enum wrong {
    OTHER_REQUEST,
    NO_REPLY_FLAG,
    OTHER_VERSION,
    TOO_SHORT,
    TOO_LONG,
    WITH_DESCRIPTOR,
    WRONGS
};

static enum raw_verdict answer_wrongly(struct raw_backend *backend, struct raw_message *message)
{
    const unsigned wrong = *(const unsigned *)backend->script_self;
    struct raw_message reply = {
        .request = message->request, .flags = 1 | RAW_FLAG_REPLY, .size = 8};

    if (message->request != RAW_SET_FEATURES)
        return RAW_DEFAULT;
    if (wrong == OTHER_REQUEST)
        reply.request = RAW_GET_FEATURES;
    if (wrong == NO_REPLY_FLAG)
        reply.flags = 1;
    if (wrong == OTHER_VERSION)
        reply.flags = 2 | RAW_FLAG_REPLY;
    if (wrong == TOO_SHORT)
        reply.size = 4;
    if (wrong == TOO_LONG)
        reply.size = 16;
    if (wrong == WITH_DESCRIPTOR) {
        reply.fds[0] = backend->stop;
        reply.fd_count = 1;
    }
    raw_backend_send(backend->state.socket, &reply);
    return RAW_DONE;
}

static void wrong_answers_end_the_connection(void **state)
{
    static unsigned wrong;

    for (wrong = 0; wrong < WRONGS; wrong++) {
        struct vhost_rig *rig = vhost_rig_new_beside(*state);
        rig->backend->script = answer_wrongly;
        rig->backend->script_self = &wrong;
        assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_EBADPROTO);
        assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
        vhost_rig_free(rig);
    }
}

static enum raw_verdict answer_for_another(struct raw_backend *backend, struct raw_message *message)
{
    const uint32_t other[2] = {message->u.halves[0] + 1, 0};

    if (message->request != RAW_GET_VRING_BASE)
        return RAW_DEFAULT;
    raw_backend_reply(backend, message, other, sizeof(other));
    return RAW_DONE;
}

static void a_position_of_another_queue_ends_the_connection(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->script = answer_for_another;
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&rig->driver, NULL), L4VIO_EBADPROTO);
}

static int reconnect(struct vhost_rig *rig, uint64_t span_ns)
{
    struct l4vio_transport_properties properties;
    struct l4vio_identity identity;
    uint64_t now = rig->platform.ops->now_ns(rig->platform.self);

    return rig->transport.ops->reconnect(rig->transport.self, &properties, &identity, now + span_ns,
                                         NULL);
}

static int configure_one(struct vhost_rig *rig, uint32_t queue, bool resumes, bool packed)
{
    const struct l4vio_queue_setup setup = {
        .size = VHOST_RIG_QUEUE_SIZE,
        .desc_address = 0x1000,
        .avail_address = 0x1000,
        .used_address = 0x1000,
        .resumes = resumes,
        .avail_position = 0x8009,
        .used_position = 0x8007,
    };
    struct l4vio_features features = {{0}};

    if (packed)
        l4vio_features_set(&features, L4VIO_F_RING_PACKED);
    assert_int_equal(rig->transport.ops->set_features(rig->transport.self, &features, NULL),
                     L4VIO_OK);
    return rig->transport.ops->config_queue(rig->transport.self, queue, &setup,
                                            vhost_rig_deadline(rig), NULL);
}

static int configure(struct vhost_rig *rig, bool resumes, bool packed)
{
    return configure_one(rig, 0, resumes, packed);
}

static void reconnecting_ends_one_connection_and_makes_another(void **state)
{
    struct vhost_rig *rig = *state;
    uint32_t status = 1;

    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).connections, 2);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 0);
    assert_int_equal(rig->transport.ops->get_status(rig->transport.self, &status), L4VIO_OK);
    assert_int_equal(status, 0);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_SET_OWNER), 2);
}

static void *start_late(void *backend)
{
    const struct timespec a_while = {0, 50000000};

    nanosleep(&a_while, NULL);
    raw_backend_start(backend);
    return NULL;
}

static void a_back_end_that_comes_late_is_waited_for(void **state)
{
    struct vhost_rig *rig = *state;
    pthread_t helper;

    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    raw_backend_stop(rig->backend);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
    assert_int_equal(pthread_create(&helper, NULL, start_late, rig->backend), 0);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
    pthread_join(helper, NULL);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_OK);
}

static void *connect_backend(void *backend)
{
    raw_backend_start_connecting(backend);
    return NULL;
}

static void a_back_end_may_connect_again(void **state)
{
    struct vhost_rig *rig = *state;
    struct stat status;
    pthread_t helper;

    rig->options.listen = true;
    assert_int_equal(pthread_create(&helper, NULL, connect_backend, rig->backend), 0);
    assert_int_equal(l4vio_vhost_user_connect(rig->backend->path, &rig->platform, &rig->options,
                                              &rig->connection, &rig->transport, NULL),
                     L4VIO_OK);
    pthread_join(helper, NULL);
    raw_backend_stop(rig->backend);
    assert_int_equal(stat(rig->backend->path, &status), 0);
    assert_int_equal(pthread_create(&helper, NULL, connect_backend, rig->backend), 0);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
    pthread_join(helper, NULL);
    assert_int_equal(vhost_rig_bring_up(rig, 1, NULL), L4VIO_OK);
}

static void nobody_comes_back_and_time_runs_out(void **state)
{
    struct vhost_rig *rig = *state;
    uint32_t status;

    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    raw_backend_stop(rig->backend);
    assert_int_equal(reconnect(rig, SHORT_NS), L4VIO_ETIMEDOUT);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
    assert_int_equal(rig->transport.ops->get_status(rig->transport.self, &status), L4VIO_EPIPE);
    assert_int_equal(rig->transport.ops->peer_handle(rig->transport.self), L4VIO_NO_HANDLE);
    raw_backend_start(rig->backend);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
}

/* The record of the last one goes to the next one, and the rings go on where they were. */
static void requests_in_flight_are_handed_on(struct vhost_rig *rig, bool packed, uint32_t position)
{
    struct stat first, second;

    rig->backend->protocol_features |= RAW_P_INFLIGHT;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    assert_int_equal(configure(rig, false, packed), L4VIO_OK);
    assert_int_equal(fstat(raw_backend_look(rig->backend).inflight, &first), 0);
    raw_backend_stop(rig->backend);
    raw_backend_start(rig->backend);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
    assert_int_equal(
        rig->transport.ops->set_status(rig->transport.self, 0, vhost_rig_deadline(rig), NULL),
        L4VIO_OK);
    assert_int_equal(configure(rig, true, packed), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).rings[0].position, position);
    assert_int_equal(raw_backend_look(rig->backend).inflight_gets, 1);
    assert_int_equal(raw_backend_look(rig->backend).inflight_sets, 2);
    assert_int_equal(fstat(raw_backend_look(rig->backend).inflight, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
}

static void split_rings_go_on(void **state)
{
    requests_in_flight_are_handed_on(*state, false, 0x8007);
}

static void packed_rings_go_on(void **state)
{
    requests_in_flight_are_handed_on(*state, true, UINT32_C(0x80078007));
}

/* The old record would have requests carried out that are not in a new ring. */
static void queues_go_on_together(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features |= RAW_P_INFLIGHT;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(configure_one(rig, i, false, false), L4VIO_OK);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
    assert_int_equal(configure_one(rig, 0, true, false), L4VIO_OK);
    assert_int_equal(configure_one(rig, 1, false, false), L4VIO_EINVAL);
    assert_int_equal(configure_one(rig, 1, true, false), L4VIO_OK);
}

static void new_rings_want_a_new_record(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features |= RAW_P_INFLIGHT;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    assert_int_equal(configure(rig, false, false), L4VIO_OK);
    assert_int_equal(reconnect(rig, VHOST_RIG_TIMEOUT_NS), L4VIO_OK);
    assert_int_equal(configure(rig, false, false), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).inflight_gets, 2);
    assert_int_equal(raw_backend_look(rig->backend).inflight_sets, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(death_at_any_message_is_noticed),
        TEST(silence_after_any_request_ends_the_connection),
        TEST(death_wakes_who_waits),
        TEST(answers_may_come_in_pieces),
        TEST(an_answer_may_have_the_flags_of_its_question),
        TEST(wrong_answers_end_the_connection),
        TEST(a_position_of_another_queue_ends_the_connection),
        TEST(reconnecting_ends_one_connection_and_makes_another),
        TEST(a_back_end_that_comes_late_is_waited_for),
        TEST(a_back_end_may_connect_again),
        TEST(nobody_comes_back_and_time_runs_out),
        TEST(split_rings_go_on),
        TEST(packed_rings_go_on),
        TEST(queues_go_on_together),
        TEST(new_rings_want_a_new_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
