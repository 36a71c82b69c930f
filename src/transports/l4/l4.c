/* SPDX-License-Identifier: MIT */
#include <l4vio/wire/status.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "transports/l4/page.h"

static int closed(struct l4vio_error *error)
{
    return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
}

static int no_queue(uint32_t queue, struct l4vio_error *error)
{
    return l4vio_fail(error, L4VIO_ERANGE, "the device has no such queue", queue);
}

static void fill_identity(struct l4vio_l4 *l4, struct l4vio_identity *identity)
{
    const struct l4vio_page_header *header = l4vio_l4_header(l4);
    memset(identity, 0, sizeof(*identity));
    identity->device_id = l4vio_load32(&header->device);
    identity->vendor_id = l4vio_load32(&header->vendor);
    identity->queue_count = l4->queue_count;
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        identity->offered.word[i] = l4vio_load32(&header->dev_features_map[i]);
}

static int count_notifications(struct l4vio_l4 *l4, struct l4vio_identity *identity,
                               uint64_t deadline_ns, struct l4vio_error *error)
{
    int result =
        l4->calls->icu_info(l4->calls_self, &identity->notification_count, deadline_ns, error);
    if (result == L4VIO_ENOSYS) {
        identity->notification_count = 1;
        return L4VIO_OK;
    }
    return result;
}

static int identify(void *self, struct l4vio_transport_properties *properties,
                    struct l4vio_identity *identity, uint64_t deadline_ns,
                    struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    int result = l4vio_l4_open_page(l4, deadline_ns, error);
    if (result)
        return result;
    fill_identity(l4, identity);
    result = count_notifications(l4, identity, deadline_ns, error);
    if (result)
        return result;
    /* Once and for all: the offer in the page may change under us. */
    l4->cmd_mode = l4vio_features_has(&identity->offered, L4VIO_F_L4_CMD_CONFIG);
    l4->seen_generation = l4vio_load32_acquire(&l4vio_l4_header(l4)->generation);

    memset(properties, 0, sizeof(*properties));
    properties->memory_survives_reset = l4->memory_survives_reset;
    properties->driver_chooses_addresses = true;
    properties->stops_on_reset = true;
    l4vio_features_set(&properties->own_features, L4VIO_F_L4_CMD_CONFIG);
    if (!l4->calls->kick)
        l4vio_features_set(&properties->not_carried, L4VIO_F_NOTIFICATION_DATA);
    return L4VIO_OK;
}

static int get_status(void *self, uint32_t *status)
{
    const struct l4vio_l4 *l4 = self;
    if (!l4->open || !l4->page)
        return L4VIO_EPIPE;
    *status = l4vio_load32_acquire(&l4vio_l4_header(l4)->status);
    return L4VIO_OK;
}

static int set_status(void *self, uint32_t status, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open || !l4->page)
        return closed(error);
    if (!l4->cmd_mode)
        return l4->calls->set_status(l4->calls_self, status, deadline_ns, error);
    int result = l4vio_l4_command(l4, L4VIO_PAGE_CMD_SET_STATUS, status, deadline_ns, error);
    /* Notification objects are to be asked for again after a reset. */
    if (result == L4VIO_OK && status == 0)
        l4vio_l4_drop_config_kick(l4);
    return result;
}

static int set_features(void *self, const struct l4vio_features *accepted,
                        struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&l4vio_l4_header(l4)->driver_features_map[i], accepted->word[i]);
    /* The call that follows is not an access to memory that the compiler could order. */
    l4vio_full_barrier();
    return L4VIO_OK;
}

static int queue_size_max(void *self, uint32_t queue, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    if (queue >= l4->queue_count)
        return no_queue(queue, error);
    return l4vio_load16(&l4vio_l4_entry(l4, queue)->num_max);
}

static int device_notify_index(void *self, uint32_t queue, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    if (queue >= l4->queue_count)
        return no_queue(queue, error);
    return l4vio_load16(&l4vio_l4_entry(l4, queue)->device_notify_index);
}

