/* SPDX-License-Identifier: MIT */
/**
 * @file driver_wait.h
 * Waiting of the driver device: for a used entry, for room, for everything in flight.
 *
 * Every wait looks at the ring, spins for a while if asked to (spin.h), asks for notifications, looks
 * again and only then sleeps (B6); it ends when the peer dies (B7), when the device gives up, or at the
 * deadline, which is absolute. What was used before the end is delivered first. A timeout takes
 * nothing back.
 *
 * Threads: as the queue that is waited for; one waiter per notification.
 */
#ifndef L4VIO_DRIVER_WAIT_H
#define L4VIO_DRIVER_WAIT_H

#include "driver.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Sends one request and blocks until it is used. Other completions that arrive meanwhile are kept for
 * whoever asks next. The seed's `send_and_wait`.
 *
 * @param driver       live
 * @param queue        attached, of the descriptor level
 * @param head         head of the chain
 * @param length_bytes filled with the bytes written, may be NULL
 * @param deadline_ns  absolute deadline
 * @retval L4VIO_OK        used; the caller holds the chain again
 * @retval L4VIO_ETIMEDOUT not used in time; the device still owns the chain
 * @retval L4VIO_EINVAL    the driver is not live, or the queue is one of the buffer level
 * @return other errors as l4vio_descriptor_enqueue and l4vio_driver_wait_for_next_used
 */
int l4vio_driver_send_and_wait(struct l4vio_driver *driver, struct l4vio_queue *queue,
                               uint16_t head, uint32_t *length_bytes, uint64_t deadline_ns);

/**
 * Blocks for one notification and takes it. The seed's `wait`. Looks at no ring: for rings use the
 * calls below, which look first.
 *
 * @param driver      connected
 * @param index       notification index
 * @param deadline_ns absolute deadline
 * @retval L4VIO_OK        notified
 * @retval L4VIO_EEXIST    the index is not managed by the driver
 * @retval L4VIO_ETIMEDOUT the deadline passed
 * @retval L4VIO_EPIPE     the peer is gone (B7)
 */
int l4vio_driver_wait(struct l4vio_driver *driver, uint32_t index, uint64_t deadline_ns);

/**
 * Blocks until a used entry is there, then takes it. Looks before it sleeps (B6); spurious
 * notifications are skipped. The seed's `wait_for_next_used`.
 *
 * @param driver       live
 * @param queue        attached, of the descriptor level
 * @param length_bytes filled with the bytes written, may be NULL
 * @param deadline_ns  absolute deadline
 * @return the head id (0 or more), or:
 * @retval L4VIO_ETIMEDOUT the deadline passed
 * @retval L4VIO_EPIPE     the peer is gone
 * @retval L4VIO_EIO       DEVICE_NEEDS_RESET or FAILED is set, or the driver is not live
 * @retval L4VIO_EBADPROTO the queue is broken
 * @retval L4VIO_EEXIST    the queue's notification index is not managed
 * @retval L4VIO_EINVAL    the queue is one of the buffer level
 */
int l4vio_driver_wait_for_next_used(struct l4vio_driver *driver, struct l4vio_queue *queue,
                                    uint32_t *length_bytes, uint64_t deadline_ns);

/**
 * Blocks until the used ring has something (either level). Look, spin if configured, arm, look, sleep.
 *
 * @param driver      live
 * @param queue       attached
 * @param deadline_ns absolute deadline
 * @retval L4VIO_OK   there is something to take
 * @return else as l4vio_driver_wait_for_next_used
 */
int l4vio_driver_wait_used(struct l4vio_driver *driver, struct l4vio_queue *queue,
                           uint64_t deadline_ns);

/**
 * Blocks until any of several queues has something to take. Queues that share a notification are
 * waited for together.
 *
 * @param driver      live
 * @param queues      attached queues
 * @param count       number of queues, at most 64
 * @param deadline_ns absolute deadline
 * @return index into `queues` of one that has something, L4VIO_EINVAL for a count out of range, or
 *         an error as above
 */
int l4vio_driver_wait_any(struct l4vio_driver *driver, struct l4vio_queue *const *queues,
                          unsigned count, uint64_t deadline_ns);

/**
 * Blocks until a request of `entries` buffers fits, or until completions wait to be taken (taking them
 * makes room; buffer level).
 *
 * @param driver      live
 * @param queue       attached
 * @param entries     room needed
 * @param deadline_ns absolute deadline
 * @retval 0          there is room
 * @retval 1          take completions first, then ask again
 * @retval L4VIO_E2BIG more than the queue has entries
 * @return else as l4vio_driver_wait_for_next_used
 */
int l4vio_driver_wait_room(struct l4vio_driver *driver, struct l4vio_queue *queue, unsigned entries,
                           uint64_t deadline_ns);

/**
 * Blocks until the device owns nothing of this queue any more; completions go to `completed`.
 *
 * @param driver      live
 * @param queue       attached, of the buffer level
 * @param completed   called per completion, may be NULL
 * @param context     its first argument
 * @param deadline_ns absolute deadline
 * @retval L4VIO_OK   nothing in flight
 * @return else as l4vio_driver_wait_for_next_used
 */
int l4vio_driver_drain(struct l4vio_driver *driver, struct l4vio_queue *queue,
                       void (*completed)(void *context, const struct l4vio_completion *completion),
                       void *context, uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif
#endif
