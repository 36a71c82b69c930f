/* SPDX-License-Identifier: MIT */
/*
 * Descriptor level. An id is free, held by the caller, in flight or kept; u.descriptor.link of its
 * slot says which (queue_state.h), and only a held id may be filled, enqueued, kept or freed.
 */
#include <l4vio/descriptors.h>

#include <l4vio/wire/ring.h>

#include "core/ring_format.h"

static uint16_t *link_of(struct l4vio_queue *queue, uint16_t id)
{
    return &queue->slots[id].u.descriptor.link;
}

static bool held(struct l4vio_queue *queue, uint16_t id)
{
    return queue->descriptors && id < queue->size && *link_of(queue, id) == L4VIO_ID_HELD;
}

uint16_t l4vio_descriptor_alloc(struct l4vio_queue *queue)
{
    if (!queue->descriptors || queue->id_free_head == L4VIO_EOQ)
        return L4VIO_EOQ;

    uint16_t id = queue->id_free_head;
    queue->id_free_head = *link_of(queue, id);
    *link_of(queue, id) = L4VIO_ID_HELD;
    queue->descriptors[id] = (struct l4vio_descriptor){0};
    return id;
}

struct l4vio_descriptor *l4vio_descriptor_get(struct l4vio_queue *queue, uint16_t id)
{
    return held(queue, id) ? &queue->descriptors[id] : NULL;
}

/* What a checked chain amounts to. */
struct chain {
    uint16_t count;
    uint32_t writable_bytes;
};

static int check_chain(struct l4vio_queue *queue, uint16_t head, struct chain *chain)
{
    uint64_t total_bytes = 0;
    uint64_t writable_bytes = 0;
    uint16_t id = head;

    /* A chain longer than the queue has an id twice. */
    for (uint32_t count = 1; count <= queue->size; count++) {
        if (!held(queue, id))
            return L4VIO_EINVAL;
        const struct l4vio_descriptor *descriptor = &queue->descriptors[id];
        bool writable = descriptor->flags & VIRTQ_DESC_F_WRITE;
        if (descriptor->length_bytes == 0 ||
            (descriptor->flags & ~(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE)) != 0 ||
            (!writable && writable_bytes != 0))
            return L4VIO_EINVAL;
        total_bytes += descriptor->length_bytes;
        if (writable)
            writable_bytes += descriptor->length_bytes;
        if (!(descriptor->flags & VIRTQ_DESC_F_NEXT)) {
            chain->count = (uint16_t)count;
            chain->writable_bytes = (uint32_t)writable_bytes;
            return total_bytes > UINT32_MAX ? L4VIO_EINVAL : L4VIO_OK;
        }
        id = descriptor->next;
    }
    return L4VIO_EINVAL;
}

int l4vio_descriptor_enqueue(struct l4vio_queue *queue, uint16_t head)
{
    if (queue->broken)
        return queue->broken;
    if (!queue->descriptors)
        return L4VIO_EINVAL;

    struct chain chain;
    int result = check_chain(queue, head, &chain);
    if (result < 0)
        return result;
    if (chain.count > l4vio_queue_room(queue))
        return L4VIO_EAGAIN;

    queue->format->add_chain(queue, head, chain.count, chain.writable_bytes);
    l4vio_queue_publish(queue);
    return L4VIO_OK;
}

uint16_t l4vio_descriptor_take_used(struct l4vio_queue *queue, uint32_t *length_bytes)
{
    struct l4vio_completion completion;
    if (!queue->descriptors || queue->broken ||
        queue->format->get_used_chain(queue, &completion) <= 0)
        return L4VIO_EOQ;

    if (length_bytes)
        *length_bytes = completion.length_bytes;
    return (uint16_t)(uintptr_t)completion.cookie;
}

uint16_t l4vio_descriptor_find_next_used(struct l4vio_queue *queue, uint32_t *length_bytes)
{
    if (!queue->descriptors)
        return L4VIO_EOQ;

    uint16_t kept = queue->kept_head;
    if (kept != L4VIO_EOQ && l4vio_descriptor_take_kept(queue, kept, length_bytes))
        return kept;
    return l4vio_descriptor_take_used(queue, length_bytes);
}

int l4vio_descriptor_keep(struct l4vio_queue *queue, uint16_t head, uint32_t length_bytes)
{
    if (!held(queue, head))
        return L4VIO_EINVAL;

    if (queue->kept_tail == L4VIO_EOQ)
        queue->kept_head = head;
    else
        *link_of(queue, queue->kept_tail) = head;
    queue->kept_tail = head;
    *link_of(queue, head) = L4VIO_EOQ;
    queue->slots[head].u.descriptor.length = length_bytes;
    return L4VIO_OK;
}

bool l4vio_descriptor_take_kept(struct l4vio_queue *queue, uint16_t head, uint32_t *length_bytes)
{
    if (!queue->descriptors)
        return false;

    uint16_t before = L4VIO_EOQ;
    uint16_t id = queue->kept_head;
    while (id != L4VIO_EOQ && id != head) {
        before = id;
        id = *link_of(queue, id);
    }
    if (id == L4VIO_EOQ)
        return false;

    uint16_t after = *link_of(queue, id);
    if (before == L4VIO_EOQ)
        queue->kept_head = after;
    else
        *link_of(queue, before) = after;
    if (queue->kept_tail == id)
        queue->kept_tail = before;
    *link_of(queue, id) = L4VIO_ID_HELD;
    if (length_bytes)
        *length_bytes = queue->slots[id].u.descriptor.length;
    return true;
}

/* Whether head to tail can be freed, all of it. */
static int check_free(struct l4vio_queue *queue, uint16_t head, uint16_t tail)
{
    uint16_t id = head;
    for (uint32_t count = 1; count <= queue->size; count++) {
        if (id >= queue->size)
            return L4VIO_EINVAL;
        if (*link_of(queue, id) == L4VIO_ID_IN_FLIGHT)
            return L4VIO_EBUSY;
        if (!held(queue, id))
            return L4VIO_EINVAL;
        if (id == tail)
            return L4VIO_OK;
        if (!(queue->descriptors[id].flags & VIRTQ_DESC_F_NEXT))
            return L4VIO_EINVAL;
        id = queue->descriptors[id].next;
    }
    return L4VIO_EINVAL;
}

int l4vio_descriptor_free(struct l4vio_queue *queue, uint16_t head, uint16_t tail)
{
    if (!queue->descriptors)
        return L4VIO_EINVAL;
    int result = check_free(queue, head, tail);
    if (result < 0)
        return result;

    for (uint16_t id = head;; id = queue->descriptors[id].next) {
        *link_of(queue, id) = queue->id_free_head;
        queue->id_free_head = id;
        if (id == tail)
            return L4VIO_OK;
    }
}
