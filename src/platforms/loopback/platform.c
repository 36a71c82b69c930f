/* SPDX-License-Identifier: MIT */
#include <l4vio/loopback.h>

#include "core/bytes.h"

#define PAGE_BYTES         UINT64_C(4096)
#define DEFAULT_TICK_NS    UINT64_C(100)
#define PENDING_MAX        (sizeof(((struct l4vio_loopback_platform *)0)->pending) / sizeof(uint64_t))
#define NOT_IN_USE         UINT64_MAX
#define PATIENT_IDLE_WAITS 10000u

static uint64_t later(uint64_t time_ns, uint64_t span_ns)
{
    return span_ns > UINT64_MAX - time_ns ? UINT64_MAX : time_ns + span_ns;
}

static uint64_t now_ns(void *self)
{
    struct l4vio_loopback_platform *loopback = self;
    uint64_t tick = loopback->tick_ns ? loopback->tick_ns : DEFAULT_TICK_NS;
    loopback->clock_ns = later(loopback->clock_ns, tick);
    return loopback->clock_ns;
}

static int dataspace_allocate(void *self, uint64_t size_bytes, struct l4vio_dataspace *out,
                              struct l4vio_error *error)
{
    struct l4vio_loopback_platform *loopback = self;
    uint64_t room = loopback->arena_bytes - loopback->arena_used_bytes;
    if (size_bytes == 0 || size_bytes > room)
        return l4vio_fail(error, L4VIO_ENOMEM, "the arena is used up", size_bytes);
    uint64_t rounded = (size_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    if (rounded > room)
        return l4vio_fail(error, L4VIO_ENOMEM, "the arena is used up", size_bytes);
    out->base = loopback->arena + loopback->arena_used_bytes;
    out->size_bytes = rounded;
    out->handle = (intptr_t)loopback->arena_used_bytes;
    memset(out->base, 0, (size_t)rounded);
    loopback->arena_used_bytes += rounded;
    return L4VIO_OK;
}

static int dataspace_map(void *self, struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                         uint64_t size_bytes, struct l4vio_error *error)
{
    struct l4vio_loopback_platform *loopback = self;
    uint64_t start = (uint64_t)dataspace->handle;
    if (dataspace->handle < 0 || start > loopback->arena_used_bytes)
        return l4vio_fail(error, L4VIO_EINVAL, "not a dataspace of this platform", start);
    uint64_t room = loopback->arena_used_bytes - start;
    if (offset_bytes > room || size_bytes > room - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the dataspace", offset_bytes);
    dataspace->base = loopback->arena + start + offset_bytes;
    dataspace->size_bytes = size_bytes;
    return L4VIO_OK;
}

/* Blocks are not reused: pages once shared stay what they are. */
static void dataspace_free(void *self, struct l4vio_dataspace *dataspace)
{
    (void)self;
    *dataspace = (struct l4vio_dataspace){.handle = L4VIO_NO_HANDLE};
}

static uint64_t *counter(struct l4vio_loopback_platform *loopback,
                         const struct l4vio_notification *notification)
{
    if (notification->handle < 0 || (uint64_t)notification->handle >= loopback->notifications)
        return NULL;
    uint64_t *pending = &loopback->pending[notification->handle];
    return *pending == NOT_IN_USE ? NULL : pending;
}

static int notification_create(void *self, struct l4vio_notification *out,
                               struct l4vio_error *error)
{
    struct l4vio_loopback_platform *loopback = self;
    uint32_t handle = 0;
    while (handle < loopback->notifications && loopback->pending[handle] != NOT_IN_USE)
        handle++;
    if (handle >= PENDING_MAX)
        return l4vio_fail(error, L4VIO_ENOMEM, "no notification left", handle);
    if (handle == loopback->notifications)
        loopback->notifications++;
    loopback->pending[handle] = 0;
    out->handle = (intptr_t)handle;
    return L4VIO_OK;
}

static void notification_destroy(void *self, struct l4vio_notification *notification)
{
    uint64_t *pending = counter(self, notification);
    if (pending)
        *pending = NOT_IN_USE;
    notification->handle = L4VIO_NO_HANDLE;
}

static int notification_trigger(void *self, const struct l4vio_notification *notification)
{
    uint64_t *pending = counter(self, notification);
    if (!pending)
        return L4VIO_EINVAL;
    if (*pending < NOT_IN_USE - 1)
        (*pending)++;
    return L4VIO_OK;
}

static int notification_drain(void *self, const struct l4vio_notification *notification)
{
    uint64_t *pending = counter(self, notification);
    if (!pending || *pending == 0)
        return 0;
    *pending = 0;
    return 1;
}

static bool any_pending(struct l4vio_loopback_platform *loopback,
                        const struct l4vio_notification *notifications, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const uint64_t *pending = counter(loopback, &notifications[i]);
        if (pending && *pending)
            return true;
    }
    return false;
}

/* Nothing will happen before the deadline: it is there at once. */
static void pass_time(struct l4vio_loopback_platform *loopback, uint64_t deadline_ns)
{
    uint64_t span = deadline_ns - loopback->clock_ns;
    if (loopback->idle_waits < UINT32_MAX)
        loopback->idle_waits++;
    /* A caller that sleeps in slices for ever would never end otherwise. */
    uint32_t hurry = loopback->idle_waits;
    for (hurry = hurry > PATIENT_IDLE_WAITS ? hurry - PATIENT_IDLE_WAITS : 0; hurry; hurry--) {
        if (span > UINT64_MAX / 2) {
            span = UINT64_MAX;
            break;
        }
        span *= 2;
    }
    loopback->clock_ns = later(loopback->clock_ns, span);
}

static int wait(void *self, const struct l4vio_notification *notifications, unsigned count,
                intptr_t peer_handle, uint64_t deadline_ns)
{
    struct l4vio_loopback_platform *loopback = self;
    (void)peer_handle;
    if (any_pending(loopback, notifications, count)) {
        loopback->idle_waits = 0;
        return L4VIO_OK;
    }
    if (now_ns(loopback) >= deadline_ns)
        return L4VIO_ETIMEDOUT;
    if ((loopback->pump && loopback->pump(loopback->pump_self)) ||
        any_pending(loopback, notifications, count)) {
        loopback->idle_waits = 0;
        return L4VIO_OK;
    }
    pass_time(loopback, deadline_ns);
    return L4VIO_ETIMEDOUT;
}

static const struct l4vio_platform_ops loopback_ops = {
    .now_ns = now_ns,
    .dataspace_allocate = dataspace_allocate,
    .dataspace_map = dataspace_map,
    .dataspace_free = dataspace_free,
    .notification_create = notification_create,
    .notification_destroy = notification_destroy,
    .notification_trigger = notification_trigger,
    .notification_drain = notification_drain,
    .wait = wait,
};

struct l4vio_platform l4vio_loopback_platform_init(struct l4vio_loopback_platform *loopback,
                                                   void *arena, uint64_t arena_bytes)
{
    memset(loopback, 0, sizeof(*loopback));
    loopback->arena = arena;
    loopback->arena_bytes = arena_bytes & ~(PAGE_BYTES - 1);
    return (struct l4vio_platform){.ops = &loopback_ops, .self = loopback};
}
