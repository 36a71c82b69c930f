/* SPDX-License-Identifier: MIT */
/**
 * @file device_inflight.h
 * The record of chains in flight: memory outside of the device's process where a queue writes down what it has taken
 * and not shown as used, so that a successor carries out just that when the process dies. The layout is that of
 * vhost-user (wire/vhost_user_inflight.h); who keeps the memory meanwhile is the port's matter.
 *
 * A queue keeps a record if `in_flight` of struct l4vio_device_queue_resume says where. Memory that is all zero begins
 * a new record. Any other is the record of a predecessor, dead or not: then the queue goes on where that one
 * stood, whatever `avail` says (and packed: `used`), and l4vio_device_queue_next gives the chains that it had
 * taken before any new one, in the order in which it had taken them. However the predecessor ended, at whatever
 * instruction, these are the chains that it had taken and not shown as used; a chain that it had finished but
 * not shown is among them. So requests may be carried out twice, but are answered once.
 *
 * The record lies in shared memory, which the driver's side can write: it is read once, when the queue is set up, and
 * nothing in it is believed that does not fit the ring. What a driver writes there later has no effect on this process.
 * A head or buffer id that is in flight already breaks a queue with a record: it cannot be written down twice.
 */
#ifndef L4VIO_DEVICE_INFLIGHT_H
#define L4VIO_DEVICE_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Alignment of the record of a queue, and of its size. */
#define L4VIO_DEVICE_INFLIGHT_ALIGN 64u

/** Private record per entry of a queue that keeps a record. The caller provides the memory, the library the content. */
struct l4vio_device_inflight_slot {
    uint64_t
        counter;   /**< By first entry: order among the chains of a predecessor, then their id. */
    uint16_t next; /**< By entry of the record: the next one of its chain, or of the free ones. */
    uint16_t
        order; /**< By first entry: the chain to give out after this one, or how it is taken. */
    uint16_t first; /**< By head or id: first entry of its chain; UINT16_MAX: not in flight. */
    uint16_t last;  /**< By first entry: last entry of its chain. */
};

/** State of a queue that keeps a record; part of struct l4vio_device_queue. Private. */
struct l4vio_device_inflight {
    void *region;                             /**< Shared: written only, once set up; NULL: none. */
    struct l4vio_device_inflight_slot *slots; /**< Private records. */
    uint64_t counter;                         /**< Of the next chain. */
    uint16_t head;     /**< Split: the head finished last; packed: the first free entry. */
    uint16_t resubmit; /**< First chain of a predecessor to give out; UINT16_MAX: none. */
    uint16_t place;    /**< IN_ORDER: place in the ring of that chain. */
    uint16_t reserved; /**< 0. */
};

/**
 * Size of the record of a queue.
 * @param size   entries of the queue
 * @param packed format of the queue
 * @return bytes, a multiple of L4VIO_DEVICE_INFLIGHT_ALIGN
 */
uint64_t l4vio_device_inflight_bytes(uint16_t size, bool packed);

#ifdef __cplusplus
}
#endif
#endif
