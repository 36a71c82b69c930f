/* SPDX-License-Identifier: MIT */
#include "ring_device.h"

#include "core/ordering.h"

#define WRITTEN_BYTES 4u

static void complete_split(struct ring_device *device)
{
    struct virtq_avail *avail = device->avail;
    struct virtq_used *used = device->used;
    const l4vio_le16 *heads = (const l4vio_le16 *)(const void *)(avail + 1);
    struct virtq_used_elem *elements = (struct virtq_used_elem *)(void *)(used + 1);
    uint16_t end = l4vio_load16_acquire(&avail->idx);
    uint16_t first = device->at;

    for (uint16_t at = first; at != end; at++) {
        struct virtq_used_elem *element = &elements[(device->batched ? first : at) % device->size];
        l4vio_store32(&element->id, l4vio_load16(&heads[at % device->size]));
        l4vio_store32(&element->len, WRITTEN_BYTES);
    }
    device->at = end;
    l4vio_store16_release(&used->idx, end);
}

static bool available(const struct ring_device *device, uint16_t flags)
{
    bool avail_bit = flags & VIRTQ_PACKED_DESC_F_AVAIL;
    bool used_bit = flags & VIRTQ_PACKED_DESC_F_USED;
    return avail_bit != used_bit && avail_bit != device->odd_round;
}

static void use(struct virtq_packed_desc *desc, uint16_t id, bool odd_round)
{
    uint16_t bits = odd_round ? 0 : VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED;
    l4vio_store16(&desc->id, id);
    l4vio_store32(&desc->len, WRITTEN_BYTES);
    l4vio_store16_release(&desc->flags, (uint16_t)(bits | VIRTQ_DESC_F_WRITE));
}

static void complete_packed(struct ring_device *device)
{
    struct virtq_packed_desc *ring = device->desc;
    struct virtq_packed_desc *batch = &ring[device->at];
    const bool batch_round = device->odd_round;
    uint16_t id = 0;
    bool any = false;

    while (available(device, l4vio_load16_acquire(&ring[device->at].flags))) {
        struct virtq_packed_desc *first = &ring[device->at];
        const bool round = device->odd_round;
        uint16_t flags;
        do {
            flags = l4vio_load16(&ring[device->at].flags);
            id = l4vio_load16(&ring[device->at].id);
            if (++device->at == device->size) {
                device->at = 0;
                device->odd_round = !device->odd_round;
            }
        } while (flags & VIRTQ_DESC_F_NEXT);
        any = true;
        if (!device->batched)
            use(first, id, round);
    }
    if (device->batched && any)
        use(batch, id, batch_round);
}

void ring_device_complete(struct ring_device *device)
{
    if (device->packed)
        complete_packed(device);
    else
        complete_split(device);
}
