/* SPDX-License-Identifier: MIT */
/* Opening and closing of image files and block special files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/file.h"

static int fail_open(int error_number, struct l4vio_error *error)
{
    uint64_t value = (uint64_t)error_number;
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
        return l4vio_fail(error, L4VIO_ENOENT, "no such image file", value);
    case EACCES:
    case EPERM:
        return l4vio_fail(error, L4VIO_EACCES, "not allowed to open the image file", value);
    case EROFS:
        return l4vio_fail(error, L4VIO_EACCES, "the image file is on a read-only file system",
                          value);
    case EBUSY:
    case ETXTBSY:
        return l4vio_fail(error, L4VIO_EBUSY, "the image is in use (mounted, or running)", value);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return l4vio_fail(error, L4VIO_ENOMEM, "no descriptor or memory to open the image", value);
    case ENAMETOOLONG:
    case ELOOP:
        return l4vio_fail(error, L4VIO_EINVAL, "the path of the image is not usable", value);
    default:
        return l4vio_fail(error, L4VIO_EIO, "cannot open the image file", value);
    }
}

static bool is_image(const struct stat *status)
{
    return S_ISREG(status->st_mode) || S_ISBLK(status->st_mode);
}

/*
 * Looks before it opens: to open a device node that is no disk may have effects of its own. O_EXCL
 * makes the kernel refuse block devices that are mounted.
 */
static int open_image(const char *path, bool read_only, struct stat *status,
                      struct l4vio_error *error)
{
    if (stat(path, status) != 0)
        return fail_open(errno, error);
    if (!is_image(status))
        return l4vio_fail(error, L4VIO_EINVAL, "the image is neither a file nor a block device",
                          status->st_mode);
    int flags = O_CLOEXEC | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR);
    if (!read_only && S_ISBLK(status->st_mode))
        flags |= O_EXCL;
    int fd = open(path, flags);
    if (fd < 0)
        return fail_open(errno, error);
    if (fstat(fd, status) == 0 && is_image(status))
        return fd;
    close(fd);
    return l4vio_fail(error, L4VIO_EINVAL, "the image is neither a file nor a block device",
                      status->st_mode);
}

/*
 * Open file description locks: several readers or one writer. They belong to the description, so a
 * second open in this process conflicts too, and closing another descriptor does not drop them.
 */
static int lock_image(int fd, bool read_only, struct l4vio_error *error)
{
    struct flock lock = {
        .l_type = read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return L4VIO_OK;
    if (errno == EAGAIN || errno == EACCES)
        return l4vio_fail(error, L4VIO_EBUSY, "the image is in use by another server", 0);
    /* File systems without locks: the lock is advice between servers, not worth refusing for. */
    return L4VIO_OK;
}

static uint64_t image_size(const struct l4vio_file *file)
{
    uint64_t size_bytes = 0;
    struct stat status;
    if (file->block_device)
        return ioctl(file->fd, BLKGETSIZE64, &size_bytes) == 0 ? size_bytes : 0;
    return fstat(file->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* Punching a hole behind the end changes nothing, but tells whether the file system can. */
static bool can_punch(const struct l4vio_file *file, uint64_t size_bytes)
{
    if (file->read_only)
        return false;
    if (file->block_device)
        return true;
    return fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)size_bytes,
                     4096) == 0;
}

static void find_block_sizes(struct l4vio_file *file, const struct stat *status)
{
    unsigned value = 0;
    file->block_bytes = status->st_blksize < 512 ? 512u : (uint32_t)status->st_blksize;
    if (!file->block_device)
        return;
    if (ioctl(file->fd, BLKPBSZGET, &value) == 0 && value >= 512)
        file->block_bytes = value;
    if (ioctl(file->fd, BLKIOOPT, &value) == 0)
        file->optimal_io_bytes = value;
}

/* How memory and offsets have to be aligned; what every disk takes where the kernel does not say. */
static void find_direct_alignment(struct l4vio_file *file)
{
    file->direct_memory = 4096;
    file->direct_offset = 4096;
#ifdef STATX_DIOALIGN
    struct statx status = {0};
    if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0 ||
        !(status.stx_mask & STATX_DIOALIGN) || status.stx_dio_offset_align == 0)
        return;
    file->direct_memory = status.stx_dio_mem_align;
    file->direct_offset = status.stx_dio_offset_align;
#endif
}

/*
 * The same file again, whatever the path has come to mean. Without O_NONBLOCK a ring gives every read
 * of a tmpfs to a thread of its own.
 */
static int open_again(const struct l4vio_file *file, int flags)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
    return open(path, O_CLOEXEC | O_NONBLOCK | (file->read_only ? O_RDONLY : O_RDWR) | flags);
}

/*
 * A ring lets go of its files some time after it was closed, or its process has died. The lock on the
 * image must not last so long, so rings have descriptions of the file without it.
 */
