/* SPDX-License-Identifier: MIT */
#include "core/indirect.h"

#include "core/ordering.h"

/*
 * The last 32 bits of a descriptor, which are what the formats differ in. Split (clause D-2.7.5.3.1-5):
 * flags and next, linked one behind the other. Packed: a reserved id, and flags of which only WRITE
 * means anything (clause D-2.8.19-2); its order is that of the table.
 */
static uint32_t split_end(uint32_t index, bool last, uint32_t write)
{
    return last ? write : write | VIRTQ_DESC_F_NEXT | (index + 1u) << 16;
}

static uint32_t packed_end(uint32_t write)
{
    return write << 16;
}

int64_t l4vio_indirect_write(const struct l4vio_queue *queue, const struct l4vio_request *request,
                             uint32_t table)
{
    const uint32_t readable = request->readable;
    const uint32_t count = readable + request->writable;
    const struct l4vio_buffer *buffer = request->buffers;
    struct virtq_desc *desc =
        (struct virtq_desc *)queue->indirect.memory + (uint64_t)table * queue->indirect.entries;
    uint64_t total_bytes = 0;
    uint64_t readable_bytes = 0;

    for (uint32_t i = 0; i < count; i++, buffer++, desc++) {
        const uint32_t length_bytes = buffer->length_bytes;
        const uint32_t write = i < readable ? 0 : VIRTQ_DESC_F_WRITE;
        if (length_bytes == 0)
            return -1;
        total_bytes += length_bytes;
        if (!write)
            readable_bytes = total_bytes;
        l4vio_store64(&desc->addr, buffer->address);
        l4vio_store32(&desc->len, length_bytes);
        l4vio_store32((l4vio_le32 *)(void *)&desc->flags,
                      queue->packed ? packed_end(write) : split_end(i, i + 1u == count, write));
    }
    return total_bytes >> 32 ? -1 : (int64_t)(total_bytes - readable_bytes);
}
