/* SPDX-License-Identifier: MIT */
/* The `cmd` register (feature 160), and the notification that goes with configuration. */
#include "core/ordering.h"
#include "transports/l4/page.h"

#define COMMAND_SHIFT 24u
#define ARGUMENT_MAX  0xffffffu
/* Sleep between two looks: nothing tells us that the device has looked. */
#define PAUSE_NS UINT64_C(1000000)
/* Looks before the first sleep: a device that polls in another thread is quick. */
#define QUICK_LOOKS 1000u

void l4vio_l4_drop_config_kick(struct l4vio_l4 *l4)
{
    const struct l4vio_platform *platform = &l4->platform;
    if (l4->config_kick.handle == L4VIO_NO_HANDLE)
        return;
    if (l4->calls->release_notification)
        l4->calls->release_notification(l4->calls_self, &l4->config_kick);
    else
        platform->ops->notification_destroy(platform->self, &l4->config_kick);
    l4->config_kick.handle = L4VIO_NO_HANDLE;
}

int l4vio_l4_kick_config(struct l4vio_l4 *l4, uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &l4->platform;
    if (l4->config_kick.handle == L4VIO_NO_HANDLE) {
        int result = l4->calls->device_notification(l4->calls_self, l4->config_kick_index,
                                                    &l4->config_kick, deadline_ns, error);
        /* A device that polls its page needs no notification and may have none. */
        if (result == L4VIO_ENOSYS)
            return L4VIO_OK;
        if (result)
            return result;
    }
    int result = platform->ops->notification_trigger(platform->self, &l4->config_kick);
    return result
               ? l4vio_fail(error, result, "the device cannot be notified", l4->config_kick_index)
               : L4VIO_OK;
}

/* Waits until the device has zeroed the register. */
static int wait_idle(struct l4vio_l4 *l4, uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct l4vio_platform *platform = &l4->platform;
    const l4vio_le32 *cmd = &l4vio_l4_header(l4)->cmd;
    for (unsigned looks = 0;; looks++) {
        uint32_t value = l4vio_load32_acquire(cmd);
        if (value == 0)
            return L4VIO_OK;
        if (looks < QUICK_LOOKS) {
            l4vio_relax();
            continue;
        }
        if (l4->calls->peer_alive(l4->calls_self))
            return l4vio_fail(error, L4VIO_EPIPE, "the peer is gone", value);
        uint64_t now = platform->ops->now_ns(platform->self);
        if (now >= deadline_ns)
            return l4vio_fail(error, L4VIO_ETIMEDOUT, "the device does not look at its command",
                              value);
        uint64_t until = deadline_ns - now > PAUSE_NS ? now + PAUSE_NS : deadline_ns;
        platform->ops->wait(platform->self, NULL, 0, l4->calls->peer_handle(l4->calls_self), until);
    }
}

int l4vio_l4_command(struct l4vio_l4 *l4, enum l4vio_page_cmd command, uint32_t argument,
                     uint64_t deadline_ns, struct l4vio_error *error)
{
    if (argument > ARGUMENT_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "argument too large for a command", argument);
    /* A command that timed out earlier may still be there: it must not be overwritten. */
    int result = wait_idle(l4, deadline_ns, error);
    if (result)
        return result;
    l4vio_store32_release(&l4vio_l4_header(l4)->cmd, (uint32_t)command << COMMAND_SHIFT | argument);
    result = l4vio_l4_kick_config(l4, deadline_ns, error);
    return result ? result : wait_idle(l4, deadline_ns, error);
}
