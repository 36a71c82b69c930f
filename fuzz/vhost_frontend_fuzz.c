/* SPDX-License-Identifier: MIT */
/*
 * The bytes play a back end of the vhost-user transport: at each message whether it answers as it should,
 * something else, nothing, or hangs up; what it says over its own channel; what it writes into the rings. A
 * driver connects, works, resets, connects again. It never waits for longer than its deadlines, and leaves
 * nothing behind.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <l4vio/wire/ring.h>

#include "raw_backend.h"
#include "vhost_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define KINDS      6u
#define TIMEOUT_NS UINT64_C(4000000)
#define REQUESTS   16u
/* A request of nobody's but of ours, after everything else. */
#define LAST_CALLER 0xfeedu

struct input {
    const uint8_t *data;
    size_t left;
};

static struct vhost_rig *rig;
static int kinds[KINDS]; /* Descriptors to pass. */
static struct input answers;
static struct input rings;

static uint64_t take(struct input *input, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes && input->left; i++, input->left--)
        value |= (uint64_t)*input->data++ << (8 * i);
    return value;
}

static void check(bool good)
{
    if (!good)
        abort();
}

static void take_message(struct raw_message *message)
{
    message->flags = (uint32_t)take(&answers, 1);
    message->size = (uint32_t)take(&answers, 2) % 600;
    for (uint32_t i = 0; i < message->size; i++)
        message->u.bytes[i] = (unsigned char)take(&answers, 1);
    message->fd_count = (unsigned)take(&answers, 1) % RAW_MESSAGE_FDS;
    for (unsigned i = 0; i < message->fd_count; i++)
        message->fds[i] = kinds[take(&answers, 1) % KINDS];
}

