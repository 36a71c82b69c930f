/* SPDX-License-Identifier: MIT */
/* What the engines of the file store share. */
#ifndef L4VIO_BACKENDS_FILE_H
#define L4VIO_BACKENDS_FILE_H

#include <sys/types.h>
#include <sys/uio.h>

#include <l4vio/backends.h>

#include "backends/fixed.h"

/* Segments per system call. */
#define L4VIO_FILE_SEGMENTS_PER_CALL 128u

/* An open image. What changes after opening is accessed atomically: lanes run in several threads. */
struct l4vio_file {
    int fd;
    bool read_only;
    bool block_device;
    bool punches_holes;        /* The file system can release blocks. */
    bool automatic;            /* The ring is used where it helps, see l4vio_file_try_now. */
    int cannot_try;            /* Atomic: the file system cannot tell whether a read would wait. */
    int cannot_zero;           /* Atomic: the file system has no ZERO_RANGE. */
    int flush_error;           /* Atomic: see l4vio_file_flush_result. */
    uint32_t block_bytes;      /* Preferred. */
    uint32_t optimal_io_bytes; /* 0: unknown. */
    unsigned char *map;        /* file_map.c: the image, or NULL. */
    uint64_t map_bytes;        /* Its size. */
    uint8_t *chunks;           /* Atomic: what is known of each of its chunks. */
    int map_lost;              /* Atomic: no longer to be used. */
    int ring_fd;               /* The same file for rings, see open_for_rings; or -1. */
    int direct_fd;             /* Past the page cache, or -1. */
    int direct_lost;           /* Atomic: it was refused once. */
    uint32_t direct_memory;    /* Alignment of memory, bytes. */
    uint32_t direct_offset;    /* Alignment of offset and length. */
    struct l4vio_fixed_regions fixed;    /* file_uring.c */
    struct l4vio_block_lane *lanes;      /* With the lock of `fixed`: those of file_uring.c. */
    struct l4vio_file_counters counters; /* With that lock: of lanes that are closed. */
};

/* The engines. */
extern const struct l4vio_block_backend_ops l4vio_file_map_ops;
extern const struct l4vio_block_backend_ops l4vio_file_sync_ops;
extern const struct l4vio_block_backend_ops l4vio_file_uring_ops;

/* Whether a ring can be had; L4VIO_OK or L4VIO_ENOSYS. */
int l4vio_file_uring_probe(void);

/* Whether nobody can cut the file short, and to touch its memory cannot fail otherwise. */
bool l4vio_file_map_safe(int fd);

/* Maps an open image. L4VIO_ENOSYS: it is not memory. l4vio_file_unmap also after a failure. */
int l4vio_file_map(struct l4vio_file *file, uint64_t size_bytes, struct l4vio_error *error);
void l4vio_file_unmap(struct l4vio_file *file);

/* The counters of all lanes. */
void l4vio_file_uring_counters(struct l4vio_file *file, struct l4vio_file_counters *counters);

/* struct l4vio_block_backend_ops.info of all. */
void l4vio_file_info(void *self, struct l4vio_block_backend_info *info);

/* Does an operation now, from where `progress_bytes` says; returns 0 or a negative code. */
int l4vio_file_run(struct l4vio_file *file, struct l4vio_block_io *io);

/*
 * What needs no waiting is cheaper without the ring, if there is only one of it: reads of cached data,
 * and writes, which only copy into the page cache, but which a ring hands to a thread on many file
 * systems. Whether the operation is done; otherwise what is left of it is for the ring.
 */
bool l4vio_file_try_now(struct l4vio_file *file, struct l4vio_block_io *io, int *result);

/* The library's code for an errno value. */
int l4vio_file_code(int error_number);

/* Puts an operation at its beginning, and moves it on by what a system call transferred. */
void l4vio_file_start(struct l4vio_block_io *io);
void l4vio_file_advance(struct l4vio_block_io *io, uint64_t bytes);
/* Puts the segments back to what they were: an operation that was not done ends. */
void l4vio_file_restore(struct l4vio_block_io *io);

/* The segments that are left, after l4vio_file_advance. */
struct l4vio_device_segment *l4vio_file_segments(const struct l4vio_block_io *io, uint32_t *count);

/* Flags for fallocate of a DISCARD or ZERO; 0 if the file system is known to lack it. */
int l4vio_file_fallocate_mode(struct l4vio_file *file, const struct l4vio_block_io *io);

/*
 * Takes note of the result of an fdatasync (0 or a negative code) and returns what to answer. The
 * kernel reports lost writes once and then forgets them, but they may have been another client's:
 * from the first failure on every flush fails, so that nobody is told that lost data is durable.
 */
int l4vio_file_flush_result(struct l4vio_file *file, int result);

#endif
