/* SPDX-License-Identifier: MIT */
/**
 * @file classes.h
 * What VIRTIO 1.4, chapter 5, says of every device class, as tables: its id and its words for queues,
 * features (names.h) and fields of the device configuration. For hosts, to show a device or to make sense
 * of one whose class nobody told; drivers and devices of this library do not need it.
 *
 * A class is added by a table: src/host/class.h says how.
 *
 * Threads: all functions are safe from any thread.
 */
#ifndef L4VIO_CLASSES_H
#define L4VIO_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "features.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a field of the device configuration is. */
enum l4vio_field_kind {
    L4VIO_FIELD_NUMBER = 0,  /**< A number, or an array of `count` numbers. */
    L4VIO_FIELD_BOOLEAN = 1, /**< 0 or 1. */
    L4VIO_FIELD_FLAGS = 2,   /**< A mask of bits, some with a name. */
    L4VIO_FIELD_CHOICE = 3,  /**< A number, some values have a name. */
    L4VIO_FIELD_TEXT = 4,    /**< `count` bytes of UTF-8, filled up with zeroes. */
    L4VIO_FIELD_MAC = 5,     /**< `count` bytes, an address as Ethernet has it. */
    L4VIO_FIELD_BYTES =
        6, /**< `count` bytes whose meaning depends on more than the table can say. */
};

/** A number that has a name: a feature bit, a bit of a mask, a value. */
struct l4vio_name {
    uint32_t number;  /**< The number. */
    const char *name; /**< Its name. */
};

/** A field of the device configuration. Constant; elements are `width_bytes` wide, little-endian. */
struct l4vio_config_field {
    const char *name;      /**< In the specification's words: "blk_size". */
    const char *unit;      /**< "sectors", or NULL. */
    uint64_t unit_bytes;   /**< Bytes of one unit, if it is an amount of bytes; or 0. */
    uint16_t offset_bytes; /**< From the start of the configuration. */
    uint8_t width_bytes;   /**< Of one element: 1, 2, 4 or 8. */
    uint8_t count;         /**< Number of elements. */
    uint8_t kind;          /**< enum l4vio_field_kind. */
    bool always;           /**< Valid whatever the features are. */
    uint8_t needs;         /**< Else: the feature that makes it valid. */
    uint8_t or_needs;      /**< Or this one; equal to `needs` if there is no alternative. */
    uint64_t least;        /**< Smallest value that the specification allows. */
    uint64_t most;         /**< Largest one; 0: no limit. */
    const struct l4vio_name *names; /**< Of bits (FLAGS) or values (CHOICE), or NULL. */
    unsigned name_count;            /**< Number of them. */
};

/**
 * Goes through the device classes that have an id, specified or only reserved.
 * @param device_id 0 for the first one, else the id that the last call returned
 * @return the next id, 0 after the last one
 */
uint32_t l4vio_class_next(uint32_t device_id);

/**
 * The one-word name of a device class, for command lines: "block", "net", "fs".
 * @param device_id VIRTIO_ID_ number
 * @return static string, NULL for an id that is not known
 */
const char *l4vio_class_word(uint32_t device_id);

/**
 * Finds a device class by its word, by its name (l4vio_device_name) or by its number. Case does not matter,
 * and `-` may stand for `_`.
 * @param name any text
 * @return the id (numbers need not be known ones), or 0
 */
uint32_t l4vio_class_by_name(const char *name);

/**
 * A field of the device configuration of a class.
 * @param device_id VIRTIO_ID_ number
 * @param index     0 and up, in the order of their offsets
 * @return static description; NULL after the last one, and for classes of which nothing is known
 */
const struct l4vio_config_field *l4vio_config_field(uint32_t device_id, unsigned index);

/**
 * Tells whether a field means something.
 * @param field    the field
 * @param features offered, or accepted
 * @return whether it is valid always, or by one of these features
 */
bool l4vio_config_field_valid(const struct l4vio_config_field *field,
                              const struct l4vio_features *features);

/**
 * Takes a number out of a configuration.
 * @param field   the field
 * @param config  the configuration from its start, wire order; at least to the end of the field
 * @param element 0 to `count` - 1
 * @return the number
 */
uint64_t l4vio_config_field_number(const struct l4vio_config_field *field, const void *config,
                                   unsigned element);

/**
 * Name of a bit of a FLAGS field, or of a value of a CHOICE field.
 * @param field  the field
 * @param number number of the bit, or the value
 * @return static string, or NULL
 */
const char *l4vio_config_value_name(const struct l4vio_config_field *field, uint64_t number);

/**
 * Bytes of device configuration that the specification knows of a class.
 * @param device_id VIRTIO_ID_ number
 * @return the end of the last field, 0 if there is none
 */
uint32_t l4vio_config_bytes(uint32_t device_id);

/** Room for the name of any queue. */
#define L4VIO_QUEUE_NAME_BYTES 32u

/**
 * Usual name of a queue: "requestq1", "controlq".
 * @param device_id    VIRTIO_ID_ number
 * @param features     offered, or accepted: some queues exist by a feature only
 * @param config       device configuration from its start: it may say how many queues come before another
 * @param config_bytes bytes that are there, may be 0
 * @param queue        index
 * @param text         filled
 * @return `text`, or NULL if that queue has no name
 */
const char *l4vio_queue_name(uint32_t device_id, const struct l4vio_features *features,
                             const void *config, uint32_t config_bytes, uint32_t queue,
                             char text[L4VIO_QUEUE_NAME_BYTES]);

/**
 * Tells whether a device could be of a class: every feature of a class that it offers is one of that class
 * and has what it depends on, and its configuration holds values that the class allows.
 * @param device_id    VIRTIO_ID_ number
 * @param offered      offered features
 * @param config       device configuration from its start
 * @param config_bytes bytes that are there; 0: it cannot be read
 * @return whether nothing speaks against it; false for a class of which nothing is known
 */
bool l4vio_class_fits(uint32_t device_id, const struct l4vio_features *offered, const void *config,
                      uint32_t config_bytes);

/**
 * Guesses the class of a device that does not tell it.
 * @param offered      offered features
 * @param config       as for l4vio_class_fits
 * @param config_bytes as for l4vio_class_fits
 * @return the id of the only class that fits; 0 if none does, or more than one
 */
uint32_t l4vio_class_guess(const struct l4vio_features *offered, const void *config,
                           uint32_t config_bytes);

#ifdef __cplusplus
}
#endif
#endif
