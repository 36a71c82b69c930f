/* SPDX-License-Identifier: MIT */
/*
 * Tables of device classes. To add a class: write a struct l4vio_class in a file class_*.c with what the
 * specification says of it, declare it below, and put it into its line of class_table.c. Nothing else
 * knows classes one by one.
 */
#ifndef L4VIO_HOST_CLASS_H
#define L4VIO_HOST_CLASS_H

#include <l4vio/classes.h>

/* An array and its length, for two fields of a table. */
#define CLASS_TABLE(array) (array), sizeof(array) / sizeof *(array)

/* A field of one element; of several. */
#define CLASS_FIELD(field_name, offset, width) CLASS_ARRAY(field_name, offset, width, 1)
#define CLASS_ARRAY(field_name, offset, width, elements) \
    .name = (field_name), .offset_bytes = (offset), .width_bytes = (width), .count = (elements)
/* What makes it valid: nothing, one feature, one of two. */
#define CLASS_ALWAYS          .always = true
#define CLASS_BY(bit)         .needs = (bit), .or_needs = (bit)
#define CLASS_BY_ANY(bit, or) .needs = (bit), .or_needs = (or)
/* What it counts; `bytes` is 0 if that is no amount of bytes. */
#define CLASS_UNIT(text, bytes) .unit = (text), .unit_bytes = (bytes)
/* A mask whose bits have these names; a number of which some values have. */
#define CLASS_FLAGS(array)  .kind = L4VIO_FIELD_FLAGS, CLASS_NAMES(array)
#define CLASS_CHOICE(array) .kind = L4VIO_FIELD_CHOICE, CLASS_NAMES(array)
#define CLASS_NAMES(array)  .names = (array), .name_count = sizeof(array) / sizeof *(array)

/* Of a queue that is there always. */
#define CLASS_NO_FEATURE (-1)

/*
 * Queues in the order of their indexes. '#' in a name stands for a number from 1 on: neighbours with one
 * make a group that is repeated.
 */
struct l4vio_class_queue {
    const char *name;
    int16_t needs; /* The feature without which it does not exist, or CLASS_NO_FEATURE. */
};

struct l4vio_class {
    const struct l4vio_name *features; /* Feature bits by name. */
    unsigned feature_count;
    const struct l4vio_feature_dependency *dependencies;
    unsigned dependency_count;
    const struct l4vio_config_field *fields; /* By offset. */
    unsigned field_count;
    const struct l4vio_class_queue *queues;
    unsigned queue_count;
    /*
     * If something follows the repeated group: the name of the field that tells how often it is repeated
     * (once, if that field is not valid).
     */
    const char *repeat_field;
};

/* A line of the list of classes. */
struct l4vio_class_entry {
    uint32_t device_id;
    const char *word;
    const char *name;
    const struct l4vio_class *description; /* NULL: the id is reserved, and that is all. */
};

extern const struct l4vio_class l4vio_class_net;
extern const struct l4vio_class l4vio_class_block;
extern const struct l4vio_class l4vio_class_console;
extern const struct l4vio_class l4vio_class_entropy;
extern const struct l4vio_class l4vio_class_balloon;
extern const struct l4vio_class l4vio_class_scsi;
extern const struct l4vio_class l4vio_class_gpu;
extern const struct l4vio_class l4vio_class_rtc;
extern const struct l4vio_class l4vio_class_input;
extern const struct l4vio_class l4vio_class_vsock;
extern const struct l4vio_class l4vio_class_crypto;
extern const struct l4vio_class l4vio_class_iommu;
extern const struct l4vio_class l4vio_class_mem;
extern const struct l4vio_class l4vio_class_sound;
extern const struct l4vio_class l4vio_class_fs;
extern const struct l4vio_class l4vio_class_pmem;
extern const struct l4vio_class l4vio_class_rpmb;
extern const struct l4vio_class l4vio_class_scmi;
extern const struct l4vio_class l4vio_class_i2c;
extern const struct l4vio_class l4vio_class_can;
extern const struct l4vio_class l4vio_class_gpio;
extern const struct l4vio_class l4vio_class_spi;
extern const struct l4vio_class l4vio_class_media;

/* The line of a class, NULL if its id is not known. */
const struct l4vio_class_entry *l4vio_class_find(uint32_t device_id);

/* What is known of it; never NULL, may be empty. */
const struct l4vio_class *l4vio_class_describe(uint32_t device_id);

/* Compares names: case does not matter, '-' may stand for '_'. */
bool l4vio_same_name(const char *a, const char *b);

#endif
