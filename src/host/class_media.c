/* SPDX-License-Identifier: MIT */
/* Console, GPU, input device, sound device, media device (VIRTIO 1.4, 5.3, 5.7, 5.8, 5.14, 5.22). */
#include "host/class.h"

/* Console. */

enum { SIZE = 0, MULTIPORT = 1, EMERG_WRITE = 2 };

static const struct l4vio_name console_features[] = {
    {SIZE, "SIZE"},
    {MULTIPORT, "MULTIPORT"},
    {EMERG_WRITE, "EMERG_WRITE"},
};

static const struct l4vio_config_field console_fields[] = {
    {CLASS_FIELD("cols", 0, 2), CLASS_UNIT("characters", 0), CLASS_BY(SIZE)},
    {CLASS_FIELD("rows", 2, 2), CLASS_UNIT("characters", 0), CLASS_BY(SIZE)},
    {CLASS_FIELD("max_nr_ports", 4, 4), CLASS_UNIT("ports", 0), CLASS_BY(MULTIPORT), .least = 1},
    {CLASS_FIELD("emerg_wr", 8, 4), CLASS_BY(EMERG_WRITE)},
};

static const struct l4vio_class_queue console_queues[] = {
    {"receiveq(port0)", CLASS_NO_FEATURE}, {"transmitq(port0)", CLASS_NO_FEATURE},
    {"control receiveq", MULTIPORT},       {"control transmitq", MULTIPORT},
    {"receiveq(port#)", MULTIPORT},        {"transmitq(port#)", MULTIPORT},
};

const struct l4vio_class l4vio_class_console = {
    CLASS_TABLE(console_features), NULL, 0, CLASS_TABLE(console_fields),
    CLASS_TABLE(console_queues),   NULL,
};

/* GPU. */

enum { BLOB_ALIGNMENT = 5 };

static const struct l4vio_name gpu_features[] = {
    {0, "VIRGL"},         {1, "EDID"},         {2, "RESOURCE_UUID"},
    {3, "RESOURCE_BLOB"}, {4, "CONTEXT_INIT"}, {BLOB_ALIGNMENT, "BLOB_ALIGNMENT"},
};

static const struct l4vio_name gpu_events[] = {{0, "DISPLAY"}};

static const struct l4vio_config_field gpu_fields[] = {
    {CLASS_FIELD("events_read", 0, 4), CLASS_FLAGS(gpu_events), CLASS_ALWAYS},
    {CLASS_FIELD("events_clear", 4, 4), CLASS_FLAGS(gpu_events), CLASS_ALWAYS},
    {CLASS_FIELD("num_scanouts", 8, 4), CLASS_ALWAYS, .least = 1, .most = 16},
    {CLASS_FIELD("num_capsets", 12, 4), CLASS_ALWAYS},
    {CLASS_FIELD("blob_alignment", 16, 4), CLASS_UNIT("bytes", 1), CLASS_BY(BLOB_ALIGNMENT),
     .least = 1},
};

static const struct l4vio_class_queue gpu_queues[] = {
    {"controlq", CLASS_NO_FEATURE},
    {"cursorq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_gpu = {
    CLASS_TABLE(gpu_features), NULL, 0, CLASS_TABLE(gpu_fields), CLASS_TABLE(gpu_queues), NULL,
};

/* Input device: what `u` holds depends on what the driver has written to `select` and `subsel`. */

static const struct l4vio_name input_selections[] = {
    {0x00, "UNSET"},     {0x01, "ID_NAME"}, {0x02, "ID_SERIAL"}, {0x03, "ID_DEVIDS"},
    {0x10, "PROP_BITS"}, {0x11, "EV_BITS"}, {0x12, "ABS_INFO"},
};

static const struct l4vio_config_field input_fields[] = {
    {CLASS_FIELD("select", 0, 1), CLASS_CHOICE(input_selections), CLASS_ALWAYS, .most = 0x12},
    {CLASS_FIELD("subsel", 1, 1), CLASS_ALWAYS},
    {CLASS_FIELD("size", 2, 1), CLASS_UNIT("bytes", 1), CLASS_ALWAYS, .most = 128},
    {CLASS_ARRAY("u", 8, 1, 128), .kind = L4VIO_FIELD_BYTES, CLASS_ALWAYS},
};

static const struct l4vio_class_queue input_queues[] = {
    {"eventq", CLASS_NO_FEATURE},
    {"statusq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_input = {
    NULL, 0, NULL, 0, CLASS_TABLE(input_fields), CLASS_TABLE(input_queues), NULL,
};

/* Sound device. */

enum { CTLS = 0 };

static const struct l4vio_name sound_features[] = {{CTLS, "CTLS"}};

static const struct l4vio_config_field sound_fields[] = {
    {CLASS_FIELD("jacks", 0, 4), CLASS_ALWAYS},
    {CLASS_FIELD("streams", 4, 4), CLASS_ALWAYS},
    {CLASS_FIELD("chmaps", 8, 4), CLASS_ALWAYS},
    {CLASS_FIELD("controls", 12, 4), CLASS_BY(CTLS)},
};

static const struct l4vio_class_queue sound_queues[] = {
    {"controlq", CLASS_NO_FEATURE},
    {"eventq", CLASS_NO_FEATURE},
    {"txq", CLASS_NO_FEATURE},
    {"rxq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_sound = {
    CLASS_TABLE(sound_features), NULL, 0, CLASS_TABLE(sound_fields),
    CLASS_TABLE(sound_queues),   NULL,
};

/* Media device. */

static const struct l4vio_config_field media_fields[] = {
    {CLASS_FIELD("device_caps", 0, 4), .kind = L4VIO_FIELD_FLAGS, CLASS_ALWAYS},
    {CLASS_FIELD("device_type", 4, 4), CLASS_ALWAYS},
    {CLASS_ARRAY("card", 8, 1, 32), .kind = L4VIO_FIELD_TEXT, CLASS_ALWAYS},
};

static const struct l4vio_class_queue media_queues[] = {
    {"commandq", CLASS_NO_FEATURE},
    {"eventq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_media = {
    NULL, 0, NULL, 0, CLASS_TABLE(media_fields), CLASS_TABLE(media_queues), NULL,
};
