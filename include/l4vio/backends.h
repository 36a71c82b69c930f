/* SPDX-License-Identifier: MIT */
/**
 * @file backends.h
 * Backing stores of the block device on a host: memory and files.
 */
#ifndef L4VIO_BACKENDS_H
#define L4VIO_BACKENDS_H

#include "block_backend.h"
#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a file is read and written. */
enum l4vio_file_engine {
    /** MAP for a memfd that is sealed against shrinking. Otherwise io_uring for what has to wait
     * (reads from the medium, FLUSH, DISCARD, ZERO) and for several reads at once, pread and pwrite
     * for the rest; pread and pwrite alone where the kernel has no io_uring. */
    L4VIO_FILE_ENGINE_AUTO,
    L4VIO_FILE_ENGINE_SYNC,  /**< pread and pwrite for everything. */
    L4VIO_FILE_ENGINE_URING, /**< io_uring for everything, or fail. */
    /** The file is memory already (tmpfs, memfd) and is mapped: data is copied once, with no system
     * call. Holes are left alone. If somebody cuts the file short meanwhile, the process gets SIGBUS:
     * its handler has to call l4vio_file_backend_fault. Only a sealed memfd needs none. */
    L4VIO_FILE_ENGINE_MAP,
    /** io_uring, past the page cache (O_DIRECT) where offset, length and memory of a request are
     * aligned as the file wants it; by way of the page cache for the others. */
    L4VIO_FILE_ENGINE_DIRECT,
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
 * @retval L4VIO_ENOSYS no io_uring; MAP: not on a tmpfs; DIRECT: the file system has no O_DIRECT
 */
int l4vio_file_backend_open(const char *path, bool read_only, enum l4vio_file_engine engine,
                            struct l4vio_block_backend *backend, struct l4vio_error *error);

/**
 * Name of the engine in use.
 * @param backend from l4vio_file_backend_open
 * @return "map", "direct", "io_uring" or "sync"
 */
const char *l4vio_file_backend_engine(const struct l4vio_block_backend *backend);

/**
 * For a handler of SIGBUS: the process touched an address that has no memory behind it. If it is of the
 * image's mapping, the store goes on without the mapping; requests past the new end of the file fail.
 * May be called in a signal handler. The signal must not be blocked in the threads that use the store.
 * @param backend from l4vio_file_backend_open
 * @param address of the fault
 * @return whether the handler may return; otherwise the fault is not the store's
 */
bool l4vio_file_backend_fault(const struct l4vio_block_backend *backend, const void *address);

/** What a file store did by io_uring. */
struct l4vio_file_counters {
    uint64_t ring_requests;      /**< Requests, parts of them counted one by one. */
    uint64_t ring_submits;       /**< System calls to submit them. */
    uint64_t fixed_requests;     /**< Transfers into memory that was registered with the ring. */
    uint64_t direct_requests;    /**< Transfers past the page cache. */
    uint64_t buffers_registered; /**< Pieces of drivers' memory registered (pinned). */
    uint64_t buffers_refused;    /**< The kernel would not: RLIMIT_MEMLOCK, old kernel. */
    uint64_t reserved[4];        /**< 0. */
};

/**
 * Reads the counters. Safe from any thread.
 * @param backend  from l4vio_file_backend_open
 * @param counters filled
 */
void l4vio_file_backend_counters_read(const struct l4vio_block_backend *backend,
                                      struct l4vio_file_counters *counters);

/**
 * Closes it; all lanes are closed.
 * @param backend from l4vio_file_backend_open
 */
void l4vio_file_backend_close(struct l4vio_block_backend *backend);

/**
 * Makes a store in memory, zeroed; blocks are allocated when first written and released by discard.
 * Where the system has huge pages, they are allocated by 2 MiB, because that is faster.
 * @param size_bytes multiple of 512
 * @param backend    filled; end it with l4vio_memory_backend_close
 * @param error      filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL or L4VIO_ENOMEM
 */
int l4vio_memory_backend_open(uint64_t size_bytes, struct l4vio_block_backend *backend,
                              struct l4vio_error *error);

/**
 * Makes a store of a dataspace that the caller has mapped: its bytes are the image. Data is copied
 * once, between the dataspace and the memory that a driver shares. Discard gives its pages back where
 * the system can do that, and clears them where it cannot.
 *
 * Nobody may take the memory away while it is served: a dataspace of a platform's
 * `dataspace_allocate` or `dataspace_map` is safe. Whoever else has it mapped sees the driver's
 * writes as they come.
 *
 * @param dataspace mapped; read now, the memory is borrowed until the store is closed
 * @param read_only it may be mapped read-only; writes fail
 * @param backend   filled; end it with l4vio_memory_backend_close
 * @param error     filled on failure, may be NULL
 * @return 0, L4VIO_EINVAL (not mapped, size 0 or not a multiple of 512) or L4VIO_ENOMEM
 */
int l4vio_dataspace_backend_open(const struct l4vio_dataspace *dataspace, bool read_only,
                                 struct l4vio_block_backend *backend, struct l4vio_error *error);

/**
 * The store's bytes.
 * @param backend from l4vio_memory_backend_open or l4vio_dataspace_backend_open
 * @return first byte
 */
void *l4vio_memory_backend_bytes(const struct l4vio_block_backend *backend);

/**
 * Frees it; a dataspace stays the caller's.
 * @param backend from l4vio_memory_backend_open or l4vio_dataspace_backend_open
 */
void l4vio_memory_backend_close(struct l4vio_block_backend *backend);

#ifdef __cplusplus
}
#endif
#endif
