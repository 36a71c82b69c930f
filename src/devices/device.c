/* SPDX-License-Identifier: MIT */
/* Life and queues of a device; the status is in device_status.c. */
#include <l4vio/device.h>

#include <l4vio/virtqueue.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "devices/device_private.h"

/* Feature bits of queues and transports; the others are the device class's. */
#define FIRST_COMMON_BIT 24u
#define LAST_COMMON_BIT  49u

/* Clauses V-2.2.2-1 and -3: offered is only what can be honoured, and with all that it depends on. */
static int check_offer(const struct l4vio_device_config *config, struct l4vio_error *error)
{
    struct l4vio_features ring;
    l4vio_ring_features(&ring);
    for (unsigned bit = FIRST_COMMON_BIT; bit <= LAST_COMMON_BIT; bit++) {
        if (l4vio_features_has(&config->offered, bit) && !l4vio_features_has(&ring, bit) &&
            bit != L4VIO_F_VERSION_1)
            return l4vio_fail(error, L4VIO_EINVAL, "a ring feature that the device queue has not",
                              bit);
    }
    if (l4vio_features_has(&config->offered, L4VIO_F_IN_ORDER) && !config->queue_slots)
        return l4vio_fail(error, L4VIO_EINVAL, "IN_ORDER without slots for the queues", 0);
    int broken = l4vio_features_broken_dependency(&config->offered, config->dependencies,
                                                  config->dependency_count);
    if (broken >= 0)
        return l4vio_fail(error, L4VIO_EINVAL, "an offered feature lacks one that it depends on",
                          config->dependencies[broken].bit);
    struct l4vio_features missing = l4vio_features_minus(&config->required, &config->offered);
    l4vio_features_clear(&missing, L4VIO_F_VERSION_1);
    if (!l4vio_features_empty(&missing))
        return l4vio_fail(error, L4VIO_EINVAL, "a required feature is not offered", 0);
    return L4VIO_OK;
}

int l4vio_device_init(struct l4vio_device *device, const struct l4vio_device_config *config,
                      struct l4vio_error *error)
{
    if (!config->queues || config->queue_count == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "a device without queues", 0);
    if (!l4vio_virtqueue_size_valid(config->queue_size_max))
        return l4vio_fail(error, L4VIO_EINVAL, "the queue size is not a power of two",
                          config->queue_size_max);
    if (config->config_bytes && !config->config)
        return l4vio_fail(error, L4VIO_EINVAL, "no memory for the configuration", 0);
    int result = check_offer(config, error);
    if (result)
        return result;

    *device = (struct l4vio_device){.config = *config};
    l4vio_features_set(&device->config.offered, L4VIO_F_VERSION_1);
    for (uint32_t i = 0; i < config->queue_count; i++)
        config->queues[i] = (struct l4vio_device_queue_state){.size_max = config->queue_size_max};
    l4vio_device_memory_init(&device->memory, config->regions, config->region_count,
                             config->mapped_bytes_max);
    return L4VIO_OK;
}

void l4vio_device_set_port(struct l4vio_device *device, const struct l4vio_device_port_ops *port,
                           void *port_self)
{
    device->port = port;
    device->port_self = port_self;
}

static void publish_queue(const struct l4vio_device *device, uint32_t queue, bool ready)
{
    if (device->port && device->port->publish_queue)
        device->port->publish_queue(device->port_self, queue, ready);
}

static int set_queue_up(struct l4vio_device *device, uint32_t queue,
                        const struct l4vio_queue_setup *setup,
                        const struct l4vio_device_queue_resume *resume, struct l4vio_error *error)
{
    struct l4vio_device_queue_state *state = &device->config.queues[queue];
    if (state->ready)
        return l4vio_fail(error, L4VIO_EINVAL, "the queue is ready already", queue);
    if (setup->size > state->size_max)
        return l4vio_fail(error, L4VIO_EINVAL, "a queue larger than the device takes", setup->size);

    struct l4vio_device_queue_config config = {.index = queue,
                                               .size = setup->size,
                                               .features = device->accepted,
                                               .desc_address = setup->desc_address,
                                               .avail_address = setup->avail_address,
                                               .used_address = setup->used_address,
                                               .resume = resume,
                                               .trace = device->config.trace};
    if (device->config.queue_slots)
        config.slots = device->config.queue_slots + (size_t)queue * device->config.queue_size_max;
    int result = l4vio_device_queue_init(&state->queue, &config, &device->memory, error);
    if (result == L4VIO_EFAULT) /* To a driver, a wrong address is a wrong argument. */
        result = l4vio_fail(error, L4VIO_EINVAL, "an area of a queue is outside registered memory",
                            queue);
    if (result)
        return result;

    l4vio_device_apply_log(device, queue);
    __atomic_store_n(&state->kick_data, 0, __ATOMIC_RELAXED);
    state->driver_notify_index = setup->driver_notify_index;
    state->device_notify_index = setup->device_notify_index;
    state->ready = true;
    const struct l4vio_device_ops *ops = device->config.ops;
    if (ops && ops->queue_ready) {
        result = ops->queue_ready(device->config.ops_self, queue);
        if (result) {
            state->ready = false;
            l4vio_device_queue_disable(&state->queue);
            return l4vio_fail(error, L4VIO_EINVAL, "the device refused the queue", queue);
        }
    }
    return L4VIO_OK;
}

