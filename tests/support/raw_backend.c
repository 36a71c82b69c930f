/* SPDX-License-Identifier: MIT */
#include "raw_backend.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S  5
#define PATIENCE_MS (PATIENCE_S * 1000)

/* raw_backend_serve.c */
void raw_backend_handle(struct raw_backend *backend, struct raw_message *message);
void raw_backend_forget(struct raw_backend *backend);

struct raw_backend *raw_backend_new(void)
{
    struct raw_backend *backend = calloc(1, sizeof(*backend));

    if (!backend)
        abort();
    snprintf(backend->folder, sizeof(backend->folder), "/tmp/l4vio-backend-XXXXXX");
    if (!mkdtemp(backend->folder))
        abort();
    snprintf(backend->path, sizeof(backend->path), "%s/socket", backend->folder);
    /* VERSION_1, protocol features, EVENT_IDX, INDIRECT_DESC, RING_RESET, and bits of the past. */
    backend->features = UINT64_C(1) << 32 | UINT64_C(1) << 30 | UINT64_C(1) << 29 |
                        UINT64_C(1) << 28 | UINT64_C(1) << 40 | UINT64_C(1) << 26 |
                        UINT64_C(1) << 24;
    backend->protocol_features = RAW_P_ALL & ~RAW_P_INFLIGHT;
    backend->queue_num = RAW_BACKEND_QUEUES;
    backend->memory_slots = RAW_BACKEND_REGIONS;
    backend->config_bytes = 24;
    backend->hang_up_after = RAW_BACKEND_NO_LIMIT;
    backend->listener = backend->stop = backend->state.socket = backend->state.channel = -1;
    backend->state.inflight = -1;
    for (unsigned i = 0; i < RAW_BACKEND_QUEUES; i++)
        backend->state.rings[i].kick = backend->state.rings[i].call = backend->state.rings[i].err =
            -1;
    pthread_mutex_init(&backend->mutex, NULL);
    pthread_cond_init(&backend->changed, NULL);
    return backend;
}

void raw_backend_lock(struct raw_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
}

void raw_backend_unlock(struct raw_backend *backend)
{
    pthread_mutex_unlock(&backend->mutex);
}

struct raw_backend_state raw_backend_look(struct raw_backend *backend)
{
    raw_backend_lock(backend);
    struct raw_backend_state state = backend->state;
    raw_backend_unlock(backend);
    return state;
}

bool raw_backend_send_bytes(int socket, const void *bytes, size_t size, const int *fds,
                            unsigned count)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(RAW_MESSAGE_FDS * sizeof(int))];
    } control;
    struct iovec iovec = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1};

    if (count) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

bool raw_backend_send(int socket, const struct raw_message *message)
{
    unsigned char bytes[12 + RAW_MESSAGE_BYTES];
    const uint32_t header[3] = {message->request, message->flags, message->size};
    /* A size that is a lie is sent as it is, and not followed by more than there is. */
    size_t size = message->size < RAW_MESSAGE_BYTES ? message->size : RAW_MESSAGE_BYTES;

    memcpy(bytes, header, sizeof(header));
    memcpy(bytes + sizeof(header), message->u.bytes, size);
    return raw_backend_send_bytes(socket, bytes, sizeof(header) + size, message->fds,
                                  message->fd_count);
}

bool raw_backend_reply(struct raw_backend *backend, const struct raw_message *message,
                       const void *payload, uint32_t size)
{
    struct raw_message reply = {
        .request = message->request, .flags = 1u | RAW_FLAG_REPLY, .size = size};

    if (size)
        memcpy(reply.u.bytes, payload, size);
    return raw_backend_send(backend->state.socket, &reply);
}

bool raw_backend_reply_number(struct raw_backend *backend, const struct raw_message *message,
                              uint64_t number)
{
    return raw_backend_reply(backend, message, &number, sizeof(number));
}

void raw_message_close_fds(struct raw_message *message)
{
    for (unsigned i = 0; i < message->fd_count; i++)
        close(message->fds[i]);
    message->fd_count = 0;
}

/* Reads on until there are so many bytes; stops waiting when `stop` (or -1) becomes readable. */
static bool receive_bytes(int socket, int stop, void *bytes, size_t size,
                          struct raw_message *message)
{
    unsigned char control[CMSG_SPACE(RAW_MESSAGE_FDS * sizeof(int))];
    size_t got = 0;

