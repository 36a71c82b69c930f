/* SPDX-License-Identifier: MIT */
/* A random mixed load on a block device, whose every answer is checked against a model. */
#ifndef L4VIO_TOOL_EXERCISE_H
#define L4VIO_TOOL_EXERCISE_H

#include "tool/client.h"
#include "tool/exercise_model.h"

/* Pieces that a request's memory is cut into: more than most devices take at once. */
enum { EXERCISE_SEGMENTS_MAX = 160 };

struct exercise_settings {
    bool write; /* Else only reads. */
    bool threads;
    uint64_t span_ns;
    uint64_t seed;
    uint64_t depth; /* Of all threads together. */
    uint64_t request_bytes_max;
    uint64_t range_bytes;
};

struct exercise_counts {
    uint64_t reads, writes, zeroes, discards, flushes, identities;
    uint64_t bytes; /* Read and written. */
};

struct exercise_slot;

/* One thread's part: some queues, and a slice of the device that only they touch. */
struct exerciser {
    struct client *client;
    const struct exercise_settings *settings;
    uint32_t first_queue, queue_count;
    uint64_t block_sectors; /* What all requests are multiples of. */
    struct exercise_model model;
    struct exercise_counts counts;
    uint64_t random;
    uint64_t end_ns;

    struct exercise_slot *slots;
    struct exercise_slot *idle;
    unsigned slot_count;
    unsigned in_flight;
    unsigned depth; /* For now: it changes all the time. */
    uint64_t slot_bytes;
    unsigned char *scratch; /* The data of one request in one piece. */
    struct l4vio_region data, requests;
    int exit_code;
};

/* Complains and returns an exit code on failure. The client is closed before exerciser_free. */
int exerciser_setup(struct exerciser *exerciser, unsigned depth, uint64_t first_sector,
                    uint64_t sector_count);
/* Until its end_ns, then all in flight. */
int exerciser_run(struct exerciser *exerciser);
/* Reads all of the slice once more. */
int exerciser_read_back(struct exerciser *exerciser);
void exerciser_free(struct exerciser *exerciser);

/*
 * The whole of it, in a thread per queue if wanted. Complains and returns an exit code on failure, the
 * one of a difference among them; closes the client.
 */
int exercise_run(struct client *client, const struct exercise_settings *settings,
                 struct exercise_counts *counts);

/* Gives a slot its next request; false if nothing suits now. (exercise_requests.c) */
struct exercise_slot {
    struct exerciser *exerciser;
    struct exercise_slot *next; /* Idle list. */
    uint32_t queue;
    bool busy;
    uint64_t sector, count; /* What it touches; 0: nothing. */
    int poison;
    uint64_t data_offset_bytes;
    struct l4vio_block_segment segments[EXERCISE_SEGMENTS_MAX];
    struct l4vio_block_request request;
};
bool exercise_choose(struct exerciser *exerciser, struct exercise_slot *slot);
/* A read of that range. */
void exercise_prepare_read(struct exerciser *exerciser, struct exercise_slot *slot, uint64_t sector,
                           uint64_t count);
/* Checks what a finished read has brought; `text` says what is wrong. */
bool exercise_check_read(struct exerciser *exerciser, struct exercise_slot *slot,
                         char text[EXERCISE_TEXT_BYTES]);

/* Bytes that nobody may write to, behind every piece. */
enum { EXERCISE_GAP_BYTES = 32 };

#endif
