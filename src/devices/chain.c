/* SPDX-License-Identifier: MIT */
#include "devices/chain.h"

#include "core/bytes.h"

__attribute__((noinline)) void *l4vio_device_chain_look_up(struct l4vio_device_queue *queue,
                                                           uint64_t address, uint64_t length_bytes)
{
    const struct l4vio_device_region *region = l4vio_device_memory_find(queue->memory, address);
    if (!region)
        return NULL;
    queue->region = region;
    return l4vio_device_region_translate(region, address, length_bytes);
}

/* The WRITE flag of an indirect descriptor has no meaning: clause V-2.7.5.3.2-1. */
const void *l4vio_device_chain_table(struct l4vio_device_queue *queue,
                                     struct l4vio_device_entry entry, bool next, uint32_t *entries)
{
    uint32_t length_bytes = l4vio_device_entry_length(entry);
    const char *why = NULL;
    uint64_t value = length_bytes;
    const void *table = NULL;
    if (!queue->indirect)
        why = "an indirect descriptor without INDIRECT_DESC";
    else if (next)
        why = "a descriptor is both INDIRECT and NEXT";
    else if (length_bytes == 0 || length_bytes % sizeof(struct virtq_desc))
        why = "the length of an indirect table is not a multiple of 16";
    else
        table = l4vio_device_chain_translate(queue, entry.address, length_bytes);

    if (!why && !table) {
        why = "an indirect table outside registered memory";
        value = entry.address;
    }
    if (why)
        l4vio_device_queue_break(queue, why, value);
    *entries = length_bytes / (uint32_t)sizeof(struct virtq_desc);
    return table;
}

static uint64_t load_bytes(const unsigned char *from, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (uint64_t)l4vio_load8(from + i) << (8 * i);
    return value;
}

struct l4vio_device_entry l4vio_device_entry_unaligned(const unsigned char *at)
{
    return (struct l4vio_device_entry){load_bytes(at, 8), load_bytes(at + 8, 8)};
}

/* Copies between private memory and a row of segments; one of `out` and `in` is NULL. */
static uint64_t copy(const struct l4vio_device_segment *segments, unsigned count,
                     uint64_t offset_bytes, unsigned char *out, const unsigned char *in,
                     uint64_t length_bytes)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < count && done < length_bytes; i++) {
        if (offset_bytes >= segments[i].length_bytes) {
            offset_bytes -= segments[i].length_bytes;
            continue;
        }
        uint64_t size_bytes = segments[i].length_bytes - offset_bytes;
        if (size_bytes > length_bytes - done)
            size_bytes = length_bytes - done;
        unsigned char *at = (unsigned char *)segments[i].base + offset_bytes;
        if (out)
            memcpy(out + done, at, (size_t)size_bytes);
        else
            memcpy(at, in + done, (size_t)size_bytes);
        done += size_bytes;
        offset_bytes = 0;
    }
    return done;
}

uint64_t l4vio_device_chain_read(const struct l4vio_device_chain *chain, uint64_t offset_bytes,
                                 void *out, uint64_t length_bytes)
{
    return copy(chain->segments, chain->readable, offset_bytes, out, NULL, length_bytes);
}

uint64_t l4vio_device_chain_write(const struct l4vio_device_chain *chain, uint64_t offset_bytes,
                                  const void *data, uint64_t length_bytes)
{
    return copy(chain->segments + chain->readable, chain->writable, offset_bytes, NULL, data,
                length_bytes);
}
