/* SPDX-License-Identifier: MIT */
/* What the back end does by default, and what tests ask it afterwards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "raw_backend.h"

#define PATIENCE_S 5
#define PAGE       UINT64_C(4096)
#define NO_FD      0x100u
/* Bytes of record that a queue gets: this back end keeps none, but hands it out. */
#define INFLIGHT_BYTES UINT64_C(4096)

void raw_backend_handle(struct raw_backend *backend, struct raw_message *message);
void raw_backend_forget(struct raw_backend *backend);

static int take_fd(struct raw_message *message)
{
    if (message->fd_count != 1)
        abort();
    message->fd_count = 0;
    return message->fds[0];
}

static void replace_fd(int *place, int fd)
{
    if (*place >= 0)
        close(*place);
    *place = fd;
}

static void unmap(struct raw_backend_region *region)
{
    munmap(region->base - (region->offset & (PAGE - 1)), region->mapped_bytes);
}

static void add_region(struct raw_backend *backend, const uint64_t *words, int fd)
{
    struct raw_backend_region *region = &backend->state.regions[backend->state.region_count++];

    if (backend->state.region_count > RAW_BACKEND_REGIONS)
        abort();
    *region = (struct raw_backend_region){
        .guest = words[0], .bytes = words[1], .user = words[2], .offset = words[3]};
    uint64_t inside = region->offset & (PAGE - 1);
    region->mapped_bytes = (size_t)(region->bytes + inside);
    void *base = mmap(NULL, region->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                      (off_t)(region->offset - inside));
    if (base == MAP_FAILED)
        abort();
    region->base = (unsigned char *)base + inside;
}

static void drop_regions(struct raw_backend *backend)
{
    for (unsigned i = 0; i < backend->state.region_count; i++)
        unmap(&backend->state.regions[i]);
    backend->state.region_count = 0;
}

static void set_table(struct raw_backend *backend, const struct raw_message *message)
{
    const uint32_t count = message->u.halves[0];

    if (message->size != 8 + 32 * count || message->fd_count != count || count > 8)
        abort();
    drop_regions(backend);
    for (uint32_t i = 0; i < count; i++)
        add_region(backend, &message->u.words[1 + 4 * i], message->fds[i]);
}

/* The padding comes first. */
static uint64_t remove_region(struct raw_backend *backend, const uint64_t *words)
{
    for (unsigned i = 0; i < backend->state.region_count; i++) {
        struct raw_backend_region *region = &backend->state.regions[i];
        if (region->guest != words[1] || region->bytes != words[2] || region->user != words[3])
            continue;
        unmap(region);
        *region = backend->state.regions[--backend->state.region_count];
        return 0;
    }
    return 1;
}

static struct raw_backend_ring *ring_of(struct raw_backend *backend, uint64_t index)
{
    if ((index & 0xff) >= RAW_BACKEND_QUEUES)
        abort();
    return &backend->state.rings[index & 0xff];
}

static void set_ring_fd(struct raw_backend *backend, struct raw_message *message)
{
    struct raw_backend_ring *ring = ring_of(backend, message->u.words[0]);
    int fd = message->u.words[0] & NO_FD ? -1 : take_fd(message);

    if (message->request == RAW_SET_VRING_KICK) {
        replace_fd(&ring->kick, fd);
        ring->started = true;
    } else {
        replace_fd(message->request == RAW_SET_VRING_CALL ? &ring->call : &ring->err, fd);
    }
}

static void set_addresses(struct raw_backend *backend, const struct raw_message *message)
{
    struct raw_backend_ring *ring = ring_of(backend, message->u.halves[0]);

    ring->desc = message->u.words[1];
    ring->used = message->u.words[2];
    ring->avail = message->u.words[3];
}

static void stop_ring(struct raw_backend *backend, const struct raw_message *message)
{
    const uint32_t index = message->u.halves[0];
    struct raw_backend_ring *ring = ring_of(backend, index);
    const uint32_t state[2] = {index, ring->position};

    ring->started = false;
    replace_fd(&ring->kick, -1);
    replace_fd(&ring->call, -1);
    raw_backend_reply(backend, message, state, sizeof(state));
}

static void get_config(struct raw_backend *backend, const struct raw_message *message)
{
    const uint32_t offset = message->u.halves[0];
    const uint32_t size = message->u.halves[1];
    unsigned char payload[12 + 256] = {0};

    if (offset + size > backend->config_bytes) {
        raw_backend_reply(backend, message, payload, 0);
        return;
    }
    memcpy(payload, message->u.bytes, 12);
    memcpy(payload + 12, backend->config + offset, size);
    raw_backend_reply(backend, message, payload, 12 + size);
}