int l4vio_device_config_queue(struct l4vio_device *device, uint32_t queue,
                              const struct l4vio_queue_setup *setup, struct l4vio_error *error)
{
    return l4vio_device_resume_queue(device, queue, setup, NULL, error);
}

/* A predecessor may have shown something as used and died before it said so. */
static void notify_once(const struct l4vio_device *device, uint32_t queue)
{
    if (device->port && device->port->notify_queue)
        device->port->notify_queue(device->port_self, queue);
}

int l4vio_device_resume_queue(struct l4vio_device *device, uint32_t queue,
                              const struct l4vio_queue_setup *setup,
                              const struct l4vio_device_queue_resume *resume,
                              struct l4vio_error *error)
{
    uint32_t needed = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
    uint32_t status = l4vio_private_load32(&device->status);
    if (queue >= device->config.queue_count)
        return l4vio_fail(error, L4VIO_ERANGE, "no such queue", queue);

    int result;
    if (status & L4VIO_DEVICE_DEAD)
        result = l4vio_fail(error, L4VIO_EIO, "the device has failed", status);
    else if ((status & needed) != needed)
        result = l4vio_fail(error, L4VIO_EIO, "a queue before ACKNOWLEDGE and DRIVER", status);
    else
        result = set_queue_up(device, queue, setup, resume, error);

    /* A refused second set-up does not take a queue away that is ready. */
    publish_queue(device, queue, device->config.queues[queue].ready);
    if (result)
        return result;
    l4vio_device_trace(device, L4VIO_TRACE_QUEUE_READY, queue, setup->size, 0);
    if (resume)
        notify_once(device, queue);
    return L4VIO_OK;
}

static void stop_queue(struct l4vio_device *device, uint32_t queue)
{
    const struct l4vio_device_ops *ops = device->config.ops;
    if (device->config.queues[queue].ready && ops && ops->queue_stop)
        ops->queue_stop(device->config.ops_self, queue);
}

static void disable_queue(struct l4vio_device *device, uint32_t queue)
{
    struct l4vio_device_queue_state *state = &device->config.queues[queue];
    bool was_ready = state->ready;
    state->ready = false;
    l4vio_device_queue_disable(&state->queue);
    state->driver_notify_index = 0;
    if (was_ready)
        publish_queue(device, queue, false);
}

int l4vio_device_reset_queue(struct l4vio_device *device, uint32_t queue)
{
    if (queue >= device->config.queue_count)
        return L4VIO_ERANGE;
    stop_queue(device, queue);
    disable_queue(device, queue);
    l4vio_device_trace(device, L4VIO_TRACE_RESET, queue, 0, 0);
    return L4VIO_OK;
}

void l4vio_device_stop_queues(struct l4vio_device *device)
{
    for (uint32_t i = 0; i < device->config.queue_count; i++)
        stop_queue(device, i);
}

void l4vio_device_disable_queues(struct l4vio_device *device)
{
    for (uint32_t i = 0; i < device->config.queue_count; i++)
        disable_queue(device, i);
}

int l4vio_device_add_region(struct l4vio_device *device, const struct l4vio_device_region *region,
                            struct l4vio_error *error)
{
    const struct l4vio_device_ops *ops = device->config.ops;
    int result = l4vio_device_memory_add(&device->memory, region, error);
    if (result)
        return result;
    l4vio_device_trace(device, L4VIO_TRACE_MAP, UINT32_MAX, region->device_address,
                       region->size_bytes);
    if (ops && ops->region_added)
        ops->region_added(device->config.ops_self, region);
    return L4VIO_OK;
}

