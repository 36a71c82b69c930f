/* SPDX-License-Identifier: MIT */
#include "descriptor_chain.h"

/* cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

uint16_t make_chain(struct l4vio_queue *queue, unsigned count, unsigned writable)
{
    uint16_t head = L4VIO_EOQ;
    for (unsigned i = 0; i < count; i++) {
        uint16_t id = l4vio_descriptor_alloc(queue);
        struct l4vio_descriptor *descriptor = l4vio_descriptor_get(queue, id);
        assert_non_null(descriptor);
        *descriptor = (struct l4vio_descriptor){
            .address = 0x1000u * id,
            .length_bytes = 16,
            .flags =
                (uint16_t)((i ? VIRTQ_DESC_F_NEXT : 0u) | (i < writable ? VIRTQ_DESC_F_WRITE : 0u)),
            .next = head,
        };
        head = id;
    }
    return head;
}

uint16_t tail_of(struct l4vio_queue *queue, uint16_t id)
{
    while (queue->descriptors[id].flags & VIRTQ_DESC_F_NEXT)
        id = queue->descriptors[id].next;
    return id;
}
