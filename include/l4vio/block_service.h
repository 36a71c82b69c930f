/* SPDX-License-Identifier: MIT */
/**
 * @file block_service.h
 * Block devices (device_block.h) for a server to serve: one for each client, all over one store. Takes
 * their memory from the heap.
 *
 * Threads: open and close while no server uses it.
 */
#ifndef L4VIO_BLOCK_SERVICE_H
#define L4VIO_BLOCK_SERVICE_H

#include "block_backend.h"
#include "device_block.h"
#include "service.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What to serve. Zero what is not used; 0 means the default in brackets. */
struct l4vio_block_service_config {
    struct l4vio_block_backend backend; /**< The store, shared by all clients. */
    bool read_only;                     /**< Offer RO. */
    const char *id;                     /**< Identity text, at most 20 bytes; NULL: "l4vio". */
    uint32_t queue_count;               /**< Queues per client, 1 to 64 [1]. */
    uint16_t queue_size_max;            /**< A power of two [256]. */
    unsigned requests_per_client;       /**< In work at once, shared out among the queues, each of
                                             which gets at least 1 and at most 128 [512]. */
    struct l4vio_features refused;      /**< Features not to offer. */
    /** Features of l4vio_ring_features to offer besides the usual ones. */
    struct l4vio_features added;
    struct l4vio_features required; /**< Features that a driver must accept. */
    uint32_t logical_block_bytes;   /**< As in device_block.h [512]. */
    uint32_t reserved_word;         /**< 0. */
    uint64_t reserved[3];           /**< 0. */
};

/**
 * Makes a block service.
 * @param config  copied; the store is borrowed
 * @param service filled, to put into the server's configuration; end it with l4vio_block_service_close
 * @param error   filled on failure, may be NULL
 * @retval L4VIO_OK     made
 * @retval L4VIO_EINVAL no store, identity text too long, counts or block size out of range, `added` or `required` what
 *                      cannot be offered
 * @retval L4VIO_ENOMEM out of memory
 */
int l4vio_block_service_open(const struct l4vio_block_service_config *config,
                             struct l4vio_service *service, struct l4vio_error *error);

/**
 * Frees a block service; the store stays open.
 * @param service from l4vio_block_service_open; no server uses it any more
 */
void l4vio_block_service_close(struct l4vio_service *service);

#ifdef __cplusplus
}
#endif
#endif
