/* SPDX-License-Identifier: MIT */
#include "devices/in_order.h"

bool l4vio_in_order_rewind(struct l4vio_device_queue *queue, uint32_t place,
                           const struct l4vio_device_chain *chain)
{
    struct l4vio_device_queue_slot *slot = &queue->slots[place];
    if (slot->state != L4VIO_IN_ORDER_TAKEN || slot->head != chain->head ||
        slot->entries != chain->entries)
        return false;
    slot->state = L4VIO_IN_ORDER_FREE;
    return true;
}

/* Keeps a result until its turn comes. */
static void keep(struct l4vio_device_queue *queue, const struct l4vio_device_used *used)
{
    struct l4vio_device_queue_slot *slot = NULL;
    if (used->head < queue->size)
        slot = &queue->slots[queue->slots[used->head].place];
    if (!slot || slot->state != L4VIO_IN_ORDER_TAKEN || slot->head != used->head) {
        queue->counters.refused_results++;
        return;
    }
    slot->written_bytes = used->written_bytes;
    slot->state = L4VIO_IN_ORDER_FINISHED;
}

/* Takes what belongs to the chain at a place: kept, or the next result. Whether it is finished. */
static inline bool take_result(struct l4vio_device_queue_slot *slot,
                               struct l4vio_in_order_results *results, uint32_t *written_bytes)
{
    if (slot->state == L4VIO_IN_ORDER_TAKEN && results->next != results->end &&
        results->next->head == slot->head) {
        *written_bytes = results->next->written_bytes;
        results->next++;
    } else if (slot->state == L4VIO_IN_ORDER_FINISHED) {
        *written_bytes = slot->written_bytes;
    } else {
        return false;
    }
    slot->state = L4VIO_IN_ORDER_FREE;
    return true;
}

bool l4vio_in_order_next(struct l4vio_device_queue *queue, uint32_t place,
                         struct l4vio_in_order_results *results, struct l4vio_in_order_run *run)
{
    struct l4vio_device_queue_slot *slot = &queue->slots[place];
    uint32_t size = queue->size;
    uint32_t chains = 0;
    uint32_t entries = 0;
    uint32_t written_bytes;

    while (!take_result(slot, results, &written_bytes)) {
        if (results->next == results->end)
            return false;
        keep(queue, results->next++);
    }
    for (;;) {
        chains++;
        entries += slot->entries;
        run->head = slot->head;
        run->written_bytes = written_bytes;
        if (written_bytes != slot->writable_bytes)
            break;
        place += slot->entries;
        if (place >= size)
            place -= size;
        slot = &queue->slots[place];
        if (!take_result(slot, results, &written_bytes))
            break;
    }
    run->chains = chains;
    run->entries = entries;
    return true;
}