/* In cmd mode no error code comes back: the entry and the status say what became of it. */
static int command_queue(struct l4vio_l4 *l4, uint32_t queue, uint64_t deadline_ns,
                         struct l4vio_error *error)
{
    int result = l4vio_l4_command(l4, L4VIO_PAGE_CMD_CFG_QUEUE, queue, deadline_ns, error);
    if (result)
        return result;
    uint32_t status = l4vio_load32_acquire(&l4vio_l4_header(l4)->status);
    if (status & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED))
        return l4vio_fail(error, L4VIO_EIO, "the device failed while a queue was set up", status);
    if (l4vio_load16_acquire(&l4vio_l4_entry(l4, queue)->ready) == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "the device refused the queue", queue);
    return L4VIO_OK;
}

static int config_queue(void *self, uint32_t queue, const struct l4vio_queue_setup *setup,
                        uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    if (queue >= l4->queue_count)
        return no_queue(queue, error);
    struct l4vio_page_queue *entry = l4vio_l4_entry(l4, queue);
    if (l4vio_load16_acquire(&entry->ready))
        return l4vio_fail(error, L4VIO_EINVAL, "the queue is set up already", queue);

    l4vio_store16(&entry->num, setup->size);
    l4vio_store16(&entry->driver_notify_index, setup->driver_notify_index);
    l4vio_store64(&entry->desc_addr, setup->desc_address);
    l4vio_store64(&entry->avail_addr, setup->avail_address);
    l4vio_store64(&entry->used_addr, setup->used_address);
    l4vio_store16_release(&entry->ready, 1);
    l4vio_full_barrier();
    int result = l4->cmd_mode ? command_queue(l4, queue, deadline_ns, error)
                              : l4->calls->config_queue(l4->calls_self, queue, deadline_ns, error);
    /* Refused: the entry may be filled in again. Without an answer it stays as it is. */
    if (result && result != L4VIO_ETIMEDOUT && result != L4VIO_EPIPE)
        l4vio_store16_release(&entry->ready, 0);
    return result;
}

static int reset_queue(void *self, uint32_t queue, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    if (queue >= l4->queue_count)
        return no_queue(queue, error);
    if (!l4->calls->reset_queue)
        return l4vio_fail(error, L4VIO_ENOSYS, "one queue alone cannot be reset here", queue);
    int result = l4->calls->reset_queue(l4->calls_self, queue, deadline_ns, error);
    if (result == L4VIO_OK)
        l4vio_store16_release(&l4vio_l4_entry(l4, queue)->ready, 0);
    return result;
}

static int map(void *self, const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
               uint64_t size_bytes, uint64_t *device_address, uint64_t deadline_ns,
               struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    return l4->calls->register_ds(l4->calls_self, dataspace, *device_address, offset_bytes,
                                  size_bytes, deadline_ns, error);
}

static int unmap(void *self, uint64_t device_address, uint64_t size_bytes, uint64_t deadline_ns,
                 struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    if (!l4->calls->unregister_ds)
        return l4vio_fail(error, L4VIO_ENOSYS, "memory stays shared while connected",
                          device_address);
    return l4->calls->unregister_ds(l4->calls_self, device_address, size_bytes, deadline_ns, error);
}

static int bind_notification(void *self, uint32_t index,
                             const struct l4vio_notification *notification, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    return l4->calls->icu_bind(l4->calls_self, index, notification, deadline_ns, error);
}

static int get_notification(void *self, uint32_t index, struct l4vio_notification *out,
                            uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return closed(error);
    out->handle = L4VIO_NO_HANDLE;
    int result = l4->calls->device_notification(l4->calls_self, index, out, deadline_ns, error);
    /* A device in cmd mode may poll and have no object to hand out. */
    return result == L4VIO_ENOSYS && l4->cmd_mode ? L4VIO_OK : result;
}

static void release_notification(void *self, struct l4vio_notification *notification)
{
    struct l4vio_l4 *l4 = self;
    if (l4->calls->release_notification)
        l4->calls->release_notification(l4->calls_self, notification);
    else
        l4->platform.ops->notification_destroy(l4->platform.self, notification);
    notification->handle = L4VIO_NO_HANDLE;
}

static uint32_t generation(void *self)
{
    const struct l4vio_l4 *l4 = self;
    if (!l4->open || !l4->page)
        return 0;
    return l4vio_load32_acquire(&l4vio_l4_header(l4)->generation);
}

