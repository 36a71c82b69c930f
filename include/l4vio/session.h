/* SPDX-License-Identifier: MIT */
/**
 * @file session.h
 * Opens a device by its URI on Linux, in one call: platform, connection, and all storage that the
 * freestanding headers want from their caller (queues, slots, notifications) come from the heap and
 * belong to the session.
 *
 *     struct l4vio_session *session;
 *     l4vio_session_open_block("l4:/run/disk.sock", NULL, &session, &error);
 *     struct l4vio_block *block = l4vio_session_block(session);
 *
 * URIs: `l4:PATH`, an L4-VIRTIO server behind a Unix socket (l4_unix.h); `vhost-user:PATH`, a vhost-user back
 * end that listens there, and `vhost-user-listen:PATH`, one that will connect there (vhost_user.h).
 *
 * Threads: opening and closing need the session to themselves; else as block.h and driver.h.
 */
#ifndef L4VIO_SESSION_H
#define L4VIO_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "block.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Sessions that l4vio_session_wait takes. */
#define L4VIO_SESSION_WAIT_MAX 8u

/** An open device. Opaque. */
struct l4vio_session;
struct l4vio_vhost_user;

/** How to open a device. Zero what is not used. */
struct l4vio_session_options {
    uint16_t queue_count; /**< Queues wanted; 0: 1. Fewer if the device has fewer. */
    uint16_t queue_size;  /**< Entries wanted; 0: 128. Fewer if the device allows fewer. */
    uint64_t timeout_ns;  /**< For connecting and for each control call; 0: 5 s. */
    /**
     * Time to look at a ring before sleeping; see spin.h. 0 with L4VIO_SPIN_AUTO: 100 us at most, with
     * vhost-user 300.
     */
    uint64_t spin_ns;
    enum l4vio_spin_mode spin_mode; /**< How to use it; 0 and 0: sleep at once. */
    struct l4vio_features refused;  /**< Features not to accept. */
    /**
     * Features without which opening fails. Ring features among them are accepted besides the usual ones.
     */
    struct l4vio_features required;
    const struct l4vio_trace *trace; /**< Trace hook, or NULL. */
    /** l4vio_session_open_any: class of a device that cannot say it itself (vhost-user); 0: not known. */
    uint32_t device_id;
    /**
     * Block devices, not 0: when the device is gone, calls that wait, l4vio_session_wait too, reconnect to
     * whoever serves it then, and say L4VIO_EPIPE only after so long. For sessions that one thread uses; see
     * l4vio_block_reconnect.
     */
    uint64_t reconnect_ns;
    uint64_t reserved[3]; /**< 0. */
};

/**
 * Tells whether a text is a device URI rather than a file name.
 * @param text any text
 * @return whether it begins with a known scheme
 */
bool l4vio_session_is_uri(const char *text);

/**
 * Opens a block device, up to DRIVER_OK.
 *
 * @param uri     where
 * @param options copied, may be NULL
 * @param out     filled; end it with l4vio_session_close
 * @param error   filled on failure, may be NULL
 * @retval L4VIO_OK     open
 * @retval L4VIO_EINVAL not a URI of a known scheme
 * @retval L4VIO_ENODEV not a block device (value: its device id)
 * @retval L4VIO_ENOMEM out of memory
 * @return else as l4vio_l4_client_connect or l4vio_vhost_user_connect, and l4vio_block_setup
 */
int l4vio_session_open_block(const char *uri, const struct l4vio_session_options *options,
                             struct l4vio_session **out, struct l4vio_error *error);

/**
 * Connects to a device of any class, as l4vio_driver_connect does: identity, offered features, queue
 * sizes and configuration can be read. No features are settled and no queues set up.
 * @param uri     where
 * @param options copied, may be NULL
 * @param out     filled; end it with l4vio_session_close
 * @param error   filled on failure, may be NULL
 * @return as l4vio_session_open_block, or as l4vio_driver_connect
 */
int l4vio_session_open_any(const char *uri, const struct l4vio_session_options *options,
                           struct l4vio_session **out, struct l4vio_error *error);

/**
 * The block driver.
 * @param session open
 * @return the driver, NULL if the session is from l4vio_session_open_any
 */
struct l4vio_block *l4vio_session_block(struct l4vio_session *session);

/**
 * The driver device.
 * @param session open
 * @return the driver
 */
struct l4vio_driver *l4vio_session_driver(struct l4vio_session *session);

/**
 * The vhost-user connection, for l4vio_vhost_user_describe.
 * @param session open
 * @return the connection, NULL if the device is reached in another way
 */
const struct l4vio_vhost_user *l4vio_session_vhost_user(const struct l4vio_session *session);

/**
 * The platform, for its clock.
 * @param session open
 * @return the platform
 */
const struct l4vio_platform *l4vio_session_platform(const struct l4vio_session *session);

/**
 * What becomes readable when the device has completed something on a queue, for a poll loop of one's
 * own: l4vio_queue_arm first, poll, then l4vio_session_drain, then l4vio_block_poll.
 * @param session from l4vio_session_open_block
 * @param queue   queue of the block driver
 * @return an eventfd that stays the session's, or L4VIO_ERANGE
 */
int l4vio_session_queue_fd(const struct l4vio_session *session, uint32_t queue);

/**
 * Takes what is pending on that descriptor, without blocking.
 * @param session from l4vio_session_open_block
 * @param queue   queue of the block driver
 */
void l4vio_session_drain(struct l4vio_session *session, uint32_t queue);

/**
 * Sleeps until one of several block devices has completed something: look, spin, arm, look, sleep. Take
 * completions with l4vio_block_poll afterwards.
 *
 * @param sessions    from l4vio_session_open_block
 * @param count       number of sessions, 1 to L4VIO_SESSION_WAIT_MAX
 * @param deadline_ns absolute deadline, CLOCK_MONOTONIC
 * @retval L4VIO_OK        look at every queue; may be without cause (a signal)
 * @retval L4VIO_ETIMEDOUT the deadline passed
 * @retval L4VIO_EPIPE     a device is gone, and there is nothing more to take; with `reconnect_ns`: it did
 *                         not come back in time
 * @retval L4VIO_EIO       a device is in a fail state, and there is nothing more to take
 * @retval L4VIO_EINVAL    count out of range
 * @return with `reconnect_ns` also as l4vio_block_reconnect. After one that went well the answer is L4VIO_OK:
 *         requests may have finished in it.
 */
int l4vio_session_wait(struct l4vio_session *const *sessions, unsigned count, uint64_t deadline_ns);

/**
 * Ends the session: disconnects (requests in flight are finished with L4VIO_ECANCELED), frees
 * everything. Regions of its driver must still exist.
 * @param session may be NULL
 */
void l4vio_session_close(struct l4vio_session *session);

/**
 * As l4vio_session_close, for a device that has stopped answering: does not wait for it.
 * @param session may be NULL
 */
void l4vio_session_abandon(struct l4vio_session *session);

#ifdef __cplusplus
}
#endif
#endif
