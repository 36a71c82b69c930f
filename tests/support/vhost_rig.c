/* SPDX-License-Identifier: MIT */
#include "vhost_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <l4vio/virtqueue.h>
#include <l4vio/wire/ring.h>

#define DEVICE_ID  4u
#define DATA_BYTES 4096u

static struct vhost_rig *new_rig(void)
{
    struct vhost_rig *rig = calloc(1, sizeof(*rig));

    if (!rig)
        abort();
    rig->backend = raw_backend_new();
    rig->options.device_id = DEVICE_ID;
    rig->options.timeout_ns = VHOST_RIG_TIMEOUT_NS;
    rig->control_timeout_ns = VHOST_RIG_TIMEOUT_NS;
    l4vio_ring_features(&rig->allowed);
    return rig;
}

struct vhost_rig *vhost_rig_new(void)
{
    struct vhost_rig *rig = new_rig();

    if (l4vio_linux_open(&rig->linux_platform, &rig->platform, NULL))
        abort();
    return rig;
}

struct vhost_rig *vhost_rig_new_beside(const struct vhost_rig *other)
{
    struct vhost_rig *rig = new_rig();

    rig->platform = other->platform;
    return rig;
}

int vhost_rig_connect(struct vhost_rig *rig, struct l4vio_error *error)
{
    if (!rig->backend->running)
        raw_backend_start(rig->backend);
    return l4vio_vhost_user_connect(rig->backend->path, &rig->platform, &rig->options,
                                    &rig->connection, &rig->transport, error);
}

int vhost_rig_drive(struct vhost_rig *rig, struct l4vio_error *error)
{
    int result = rig->connection ? L4VIO_OK : vhost_rig_connect(rig, error);

    if (result < 0)
        return result;
    const struct l4vio_driver_config config = {
        .transport = rig->transport,
        .platform = rig->platform,
        .device_id = DEVICE_ID,
        .allowed = rig->allowed,
        .notifications = rig->notifications,
        .notification_count = VHOST_RIG_QUEUES + 1,
        .control_timeout_ns = rig->control_timeout_ns,
    };
    rig->driving = true;
    return l4vio_driver_connect(&rig->driver, &config, error);
}

static int init_queue(struct vhost_rig *rig, unsigned queue,
                      const struct l4vio_virtqueue_layout *layout)
{
    uint64_t offset = layout->size_bytes * queue;
    uint8_t *base = (uint8_t *)rig->region.base + offset;
    uint64_t address = rig->region.device_address + offset;
    const struct l4vio_queue_config config = {
        .index = queue,
        .size = VHOST_RIG_QUEUE_SIZE,
        .desc = base + layout->desc_offset,
        .avail = base + layout->avail_offset,
        .used = base + layout->used_offset,
        .desc_address = address + layout->desc_offset,
        .avail_address = address + layout->avail_offset,
        .used_address = address + layout->used_offset,
        .slots = rig->slots[queue],
        .driver_notify_index = (uint16_t)(queue + 1),
        .device_notify_index = (uint16_t)queue,
        .features = l4vio_driver_features(&rig->driver),
    };

    return l4vio_queue_init(&rig->queues[queue], &config, NULL);
}

int vhost_rig_bring_up(struct vhost_rig *rig, unsigned queues, struct l4vio_error *error)
{
    struct l4vio_virtqueue_layout layout;
    int result = rig->driving ? L4VIO_OK : vhost_rig_drive(rig, error);

    if (result == L4VIO_OK)
        result = l4vio_driver_negotiate(&rig->driver, error);
    if (result < 0)
        return result;
    l4vio_virtqueue_layout_for(VHOST_RIG_QUEUE_SIZE, &rig->driver.accepted, &layout);
    layout.size_bytes = (layout.size_bytes + 63) & ~UINT64_C(63);
    rig->data_offset = layout.size_bytes * VHOST_RIG_QUEUES;
    result =
        l4vio_driver_allocate(&rig->driver, rig->data_offset + DATA_BYTES, &rig->region, error);
    for (unsigned i = 0; i < queues && result == L4VIO_OK; i++) {
        result = init_queue(rig, i, &layout);
        if (result == L4VIO_OK)
            result = l4vio_driver_attach_queue(&rig->driver, &rig->queues[i], error);
    }
    return result < 0 ? result : l4vio_driver_acknowledge(&rig->driver, error);
}

int vhost_rig_submit(struct vhost_rig *rig, unsigned queue)
{
    const struct l4vio_buffer buffer = {
        .address = rig->region.device_address + rig->data_offset,
        .length_bytes = DATA_BYTES,
    };
    const struct l4vio_request request = {.buffers = &buffer, .writable = 1, .cookie = rig};
    int result = l4vio_queue_add(&rig->queues[queue], &request, 1);

    if (result < 0)
        return result;
    l4vio_queue_publish(&rig->queues[queue]);
    return l4vio_driver_notify(&rig->driver, &rig->queues[queue]);
}

void vhost_rig_use(struct vhost_rig *rig, unsigned queue, uint16_t head, uint32_t length_bytes)
{
    const uint64_t one = 1;
    const struct raw_backend_ring ring = raw_backend_look(rig->backend).rings[queue];
    struct virtq_used *used =
        raw_backend_user_memory(rig->backend, ring.used, 4 + 8 * (uint64_t)VHOST_RIG_QUEUE_SIZE);

    if (!used)
        abort();
    struct virtq_used_elem *elements = (struct virtq_used_elem *)(void *)((char *)used + 4);
    uint16_t index = __atomic_load_n(&used->idx, __ATOMIC_RELAXED);
    __atomic_store_n(&elements[index % VHOST_RIG_QUEUE_SIZE].id, head, __ATOMIC_RELAXED);
    __atomic_store_n(&elements[index % VHOST_RIG_QUEUE_SIZE].len, length_bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&used->idx, (uint16_t)(index + 1), __ATOMIC_RELEASE);
    if (write(ring.call, &one, sizeof(one)) != sizeof(one))
        abort();
}

uint64_t vhost_rig_deadline(const struct vhost_rig *rig)
{
    return rig->platform.ops->now_ns(rig->platform.self) + VHOST_RIG_TIMEOUT_NS;
}

void vhost_rig_free(struct vhost_rig *rig)
{
    if (rig->driving)
        l4vio_driver_disconnect(&rig->driver);
    l4vio_vhost_user_free(rig->connection);
    raw_backend_free(rig->backend);
    l4vio_linux_close(rig->linux_platform);
    free(rig);
}
