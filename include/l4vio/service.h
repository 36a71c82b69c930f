/* SPDX-License-Identifier: MIT */
/**
 * @file service.h
 * What a server serves: the interface between a server of clients (l4_unix.h) and a device class. The
 * service makes one device for each client; the server brings the client's calls to it and has its
 * queues worked on. Block devices: block_service.h; a device of one's own: implement `create`,
 * `destroy` and `process`, as examples/own_device_server.c does.
 *
 * A *worker* is a thread of the server that works on queues: one for all of them, or one for each
 * queue index. A queue of a device has the same worker for all its life.
 *
 * Threads: the server calls `create`, `destroy`, `set_worker` and, by way of the device's own
 * operations (device.h), everything that changes the device, from the thread that runs the server,
 * while no worker works on any queue. `process`, `in_flight`, `full` and `awaits` come from the
 * queue's worker, for different queues at the same time; `in_flight` also from the thread that runs
 * the server, no worker working. None of them may block: other clients wait. Control calls of device.h
 * belong into `create` and the device's own operations; a worker may make those that device.h names.
 */
#ifndef L4VIO_SERVICE_H
#define L4VIO_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "error.h"
#include "trace.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the server gives the device of a client; to be put into struct l4vio_device_config. */
struct l4vio_service_client {
    struct l4vio_device_region
        *regions;              /**< For the client's memory; the server's, until `destroy`. */
    unsigned region_count;     /**< Quota of regions. */
    uint64_t mapped_bytes_max; /**< Quota of mapped bytes. */
    void (*release_region)(void *self,
                           const struct l4vio_device_region *region); /**< See device.h. */
    void *release_self;                                               /**< First argument. */
    const struct l4vio_trace *trace;                                  /**< Hook or NULL. */
    uint64_t reserved[4];                                             /**< 0. */
};

/** Functions of a service. All but the first three may be NULL. */
struct l4vio_service_ops {
    /**
     * A client has come: makes its device, in reset state, with what `client` has for it and as many
     * queues as the service says.
     *
     * @param self     the service
     * @param client   copy what is needed
     * @param instance filled: for the calls below
     * @param device   filled: part of the instance
     * @param error    filled on failure; the text is static
     * @return 0, or a negative code that the client is refused with; nothing is left then
     */
    int (*create)(void *self, const struct l4vio_service_client *client, void **instance,
                  struct l4vio_device **device, struct l4vio_error *error);

    /** The client has gone: its device was reset, nothing is in flight. Frees the instance. */
    void (*destroy)(void *self, void *instance);

    /**
     * Takes and carries out up to `max` chains of a queue, finishes what was completed, and notifies
     * the driver if something was finished. A turn: be done soon.
     *
     * With `max` 0, which only a service with `in_flight` sees, it takes nothing, and drops or
     * finishes what is in flight; the queue may then be no longer set up (l4vio_device_queue: NULL).
     *
     * @return number of chains taken
     */
    unsigned (*process)(void *instance, uint32_t queue, unsigned max);

    /**
     * Requests of a queue whose memory somebody else than the worker may still use. Reset, and the
     * end of the client, wait until there are none; the server calls `process` meanwhile.
     * NULL: `process` leaves none.
     */
    unsigned (*in_flight)(void *instance, uint32_t queue);

    /**
     * Whether `process` can take no more of the queue until something in flight is finished. The
     * server then sleeps without asking the driver for kicks. NULL: it always can.
     */
    bool (*full)(void *instance, uint32_t queue);

    /** Opens what a worker needs of its own, before clients come. NULL: `worker` is NULL. */
    int (*worker_open)(void *self, void **worker, struct l4vio_error *error);

    /** Closes it; no client is left. */
    void (*worker_close)(void *self, void *worker);

    /**
     * A descriptor that is readable when there is something to do other than what drivers kick for
     * (requests completed, data came in), or -1. Without one, queues with something in flight are
     * processed again and again.
     */
    intptr_t (*worker_handle)(void *self, void *worker);

    /**
     * The worker's handle is readable, `process` follows for the queues that await it: makes it
     * unreadable. NULL: `process` does that.
     */
    void (*worker_ready)(void *self, void *worker);

    /** Whether to process the queue when its worker's handle is readable. NULL: every queue. */
    bool (*awaits)(void *instance, uint32_t queue);

    /** Tells a device, once, after `create`, which worker will work on a queue. */
    void (*set_worker)(void *instance, uint32_t queue, void *worker);
};

/** A service: functions, their first argument, and the shape of its devices. Copied by value. */
struct l4vio_service {
    const struct l4vio_service_ops *ops; /**< Functions. */
    void *self;                          /**< First argument. */
    uint32_t queue_count;                /**< Queues of every device: at least 1. */
};

#ifdef __cplusplus
}
#endif
#endif
