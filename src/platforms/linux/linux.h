/* SPDX-License-Identifier: MIT */
/* The Linux platform from inside: what the transports of this system use besides the public header. */
#ifndef L4VIO_PLATFORMS_LINUX_H
#define L4VIO_PLATFORMS_LINUX_H

#include <stdint.h>

#include <l4vio/linux.h>

/* A deadline `span_ns` from now, without wrapping around. */
uint64_t l4vio_linux_deadline(uint64_t span_ns);

/* What ppoll wants for an absolute deadline; NULL for L4VIO_FOREVER. */
struct timespec;
const struct timespec *l4vio_linux_timeout(uint64_t deadline_ns, struct timespec *storage);

/* Counts an eventfd that came from a peer, so that notification_destroy balances. */
void l4vio_linux_adopt_notification(const struct l4vio_platform *platform);

/* Maps a window of a checked memfd, read and write. The window may begin at any offset. */
int l4vio_memfd_map(int fd, uint64_t offset_bytes, uint64_t size_bytes, void **base,
                    struct l4vio_error *error);
void l4vio_memfd_unmap(void *base, uint64_t size_bytes);

/* A zeroed memfd of whole pages that can neither shrink nor grow; its size in `size_bytes`. */
int l4vio_memfd_create(uint64_t *size_bytes, int *fd, struct l4vio_error *error);

/* The library's code for an errno of the operating system. */
int l4vio_linux_code(int system_error);

#endif
