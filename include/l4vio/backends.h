/* SPDX-License-Identifier: MIT */
/**
 * @file backends.h
 * Backing stores of the block device on a host: memory and files.
 */
#ifndef L4VIO_BACKENDS_H
#define L4VIO_BACKENDS_H

#include "block_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a file is read and written. */
enum l4vio_file_engine {
    /** io_uring for what has to wait (reads from the medium, FLUSH, DISCARD, ZERO), pread and pwrite
     * for the rest; pread and pwrite alone where the kernel has no io_uring. */
    L4VIO_FILE_ENGINE_AUTO,
    L4VIO_FILE_ENGINE_SYNC,  /**< pread and pwrite for everything. */
    L4VIO_FILE_ENGINE_URING, /**< io_uring for everything, or fail. */
};

/**
 * Opens an image file or block special file.
 *
 * @param path      the file
 * @param read_only open it read-only
 * @param engine    how to read and write
 * @param backend   filled; end it with l4vio_file_backend_close
 * @param error     filled on failure, may be NULL
 * @retval L4VIO_OK     opened
 * @retval L4VIO_ENOENT no such file
 * @retval L4VIO_EACCES not allowed
 * @retval L4VIO_EINVAL size 0 or not a multiple of 512 (value: the size); not a file
 * @retval L4VIO_EBUSY  another process has it open for writing (advisory lock)
 * @retval L4VIO_ENOSYS no io_uring
 */
int l4vio_file_backend_open(const char *path, bool read_only, enum l4vio_file_engine engine,
                            struct l4vio_block_backend *backend, struct l4vio_error *error);

/**
 * Name of the engine in use.
 * @param backend from l4vio_file_backend_open
 * @return "io_uring" or "sync"
 */
const char *l4vio_file_backend_engine(const struct l4vio_block_backend *backend);

/**
 * Closes it; all lanes are closed.
 * @param backend from l4vio_file_backend_open
 */
void l4vio_file_backend_close(struct l4vio_block_backend *backend);

/**
 * Makes a store in memory, zeroed; blocks are allocated when first written and released by discard.
 * @param size_bytes multiple of 512
 * @param backend    filled; end it with l4vio_memory_backend_close
 * @param error      filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL or L4VIO_ENOMEM
 */
int l4vio_memory_backend_open(uint64_t size_bytes, struct l4vio_block_backend *backend,
                              struct l4vio_error *error);

/**
 * The store's bytes, for tests.
 * @param backend from l4vio_memory_backend_open
 * @return first byte
 */
void *l4vio_memory_backend_bytes(const struct l4vio_block_backend *backend);

/**
 * Frees it.
 * @param backend from l4vio_memory_backend_open
 */
void l4vio_memory_backend_close(struct l4vio_block_backend *backend);

#ifdef __cplusplus
}
#endif
#endif
