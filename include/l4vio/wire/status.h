/* SPDX-License-Identifier: MIT */
/**
 * @file wire/status.h
 * Device status bits (VIRTIO 1.4, section 2.1) and device ids (chapter 5).
 */
#ifndef L4VIO_WIRE_STATUS_H
#define L4VIO_WIRE_STATUS_H

#define VIRTIO_STATUS_ACKNOWLEDGE 1u   /**< The driver has noticed the device. */
#define VIRTIO_STATUS_DRIVER      2u   /**< The driver knows how to drive it. */
#define VIRTIO_STATUS_DRIVER_OK   4u   /**< The driver is live. */
#define VIRTIO_STATUS_FEATURES_OK 8u   /**< Features are settled. */
#define VIRTIO_STATUS_SUSPEND     16u  /**< Suspended (feature 43). */
#define VIRTIO_STATUS_NEEDS_RESET 64u  /**< DEVICE_NEEDS_RESET: the device gave up. */
#define VIRTIO_STATUS_FAILED      128u /**< The driver gave up. */

#define VIRTIO_ID_NET     1u /**< Network card. */
#define VIRTIO_ID_BLOCK   2u /**< Block device. */
#define VIRTIO_ID_CONSOLE 3u /**< Console. */
#define VIRTIO_ID_ENTROPY 4u /**< Entropy source. */

#endif
