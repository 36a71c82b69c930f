/* SPDX-License-Identifier: MIT */
/**
 * @file linux.h
 * The Linux platform: dataspaces are memfds sealed against shrinking and growing, notifications are
 * eventfds that may be put into a poll loop of one's own; waits use poll, repeated ones epoll.
 *
 * A peer that shares an eventfd can clear O_NONBLOCK on it and fill or empty it at any time; triggering
 * and draining do not block even so.
 *
 * Threads: all functions are safe from any thread.
 */
#ifndef L4VIO_LINUX_H
#define L4VIO_LINUX_H

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The platform's state. Opaque. */
struct l4vio_linux;

/**
 * Makes a platform.
 * @param out      filled; end it with l4vio_linux_close
 * @param platform filled
 * @param error    filled on failure, may be NULL
 * @return 0 or L4VIO_ENOMEM
 */
int l4vio_linux_open(struct l4vio_linux **out, struct l4vio_platform *platform,
                     struct l4vio_error *error);

/**
 * Ends a platform; nothing made by it is in use any more.
 * @param platform may be NULL
 */
void l4vio_linux_close(struct l4vio_linux *platform);

/**
 * Number of descriptors, mappings that this platform object has handed out and not got back: for
 * leak checks.
 * @param platform      the platform
 * @param dataspaces    filled
 * @param notifications filled
 */
void l4vio_linux_usage(const struct l4vio_linux *platform, unsigned *dataspaces,
                       unsigned *notifications);

/**
 * Checks that a descriptor is an eventfd, and makes it non-blocking and close-on-exec.
 * @param fd    received descriptor
 * @param error filled on failure, may be NULL
 * @return 0 or L4VIO_EINVAL
 */
int l4vio_linux_check_eventfd(int fd, struct l4vio_error *error);

/**
 * Checks that a descriptor is a memfd that can neither shrink nor grow and is readable and writable.
 * @param fd         received descriptor
 * @param size_bytes filled
 * @param error      filled on failure, may be NULL
 * @return 0 or L4VIO_EINVAL
 */
int l4vio_linux_check_memfd(int fd, uint64_t *size_bytes, struct l4vio_error *error);

#ifdef __cplusplus
}
#endif
#endif
