/* SPDX-License-Identifier: MIT */
/*
 * A driver queue and a device queue over one piece of plain memory, without transport, device or
 * notifications: what the ring benchmarks measure. Either side belongs to one thread at a time.
 */
#ifndef L4VIO_BENCH_RING_PAIR_H
#define L4VIO_BENCH_RING_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include <l4vio/device_queue.h>
#include <l4vio/queue.h>

enum { ring_batch_max = 256, ring_buffers_max = 8, ring_name_bytes = 64 };

/* What to measure. */
struct ring_shape {
    struct l4vio_features features;
    unsigned size;    /* Entries. */
    unsigned batch;   /* Requests per call and per publish, on both sides. */
    unsigned buffers; /* Of a request, the last of them writable. */
    bool kicks;       /* Ask after each publish whether the peer wants a notification. */
};

/* The driver's side and what its thread touches. */
struct ring_driver {
    _Alignas(128) struct l4vio_queue queue;
    struct l4vio_buffer buffers[ring_buffers_max];
    struct l4vio_request requests[ring_batch_max];
    struct l4vio_completion done[ring_batch_max];
    struct l4vio_queue_slot *slots;
    unsigned batch;
    unsigned batch_entries; /* Ring entries that a batch takes. */
    bool kicks;
    uint64_t kicks_wanted;
};

/* The device's side. */
struct ring_device {
    _Alignas(128) struct l4vio_device_queue queue;
    struct l4vio_device_memory memory;
    struct l4vio_device_region region;
    struct l4vio_device_segment segments[ring_buffers_max];
    struct l4vio_device_used used[ring_batch_max];
    struct l4vio_device_queue_slot *slots;
    unsigned batch;
    bool kicks;
    uint64_t kicks_wanted;
};

struct ring_pair {
    struct ring_driver driver;
    struct ring_device device;
    void *memory; /* What they share. */
    uint64_t memory_bytes;
    uint64_t private_bytes;
};

/* Names as on the command line, "packed,event_idx,in_order,indirect" or "split"; false: no such name. */
bool ring_features_parse(const char *names, struct l4vio_features *features);
void ring_features_name(const struct l4vio_features *features, char name[ring_name_bytes]);

/* 0, or what the queues answer: they may lack a feature. The pair is on the heap. */
int ring_pair_open(const struct ring_shape *shape, struct ring_pair **pair,
                   struct l4vio_error *error);
void ring_pair_close(struct ring_pair *pair);

/* Adds and publishes one batch if there is room. */
bool ring_driver_add(struct ring_driver *driver);
/* Takes up to one batch of completions; the number. */
unsigned ring_driver_take(struct ring_driver *driver);
/* Takes up to one batch of requests and hands them back together; the number. */
unsigned ring_device_turn(struct ring_device *device);

/* ns per request of either side alone, when one thread plays both and time is taken apart. */
struct ring_alone {
    double driver_ns;
    double device_ns;
};
struct ring_alone ring_pair_alone(struct ring_pair *pair, double seconds);

/*
 * Cache lines that this format moves per request at least, both ways together; see the definition.
 */
double ring_least_lines(const struct ring_shape *shape);

#endif
