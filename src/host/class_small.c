/* SPDX-License-Identifier: MIT */
/*
 * Classes with little to tell: entropy source, clock, socket device, SCMI, I2C, CAN, GPIO, SPI (VIRTIO 1.4,
 * sections 5.4, 5.23, 5.10, 5.17, 5.16, 5.21, 5.18, 5.20).
 */
#include "host/class.h"

static const struct l4vio_class_queue request_queue[] = {{"requestq", CLASS_NO_FEATURE}};

/* Entropy source. */

const struct l4vio_class l4vio_class_entropy = {
    NULL, 0, NULL, 0, NULL, 0, CLASS_TABLE(request_queue), NULL,
};

/* Clock. */

enum { RTC_ALARM = 0 };

static const struct l4vio_name rtc_features[] = {{RTC_ALARM, "ALARM"}};

static const struct l4vio_class_queue rtc_queues[] = {
    {"requestq", CLASS_NO_FEATURE},
    {"alarmq", RTC_ALARM},
};

const struct l4vio_class l4vio_class_rtc = {
    CLASS_TABLE(rtc_features), NULL, 0, NULL, 0, CLASS_TABLE(rtc_queues), NULL,
};

/* Socket device. Its address is one of 32 bits; the ones below 3 are taken. */

static const struct l4vio_name vsock_features[] = {
    {0, "STREAM"},
    {1, "SEQPACKET"},
    {2, "NO_IMPLIED_STREAM"},
};

static const struct l4vio_config_field vsock_fields[] = {
    {CLASS_FIELD("guest_cid", 0, 8), CLASS_ALWAYS, .least = 3, .most = UINT32_MAX},
};

static const struct l4vio_class_queue vsock_queues[] = {
    {"rx", CLASS_NO_FEATURE},
    {"tx", CLASS_NO_FEATURE},
    {"event", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_vsock = {
    CLASS_TABLE(vsock_features), NULL, 0, CLASS_TABLE(vsock_fields),
    CLASS_TABLE(vsock_queues),   NULL,
};

/* SCMI. */

enum { P2A_CHANNELS = 0 };

static const struct l4vio_name scmi_features[] = {
    {P2A_CHANNELS, "P2A_CHANNELS"},
    {1, "SHARED_MEMORY"},
};

static const struct l4vio_class_queue scmi_queues[] = {
    {"cmdq", CLASS_NO_FEATURE},
    {"eventq", P2A_CHANNELS},
};

const struct l4vio_class l4vio_class_scmi = {
    CLASS_TABLE(scmi_features), NULL, 0, NULL, 0, CLASS_TABLE(scmi_queues), NULL,
};

/* I2C adapter. */

static const struct l4vio_name i2c_features[] = {{0, "ZERO_LENGTH_REQUEST"}};

const struct l4vio_class l4vio_class_i2c = {
    CLASS_TABLE(i2c_features), NULL, 0, NULL, 0, CLASS_TABLE(request_queue), NULL,
};

/* CAN device. */

enum { CAN_CLASSIC = 0, RTR_FRAMES = 2 };

static const struct l4vio_name can_features[] = {
    {CAN_CLASSIC, "CAN_CLASSIC"},
    {1, "CAN_FD"},
    {RTR_FRAMES, "RTR_FRAMES"},
    {3, "LATE_TX_ACK"},
};

static const struct l4vio_feature_dependency can_dependencies[] = {
    {RTR_FRAMES, CAN_CLASSIC, CAN_CLASSIC},
};

static const struct l4vio_name can_status_bits[] = {{0, "CTRL_BUSOFF"}};

static const struct l4vio_config_field can_fields[] = {
    {CLASS_FIELD("status", 0, 2), CLASS_FLAGS(can_status_bits), CLASS_ALWAYS, .most = 1},
};

static const struct l4vio_class_queue can_queues[] = {
    {"txq", CLASS_NO_FEATURE},
    {"rxq", CLASS_NO_FEATURE},
    {"controlq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_can = {
    CLASS_TABLE(can_features),
    CLASS_TABLE(can_dependencies),
    CLASS_TABLE(can_fields),
    CLASS_TABLE(can_queues),
    NULL,
};

/* GPIO. */

enum { GPIO_IRQ = 0 };

static const struct l4vio_name gpio_features[] = {{GPIO_IRQ, "IRQ"}};

static const struct l4vio_config_field gpio_fields[] = {
    {CLASS_FIELD("ngpio", 0, 2), CLASS_UNIT("lines", 0), CLASS_ALWAYS, .least = 1},
    {CLASS_FIELD("gpio_names_size", 4, 4), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
};

static const struct l4vio_class_queue gpio_queues[] = {
    {"requestq", CLASS_NO_FEATURE},
    {"eventq", GPIO_IRQ},
};

const struct l4vio_class l4vio_class_gpio = {
    CLASS_TABLE(gpio_features), NULL, 0, CLASS_TABLE(gpio_fields), CLASS_TABLE(gpio_queues), NULL,
};

/* SPI controller. */

static const struct l4vio_name spi_bits[] = {{0, "DUAL"}, {1, "QUAD"}, {2, "OCTAL"}};

static const struct l4vio_config_field spi_fields[] = {
    {CLASS_FIELD("cs_max_number", 0, 1), CLASS_ALWAYS},
    {CLASS_FIELD("cs_change_supported", 1, 1), .kind = L4VIO_FIELD_BOOLEAN, CLASS_ALWAYS},
    {CLASS_FIELD("tx_nbits_supported", 2, 1), CLASS_FLAGS(spi_bits), CLASS_ALWAYS, .most = 7},
    {CLASS_FIELD("rx_nbits_supported", 3, 1), CLASS_FLAGS(spi_bits), CLASS_ALWAYS, .most = 7},
    {CLASS_FIELD("bits_per_word_mask", 4, 4), .kind = L4VIO_FIELD_FLAGS, CLASS_ALWAYS},
    {CLASS_FIELD("mode_func_supported", 8, 4), .kind = L4VIO_FIELD_FLAGS, CLASS_ALWAYS, .least = 1},
    {CLASS_FIELD("max_freq_hz", 12, 4), CLASS_UNIT("Hz", 0), CLASS_ALWAYS},
    {CLASS_FIELD("max_word_delay_ns", 16, 4), CLASS_UNIT("ns", 0), CLASS_ALWAYS},
    {CLASS_FIELD("max_cs_setup_ns", 20, 4), CLASS_UNIT("ns", 0), CLASS_ALWAYS},
    {CLASS_FIELD("max_cs_hold_ns", 24, 4), CLASS_UNIT("ns", 0), CLASS_ALWAYS},
    {CLASS_FIELD("max_cs_inactive_ns", 28, 4), CLASS_UNIT("ns", 0), CLASS_ALWAYS},
};

const struct l4vio_class l4vio_class_spi = {
    NULL, 0, NULL, 0, CLASS_TABLE(spi_fields), CLASS_TABLE(request_queue), NULL,
};
