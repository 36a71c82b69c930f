/* SPDX-License-Identifier: MIT */
/*
 * The record of a split ring. A chain is in flight once its entry says so. Those of a batch are linked
 * before used.idx shows them and cleared afterwards: `used_idx` tells a successor whether that was done.
 */
#include "devices/inflight.h"
#include "devices/split.h"

static struct vhost_user_inflight_split *region_of(const struct l4vio_device_queue *queue)
{
    return queue->inflight.region;
}

static struct vhost_user_inflight_split_desc *entries_of(const struct l4vio_device_queue *queue)
{
    return (struct vhost_user_inflight_split_desc *)(void *)(region_of(queue) + 1);
}

static uint16_t used_index_in_ring(const struct l4vio_device_queue *queue)
{
    return l4vio_load16_acquire(&((const struct virtq_used *)queue->used)->idx);
}

/* Which heads the entries say to be in flight; their number or a negative code. */
static int read_entries(struct l4vio_device_queue *queue, struct l4vio_error *error)
{
    const struct vhost_user_inflight_split_desc *entries = entries_of(queue);
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    int count = 0;
    for (uint32_t i = 0; i < queue->size; i++) {
        uint8_t inflight = l4vio_record_load8(&entries[i].inflight);
        if (inflight > 1)
            return l4vio_fail(error, L4VIO_EINVAL, "an entry of an in-flight record is wrong", i);
        if (!inflight)
            continue;
        slots[i].first = (uint16_t)i;
        slots[i].counter = l4vio_record_load64(&entries[i].counter);
        count++;
    }
    return count;
}

/* Those of the last batch were shown as used, whatever their entries say. They become FREE here. */
static int drop_batch(struct l4vio_device_queue *queue, uint32_t head, uint32_t batch,
                      struct l4vio_error *error)
{
    const struct vhost_user_inflight_split_desc *entries = entries_of(queue);
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    if (batch > queue->size)
        return l4vio_fail(error, L4VIO_EINVAL, "an in-flight record of another used ring", batch);
    for (; batch; batch--) {
        if (head >= queue->size || slots[head].order == L4VIO_INFLIGHT_FREE)
            return l4vio_fail(error, L4VIO_EINVAL, "the last batch of an in-flight record is wrong",
                              head);
        slots[head].order = L4VIO_INFLIGHT_FREE;
        slots[head].first = L4VIO_INFLIGHT_NONE;
        head = l4vio_record_load16(&entries[head].next);
    }
    return L4VIO_OK;
}

/* Puts what is in flight into the list to give out; returns the number. */
static uint32_t list_chains(struct l4vio_device_queue *queue)
{
    uint32_t count = 0;
    for (uint32_t i = queue->size; i-- > 0;) {
        if (queue->inflight.slots[i].first == L4VIO_INFLIGHT_NONE)
            continue;
        l4vio_inflight_wait_again(queue, (uint16_t)i);
        count++;
    }
    return count;
}

/* Completes what the predecessor was doing. Who dies here leaves as much to do for the next one. */
static void repair(const struct l4vio_device_queue *queue, uint16_t used)
{
    for (uint32_t i = 0; i < queue->size; i++) {
        if (queue->inflight.slots[i].order == L4VIO_INFLIGHT_FREE)
            l4vio_inflight_split_clear(queue, (uint16_t)i);
    }
    l4vio_record_store16(&region_of(queue)->used_idx, used);
}

/*
 * Every chain that was taken is in flight or used, so what is available begins behind both. A record with nothing
 * in flight knows nothing of a ring that was begun anew since.
 */
int l4vio_inflight_split_resume(struct l4vio_device_queue *queue,
                                struct l4vio_device_queue_resume *at, struct l4vio_error *error)
{
    uint16_t used = used_index_in_ring(queue);
    uint16_t recorded = l4vio_record_load16(&region_of(queue)->used_idx);
    uint16_t head = l4vio_record_load16(&region_of(queue)->last_batch_head);
    int result = read_entries(queue, error);
    if (result > 0)
        result = drop_batch(queue, head, (uint16_t)(used - recorded), error);
    if (result < 0)
        return result;
    uint32_t count = list_chains(queue);
    result = l4vio_inflight_sort(queue, error);
    if (result)
        return result;

    repair(queue, used);
    queue->inflight.head = head;
    queue->inflight.place = (uint16_t)l4vio_split_place(queue, used);
    queue->in_flight = (uint16_t)count;
    at->used = used;
    at->used_in_ring = false;
    at->avail = (uint16_t)(used + count);
    return L4VIO_OK;
}

void l4vio_inflight_split_new(const struct l4vio_device_queue *queue)
{
    struct vhost_user_inflight_split *region = region_of(queue);
    struct vhost_user_inflight_split_desc *entries = entries_of(queue);
    for (uint32_t i = 0; i < queue->size; i++) {
        l4vio_record_store8(&entries[i].inflight, 0);
        l4vio_record_store16(&entries[i].next, 0);
        l4vio_record_store64(&entries[i].counter, 0);
    }
    l4vio_record_store64(&region->features, 0);
    l4vio_record_store16(&region->desc_num, queue->size);
    l4vio_record_store16(&region->last_batch_head, 0);
    l4vio_record_store16(&region->used_idx, queue->used_index);
    /* From here on it is a record. */
    l4vio_record_store16(&region->version, VHOST_USER_INFLIGHT_VERSION);
}

bool l4vio_inflight_split_take(struct l4vio_device_queue *queue, uint16_t head)
{
    struct vhost_user_inflight_split_desc *entry = &entries_of(queue)[head];
    struct l4vio_device_inflight_slot *slot = &queue->inflight.slots[head];
    if (slot->first != L4VIO_INFLIGHT_NONE)
        return false;
    slot->first = head;
    slot->order = L4VIO_INFLIGHT_TAKEN;
    l4vio_record_store64(&entry->counter, queue->inflight.counter++);
    l4vio_record_store8(&entry->inflight, 1);
    return true;
}

void l4vio_inflight_split_rewind(struct l4vio_device_queue *queue, uint16_t head)
{
    queue->inflight.slots[head].first = L4VIO_INFLIGHT_NONE;
    l4vio_inflight_split_clear(queue, head);
}

void l4vio_inflight_split_batch(struct l4vio_device_queue *queue, uint16_t head)
{
    queue->inflight.slots[head].first = L4VIO_INFLIGHT_NONE;
    l4vio_record_store16(&entries_of(queue)[head].next, queue->inflight.head);
    queue->inflight.head = head;
    l4vio_record_store16(&region_of(queue)->last_batch_head, head);
}

void l4vio_inflight_split_clear(const struct l4vio_device_queue *queue, uint16_t head)
{
    l4vio_record_store8(&entries_of(queue)[head].inflight, 0);
}

void l4vio_inflight_split_cleared(const struct l4vio_device_queue *queue)
{
    l4vio_record_store16(&region_of(queue)->used_idx, queue->used_index);
}