/* Nothing here may wait for the front end: it may not read. */
static void send_now(int socket, struct raw_message *message)
{
    unsigned char bytes[12 + 600];
    const uint32_t header[3] = {message->request, message->flags, message->size};
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(RAW_MESSAGE_FDS * sizeof(int))];
    } control = {0};
    struct iovec iovec = {.iov_base = bytes, .iov_len = sizeof(header) + message->size};
    struct msghdr parts = {.msg_iov = &iovec, .msg_iovlen = 1};
    memcpy(bytes, header, sizeof(header));
    memcpy(bytes + sizeof(header), message->u.bytes, message->size);
    if (message->fd_count) {
        parts.msg_control = &control;
        parts.msg_controllen = CMSG_SPACE(message->fd_count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(message->fd_count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), message->fds, message->fd_count * sizeof(int));
    }
    (void)!sendmsg(socket, &parts, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The right one, but for a few of its bytes. */
static void answer_nearly(const struct raw_backend *backend, const struct raw_message *message)
{
    struct raw_message reply = *message;
    reply.flags = 1u | RAW_FLAG_REPLY;
    reply.fd_count = 0;
    if (message->request != RAW_GET_CONFIG && message->request != RAW_GET_INFLIGHT_FD)
        reply.size = 8;
    if (message->request == RAW_GET_INFLIGHT_FD) {
        reply.fds[0] = kinds[take(&answers, 1) % KINDS];
        reply.fd_count = 1;
    }
    for (unsigned i = 0; i < 4; i++)
        reply.u.bytes[take(&answers, 1) % 40] = (unsigned char)take(&answers, 1);
    send_now(backend->state.socket, &reply);
}

static void say_over_channel(const struct raw_backend *backend)
{
    struct raw_message message = {.request = (uint32_t)take(&answers, 1) % 12};
    if (backend->state.channel < 0)
        return;
    take_message(&message);
    send_now(backend->state.channel, &message);
}

static void trigger(const struct raw_backend_ring *ring)
{
    const uint64_t count = take(&answers, 1) ? 1 : UINT64_C(0xfffffffffffffffe);
    const int fds[] = {ring->call, ring->err, ring->kick};
    int fd = fds[take(&answers, 1) % 3];
    if (fd >= 0)
        (void)!write(fd, &count, sizeof(count));
}

static enum raw_verdict play(struct raw_backend *backend, struct raw_message *message)
{
    struct raw_message reply = {.request = message->request};
    if (message->request == LAST_CALLER)
        return RAW_SILENT;
    const uint32_t what = (uint32_t)take(&answers, 1);
    switch (what) {
    case 1:
        return RAW_SILENT;
    case 2:
        return RAW_HANG_UP;
    case 3:
        return RAW_REFUSE;
    case 4:
    case 5:
        take_message(&reply);
        reply.flags = what == 4 ? 1u | RAW_FLAG_REPLY : reply.flags;
        send_now(backend->state.socket, &reply);
        return RAW_DONE;
    case 6:
    case 7:
        answer_nearly(backend, message);
        return what == 6 ? RAW_DONE : RAW_DEFAULT;
    case 8:
    case 9:
        say_over_channel(backend);
        return RAW_DEFAULT;
    case 10:
        trigger(&backend->state.rings[0]);
        return RAW_DEFAULT;
    case 11:
        backend->features = take(&answers, 6) | UINT64_C(1) << 30;
        return RAW_DEFAULT;
    case 12:
        backend->state.status = take(&answers, 1);
        return RAW_DEFAULT;
    default:
        return RAW_DEFAULT;
    }
}

static void make_kinds(void)
{
    int pair[2];
    kinds[0] = memfd_create("fuzz", MFD_CLOEXEC);
    check(ftruncate(kinds[0], 65536) == 0);
    kinds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    kinds[2] = pair[0];
    kinds[3] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kinds[4] = open("/dev/null", O_PATH | O_CLOEXEC);
    kinds[5] = memfd_create("empty", MFD_CLOEXEC);
}

/* The socket is there for all inputs. */
static void clean_up(void)
{
    unlink(rig->backend->path);
    rmdir(rig->backend->folder);
}

static void make_rig(void)
{
    rig = vhost_rig_new();
    rig->options.timeout_ns = TIMEOUT_NS;
    rig->control_timeout_ns = TIMEOUT_NS;
    rig->backend->script = play;
    raw_backend_start(rig->backend);
    check(atexit(clean_up) == 0);
    make_kinds();
}

static void begin(void)
{
    raw_backend_clear_log(rig->backend);
    raw_backend_lock(rig->backend);
    rig->backend->features = take(&rings, 1) % 2 ? UINT64_C(0x10570000000) : UINT64_C(0x140000000);
    rig->backend->protocol_features = take(&rings, 3);
    rig->backend->queue_num = 1 + take(&rings, 1) % 4;
    rig->backend->config_bytes = (uint32_t)take(&rings, 1);
    raw_backend_unlock(rig->backend);
}

/* Memory is shared: what a back end writes, this process may as well write for it. */
static uint8_t *shared(uint64_t device_address, uint64_t bytes)
{
    const struct l4vio_region *region = &rig->region;
    uint64_t offset = device_address - region->device_address;
    if (!region->base || offset > region->size_bytes || bytes > region->size_bytes - offset)
        return NULL;
    return (uint8_t *)region->base + offset;
}

/* What a back end writes where it may write, and where it may not. */
static void scribble(void)
{
    for (unsigned i = (unsigned)take(&rings, 1) % 16; i > 0; i--) {
        uint64_t at = take(&rings, 2) % (rig->data_offset + 4096);
        uint8_t *byte = shared(rig->region.device_address + at, 1);
        if (byte)
            __atomic_store_n(byte, (uint8_t)take(&rings, 1), __ATOMIC_RELAXED);
    }
}

static void complete(void)
{
    struct raw_backend_state state = raw_backend_look(rig->backend);
    struct virtq_used *used =
        (void *)shared(state.rings[0].used, 4 + 8 * (uint64_t)VHOST_RIG_QUEUE_SIZE);
    if (!used)
        return;
    struct virtq_used_elem *elements = (void *)((uint8_t *)used + 4);
    uint16_t index = __atomic_load_n(&used->idx, __ATOMIC_RELAXED);
    struct virtq_used_elem *element = &elements[index % VHOST_RIG_QUEUE_SIZE];
    __atomic_store_n(&element->id, (uint32_t)take(&rings, 1), __ATOMIC_RELAXED);
    __atomic_store_n(&element->len, (uint32_t)take(&rings, 2), __ATOMIC_RELAXED);
    __atomic_store_n(&used->idx, (uint16_t)(index + 1), __ATOMIC_RELEASE);
}

static void work(void)
{
    struct l4vio_completion completion[4];
    uint32_t word = 0;
    for (unsigned i = 0; i < REQUESTS && rings.left; i++) {
        const uint64_t soon = rig->platform.ops->now_ns(rig->platform.self) + TIMEOUT_NS / 4;
        switch (take(&rings, 1) % 8) {
        case 0:
        case 1:
            vhost_rig_submit(rig, 0);
            break;
        case 2:
            complete();
            break;
        case 3:
            scribble();
            break;
        case 4:
            l4vio_driver_wait_used(&rig->driver, &rig->queues[0], soon);
            break;
        case 5:
            l4vio_queue_get_used(&rig->queues[0], completion, 4);
            break;
        case 6:
            l4vio_driver_read_config(&rig->driver, 0, &word, sizeof(word), 4, NULL);
            break;
        default:
            l4vio_driver_write_config(&rig->driver, 0, &word, sizeof(word), NULL);
            break;
        }
    }
}

static void live_and_die(void)
{
    void *cookies[VHOST_RIG_QUEUE_SIZE];
    memset(rig->queues, 0, sizeof(rig->queues));
    memset(&rig->region, 0, sizeof(rig->region));
    if (vhost_rig_bring_up(rig, 1, NULL) == L4VIO_OK) {
        work();
        if (l4vio_driver_reset(&rig->driver, NULL) == L4VIO_OK) {
            l4vio_queue_detach(&rig->queues[0], cookies, VHOST_RIG_QUEUE_SIZE);
            l4vio_driver_release(&rig->driver, &rig->region, NULL);
        }
    }
    if (rig->driving && take(&rings, 1) % 4 == 0)
        l4vio_driver_reconnect(&rig->driver,
                               rig->platform.ops->now_ns(rig->platform.self) + TIMEOUT_NS, NULL);
    if (rig->driving)
        l4vio_driver_disconnect(&rig->driver);
    rig->driving = false;
    l4vio_vhost_user_free(rig->connection);
    rig->connection = NULL;
}

static int lowest_descriptor(void)
{
    int fd = dup(kinds[1]);
    close(fd);
    return fd;
}

/* Callers are heard one after the other: after this one there is none. */
static void call_last(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const uint32_t header[3] = {LAST_CALLER, 1, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, rig->backend->path, sizeof(rig->backend->path));
    check(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    check(raw_backend_send_bytes(fd, header, sizeof(header), NULL, 0));
    check(raw_backend_await(rig->backend, LAST_CALLER, 1));
    close(fd);
    check(raw_backend_await_end(rig->backend));
}

/* The record is kept by the back end for its next life. */
static void end(void)
{
    call_last();
    raw_backend_lock(rig->backend);
    if (rig->backend->state.inflight >= 0)
        close(rig->backend->state.inflight);
    rig->backend->state.inflight = -1;
    raw_backend_unlock(rig->backend);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    unsigned dataspaces;
    unsigned notifications;
    if (!rig)
        make_rig();
    if (size_bytes < 8)
        return 0;
    const size_t part = size_bytes / 2;
    raw_backend_lock(rig->backend);
    answers = (struct input){.data = data, .left = part};
    raw_backend_unlock(rig->backend);
    rings = (struct input){.data = data + part, .left = size_bytes - part};
    int lowest = lowest_descriptor();
    begin();
    live_and_die();
    end();
    l4vio_linux_usage(rig->linux_platform, &dataspaces, &notifications);
    check(dataspaces == 0 && notifications == 0);
    check(lowest_descriptor() == lowest);
    return 0;
}