static uint64_t set_config(struct raw_backend *backend, const struct raw_message *message)
{
    const uint32_t offset = message->u.halves[0];
    const uint32_t size = message->u.halves[1];

    if (offset + size > backend->config_bytes || message->size != 12 + size)
        return 1;
    memcpy(backend->config + offset, message->u.bytes + 12, size);
    return 0;
}

static void get_inflight(struct raw_backend *backend, const struct raw_message *message)
{
    struct raw_message reply = *message;
    const uint64_t bytes = (message->u.words[2] & 0xffff) * INFLIGHT_BYTES;

    replace_fd(&backend->state.inflight, memfd_create("record", MFD_CLOEXEC));
    if (ftruncate(backend->state.inflight, (off_t)bytes))
        abort();
    reply.flags = 1u | RAW_FLAG_REPLY;
    reply.u.words[0] = bytes;
    reply.u.words[1] = 0;
    reply.fds[0] = backend->state.inflight;
    reply.fd_count = 1;
    backend->state.inflight_gets++;
    raw_backend_send(backend->state.socket, &reply);
}

static void reset(struct raw_backend *backend)
{
    backend->state.resets++;
    for (unsigned i = 0; i < RAW_BACKEND_QUEUES; i++)
        backend->state.rings[i].started = backend->state.rings[i].enabled = false;
}

/* Requests with an answer of their own: whether it was one of them. */
static bool answer(struct raw_backend *backend, const struct raw_message *message)
{
    switch (message->request) {
    case RAW_GET_FEATURES:
        return raw_backend_reply_number(backend, message, backend->features), true;
    case RAW_GET_PROTOCOL_FEATURES:
        return raw_backend_reply_number(backend, message, backend->protocol_features), true;
    case RAW_GET_QUEUE_NUM:
        return raw_backend_reply_number(backend, message, backend->queue_num), true;
    case RAW_GET_MAX_MEM_SLOTS:
        return raw_backend_reply_number(backend, message, backend->memory_slots), true;
    case RAW_GET_STATUS:
        return raw_backend_reply_number(backend, message, backend->state.status), true;
    case RAW_GET_VRING_BASE:
        return stop_ring(backend, message), true;
    case RAW_GET_CONFIG:
        return get_config(backend, message), true;
    case RAW_GET_INFLIGHT_FD:
        return get_inflight(backend, message), true;
    default:
        return false;
    }
}

/* 0, or what is to be said if somebody asks. */
static uint64_t carry_out(struct raw_backend *backend, struct raw_message *message)
{
    switch (message->request) {
    case RAW_SET_OWNER:
        backend->state.owned = true;
        return 0;
    case RAW_SET_FEATURES:
        backend->state.accepted = message->u.words[0];
        return backend->state.accepted & ~backend->features ? 1 : 0;
    case RAW_SET_PROTOCOL_FEATURES:
        backend->state.protocol_accepted = message->u.words[0];
        return 0;
    case RAW_SET_MEM_TABLE:
        set_table(backend, message);
        return 0;
    case RAW_ADD_MEM_REG:
        if (message->fd_count != 1)
            abort();
        add_region(backend, &message->u.words[1], message->fds[0]);
        return 0;
    case RAW_REM_MEM_REG:
        return remove_region(backend, message->u.words);
    case RAW_SET_VRING_NUM:
        ring_of(backend, message->u.halves[0])->size = message->u.halves[1];
        return 0;
    case RAW_SET_VRING_BASE:
        ring_of(backend, message->u.halves[0])->position = message->u.halves[1];
        return 0;
    case RAW_SET_VRING_ENABLE:
        ring_of(backend, message->u.halves[0])->enabled = message->u.halves[1];
        return 0;
    case RAW_SET_VRING_ADDR:
        set_addresses(backend, message);
        return 0;
    case RAW_SET_VRING_KICK:
    case RAW_SET_VRING_CALL:
    case RAW_SET_VRING_ERR:
        set_ring_fd(backend, message);
        return 0;
    case RAW_SET_BACKEND_REQ_FD:
        replace_fd(&backend->state.channel, take_fd(message));
        return 0;
    case RAW_SET_CONFIG:
        return set_config(backend, message);
    case RAW_SET_INFLIGHT_FD:
        replace_fd(&backend->state.inflight, take_fd(message));
        backend->state.inflight_sets++;
        return 0;
    case RAW_SET_STATUS:
        backend->state.status = message->u.words[0];
        return 0;
    case RAW_RESET_DEVICE:
        reset(backend);
        return 0;
    default:
        return 1;
    }
}

