/* SPDX-License-Identifier: MIT */
/* A back end whose answers are wrong, one at a time, at every message that has an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "usage.h"
#include "vhost_rig.h"

/* No lie is answered by waiting for longer than this; only silence is worth a wait. */
#define PATIENCE_NS UINT64_C(2000000000)

enum lie {
    OTHER_REQUEST,
    OTHER_VERSION,
    NO_VERSION,
    NO_REPLY_FLAG,
    UNKNOWN_FLAG,
    EMPTY,
    SHORT_BY_ONE,
    LONG_BY_ONE,
    LONG_BY_A_LOT,
    TOO_LONG_TO_READ,
    WITH_DESCRIPTOR,
    WITH_MANY_DESCRIPTORS,
    LIES
};

struct liar {
    uint32_t request;
    enum lie lie;
    bool told;
};

/* Payload bytes of the right answer; 0: there is none. */
static uint32_t answer_bytes(const struct raw_message *message)
{
    switch (message->request) {
    case RAW_GET_FEATURES:
    case RAW_GET_PROTOCOL_FEATURES:
    case RAW_GET_QUEUE_NUM:
    case RAW_GET_MAX_MEM_SLOTS:
    case RAW_GET_STATUS:
    case RAW_GET_VRING_BASE:
        return 8;
    case RAW_GET_CONFIG:
    case RAW_GET_INFLIGHT_FD:
        return message->size;
    default:
        return message->flags & RAW_FLAG_NEED_REPLY ? 8 : 0;
    }
}

static unsigned attach(struct raw_message *reply, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        reply->fds[i] = STDERR_FILENO;
    return count;
}

static void tell_lie(const struct raw_backend *backend, const struct raw_message *message,
                     enum lie lie)
{
    struct raw_message reply = *message;
    const bool record = message->request == RAW_GET_INFLIGHT_FD;

    reply.flags = 1u | RAW_FLAG_REPLY;
    reply.size = answer_bytes(message);
    reply.fd_count = record ? attach(&reply, 1) : 0;
    if (lie == OTHER_REQUEST)
        reply.request ^= 1u;
    if (lie == OTHER_VERSION)
        reply.flags ^= 3u;
    if (lie == NO_VERSION)
        reply.flags = RAW_FLAG_REPLY;
    if (lie == NO_REPLY_FLAG)
        reply.flags = 1u;
    if (lie == UNKNOWN_FLAG)
        reply.flags |= 0x80000000u;
    if (lie == EMPTY)
        reply.size = 0;
    if (lie == SHORT_BY_ONE)
        reply.size--;
    if (lie == LONG_BY_ONE)
        reply.size++;
    if (lie == LONG_BY_A_LOT)
        reply.size = RAW_MESSAGE_BYTES;
    if (lie == WITH_DESCRIPTOR)
        reply.fd_count = attach(&reply, record ? 2 : 1);
    if (lie == WITH_MANY_DESCRIPTORS)
        reply.fd_count = attach(&reply, RAW_MESSAGE_FDS);
    if (lie == TOO_LONG_TO_READ) {
        const uint32_t header[3] = {reply.request, reply.flags, UINT32_MAX};
        raw_backend_send_bytes(backend->state.socket, header, sizeof(header), NULL, 0);
        return;
    }
    raw_backend_send(backend->state.socket, &reply);
}

static enum raw_verdict lie_once(struct raw_backend *backend, struct raw_message *message)
{
    struct liar *liar = backend->script_self;

    if (message->request != liar->request || !answer_bytes(message) || liar->told)
        return RAW_DEFAULT;
    liar->told = true;
    tell_lie(backend, message, liar->lie);
    return RAW_DONE;
}

/* What a driver does from beginning to end; the first code that is none of success. */
static int whole_life(struct vhost_rig *rig, struct l4vio_error *error)
{
    uint32_t word = 0;
    int result = vhost_rig_bring_up(rig, 1, error);

    if (result == L4VIO_OK)
        result = l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, error);
    if (result == L4VIO_OK)
        result = l4vio_driver_write_config(&rig->driver, 0, &word, sizeof(word), error);
    if (result == L4VIO_OK)
        result = l4vio_driver_reset(&rig->driver, error);
    if (result == L4VIO_OK)
        result = l4vio_driver_release(&rig->driver, &rig->region, error);
    return result;
}

static uint64_t now_ns(const struct vhost_rig *rig)
{
    return rig->platform.ops->now_ns(rig->platform.self);
}

/* Two ways of saying that there is no such configuration. */
static bool is_no_lie(const struct liar *liar)
{
    return liar->request == RAW_GET_CONFIG && liar->lie == EMPTY;
}

static void tell_and_survive(uint32_t request, enum lie lie, uint64_t protocol_features)
{
    struct vhost_rig *rig = vhost_rig_new();
    struct liar liar = {.request = request, .lie = lie};
    struct l4vio_error error = {0};

    rig->backend->script = lie_once;
    rig->backend->script_self = &liar;
    rig->backend->protocol_features = protocol_features;
    const uint64_t start = now_ns(rig);
    int result = whole_life(rig, &error);
    assert_true(now_ns(rig) - start < PATIENCE_NS);
    assert_true(liar.told);
    if (!is_no_lie(&liar)) {
        assert_int_equal(result, L4VIO_EBADPROTO);
        assert_non_null(error.text);
    }
    if (!is_no_lie(&liar) && rig->connection)
        assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_EPIPE);
    vhost_rig_free(rig);
}

