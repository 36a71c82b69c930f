/* SPDX-License-Identifier: MIT */
/*
 * Moves data between devices and files, or compares it: several large requests in flight, read and
 * written in place in memory shared with the devices (no copy between two devices, one for a file).
 */
#ifndef L4VIO_TOOL_STREAM_H
#define L4VIO_TOOL_STREAM_H

#include "tool/client.h"

/* The length of a source that ends where it ends. */
#define STREAM_TO_END UINT64_MAX

/* One end: a device, or a file. */
struct stream_end {
    struct client *client; /* NULL: a file. */
    int fd;                /* File. */
    bool sequential;       /* File: a pipe or the like, without positions. */
    const char *name;      /* For complaints. */
    uint64_t offset_bytes; /* Where to begin. */
};

/* Set by stream_options. */
struct stream_settings {
    uint64_t request_bytes;
    uint64_t depth;
    bool quiet;
    bool json;
};
extern struct stream_settings stream_settings;
extern const struct option stream_options[];

struct stream_slot;

/* Zero what is not used. */
struct stream {
    struct stream_end source;
    struct stream_end target;
    bool compare;          /* Read `target`, a file, and compare. */
    bool pad;              /* Fill the last sector with zeroes if a file ends inside it. */
    uint64_t length_bytes; /* Bytes to move, or STREAM_TO_END. */
    const char *verb;      /* "copy", for complaints and progress. */
    const char *past_verb; /* "copied" */

    uint64_t done_bytes; /* Result: all before this was moved. */
    bool different;      /* Result of a comparison. */
    uint64_t difference; /* Offset of the first difference, from the start. */

    /* Private. */
    struct stream_slot *slots;
    unsigned slot_count;
    uint64_t started, finished; /* Slots, counted from the start. */
    uint64_t position_bytes;    /* Next byte to ask of the source. */
    bool source_ended;
    uint64_t last_progress_ns;
    void *compare_buffer;
    uint64_t compare_bytes; /* Its size. */
    struct l4vio_region data_region, target_data_region;
    struct l4vio_region source_requests, target_requests;
    bool moved; /* Something happened in this round. */
    int exit_code;
};

/*
 * Runs it to its end. Complains, saying how far it got, and returns an exit code on failure. The
 * clients must be closed before stream_free, the target's first.
 */
int stream_run(struct stream *stream);

/*
 * Tells the result of a stream that ran to its end, as the options want it: a line for people, JSON, or
 * nothing. `verb` is for people: "copied".
 */
int stream_report(const struct stream *stream, const char *verb, uint64_t span_ns);

/* Refuses --json if standard output is to carry the data: `target` is NULL or "-". */
int stream_check_json(const char *target);

/* Frees it. */
void stream_free(struct stream *stream);

#endif
