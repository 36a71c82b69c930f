/* SPDX-License-Identifier: MIT */
/**
 * @file descriptors.h
 * The driver's side of a virtqueue, descriptor level, as the seed has it: allocate descriptors, fill
 * and chain them, enqueue the head, find the next used, free.
 *
 * A descriptor number is a private id, not a ring index. The descriptors that the caller fills are
 * private shadow descriptors (native byte order); enqueueing checks the chain and copies it into the
 * ring. Ids of a chain that the device owns cannot be freed.
 *
 * Threads: as queue.h.
 */
#ifndef L4VIO_DESCRIPTORS_H
#define L4VIO_DESCRIPTORS_H

#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A shadow descriptor, 16 bytes, filled by the caller in native byte order. */
struct l4vio_descriptor {
    uint64_t address;      /**< Device address. */
    uint32_t length_bytes; /**< At least 1. */
    uint16_t flags;        /**< VIRTQ_DESC_F_NEXT and VIRTQ_DESC_F_WRITE only. */
    uint16_t next;         /**< Id of the next descriptor if VIRTQ_DESC_F_NEXT. */
};

/**
 * Allocates a descriptor; it is cleared.
 * @param queue a queue of the descriptor level
 * @return its id, or L4VIO_EOQ if none is free
 */
uint16_t l4vio_descriptor_alloc(struct l4vio_queue *queue);

/**
 * The descriptor of an id, to be filled. The seed's `desc(i)`.
 * @param queue a queue of the descriptor level
 * @param id    an allocated id
 * @return the descriptor, or NULL if the caller does not hold that id (free, or in flight)
 */
struct l4vio_descriptor *l4vio_descriptor_get(struct l4vio_queue *queue, uint16_t id);

/**
 * Makes a chain available: checks it, copies it into the ring and publishes it.
 *
 * @param queue a queue of the descriptor level
 * @param head  id of the first descriptor
 * @retval L4VIO_OK        the device owns the chain now
 * @retval L4VIO_EINVAL    an id out of range or not held; a cycle; an empty descriptor; a flag other
 *                         than NEXT and WRITE; a readable descriptor after a writable one; 2^32 bytes
 *                         or more in all
 * @retval L4VIO_EAGAIN    no room in the ring now
 * @retval L4VIO_EBADPROTO the queue is broken
 */
int l4vio_descriptor_enqueue(struct l4vio_queue *queue, uint16_t head);

/**
 * The next completed chain; the caller holds its ids again. Completions that were kept for later by
 * l4vio_driver_send_and_wait come first.
 *
 * @param queue        a queue of the descriptor level
 * @param length_bytes filled with the bytes written, may be NULL
 * @return the head id, or L4VIO_EOQ if there is none or the queue is broken: ask
 *         l4vio_queue_broken_error
 */
uint16_t l4vio_descriptor_find_next_used(struct l4vio_queue *queue, uint32_t *length_bytes);

/**
 * Puts a completion back for whoever asks next: at the end of the kept ones.
 *
 * @param queue        a queue of the descriptor level
 * @param head         an id that l4vio_descriptor_find_next_used just returned
 * @param length_bytes its length
 * @retval L4VIO_OK     kept
 * @retval L4VIO_EINVAL the caller does not hold that id
 */
int l4vio_descriptor_keep(struct l4vio_queue *queue, uint16_t head, uint32_t length_bytes);

/**
 * Takes one particular completion, if it was kept.
 * @param queue        a queue of the descriptor level
 * @param head         the id of the chain
 * @param length_bytes filled, may be NULL
 * @return whether it was kept; it no longer is
 */
bool l4vio_descriptor_take_kept(struct l4vio_queue *queue, uint16_t head, uint32_t *length_bytes);

/**
 * Frees a chain from `head` to `tail` along the shadow descriptors. Nothing is freed on failure.
 *
 * @param queue a queue of the descriptor level
 * @param head  first id
 * @param tail  last id
 * @retval L4VIO_OK     freed
 * @retval L4VIO_EBUSY  the device owns it (B8)
 * @retval L4VIO_EINVAL an id out of range or free already; `tail` is not on the chain
 */
int l4vio_descriptor_free(struct l4vio_queue *queue, uint16_t head, uint16_t tail);

#ifdef __cplusplus
}
#endif
#endif
