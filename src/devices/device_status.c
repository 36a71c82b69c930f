/* SPDX-License-Identifier: MIT */
/* The status state machine: section 2.1, 3.1. */
#include <l4vio/device.h>

#include "core/ordering.h"
#include "devices/device_private.h"

/* What a driver may set. */
#define DRIVER_BITS                                                                 \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | \
     VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FAILED)

static void publish_status(const struct l4vio_device *device)
{
    if (device->port && device->port->publish_status)
        device->port->publish_status(device->port_self, l4vio_private_load32(&device->status));
}

void l4vio_device_notify_config(const struct l4vio_device *device)
{
    if (device->port && device->port->notify_config)
        device->port->notify_config(device->port_self);
}

bool l4vio_device_live(const struct l4vio_device *device)
{
    uint32_t status = l4vio_private_load32(&device->status);
    return (status & VIRTIO_STATUS_DRIVER_OK) && !(status & L4VIO_DEVICE_DEAD);
}

void l4vio_device_needs_reset(struct l4vio_device *device, const struct l4vio_error *why)
{
    uint32_t old = l4vio_private_or32(&device->status, VIRTIO_STATUS_NEEDS_RESET);
    /* Several queues may break at once: the first one speaks. */
    if (old & VIRTIO_STATUS_NEEDS_RESET)
        return;
    device->failure = *why;
    device->failures++;
    l4vio_device_trace(device, L4VIO_TRACE_STATUS, UINT32_MAX, old,
                       old | VIRTIO_STATUS_NEEDS_RESET);
    publish_status(device);
    if (old & VIRTIO_STATUS_DRIVER_OK)
        l4vio_device_notify_config(device);
}

/* Queues that were set up before the features were settled are rings without any feature. */
static bool queues_fit(const struct l4vio_device_config *config,
                       const struct l4vio_features *accepted)
{
    if (!l4vio_features_has(accepted, L4VIO_F_RING_PACKED) &&
        !l4vio_features_has(accepted, L4VIO_F_EVENT_IDX) &&
        !l4vio_features_has(accepted, L4VIO_F_IN_ORDER) &&
        !l4vio_features_has(accepted, L4VIO_F_ORDER_PLATFORM))
        return true;
    for (uint32_t i = 0; i < config->queue_count; i++) {
        if (config->queues[i].ready)
            return false;
    }
    return true;
}

/* Checks what the driver accepts; only then it becomes what is in force. */
static int settle_features(struct l4vio_device *device, const struct l4vio_features *accepted)
{
    const struct l4vio_device_config *config = &device->config;
    struct l4vio_features unknown = l4vio_features_minus(accepted, &config->offered);
    struct l4vio_features missing = l4vio_features_minus(&config->required, accepted);
    if (!l4vio_features_empty(&unknown) || !l4vio_features_has(accepted, L4VIO_F_VERSION_1))
        return L4VIO_EINVAL;
    if (!l4vio_features_empty(&missing) || !queues_fit(config, accepted))
        return L4VIO_EINVAL;
    if (l4vio_features_broken_dependency(accepted, config->dependencies,
                                         config->dependency_count) >= 0)
        return L4VIO_EINVAL;
    if (config->ops && config->ops->check_features) {
        int result = config->ops->check_features(config->ops_self, accepted);
        if (result)
            return result;
    }

    device->accepted = *accepted;
    /* Queues that were set up before the features were settled. */
    for (uint32_t i = 0; i < config->queue_count; i++)
        config->queues[i].queue.indirect = l4vio_device_feature(device, L4VIO_F_INDIRECT_DESC);
    l4vio_device_trace(device, L4VIO_TRACE_FEATURES, UINT32_MAX,
                       accepted->word[0] | (uint64_t)accepted->word[1] << 32,
                       accepted->word[2] | (uint64_t)accepted->word[3] << 32);
    return L4VIO_OK;
}

/*
 * Goes through the bits of a write in the order in which a driver has to set them. Each step is
 * taken only if the one before it was. Returns the bits that took effect; the reason in `why` if
 * the order is broken.
 */
