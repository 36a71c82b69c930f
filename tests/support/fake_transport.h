/* SPDX-License-Identifier: MIT */
/*
 * A transport without a device: it records what the driver does, answers like a willing device, and
 * fails where a test wants it to.
 */
#ifndef FAKE_TRANSPORT_H
#define FAKE_TRANSPORT_H

#include <l4vio/driver.h>
#include <l4vio/loopback.h>

#define FAKE_QUEUES        2u
#define FAKE_SIZE_MAX      64u
#define FAKE_NOTIFICATIONS 4u
#define FAKE_CONFIG_BYTES  64u
#define FAKE_DEVICE_ID     7u
#define FAKE_LOG           64u

enum fake_op {
    FAKE_IDENTIFY,
    FAKE_GET_STATUS,
    FAKE_SET_STATUS,
    FAKE_SET_FEATURES,
    FAKE_QUEUE_SIZE_MAX,
    FAKE_CONFIG_QUEUE,
    FAKE_RESET_QUEUE,
    FAKE_MAP,
    FAKE_UNMAP,
    FAKE_BIND,
    FAKE_GET_NOTIFICATION,
    FAKE_KICK,
    FAKE_SET_CONFIG_NOTIFY,
    FAKE_READ_CONFIG,
    FAKE_WRITE_CONFIG,
    FAKE_OPS
};

struct fake_transport {
    /* What to do. */
    enum fake_op fail_op;
    unsigned fail_at; /* The nth call of fail_op fails; 0: none does. */
    int fail_code;
    bool dead;               /* peer_alive says EPIPE. */
    bool reset_hangs;        /* The status never becomes 0. */
    bool refuse_features;    /* FEATURES_OK does not stick. */
    bool refuse_driver_ok;   /* DRIVER_OK does not stick. */
    uint32_t fail_on_status; /* This bit, when written, brings DEVICE_NEEDS_RESET. */
    uint64_t address_offset; /* Transports that choose: added to what they give. */
    unsigned moves;          /* Generation changes during so many reads of the configuration. */
    struct l4vio_transport_properties properties;
    struct l4vio_identity identity;
    uint8_t config[FAKE_CONFIG_BYTES];

    /* What was done. */
    unsigned calls[FAKE_OPS];
    enum fake_op log[FAKE_LOG];
    unsigned logged;
    uint32_t status;
    uint32_t status_log[FAKE_LOG];
    unsigned statuses;
    bool failed_written; /* FAILED was written since the last reset. */
    struct l4vio_features accepted;
    struct l4vio_queue_setup setups[FAKE_QUEUES];
    struct l4vio_notification bound[FAKE_NOTIFICATIONS];
    uint64_t mapped_address;
    uint64_t mapped_bytes;
    uint16_t config_notify_index;
    unsigned handed_out; /* Notifications not given back. */
    unsigned closed;
    uint32_t generation;

    /* The platform that goes with it. */
    unsigned char *arena;
    struct l4vio_loopback_platform loopback;
    struct l4vio_platform platform;
    struct l4vio_transport_ops ops; /* A test may take optional ones away. */
    struct l4vio_transport transport;
    struct l4vio_driver_config driver_config;
    struct l4vio_driver driver;
};

/* A transport whose device offers VERSION_1. Free with fake_transport_free, which disconnects. */
struct fake_transport *fake_transport_new(void);
void fake_transport_free(struct fake_transport *self);
/* Connects; fails the test if that fails. */
void fake_transport_connect(struct fake_transport *self);
/* Notifications of the platform that are in use. */
unsigned fake_transport_notifications(const struct fake_transport *self);
/* Position in the log of the first call of an operation, FAKE_LOG if there is none. */
unsigned fake_transport_first(const struct fake_transport *self, enum fake_op op);

#endif