void raw_backend_handle(struct raw_backend *backend, struct raw_message *message)
{
    if (answer(backend, message))
        return;
    uint64_t outcome = carry_out(backend, message);
    if (message->flags & RAW_FLAG_NEED_REPLY && backend->state.protocol_accepted & RAW_P_REPLY_ACK)
        raw_backend_reply_number(backend, message, outcome);
}

void raw_backend_forget(struct raw_backend *backend)
{
    drop_regions(backend);
    replace_fd(&backend->state.channel, -1);
    for (unsigned i = 0; i < RAW_BACKEND_QUEUES; i++) {
        struct raw_backend_ring *ring = &backend->state.rings[i];
        replace_fd(&ring->kick, -1);
        replace_fd(&ring->call, -1);
        replace_fd(&ring->err, -1);
        *ring = (struct raw_backend_ring){.kick = -1, .call = -1, .err = -1};
    }
    backend->state.accepted = backend->state.protocol_accepted = backend->state.status = 0;
    backend->state.owned = false;
}

static unsigned count_locked(const struct raw_backend *backend, uint32_t request)
{
    unsigned count = 0;

    for (unsigned i = 0; i < backend->state.logged; i++)
        count += backend->log[i].request == request;
    return count;
}

unsigned raw_backend_count(struct raw_backend *backend, uint32_t request)
{
    raw_backend_lock(backend);
    unsigned count = count_locked(backend, request);
    raw_backend_unlock(backend);
    return count;
}

const struct raw_record *raw_backend_find(struct raw_backend *backend, uint32_t request,
                                          unsigned nth)
{
    const struct raw_record *found = NULL;

    raw_backend_lock(backend);
    for (unsigned i = 0; i < backend->state.logged && !found; i++) {
        if (backend->log[i].request == request && nth-- == 0)
            found = &backend->log[i];
    }
    raw_backend_unlock(backend);
    return found;
}

static struct timespec patience(void)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    return until;
}

static bool await_change(struct raw_backend *backend, const struct timespec *until)
{
    return pthread_cond_clockwait(&backend->changed, &backend->mutex, CLOCK_MONOTONIC, until) == 0;
}

bool raw_backend_await(struct raw_backend *backend, uint32_t request, unsigned count)
{
    const struct timespec until = patience();
    bool there;

    raw_backend_lock(backend);
    while (!(there = count_locked(backend, request) >= count) && await_change(backend, &until)) {}
    raw_backend_unlock(backend);
    return there;
}

bool raw_backend_await_end(struct raw_backend *backend)
{
    const struct timespec until = patience();

    raw_backend_lock(backend);
    while (backend->state.socket >= 0 && await_change(backend, &until)) {}
    bool ended = backend->state.socket < 0;
    raw_backend_unlock(backend);
    return ended;
}

int raw_backend_channel(struct raw_backend *backend)
{
    const struct timespec until = patience();

    raw_backend_lock(backend);
    while (backend->state.channel < 0 && await_change(backend, &until)) {}
    int channel = backend->state.channel;
    raw_backend_unlock(backend);
    return channel;
}

void raw_backend_clear_log(struct raw_backend *backend)
{
    raw_backend_lock(backend);
    backend->state.logged = 0;
    raw_backend_unlock(backend);
}

static void *find_memory(struct raw_backend *backend, uint64_t address, uint64_t bytes, bool user)
{
    void *found = NULL;

    raw_backend_lock(backend);
    for (unsigned i = 0; i < backend->state.region_count && !found; i++) {
        const struct raw_backend_region *region = &backend->state.regions[i];
        uint64_t first = user ? region->user : region->guest;
        if (address >= first && address - first <= region->bytes &&
            bytes <= region->bytes - (address - first))
            found = region->base + (address - first);
    }
    raw_backend_unlock(backend);
    return found;
}

void *raw_backend_memory(struct raw_backend *backend, uint64_t address, uint64_t bytes)
{
    return find_memory(backend, address, bytes, false);
}

void *raw_backend_user_memory(struct raw_backend *backend, uint64_t address, uint64_t bytes)
{
    return find_memory(backend, address, bytes, true);
}