static uint32_t take_steps(struct l4vio_device *device, uint32_t old, uint32_t written,
                           const struct l4vio_features *driver_features, const char **why)
{
    uint32_t status = old | (written & VIRTIO_STATUS_ACKNOWLEDGE);
    uint32_t fresh = written & ~old;

    if (fresh & VIRTIO_STATUS_DRIVER) {
        if (!(status & VIRTIO_STATUS_ACKNOWLEDGE)) {
            *why = "DRIVER without ACKNOWLEDGE";
            return status;
        }
        status |= VIRTIO_STATUS_DRIVER;
    }
    if (fresh & VIRTIO_STATUS_FEATURES_OK) {
        if (!(status & VIRTIO_STATUS_DRIVER)) {
            *why = "FEATURES_OK without DRIVER";
            return status;
        }
        if (driver_features && settle_features(device, driver_features) == L4VIO_OK)
            status |= VIRTIO_STATUS_FEATURES_OK;
    }
    if (fresh & VIRTIO_STATUS_DRIVER_OK) {
        if (!(status & VIRTIO_STATUS_FEATURES_OK)) {
            *why = "DRIVER_OK without FEATURES_OK";
            return status;
        }
        status |= VIRTIO_STATUS_DRIVER_OK;
    }
    return status;
}

static void fail(struct l4vio_device *device, int code, const char *text, uint64_t value)
{
    struct l4vio_error error = {.code = code, .text = text, .value = value};
    l4vio_device_needs_reset(device, &error);
}

/* The driver gave up: what it set up is not touched any more. */
static void driver_failed(struct l4vio_device *device)
{
    l4vio_private_or32(&device->status, VIRTIO_STATUS_FAILED);
    l4vio_device_stop_queues(device);
    l4vio_device_disable_queues(device);
    publish_status(device);
}

void l4vio_device_set_status(struct l4vio_device *device, uint32_t status,
                             const struct l4vio_features *driver_features)
{
    if (status == 0) {
        l4vio_device_reset(device);
        return;
    }

    uint32_t old = l4vio_private_load32(&device->status);
    uint32_t written = status & DRIVER_BITS;
    if (written & VIRTIO_STATUS_FAILED) {
        l4vio_device_trace(device, L4VIO_TRACE_STATUS, UINT32_MAX, old, old | VIRTIO_STATUS_FAILED);
        driver_failed(device);
        return;
    }
    if (old & L4VIO_DEVICE_DEAD)
        return;

    const char *why = NULL;
    uint32_t taken = take_steps(device, old, written, driver_features, &why);
    /* A queue's thread may set DEVICE_NEEDS_RESET meanwhile: bits are added, not stored. */
    l4vio_private_or32(&device->status, taken);
    l4vio_device_trace(device, L4VIO_TRACE_STATUS, UINT32_MAX, old, taken);
    if (why) {
        fail(device, L4VIO_EBADPROTO, why, status);
        return;
    }

    const struct l4vio_device_ops *ops = device->config.ops;
    if ((taken & ~old & VIRTIO_STATUS_DRIVER_OK) && ops && ops->driver_ok) {
        int result = ops->driver_ok(device->config.ops_self);
        if (result)
            fail(device, result, "the device cannot start", status);
    }
    publish_status(device);
}

void l4vio_device_reset(struct l4vio_device *device)
{
    const struct l4vio_device_ops *ops = device->config.ops;
    uint32_t old = l4vio_private_load32(&device->status);

    /* Not live from here on, so that the threads of the queues take nothing more. */
    l4vio_private_store32(&device->status, 0);
    l4vio_device_stop_queues(device);
    if (ops && ops->reset)
        ops->reset(device->config.ops_self);
    l4vio_device_disable_queues(device);
    if (!device->port || !device->port->memory_survives_reset)
        l4vio_device_release_regions(device);
    device->accepted = (struct l4vio_features){0};
    device->resets++;
    l4vio_device_trace(device, L4VIO_TRACE_RESET, UINT32_MAX, old, 0);

    /* Again: a queue may have broken before it was stopped. The driver sees 0 when all is done. */
    l4vio_private_store32(&device->status, 0);
    publish_status(device);
}
