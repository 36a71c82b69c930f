/* SPDX-License-Identifier: MIT */
/**
 * @file device_page.h
 * The port of a device to L4-VIRTIO: owner of the config page, receiver of the calls, `cmd` register.
 * It writes the page for the driver and reads from it only what the driver owns, once, at the call
 * that makes it valid. A reset writes the whole page afresh, whatever the driver has written over it,
 * but for cfg_driver_notify_index, which stays.
 *
 * The device fixes by which index the driver kicks a queue (device_notify_index); index 0 announces
 * configuration that the driver has written.
 *
 * Threads: as device.h.
 */
#ifndef L4VIO_DEVICE_PAGE_H
#define L4VIO_DEVICE_PAGE_H

#include "device.h"
#include "wire/l4_page.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How to make a page. */
struct l4vio_device_page_config {
    struct l4vio_device *device; /**< Initialised; the page becomes its port. */
    void *page;                  /**< L4VIO_PAGE_BYTES of shared memory, page-aligned. */
    bool cmd_mode;               /**< Offer feature 160. */
    uint32_t notification_count; /**< Notification indexes: at least 1. */
    bool kick_per_queue;         /**< Queue n is kicked by index n; else every queue by index 0. */
    bool carries_kick_data; /**< Kicks reach l4vio_device_kicked; else NOTIFICATION_DATA is taken
                                          off the offer. */
    /** Triggers the driver's object of an index (device to driver). Never blocks. */
    void (*trigger)(void *self, uint32_t index);
    void *trigger_self;   /**< First argument. */
    uint64_t reserved[4]; /**< 0. */
};

/** A config page. Caller-allocated; private. */
struct l4vio_device_page {
    struct l4vio_device_page_config config; /**< As given. */
    uint32_t queues_offset;                 /**< Private copy. */
    uint64_t reserved[4];                   /**< Room to grow. */
};

/**
 * Lays the page out, writes identity, features, queue array and configuration, and becomes the port.
 * @param page   caller-allocated
 * @param config copied
 * @param error  filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL (page not aligned, too few notification indexes, a required feature that the port
 *         does not carry), or L4VIO_E2BIG if the queues do not fit into the page (about 93 do)
 */
int l4vio_device_page_init(struct l4vio_device_page *page,
                           const struct l4vio_device_page_config *config,
                           struct l4vio_error *error);

/**
 * Call 0, set_status.
 * @param page   the page
 * @param status as written by the driver
 * @return 0
 */
int l4vio_device_page_set_status(struct l4vio_device_page *page, uint32_t status);

/**
 * Call 1, config_queue: reads the queue entry once. `ready` = 0 in it takes the queue away; a
 * driver_notify_index that does not exist is L4VIO_EINVAL.
 * @param page  the page
 * @param queue queue index
 * @param error filled on failure, may be NULL
 * @return as l4vio_device_config_queue
 */
int l4vio_device_page_config_queue(struct l4vio_device_page *page, uint32_t queue,
                                   struct l4vio_error *error);

/**
 * Looks at the `cmd` register (only if feature 160 is offered), for those who have to prepare for a
 * command: the driver may write another one at any time, so what was seen here is what is run.
 * @param page the page
 * @return as written by the driver, 0 there is no command
 */
uint32_t l4vio_device_page_read_cmd(const struct l4vio_device_page *page);

/**
 * Carries out a command that l4vio_device_page_read_cmd has seen, and zeroes the register.
 * @param page the page
 * @param cmd  the command, not 0
 * @return the queue of a NOTIFY_QUEUE command, else UINT32_MAX
 */
uint32_t l4vio_device_page_run_cmd(struct l4vio_device_page *page, uint32_t cmd);

/**
 * Looks at the `cmd` register and carries the command out (only if feature 160 is offered).
 * @param page  the page
 * @param queue filled with the queue of a NOTIFY_QUEUE command, else UINT32_MAX; may be NULL
 * @return 1 a command was carried out, 0 there was none
 */
int l4vio_device_page_poll_cmd(struct l4vio_device_page *page, uint32_t *queue);

#ifdef __cplusplus
}
#endif
#endif
