/* SPDX-License-Identifier: MIT */
/* What the files of the stream share. */
#ifndef L4VIO_TOOL_STREAM_PRIVATE_H
#define L4VIO_TOOL_STREAM_PRIVATE_H

#include "tool/stream.h"

/* A slot goes round: empty, reading, filled, writing, finished (then empty again). */
enum slot_state { SLOT_EMPTY, SLOT_READING, SLOT_FILLED, SLOT_WRITING, SLOT_FINISHED };

/* A request of one side. */
struct slot_side {
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
};

/* A piece of data on its way. */
struct stream_slot {
    struct stream *stream;
    enum slot_state state;
    uint64_t position_bytes; /* From the start of the stream. */
    uint64_t length_bytes;   /* With padding. */
    uint64_t padding_bytes;
    uint8_t *data;
    struct slot_side read, write;
};

/* Allocates the slots and registers their memory. Complains and returns an exit code on failure. */
int stream_setup(struct stream *stream);

/* Remembers the first failure and complains of it, saying how far it got. */
__attribute__((format(printf, 3, 4))) void stream_fail(struct stream *stream, int exit_code,
                                                       const char *format, ...);
/* As stream_fail, for an error of the library's. */
void stream_fail_device(struct stream *stream, struct client *client, const char *doing,
                        uint64_t position_bytes, int code);

/* Reads into a slot from a file; sets its length, and source_ended at the end of the file. */
void file_fill(struct stream *stream, struct stream_slot *slot);
/* Writes a slot to a file. */
void file_write(struct stream *stream, struct stream_slot *slot);
/* Compares a slot with a file. */
void file_compare(struct stream *stream, struct stream_slot *slot);

#endif
