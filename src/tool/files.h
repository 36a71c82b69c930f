/* SPDX-License-Identifier: MIT */
/* Files as ends of a stream. All complain and return an exit code on failure. */
#ifndef L4VIO_TOOL_FILES_H
#define L4VIO_TOOL_FILES_H

#include "tool/stream.h"

/* Opens the file `end->name` ("-": standard input) and finds its size, or STREAM_TO_END. */
int file_open_source(struct stream_end *end, uint64_t *size_bytes);

/* Creates or truncates the file `end->name` ("-": standard output), with room for `size_bytes`. */
int file_open_target(struct stream_end *end, uint64_t size_bytes);

/* Closes it, if it is open. */
int file_close(struct stream_end *end);

/* Complains that so many bytes are not whole sectors. */
int file_needs_padding(const struct stream_end *end, uint64_t bytes);

/* Whether this end is standard output. */
bool file_is_stdout(const struct stream_end *end);

#endif
