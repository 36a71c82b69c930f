/* SPDX-License-Identifier: MIT */
#include "devices/in_order.h"

enum { FREE, TAKEN, FINISHED };

void l4vio_in_order_take(struct l4vio_device_queue *queue, uint32_t place,
                         const struct l4vio_device_chain *chain)
{
    struct l4vio_device_queue_slot *slot = &queue->slots[place];
    slot->writable_bytes = (uint32_t)chain->writable_bytes;
    slot->head = chain->head;
    slot->entries = chain->entries;
    slot->state = TAKEN;
    queue->slots[chain->head].place = (uint16_t)place;
}

bool l4vio_in_order_rewind(struct l4vio_device_queue *queue, uint32_t place,
                           const struct l4vio_device_chain *chain)
{
    struct l4vio_device_queue_slot *slot = &queue->slots[place];
    if (slot->state != TAKEN || slot->head != chain->head || slot->entries != chain->entries)
        return false;
    slot->state = FREE;
    return true;
}

void l4vio_in_order_keep(struct l4vio_device_queue *queue, const struct l4vio_device_used *used,
                         unsigned count)
{
    struct l4vio_device_queue_slot *slots = queue->slots;
    for (; count != 0; count--, used++) {
        if (used->head >= queue->size || !l4vio_in_order_has(queue, used->head) ||
            slots[slots[used->head].place].state != TAKEN) {
            queue->counters.refused_results++;
            continue;
        }
        struct l4vio_device_queue_slot *slot = &slots[slots[used->head].place];
        slot->written_bytes = used->written_bytes;
        slot->state = FINISHED;
    }
}

bool l4vio_in_order_next(struct l4vio_device_queue *queue, uint32_t place,
                         struct l4vio_in_order_run *run)
{
    bool complete = true;
    run->chains = 0;
    run->entries = 0;
    while (complete && queue->slots[place].state == FINISHED) {
        struct l4vio_device_queue_slot *slot = &queue->slots[place];
        slot->state = FREE;
        run->chains++;
        run->entries += slot->entries;
        run->head = slot->head;
        run->written_bytes = slot->written_bytes;
        complete = slot->written_bytes == slot->writable_bytes;
        place += slot->entries;
        if (place >= queue->size)
            place -= queue->size;
    }
    return run->chains != 0;
}
