/* SPDX-License-Identifier: MIT */
/**
 * @file device_log.h
 * The dirty log: a bit per page of the driver's memory, set by the device once it has written to that page. Who moves
 * a running driver to another place (live migration) reads and clears the bits, and copies those pages again.
 *
 * Bit n of the log, which is bit n % 8 of byte n / 8, stands for the page of L4VIO_DIRTY_LOG_PAGE_BYTES at device
 * address n * L4VIO_DIRTY_LOG_PAGE_BYTES. Pages that it has no bit for are not marked: nothing outside of it is
 * written, whatever an address says.
 */
#ifndef L4VIO_DEVICE_LOG_H
#define L4VIO_DEVICE_LOG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes that one bit stands for. */
#define L4VIO_DIRTY_LOG_PAGE_BYTES 4096u

/** A log in memory that is shared with whoever reads it. */
struct l4vio_dirty_log {
    void *bits;          /**< First byte. */
    uint64_t size_bytes; /**< Bytes of it: 8 pages each. */
};

/**
 * Marks a range as written. Atomic beside others who mark or clear; what was written before is visible to
 * whoever sees the bit.
 * @param log            the log
 * @param device_address first byte
 * @param length_bytes   number of bytes, may be 0
 */
void l4vio_dirty_log_mark(const struct l4vio_dirty_log *log, uint64_t device_address,
                          uint64_t length_bytes);

#ifdef __cplusplus
}
#endif
#endif
