/* SPDX-License-Identifier: MIT */
#include "devices/chain.h"

#include "core/bytes.h"
#include "core/ordering.h"

/* A chain describes less than 2^32 bytes: `written_bytes` of the used ring cannot say 2^32. */
#define CHAIN_BYTES_MAX UINT64_C(0xffffffff)

/* A descriptor as read: what is checked is what is used. */
struct descriptor {
    uint64_t address;
    uint32_t length_bytes;
    uint16_t flags;
    uint16_t next;
};

/* Where the walk stands. */
struct walk {
    const struct l4vio_device_queue *queue;
    struct l4vio_device_chain *chain;
    unsigned segments_max;
    unsigned count; /* Buffers so far. */
    const void *table;
    uint32_t table_entries;
    bool in_indirect;
    struct l4vio_error *error;
};

static uint64_t load_bytes(const unsigned char *from, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (uint64_t)l4vio_load8(from + i) << (8 * i);
    return value;
}

/* The one place that reads descriptors. An indirect table may lie anywhere, aligned or not. */
static struct descriptor load_descriptor(const void *table, uint32_t index)
{
    const unsigned char *at = (const unsigned char *)table + (uint64_t)index * 16u;
    if ((uintptr_t)at % _Alignof(struct virtq_desc)) {
        return (struct descriptor){.address = load_bytes(at, 8),
                                   .length_bytes = (uint32_t)load_bytes(at + 8, 4),
                                   .flags = (uint16_t)load_bytes(at + 12, 2),
                                   .next = (uint16_t)load_bytes(at + 14, 2)};
    }
    const struct virtq_desc *desc = (const struct virtq_desc *)(const void *)at;
    return (struct descriptor){.address = l4vio_load64(&desc->addr),
                               .length_bytes = l4vio_load32(&desc->len),
                               .flags = l4vio_load16(&desc->flags),
                               .next = l4vio_load16(&desc->next)};
}

static int bad(struct walk *walk, const char *text, uint64_t value)
{
    return l4vio_fail(walk->error, L4VIO_EBADPROTO, text, value);
}

/* Goes over to an indirect table (its WRITE flag has no meaning: clause V-2.7.5.3.2-1). */
static int enter_indirect(struct walk *walk, const struct descriptor *desc)
{
    if (!walk->queue->indirect)
        return bad(walk, "an indirect descriptor without INDIRECT_DESC", desc->address);
    if (walk->in_indirect)
        return bad(walk, "an indirect descriptor inside an indirect table", desc->address);
    if (desc->flags & VIRTQ_DESC_F_NEXT)
        return bad(walk, "a descriptor is both INDIRECT and NEXT", desc->next);
    if (desc->length_bytes == 0 || desc->length_bytes % sizeof(struct virtq_desc))
        return bad(walk, "the length of an indirect table is not a multiple of 16",
                   desc->length_bytes);

    walk->table =
        l4vio_device_memory_translate(walk->queue->memory, desc->address, desc->length_bytes);
    if (!walk->table)
        return bad(walk, "an indirect table outside registered memory", desc->address);
    walk->table_entries = desc->length_bytes / (uint32_t)sizeof(struct virtq_desc);
    walk->in_indirect = true;
    return L4VIO_OK;
}

static int add_segment(struct walk *walk, const struct descriptor *desc)
{
    struct l4vio_device_chain *chain = walk->chain;
    bool writable = desc->flags & VIRTQ_DESC_F_WRITE;
    if (!writable && chain->writable)
        return bad(walk, "a readable descriptor after a writable one", walk->count);
    /* Nothing is accessed, so its address does not matter. */
    if (desc->length_bytes == 0)
        return L4VIO_OK;

    unsigned place = (unsigned)chain->readable + chain->writable;
    if (place >= walk->segments_max)
        return bad(walk, "a chain has more segments than the device takes", walk->segments_max);
    if (desc->length_bytes > CHAIN_BYTES_MAX - chain->readable_bytes - chain->writable_bytes)
        return bad(walk, "a chain of 2^32 bytes or more", desc->length_bytes);
    void *base =
        l4vio_device_memory_translate(walk->queue->memory, desc->address, desc->length_bytes);
    if (!base)
        return bad(walk, "a buffer outside registered memory", desc->address);

    chain->segments[place] =
        (struct l4vio_device_segment){.base = base, .length_bytes = desc->length_bytes};
    if (writable) {
        chain->writable++;
        chain->writable_bytes += desc->length_bytes;
    } else {
        chain->readable++;
        chain->readable_bytes += desc->length_bytes;
    }
    return L4VIO_OK;
}

int l4vio_device_chain_walk(const struct l4vio_device_queue *queue, uint16_t head,
                            struct l4vio_device_chain *chain, unsigned segments_max,
                            struct l4vio_error *error)
{
    struct walk walk = {.queue = queue,
                        .chain = chain,
                        .segments_max = segments_max,
                        .table = queue->desc,
                        .table_entries = queue->size,
                        .error = error};
    uint32_t index = head;
    for (;;) {
        struct descriptor desc = load_descriptor(walk.table, index);
        if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
            int result = enter_indirect(&walk, &desc);
            if (result)
                return result;
            index = 0;
            continue;
        }
        /* A cycle ends here too: no chain has more buffers than the queue has entries, inside an
         * indirect table neither (clause D-2.7.5.3.1-3). */
        if (walk.count == queue->size)
            return bad(&walk, "a chain longer than the queue", queue->size);
        walk.count++;

        int result = add_segment(&walk, &desc);
        if (result)
            return result;
        if (!(desc.flags & VIRTQ_DESC_F_NEXT))
            return L4VIO_OK;
        if (desc.next >= walk.table_entries)
            return bad(&walk, "the next descriptor is out of range", desc.next);
        index = desc.next;
    }
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