static int open_for_rings(struct l4vio_file *file, bool direct, struct l4vio_error *error)
{
    file->ring_fd = open_again(file, 0);
    if (!direct)
        return L4VIO_OK;
    file->direct_fd = open_again(file, O_DIRECT);
    if (file->direct_fd < 0)
        return l4vio_fail(error, L4VIO_ENOSYS, "the file cannot be opened with O_DIRECT",
                          (uint64_t)errno);
    find_direct_alignment(file);
    if (file->block_bytes < file->direct_offset)
        file->block_bytes = file->direct_offset;
    return L4VIO_OK;
}

/* Without a word of the caller's that it can stand a fault, only what cannot fault is mapped. */
static int choose_engine(struct l4vio_file *file, enum l4vio_file_engine engine,
                         const struct l4vio_block_backend_ops **ops, struct l4vio_error *error)
{
    bool automatic = engine == L4VIO_FILE_ENGINE_AUTO;
    *ops = &l4vio_file_map_ops;
    if (engine == L4VIO_FILE_ENGINE_MAP)
        return l4vio_file_map(file, image_size(file), error);
    if (automatic && l4vio_file_map_safe(file->fd) &&
        l4vio_file_map(file, image_size(file), NULL) == L4VIO_OK)
        return L4VIO_OK;
    *ops = &l4vio_file_sync_ops;
    if (engine == L4VIO_FILE_ENGINE_SYNC)
        return L4VIO_OK;
    if (l4vio_file_uring_probe() == L4VIO_OK) {
        *ops = &l4vio_file_uring_ops;
        return open_for_rings(file, engine == L4VIO_FILE_ENGINE_DIRECT, error);
    }
    return automatic ? L4VIO_OK
                     : l4vio_fail(error, L4VIO_ENOSYS, "the kernel does not allow io_uring", 0);
}

static int set_up(struct l4vio_file *file, const struct stat *status, struct l4vio_error *error)
{
    int result = lock_image(file->fd, file->read_only, error);
    if (result != L4VIO_OK)
        return result;
    uint64_t size_bytes = image_size(file);
    if (size_bytes == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "the image is empty", 0);
    if (size_bytes % 512 != 0)
        return l4vio_fail(error, L4VIO_EINVAL, "the image size is not a multiple of 512 bytes",
                          size_bytes);
    find_block_sizes(file, status);
    file->punches_holes = can_punch(file, size_bytes);
    return L4VIO_OK;
}

int l4vio_file_backend_open(const char *path, bool read_only, enum l4vio_file_engine engine,
                            struct l4vio_block_backend *backend, struct l4vio_error *error)
{
    struct stat status = {0};
    int fd = open_image(path, read_only, &status, error);
    if (fd < 0)
        return fd;
    struct l4vio_file *file = calloc(1, sizeof(*file));
    if (!file) {
        close(fd);
        return l4vio_fail(error, L4VIO_ENOMEM, "no memory for the store", 0);
    }
    file->fd = fd;
    file->ring_fd = -1;
    file->direct_fd = -1;
    l4vio_fixed_init(&file->fixed);
    file->read_only = read_only;
    file->block_device = S_ISBLK(status.st_mode);
    file->automatic = engine == L4VIO_FILE_ENGINE_AUTO;
    backend->self = file;
    int result = set_up(file, &status, error);
    if (result == L4VIO_OK)
        result = choose_engine(file, engine, &backend->ops, error);
    if (result != L4VIO_OK)
        l4vio_file_backend_close(backend);
    return result;
}

/* Asked again after a change of size: whole sectors count. */
void l4vio_file_info(void *self, struct l4vio_block_backend_info *info)
{
    const struct l4vio_file *file = self;
    *info = (struct l4vio_block_backend_info){
        .size_bytes = image_size(file) & ~UINT64_C(511),
        .read_only = file->read_only,
        .discard = file->punches_holes,
        .zero_unmaps = file->punches_holes,
        .block_bytes = file->block_bytes,
        .optimal_io_bytes = file->optimal_io_bytes,
    };
}

const char *l4vio_file_backend_engine(const struct l4vio_block_backend *backend)
{
    if (backend->ops == &l4vio_file_map_ops)
        return "map";
    if (((const struct l4vio_file *)backend->self)->direct_fd >= 0)
        return "direct";
    return backend->ops == &l4vio_file_uring_ops ? "io_uring" : "sync";
}

void l4vio_file_backend_counters_read(const struct l4vio_block_backend *backend,
                                      struct l4vio_file_counters *counters)
{
    l4vio_file_uring_counters(backend->self, counters);
}

void l4vio_file_backend_close(struct l4vio_block_backend *backend)
{
    struct l4vio_file *file = backend->self;
    if (!file)
        return;
    l4vio_file_unmap(file);
    l4vio_fixed_destroy(&file->fixed);
    if (file->ring_fd >= 0)
        close(file->ring_fd);
    if (file->direct_fd >= 0)
        close(file->direct_fd);
    close(file->fd);
    free(file);
    backend->self = NULL;
    backend->ops = NULL;
}