static void tell_all(const uint32_t *requests, unsigned count, unsigned lies,
                     uint64_t protocol_features)
{
    const struct usage before = usage_now();

    for (unsigned i = 0; i < count; i++) {
        /* Not every lie everywhere: each life takes time. */
        for (unsigned k = 0; k < lies; k++)
            tell_and_survive(requests[i], (enum lie)((i * 5 + k) % LIES), protocol_features);
    }
    assert_int_equal(usage_now().descriptors, before.descriptors);
    assert_int_equal(usage_now().mappings, before.mappings);
}

static void every_lie_ends_the_connection(void **state)
{
    static const uint32_t requests[] = {RAW_GET_FEATURES, RAW_GET_CONFIG, RAW_ADD_MEM_REG,
                                        RAW_GET_INFLIGHT_FD, RAW_GET_VRING_BASE};

    (void)state;
    tell_all(requests, 5, LIES, RAW_P_ALL);
}

static void a_lie_at_any_answer_ends_the_connection(void **state)
{
    static const uint32_t requests[] = {
        RAW_GET_PROTOCOL_FEATURES,
        RAW_GET_QUEUE_NUM,
        RAW_GET_MAX_MEM_SLOTS,
        RAW_SET_BACKEND_REQ_FD,
        RAW_SET_OWNER,
        RAW_SET_STATUS,
        RAW_GET_STATUS,
        RAW_SET_FEATURES,
        RAW_REM_MEM_REG,
        RAW_SET_VRING_NUM,
        RAW_SET_VRING_BASE,
        RAW_SET_VRING_ADDR,
        RAW_SET_VRING_CALL,
        RAW_SET_VRING_ERR,
        RAW_SET_VRING_KICK,
        RAW_SET_VRING_ENABLE,
        RAW_SET_CONFIG,
        RAW_RESET_DEVICE,
        RAW_SET_INFLIGHT_FD,
    };

    (void)state;
    tell_all(requests, sizeof(requests) / sizeof(requests[0]), 3, RAW_P_ALL);
}

static void the_same_of_a_back_end_that_acknowledges_nothing(void **state)
{
    static const uint32_t requests[] = {RAW_GET_FEATURES, RAW_GET_VRING_BASE};

    (void)state;
    tell_all(requests, 2, LIES, RAW_P_CONFIG);
}

static enum raw_verdict answer_twice(struct raw_backend *backend, struct raw_message *message)
{
    struct liar *liar = backend->script_self;

    if (message->request != liar->request || !answer_bytes(message) || liar->told)
        return RAW_DEFAULT;
    liar->told = true;
    /* The right one follows. */
    struct raw_message reply = *message;
    reply.flags = 1u | RAW_FLAG_REPLY;
    reply.size = answer_bytes(message);
    memset(&reply.u, 0, sizeof(reply.u));
    reply.fd_count = 0;
    raw_backend_send(backend->state.socket, &reply);
    return RAW_DEFAULT;
}

static void an_answer_too_many_is_noticed_at_the_next_message(void **state)
{
    static const uint32_t requests[] = {RAW_GET_QUEUE_NUM, RAW_GET_MAX_MEM_SLOTS, RAW_SET_OWNER,
                                        RAW_SET_FEATURES,  RAW_ADD_MEM_REG,       RAW_SET_VRING_NUM,
                                        RAW_SET_VRING_KICK};

    (void)state;
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct vhost_rig *rig = vhost_rig_new();
        struct liar liar = {.request = requests[i]};
        rig->backend->script = answer_twice;
        rig->backend->script_self = &liar;
        assert_int_equal(whole_life(rig, NULL), L4VIO_EBADPROTO);
        assert_true(liar.told);
        vhost_rig_free(rig);
    }
}

static enum raw_verdict say_something_first(struct raw_backend *backend,
                                            struct raw_message *message)
{
    const uint32_t header[3] = {RAW_GET_STATUS, 1u | RAW_FLAG_REPLY, 8};
    const uint64_t number = 0;
    unsigned char bytes[20];

    (void)message;
    if (backend->state.received > 1)
        return RAW_DEFAULT;
    memcpy(bytes, header, sizeof(header));
    memcpy(bytes + sizeof(header), &number, sizeof(number));
    raw_backend_send_bytes(backend->state.socket, bytes, sizeof(bytes), NULL, 0);
    return RAW_DEFAULT;
}

static void an_answer_to_nothing_is_refused(void **state)
{
    struct vhost_rig *rig = vhost_rig_new();

    (void)state;
    rig->backend->script = say_something_first;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_EBADPROTO);
    vhost_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lie_ends_the_connection),
        cmocka_unit_test(a_lie_at_any_answer_ends_the_connection),
        cmocka_unit_test(the_same_of_a_back_end_that_acknowledges_nothing),
        cmocka_unit_test(an_answer_too_many_is_noticed_at_the_next_message),
        cmocka_unit_test(an_answer_to_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
