/* SPDX-License-Identifier: MIT */
/* What the files of the device share. */
#ifndef L4VIO_DEVICES_DEVICE_PRIVATE_H
#define L4VIO_DEVICES_DEVICE_PRIVATE_H

#include <l4vio/device.h>

#include "core/tracing.h"

/* Only a reset helps. */
#define L4VIO_DEVICE_DEAD (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)

static inline void l4vio_device_trace(const struct l4vio_device *device, enum l4vio_trace_kind kind,
                                      uint32_t queue, uint64_t a, uint64_t b)
{
    l4vio_trace_event(device->config.trace, kind, queue, a, b);
}
void l4vio_device_notify_config(const struct l4vio_device *device);

/* Has the class stop working on every queue that is ready. */
void l4vio_device_stop_queues(struct l4vio_device *device);
/* Forgets the rings of every queue. */
void l4vio_device_disable_queues(struct l4vio_device *device);
/* Has a queue log what it is to log. */
void l4vio_device_apply_log(struct l4vio_device *device, uint32_t queue);
/* Marks what was written to the driver's memory, by its local address, in the log, which there is. */
void l4vio_device_log_local(const struct l4vio_device_queue *queue, const void *at,
                            uint64_t length_bytes);
/* Gives every region back. */
void l4vio_device_release_regions(struct l4vio_device *device);

#endif