/* The page has no causes: any wake-up may be of a ring; a new generation is a change. */
static uint32_t acknowledge(void *self)
{
    struct l4vio_l4 *l4 = self;
    uint32_t now = generation(l4);
    if (__atomic_exchange_n(&l4->seen_generation, now, __ATOMIC_RELAXED) == now)
        return L4VIO_INTERRUPT_RING;
    return L4VIO_INTERRUPT_RING | L4VIO_INTERRUPT_CONFIG;
}

static int kick(void *self, uint32_t queue, uint32_t data,
                const struct l4vio_notification *to_device)
{
    const struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return L4VIO_EPIPE;
    int result = l4->calls->kick ? l4->calls->kick(l4->calls_self, queue, data) : L4VIO_OK;
    if (result)
        return result;
    if (to_device->handle == L4VIO_NO_HANDLE)
        return l4->cmd_mode ? L4VIO_OK : L4VIO_EINVAL;
    return l4->platform.ops->notification_trigger(l4->platform.self, to_device);
}

static int set_config_notify(void *self, uint16_t driver_notify_index,
                             uint16_t device_notify_index_of_config)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return L4VIO_EPIPE;
    struct l4vio_page_header *header = l4vio_l4_header(l4);
    l4vio_store32(&header->cfg_driver_notify_index, driver_notify_index);
    l4vio_store32(&header->cfg_device_notify_index, device_notify_index_of_config);
    l4vio_full_barrier();
    /* Called anew after each reset: what the device handed out before no longer counts. */
    l4vio_l4_drop_config_kick(l4);
    l4->config_kick_index = device_notify_index_of_config;
    return L4VIO_OK;
}

static int peer_alive(void *self)
{
    const struct l4vio_l4 *l4 = self;
    return l4->open ? l4->calls->peer_alive(l4->calls_self) : L4VIO_EPIPE;
}

static intptr_t peer_handle(void *self)
{
    const struct l4vio_l4 *l4 = self;
    return l4->open ? l4->calls->peer_handle(l4->calls_self) : L4VIO_NO_HANDLE;
}

static void close(void *self)
{
    struct l4vio_l4 *l4 = self;
    if (!l4->open)
        return;
    l4vio_l4_drop_config_kick(l4);
    l4->open = false;
    l4->calls->close(l4->calls_self);
    l4vio_l4_close_page(l4);
}

static int reconnect(void *self, struct l4vio_transport_properties *properties,
                     struct l4vio_identity *identity, uint64_t deadline_ns,
                     struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    close(l4);
    if (!l4->calls->reconnect)
        return l4vio_fail(error, L4VIO_ENOSYS, "this transport cannot reconnect", 0);
    int result = l4->calls->reconnect(l4->calls_self, deadline_ns, error);
    if (result)
        return result;
    l4->open = true;
    result = identify(l4, properties, identity, deadline_ns, error);
    if (result)
        close(l4);
    return result;
}

static const struct l4vio_transport_ops l4_ops = {
    .identify = identify,
    .get_status = get_status,
    .set_status = set_status,
    .set_features = set_features,
    .queue_size_max = queue_size_max,
    .device_notify_index = device_notify_index,
    .config_queue = config_queue,
    .reset_queue = reset_queue,
    .map = map,
    .unmap = unmap,
    .bind_notification = bind_notification,
    .get_notification = get_notification,
    .release_notification = release_notification,
    .acknowledge = acknowledge,
    .kick = kick,
    .set_config_notify = set_config_notify,
    .read_config = l4vio_l4_read_config,
    .write_config = l4vio_l4_write_config,
    .config_size = l4vio_l4_config_size,
    .generation = generation,
    .peer_alive = peer_alive,
    .peer_handle = peer_handle,
    .close = close,
    .reconnect = reconnect,
};

struct l4vio_transport l4vio_l4_init(struct l4vio_l4 *l4, const struct l4vio_l4_calls *calls,
                                     void *calls_self, const struct l4vio_platform *platform)
{
    memset(l4, 0, sizeof(*l4));
    l4->calls = calls;
    l4->calls_self = calls_self;
    l4->platform = *platform;
    l4->dataspace.handle = L4VIO_NO_HANDLE;
    l4->config_kick.handle = L4VIO_NO_HANDLE;
    l4->open = true;
    return (struct l4vio_transport){.ops = &l4_ops, .self = l4};
}
