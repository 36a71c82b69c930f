/* SPDX-License-Identifier: MIT */
/* What the ring formats and both levels of a driver queue share. */
#ifndef L4VIO_QUEUE_STATE_H
#define L4VIO_QUEUE_STATE_H

#include <l4vio/descriptors.h>

/*
 * Values of u.descriptor.link, the state of a private id. An id on the free list or on the kept
 * list has a link to the next one (below VIRTQ_SIZE_MAX) or L4VIO_EOQ; these two are neither.
 */
#define L4VIO_ID_HELD      UINT16_C(0xfffe) /* By the caller: allocated, or completed. */
#define L4VIO_ID_IN_FLIGHT UINT16_C(0xfffd) /* Part of a chain that the device owns. */

/*
 * The two halves of a slot's link: the next entry, and the entries of the chain in flight of which
 * this is the head (0: it is not). One word, so that both are written at once.
 */
static inline uint32_t l4vio_slot_next(const struct l4vio_queue_slot *slot)
{
    return slot->link & UINT16_MAX;
}
static inline uint32_t l4vio_slot_count(const struct l4vio_queue_slot *slot)
{
    return slot->link >> 16;
}
static inline uint32_t l4vio_slot_link(uint32_t next, uint32_t count)
{
    return next | count << 16;
}

/*
 * An index below `size` as it is, any other as 0, without a branch: after the check that an index is
 * good, so that not even a mispredicted check looks outside the slots. The compiler must not know
 * what was checked, or it leaves this out.
 */
static inline uint32_t l4vio_masked_index(uint32_t index, uint32_t size)
{
    int32_t below = (int32_t)(index - size);
    __asm__("" : "+r"(below));
    return index & (uint32_t)(below >> 31);
}

/*
 * Breaks the queue for good, counts and traces it. The cold end of every check of what the device
 * wrote.
 */
int l4vio_queue_break(struct l4vio_queue *queue, const char *text, uint64_t value);

/*
 * The next completion in the ring itself, not looking at the kept ones; otherwise as
 * l4vio_descriptor_find_next_used. For a wait that keeps what it was not asked for.
 */
uint16_t l4vio_descriptor_take_used(struct l4vio_queue *queue, uint32_t *length_bytes);

/*
 * Adds to a counter that another thread may read. 32-bit machines have no 64-bit access that needs
 * no help from a library; a reader there may see half of a carry.
 */
static inline void l4vio_count(uint64_t *counter, uint64_t by)
{
#if __SIZEOF_POINTER__ >= 8
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
#else
    *counter += by;
#endif
}

/*
 * Moves an index on that another thread may read as part of a counter. Both forms store an aligned
 * word once; of the atomic one gcc makes three instructions.
 */
static inline void l4vio_advance(uint64_t *index, uint64_t by)
{
#if defined(__SANITIZE_THREAD__)
    l4vio_count(index, by);
#else
    *index += by;
#endif
}

#endif
