/* SPDX-License-Identifier: MIT */
/*
 * A driver and a small device in one thread: the loopback platform and transport, and a device that
 * copies the readable bytes of each request to its writable ones. It works only when the driver waits,
 * and only if it was kicked; a test may tell it to misbehave.
 */
#ifndef LOOPBACK_DEVICE_H
#define LOOPBACK_DEVICE_H

#include <l4vio/driver.h>
#include <l4vio/loopback.h>

#define LOOPBACK_DEVICE_QUEUES        4u
#define LOOPBACK_DEVICE_SIZE_MAX      64u
#define LOOPBACK_DEVICE_REGIONS       8u
#define LOOPBACK_DEVICE_CONFIG_BYTES  32u
#define LOOPBACK_DEVICE_NOTIFICATIONS 6u
#define LOOPBACK_DEVICE_ID            42u
#define LOOPBACK_DEVICE_DATA_BYTES    65536u

struct loopback_device {
    /* Before start. */
    bool cmd_mode;
    bool kick_per_queue;
    bool carries_kick_data;
    bool refuse_features;
    int refuse_queue;     /* Code that queue_ready returns. */
    int refuse_driver_ok; /* Code that driver_ok returns. */
    struct l4vio_features offered;
    struct l4vio_driver_notification *notifications;
    unsigned notification_count;
    struct l4vio_driver_config config; /* Transport and platform are filled in by start. */

    /* At any time. */
    bool asleep;     /* Does not look at its queues. */
    bool deaf;       /* Does not look at its cmd register. */
    bool silent;     /* Completes, but does not notify. */
    unsigned quota;  /* Most chains taken per look; 0: all. */
    bool backwards;  /* Completes what it takes in one look in reverse order. */
    bool break_next; /* Sets DEVICE_NEEDS_RESET in place of working. */
    bool die_next;   /* The peer is gone at the next look, after working. */
    void (*at_look)(struct loopback_device *self);

    /* Results. */
    unsigned kicks[L4VIO_LOOPBACK_NOTIFICATIONS_MAX]; /* Seen, by index. */
    unsigned config_writes;
    unsigned looks;

    /* Parts. */
    struct l4vio_loopback_platform loopback_platform;
    struct l4vio_platform platform;
    struct l4vio_loopback loopback;
    struct l4vio_transport transport;
    struct l4vio_device device;
    struct l4vio_device_page page;
    struct l4vio_dataspace page_dataspace;
    struct l4vio_device_queue_state states[LOOPBACK_DEVICE_QUEUES];
    struct l4vio_device_region regions[LOOPBACK_DEVICE_REGIONS];
    uint8_t device_config[LOOPBACK_DEVICE_CONFIG_BYTES];
    unsigned char *arena;
    struct l4vio_driver driver;
};

/* A queue of the driver with its memory. */
struct loopback_queue {
    struct l4vio_region rings;
    struct l4vio_region data;
    struct l4vio_queue queue;
    struct l4vio_queue_slot slots[LOOPBACK_DEVICE_SIZE_MAX];
    struct l4vio_descriptor descriptors[LOOPBACK_DEVICE_SIZE_MAX];
};

/* A device that offers VERSION_1. The driver is not connected. Free with _stop. */
struct loopback_device *loopback_device_new(void);
/* Makes device, page and transport; fills `config`. */
void loopback_device_start(struct loopback_device *self);
/* Start and connect; fails the test if that fails. */
void loopback_device_connect(struct loopback_device *self);
/* Disconnects and frees. */
void loopback_device_stop(struct loopback_device *self);

/* The shared config page, to do with it as a hostile device would. */
struct l4vio_page_header *loopback_device_header(struct loopback_device *self);
struct l4vio_page_queue *loopback_device_entry(struct loopback_device *self, uint32_t queue);

/* Ring memory, and a queue over it at the buffer or the descriptor level; not attached. */
void loopback_queue_init(struct loopback_device *self, struct loopback_queue *queue, uint32_t index,
                         uint16_t size, uint16_t driver_notify_index, bool descriptors);
/* Init, attach. */
void loopback_queue_attach(struct loopback_device *self, struct loopback_queue *queue,
                           uint32_t index, bool descriptors);
/* Connect, queue 0, acknowledge. */
void loopback_device_live(struct loopback_device *self, struct loopback_queue *queue,
                          bool descriptors);

/* Adds one request: `length` bytes at data offset 0 to be copied to offset 32768; publishes. */
int loopback_queue_add(struct loopback_queue *queue, uint32_t length_bytes, void *cookie);
/* A chain of a readable and a writable descriptor; the head. */
uint16_t loopback_queue_chain(struct loopback_queue *queue, uint32_t length_bytes);

/* Deadline this many milliseconds of virtual time from now. */
uint64_t loopback_device_in_ms(struct loopback_device *self, uint64_t milliseconds);

#endif
