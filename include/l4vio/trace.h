/* SPDX-License-Identifier: MIT */
/**
 * @file trace.h
 * The trace hook: one function that is told of rare events (status changes, memory, kicks, sleeps,
 * breakage). It is never called per descriptor. The hook runs in the thread of the call that it
 * traces, must not call back into the library, and costs one test of a pointer when unset.
 */
#ifndef L4VIO_TRACE_H
#define L4VIO_TRACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What happened. */
enum l4vio_trace_kind {
    L4VIO_TRACE_STATUS,          /**< Status written: a = old, b = new. */
    L4VIO_TRACE_FEATURES,        /**< Features settled: a = words 0 and 1, b = words 2 and 3. */
    L4VIO_TRACE_QUEUE_READY,     /**< Queue configured: a = size. */
    L4VIO_TRACE_MAP,             /**< Memory registered: a = device address, b = bytes. */
    L4VIO_TRACE_UNMAP,           /**< Memory taken back: a = device address, b = bytes. */
    L4VIO_TRACE_KICK,            /**< Peer notified: a = available or used index. */
    L4VIO_TRACE_KICK_SUPPRESSED, /**< Peer asked for no notification: a = index. */
    L4VIO_TRACE_SLEEP,           /**< About to sleep: a = deadline in ns. */
    L4VIO_TRACE_WAKE,            /**< Woke: a = 1 if it was spurious. */
    L4VIO_TRACE_BROKEN,    /**< Queue broken by the peer: a = error code, b = the bad value. */
    L4VIO_TRACE_RESET,     /**< Device or queue reset. */
    L4VIO_TRACE_PEER_GONE, /**< A call or a wait found that the peer is gone. */
};

/** One event. */
struct l4vio_trace_event {
    enum l4vio_trace_kind kind; /**< What happened. */
    uint32_t queue;             /**< Queue index, UINT32_MAX if the event is not of a queue. */
    uint64_t a;                 /**< See enum l4vio_trace_kind. */
    uint64_t b;                 /**< See enum l4vio_trace_kind. */
};

/** The hook. Caller-owned, must outlive the object that it is given to. */
struct l4vio_trace {
    void (*event)(void *self, const struct l4vio_trace_event *event); /**< Called per event. */
    void *self;                                                       /**< First argument. */
};

#ifdef __cplusplus
}
#endif
#endif