    while (got < size) {
        struct pollfd fds[] = {{.fd = socket, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
        if (poll(fds, 2, stop < 0 ? PATIENCE_MS : -1) <= 0 || fds[1].revents)
            return false;
        struct iovec iovec = {.iov_base = (char *)bytes + got, .iov_len = size - got};
        struct msghdr header = {.msg_iov = &iovec,
                                .msg_iovlen = 1,
                                .msg_control = control,
                                .msg_controllen = sizeof(control)};
        ssize_t more = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (more < 0 && errno == EAGAIN)
            continue;
        if (more <= 0)
            return false;
        got += (size_t)more;
        for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part;
             part = CMSG_NXTHDR(&header, part)) {
            size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(message->fds + message->fd_count, CMSG_DATA(part), count * sizeof(int));
            message->fd_count += (unsigned)count;
        }
    }
    return true;
}

static bool receive(int socket, int stop, struct raw_message *message)
{
    uint32_t header[3];

    memset(message, 0, sizeof(*message));
    if (receive_bytes(socket, stop, header, sizeof(header), message) &&
        header[2] <= RAW_MESSAGE_BYTES) {
        message->request = header[0];
        message->flags = header[1];
        message->size = header[2];
        if (receive_bytes(socket, stop, message->u.bytes, message->size, message))
            return true;
    }
    raw_message_close_fds(message);
    return false;
}

bool raw_backend_receive(int socket, struct raw_message *message)
{
    return receive(socket, -1, message);
}

static void record(struct raw_backend *backend, const struct raw_message *message)
{
    if (backend->state.logged == RAW_BACKEND_LOG)
        abort();
    struct raw_record *entry = &backend->log[backend->state.logged++];
    size_t size = message->size < RAW_LOGGED_BYTES ? message->size : RAW_LOGGED_BYTES;
    entry->request = message->request;
    entry->flags = message->flags;
    entry->size = message->size;
    entry->fd_count = message->fd_count;
    memset(&entry->u, 0, sizeof(entry->u));
    memcpy(entry->u.bytes, message->u.bytes, size);
}

/* Whether the connection goes on. */
static bool serve_message(struct raw_backend *backend, struct raw_message *message)
{
    enum raw_verdict verdict = RAW_DEFAULT;
    const bool acks = backend->state.protocol_accepted & RAW_P_REPLY_ACK;

    if (backend->hang_up_after == (int)backend->state.received)
        return false;
    backend->state.received++;
    if (backend->script)
        verdict = backend->script(backend, message);
    if (verdict == RAW_DEFAULT)
        raw_backend_handle(backend, message);
    else if (verdict == RAW_REFUSE && message->flags & RAW_FLAG_NEED_REPLY && acks)
        raw_backend_reply_number(backend, message, 1);
    return verdict != RAW_HANG_UP;
}

static void serve_connection(struct raw_backend *backend)
{
    struct raw_message message;
    bool goes_on = true;

    while (goes_on && receive(backend->state.socket, backend->stop, &message)) {
        raw_backend_lock(backend);
        record(backend, &message);
        goes_on = serve_message(backend, &message);
        pthread_cond_broadcast(&backend->changed);
        raw_backend_unlock(backend);
        raw_message_close_fds(&message);
    }
}

static void *run(void *self)
{
    struct raw_backend *backend = self;
    struct pollfd fds[] = {{.fd = backend->listener, .events = POLLIN},
                           {.fd = backend->stop, .events = POLLIN}};

    do {
        if (backend->state.socket < 0 && (poll(fds, 2, -1) <= 0 || fds[1].revents))
            break;
        int socket = backend->state.socket;
        if (socket < 0)
            socket = accept4(backend->listener, NULL, NULL, SOCK_CLOEXEC);
        raw_backend_lock(backend);
        backend->state.socket = socket;
        backend->state.connections++;
        backend->state.received = 0;
        pthread_cond_broadcast(&backend->changed);
        raw_backend_unlock(backend);
        serve_connection(backend);
        raw_backend_lock(backend);
        raw_backend_forget(backend);
        close(backend->state.socket);
        backend->state.socket = -1;
        pthread_cond_broadcast(&backend->changed);
        raw_backend_unlock(backend);
    } while (backend->listener >= 0 && poll(&fds[1], 1, 0) == 0);
    return NULL;
}

static struct sockaddr_un address_of(const struct raw_backend *backend)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, backend->path, sizeof(backend->path));
    return address;
}

static void start_thread(struct raw_backend *backend)
{
    backend->stop = eventfd(0, EFD_CLOEXEC);
    if (pthread_create(&backend->thread, NULL, run, backend))
        abort();
    backend->running = true;
}

void raw_backend_start(struct raw_backend *backend)
{
    struct sockaddr_un address = address_of(backend);

    backend->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(backend->listener, (struct sockaddr *)&address, sizeof(address)) ||
        listen(backend->listener, 4))
        abort();
    start_thread(backend);
}

void raw_backend_start_connecting(struct raw_backend *backend)
{
    struct sockaddr_un address = address_of(backend);
    const struct timespec pause = {0, 1000000};

    backend->state.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; connect(backend->state.socket, (struct sockaddr *)&address, sizeof(address));
         i++) {
        if (i == PATIENCE_MS)
            abort();
        nanosleep(&pause, NULL);
    }
    start_thread(backend);
}

void raw_backend_stop(struct raw_backend *backend)
{
    const uint64_t one = 1;

    if (!backend->running)
        return;
    if (write(backend->stop, &one, sizeof(one)) != sizeof(one))
        abort();
    pthread_join(backend->thread, NULL);
    backend->running = false;
    close(backend->stop);
    if (backend->listener >= 0) {
        close(backend->listener);
        unlink(backend->path);
    }
    backend->listener = backend->stop = -1;
}

void raw_backend_free(struct raw_backend *backend)
{
    if (!backend)
        return;
    raw_backend_stop(backend);
    if (backend->state.inflight >= 0)
        close(backend->state.inflight);
    rmdir(backend->folder);
    pthread_cond_destroy(&backend->changed);
    pthread_mutex_destroy(&backend->mutex);
    free(backend);
}
