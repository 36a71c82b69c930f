/* SPDX-License-Identifier: MIT */
/*
 * Indirect tables (VIRTIO 1.4, sections 2.7.5.3 and 2.8.8), for both ring formats. A request takes the
 * table with the number of its ring entry, so that nothing has to be allocated and whoever owns the
 * entry owns the table.
 */
#ifndef L4VIO_INDIRECT_H
#define L4VIO_INDIRECT_H

#include "core/queue_state.h"

/* Does a request of so many buffers go into a table? Longer ones take a chain of ring entries. */
static inline bool l4vio_indirect_fits(const struct l4vio_queue *queue, uint32_t buffers)
{
    return queue->indirect.memory && buffers >= 2 && buffers <= queue->indirect.entries;
}

/* What the descriptor of a table in the ring says. */
static inline uint64_t l4vio_indirect_address(const struct l4vio_queue *queue, uint32_t table)
{
    return queue->indirect.device_address +
           (uint64_t)table * queue->indirect.entries * sizeof(struct virtq_desc);
}
static inline uint32_t l4vio_indirect_bytes(uint32_t buffers)
{
    return buffers * (uint32_t)sizeof(struct virtq_desc);
}

/*
 * Writes the buffers of a request, which are as many as fit, into the table of this number, in the
 * layout of the queue's format. Returns the writable bytes, or less than 0 if the request is not
 * valid; then the content of the table does not matter.
 */
int64_t l4vio_indirect_write(const struct l4vio_queue *queue, const struct l4vio_request *request,
                             uint32_t table);

#endif