/* A queue's areas are known by their local addresses. */
static bool lies_in(const void *area, const struct l4vio_device_region *region)
{
    return (uintptr_t)area - (uintptr_t)region->base < region->size_bytes;
}

static bool in_use(const struct l4vio_device *device, const struct l4vio_device_region *region)
{
    for (uint32_t i = 0; i < device->config.queue_count; i++) {
        const struct l4vio_device_queue_state *state = &device->config.queues[i];
        const struct l4vio_device_queue *queue = &state->queue;
        if (!state->ready)
            continue;
        if (queue->in_flight || lies_in(queue->desc, region) || lies_in(queue->avail, region) ||
            lies_in(queue->used, region))
            return true;
    }
    return false;
}

static void release(const struct l4vio_device *device, const struct l4vio_device_region *region)
{
    l4vio_device_trace(device, L4VIO_TRACE_UNMAP, UINT32_MAX, region->device_address,
                       region->size_bytes);
    const struct l4vio_device_ops *ops = device->config.ops;
    if (ops && ops->region_removed)
        ops->region_removed(device->config.ops_self, region);
    if (device->config.release_region)
        device->config.release_region(device->config.release_self, region);
}

int l4vio_device_remove_region(struct l4vio_device *device, uint64_t device_address,
                               uint64_t size_bytes)
{
    struct l4vio_device_memory *memory = &device->memory;
    for (unsigned i = 0; i < memory->count; i++) {
        struct l4vio_device_region region = memory->regions[i];
        if (region.device_address != device_address || region.size_bytes != size_bytes)
            continue;
        if (in_use(device, &region))
            return L4VIO_EBUSY;
        l4vio_device_memory_remove(memory, device_address, size_bytes, NULL);
        release(device, &region);
        return L4VIO_OK;
    }
    return L4VIO_ENOENT;
}

void l4vio_device_release_regions(struct l4vio_device *device)
{
    struct l4vio_device_memory *memory = &device->memory;
    while (memory->count) {
        struct l4vio_device_region region = memory->regions[memory->count - 1];
        l4vio_device_memory_remove(memory, region.device_address, region.size_bytes, NULL);
        release(device, &region);
    }
}

int l4vio_device_write_config(struct l4vio_device *device, uint32_t offset_bytes, const void *data,
                              uint32_t size_bytes)
{
    if (offset_bytes > device->config.config_bytes ||
        size_bytes > device->config.config_bytes - offset_bytes)
        return L4VIO_ERANGE;
    if (size_bytes == 0)
        return L4VIO_OK;

    memcpy(device->config.config + offset_bytes, data, size_bytes);
    device->generation += 2;
    if (device->port && device->port->publish_config)
        device->port->publish_config(device->port_self, offset_bytes, size_bytes,
                                     device->generation);
    if (l4vio_device_live(device))
        l4vio_device_notify_config(device);
    return L4VIO_OK;
}

bool l4vio_device_feature(const struct l4vio_device *device, unsigned bit)
{
    return l4vio_features_has(&device->accepted, bit);
}

struct l4vio_device_queue *l4vio_device_queue(struct l4vio_device *device, uint32_t queue)
{
    if (queue >= device->config.queue_count || !device->config.queues[queue].ready)
        return NULL;
    return &device->config.queues[queue].queue;
}

void l4vio_device_kicked(struct l4vio_device *device, uint32_t queue, uint32_t data)
{
    if (queue >= device->config.queue_count)
        return;
    __atomic_store_n(&device->config.queues[queue].kick_data, data, __ATOMIC_RELAXED);
}

uint32_t l4vio_device_kick_data(const struct l4vio_device *device, uint32_t queue)
{
    if (queue >= device->config.queue_count)
        return 0;
    return __atomic_load_n(&device->config.queues[queue].kick_data, __ATOMIC_RELAXED);
}

void l4vio_device_notify(struct l4vio_device *device, uint32_t queue)
{
    struct l4vio_device_queue *ring = l4vio_device_queue(device, queue);
    if (!ring)
        return;
    if (ring->broken) {
        l4vio_device_needs_reset(device, &ring->broken_error);
        return;
    }
    if (l4vio_device_queue_needs_notify(ring) && device->port && device->port->notify_queue)
        device->port->notify_queue(device->port_self, queue);
}
