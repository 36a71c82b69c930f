/* SPDX-License-Identifier: MIT */
/* Dataspaces: memfds whose size nobody can change, so that no access to a mapping can fault. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "platforms/linux/linux.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

int l4vio_linux_code(int system_error)
{
    switch (system_error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return L4VIO_ENOMEM;
    case EACCES:
        return L4VIO_EACCES;
    case EPERM:
        return L4VIO_EPERM;
    case ENOENT:
        return L4VIO_ENOENT;
    case EPIPE:
    case ECONNRESET:
        return L4VIO_EPIPE;
    default:
        return L4VIO_EINVAL;
    }
}

static int create(void)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create("l4vio", flags | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* Before Linux 6.3. */
        fd = memfd_create("l4vio", flags);
    return fd;
}

int l4vio_memfd_create(uint64_t *size_bytes, int *out, struct l4vio_error *error)
{
    uint64_t rounded = (*size_bytes + page_bytes() - 1) & ~(page_bytes() - 1);

    if (*size_bytes == 0 || rounded < *size_bytes || rounded > INT64_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "size of a dataspace is not valid", *size_bytes);
    int fd = create();
    if (fd < 0)
        return l4vio_fail(error, L4VIO_ENOMEM, "memfd_create failed", (uint64_t)errno);
    if (ftruncate(fd, (off_t)rounded) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int code = errno;
        close(fd);
        return l4vio_fail(error, L4VIO_ENOMEM, "memory of this size is not available",
                          (uint64_t)code);
    }
    *size_bytes = rounded;
    *out = fd;
    return L4VIO_OK;
}

int l4vio_linux_check_memfd(int fd, uint64_t *size_bytes, struct l4vio_error *error)
{
    struct stat status;
    struct statfs file_system;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "descriptor is not a memfd", 0);
    if ((seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
        return l4vio_fail(error, L4VIO_EINVAL, "memfd is not sealed against shrinking and growing",
                          (uint64_t)seals);
    /* Huge pages come out of a pool: one that runs dry raises SIGBUS in whoever touches the page. */
    if (fstatfs(fd, &file_system) < 0 || file_system.f_type != TMPFS_MAGIC)
        return l4vio_fail(error, L4VIO_EINVAL, "memfd is not of ordinary pages", 0);
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
        return l4vio_fail(error, L4VIO_EINVAL, "memfd is not open for reading and writing", 0);
    if (fstat(fd, &status) < 0 || status.st_size < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "size of a memfd cannot be read", 0);
    *size_bytes = (uint64_t)status.st_size;
    return L4VIO_OK;
}

/* Windows of 4 KiB pages need not begin where a page of the host begins. */
int l4vio_memfd_map(int fd, uint64_t offset_bytes, uint64_t size_bytes, void **base,
                    struct l4vio_error *error)
{
    uint64_t inside = offset_bytes & (page_bytes() - 1);

    if (size_bytes == 0 || size_bytes > SIZE_MAX - inside)
        return l4vio_fail(error, L4VIO_EINVAL, "size of a window is not valid", size_bytes);
    void *mapping = mmap(NULL, (size_t)(size_bytes + inside), PROT_READ | PROT_WRITE, MAP_SHARED,
                         fd, (off_t)(offset_bytes - inside));
    if (mapping == MAP_FAILED)
        return l4vio_fail(error, errno == ENOMEM ? L4VIO_ENOMEM : L4VIO_EINVAL,
                          "memfd cannot be mapped", (uint64_t)errno);
    *base = (char *)mapping + inside;
    return L4VIO_OK;
}

void l4vio_memfd_unmap(void *base, uint64_t size_bytes)
{
    uint64_t inside = (uint64_t)(uintptr_t)base & (page_bytes() - 1);

    munmap((char *)base - inside, (size_t)(size_bytes + inside));
}
