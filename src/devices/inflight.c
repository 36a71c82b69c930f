/* SPDX-License-Identifier: MIT */
/* What records of both formats have in common. */
#include "devices/inflight.h"

#include "core/bytes.h"

/* Heads are below 2^15: lists of 2^0 to 2^15 chains. */
#define LISTS 16u

uint64_t l4vio_device_inflight_bytes(uint16_t size, bool packed)
{
    uint64_t head_bytes = packed ? sizeof(struct vhost_user_inflight_packed)
                                 : sizeof(struct vhost_user_inflight_split);
    uint64_t entry_bytes = packed ? sizeof(struct vhost_user_inflight_packed_desc)
                                  : sizeof(struct vhost_user_inflight_split_desc);
    uint64_t bytes = head_bytes + size * entry_bytes;
    return (bytes + L4VIO_DEVICE_INFLIGHT_ALIGN - 1) & ~(uint64_t)(L4VIO_DEVICE_INFLIGHT_ALIGN - 1);
}

int l4vio_inflight_begin(struct l4vio_device_queue *queue,
                         const struct l4vio_device_queue_resume *resume, bool packed,
                         struct l4vio_error *error)
{
    if ((uintptr_t)resume->in_flight % sizeof(uint64_t))
        return l4vio_fail(error, L4VIO_EINVAL, "the record of what is in flight is not aligned", 0);
    if (resume->in_flight_bytes < l4vio_device_inflight_bytes(queue->size, packed))
        return l4vio_fail(error, L4VIO_EINVAL, "the record of what is in flight is too small",
                          resume->in_flight_bytes);
    if (!resume->in_flight_slots)
        return l4vio_fail(error, L4VIO_EINVAL, "no private records for what is in flight", 0);

    queue->inflight = (struct l4vio_device_inflight){
        .region = resume->in_flight,
        .slots = resume->in_flight_slots,
        .resubmit = L4VIO_INFLIGHT_NONE,
    };
    for (uint32_t i = 0; i < queue->size; i++)
        queue->inflight.slots[i] = (struct l4vio_device_inflight_slot){
            .order = L4VIO_INFLIGHT_NONE, .first = L4VIO_INFLIGHT_NONE};
    return L4VIO_OK;
}

int l4vio_inflight_check(const struct l4vio_device_queue *queue, struct l4vio_error *error)
{
    /* Features, version and desc_num lie at the same places in both. */
    const struct vhost_user_inflight_split *region = queue->inflight.region;
    uint16_t version = l4vio_record_load16(&region->version);
    uint16_t entries = l4vio_record_load16(&region->desc_num);
    if (version == 0)
        return 0;
    if (version != VHOST_USER_INFLIGHT_VERSION || l4vio_record_load64(&region->features) != 0)
        return l4vio_fail(error, L4VIO_EINVAL, "an in-flight record of an unknown version",
                          version);
    if (entries != queue->size)
        return l4vio_fail(error, L4VIO_EINVAL, "an in-flight record of a queue of another size",
                          entries);
    return 1;
}

/* Two sorted lists become one. */
static uint16_t merge(struct l4vio_device_inflight_slot *slots, uint16_t one, uint16_t other)
{
    uint16_t head = L4VIO_INFLIGHT_NONE;
    uint16_t *last = &head;
    while (one != L4VIO_INFLIGHT_NONE && other != L4VIO_INFLIGHT_NONE) {
        uint16_t *from = slots[one].counter <= slots[other].counter ? &one : &other;
        *last = *from;
        last = &slots[*from].order;
        *from = *last;
    }
    *last = one != L4VIO_INFLIGHT_NONE ? one : other;
    return head;
}

/* lists[n] has 2^n chains or none: as in counting, the same are put together. */
static uint16_t sorted(struct l4vio_device_inflight_slot *slots, uint16_t list)
{
    uint16_t lists[LISTS];
    for (unsigned i = 0; i < LISTS; i++)
        lists[i] = L4VIO_INFLIGHT_NONE;
    while (list != L4VIO_INFLIGHT_NONE) {
        uint16_t one = list;
        unsigned i = 0;
        list = slots[one].order;
        slots[one].order = L4VIO_INFLIGHT_NONE;
        for (; i + 1 < LISTS && lists[i] != L4VIO_INFLIGHT_NONE; i++) {
            one = merge(slots, lists[i], one);
            lists[i] = L4VIO_INFLIGHT_NONE;
        }
        lists[i] = merge(slots, lists[i], one);
    }
    for (unsigned i = 0; i < LISTS; i++)
        list = merge(slots, lists[i], list);
    return list;
}

int l4vio_inflight_sort(struct l4vio_device_queue *queue, struct l4vio_error *error)
{
    struct l4vio_device_inflight *record = &queue->inflight;
    record->resubmit = sorted(record->slots, record->resubmit);
    for (uint16_t at = record->resubmit; at != L4VIO_INFLIGHT_NONE;) {
        const struct l4vio_device_inflight_slot *slot = &record->slots[at];
        if (slot->counter < record->counter || slot->counter == UINT64_MAX)
            return l4vio_fail(error, L4VIO_EINVAL, "an in-flight record without an order",
                              slot->counter);
        record->counter = slot->counter + 1;
        at = slot->order;
    }
    return L4VIO_OK;
}
