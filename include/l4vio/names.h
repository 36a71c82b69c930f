/* SPDX-License-Identifier: MIT */
/**
 * @file names.h
 * Names for people: device classes, feature bits, status bits, errors as a sentence. For hosts; the
 * library itself prints nothing. classes.h has queues and configuration fields.
 *
 * Threads: all functions are safe from any thread.
 */
#ifndef L4VIO_NAMES_H
#define L4VIO_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Name of a device class (VIRTIO 1.4, chapter 5).
 * @param device_id VIRTIO_ID_ number
 * @return static string: "block device"; "unknown device" for numbers that are not known
 */
const char *l4vio_device_name(uint32_t device_id);

/**
 * Name of a feature bit, in the specification's words without prefix.
 * @param device_id device class: bits 0 to 23, 42 and 50 to 127 depend on it
 * @param bit       feature bit
 * @return static string: "DISCARD"; NULL for a bit without name
 */
const char *l4vio_feature_name(uint32_t device_id, unsigned bit);

/**
 * Finds a feature bit by name. Case does not matter, and `-` may stand for `_`.
 * @param device_id device class
 * @param name      as l4vio_feature_name gives it, or a decimal number
 * @return the bit, or L4VIO_ENOENT
 */
int l4vio_feature_by_name(uint32_t device_id, const char *name);

/**
 * Name of a status bit.
 * @param bit one bit, as VIRTIO_STATUS_ numbers
 * @return static string: "DRIVER_OK"; NULL for a bit without name
 */
const char *l4vio_status_name(uint32_t bit);

/**
 * Name of a protocol feature of vhost-user, without prefix.
 * @param bit VHOST_USER_PROTOCOL_F_ number
 * @return static string: "REPLY_ACK"; NULL for a bit without name
 */
const char *l4vio_protocol_feature_name(unsigned bit);

/**
 * Writes an error as text: "no such queue (value 7): ERANGE".
 * @param error      filled by a failed call
 * @param text       filled, always terminated
 * @param text_bytes room in `text`, at least 1
 */
void l4vio_error_format(const struct l4vio_error *error, char *text, size_t text_bytes);

#ifdef __cplusplus
}
#endif
#endif
