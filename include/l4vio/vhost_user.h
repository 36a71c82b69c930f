/* SPDX-License-Identifier: MIT */
/**
 * @file vhost_user.h
 * vhost-user, driver side (the protocol's front end): drives the devices of other processes over a Unix
 * stream socket. URI `vhost-user:PATH` connects to a back end that listens, `vhost-user-listen:PATH` waits
 * for the back end to connect. The messages are in wire/vhost_user.h; docs/vhost-user.md says what is
 * supported.
 *
 * Device addresses are chosen by the driver, and serve as the protocol's guest addresses and user
 * addresses alike: the peer learns no address of this process.
 *
 * The protocol does not say what class a device is of: the caller does. It has no sequence numbers
 * either, so a call that times out ends the connection; memory stays with the device until it is closed.
 *
 * A thread of the connection's own listens to what the back end has to say without being asked: changes of
 * the configuration, errors.
 *
 * Threads: calls of a connection are serialised inside.
 */
#ifndef L4VIO_VHOST_USER_H
#define L4VIO_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "platform.h"
#include "transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most queues: messages name a queue by 8 bits. */
#define L4VIO_VHOST_USER_QUEUES_MAX 256u

/** A connection to a back end. Opaque. */
struct l4vio_vhost_user;

/** How to connect. Zero what is not used. */
struct l4vio_vhost_user_options {
    uint64_t timeout_ns;     /**< For connecting, and for messages without a deadline; 0: 5 s. */
    uint32_t device_id;      /**< Class of the device, VIRTIO_ID_ number; 0: not known. */
    uint32_t queue_count;    /**< Queues of a back end that does not say (without MQ); 0: 1. */
    uint32_t queue_size_max; /**< Largest queue, which no back end says; 0: 1024. */
    bool listen;             /**< Make the socket and wait for the back end to connect. */
    /** Protocol features (bit n is VHOST_USER_PROTOCOL_F_ n) to do without, even if they are offered. */
    uint64_t unused_protocol_features;
    uint64_t reserved[4]; /**< 0. */
};

/** What a connection has learnt of its back end. */
struct l4vio_vhost_user_info {
    uint64_t features;                  /**< As they came: with the protocol's own bits. */
    uint64_t protocol_features_offered; /**< As they came; 0 if there are none. */
    uint64_t protocol_features_used;    /**< Those of them that this side makes use of. */
    uint32_t device_id;                 /**< From the options. */
    uint32_t queue_count;               /**< Queues. */
    uint64_t memory_slots;              /**< Regions of memory it takes; 8 if it does not say. */
    uint32_t config_bytes;              /**< Bytes of configuration it gives away; 0: none. */
    bool queue_count_known;             /**< The back end says how many queues it has. */
    bool memory_slots_known;            /**< The back end says how many regions it takes. */
    bool stops_on_reset;                /**< It can be reset, and touches memory no more then. */
    bool resets_queues;                 /**< It offers to reset one queue alone. */
    bool tells_changes;                 /**< It may say that its configuration has changed. */
    uint64_t reserved[4];               /**< 0. */
};

/**
 * Connects to a back end (or lets it connect) and settles the protocol features. Nothing is said of the
 * device's own features and status before the driver core does.
 *
 * With `listen` a stale socket at the path is replaced, and the socket is removed again at the end.
 *
 * @param path      socket path
 * @param platform  from l4vio_linux_open, copied
 * @param options   copied, may be NULL
 * @param out       filled; l4vio_vhost_user_free after the driver has disconnected
 * @param transport filled, to put into struct l4vio_driver_config
 * @param error     filled on failure, may be NULL
 * @retval L4VIO_OK        connected
 * @retval L4VIO_ENOENT    no socket at that path, or nobody listens
 * @retval L4VIO_EEXIST    listen: the path is in use, or is not a socket
 * @retval L4VIO_EACCES    not allowed to connect, or to make the socket
 * @retval L4VIO_EINVAL    path empty or too long, options out of range
 * @retval L4VIO_EBADPROTO the socket is of something else, or what answers breaks the protocol
 * @retval L4VIO_EPIPE     the back end hung up
 * @retval L4VIO_ENOMEM    out of memory, descriptors or threads
 * @retval L4VIO_ETIMEDOUT no connection, or no answer
 */
int l4vio_vhost_user_connect(const char *path, const struct l4vio_platform *platform,
                             const struct l4vio_vhost_user_options *options,
                             struct l4vio_vhost_user **out, struct l4vio_transport *transport,
                             struct l4vio_error *error);

/**
 * Tells what is known of the back end. Sends nothing.
 * @param connection connected, or closed since
 * @param info       filled
 */
void l4vio_vhost_user_describe(const struct l4vio_vhost_user *connection,
                               struct l4vio_vhost_user_info *info);

/**
 * Frees a connection (closing it first if need be).
 * @param connection may be NULL
 */
void l4vio_vhost_user_free(struct l4vio_vhost_user *connection);

#ifdef __cplusplus
}
#endif
#endif
