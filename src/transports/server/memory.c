/* SPDX-License-Identifier: MIT */
/* Memory of files that a client may cut short: what is mapped, and what happens then. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/ordering.h"
#include "platforms/linux/linux.h"
#include "transports/server/server.h"

/* Whoever touches a page of these waits for somebody else's answer, who may be the client. */
static bool is_remote(const char *file_system)
{
    static const char *const names[] = {"fuse", "nfs", "9p", "cifs", "smb", "ceph", "afs"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(file_system, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

/* The type of a mounted file system, from the line that /proc/self/mountinfo has about it. */
static const char *type_of(const char *line, uint64_t mount)
{
    char *end;
    const char *type = strstr(line, " - ");

    return type && strtoull(line, &end, 10) == mount ? type + 3 : NULL;
}

/* Without a word to the file system itself. One that is mounted elsewhere only is taken for remote. */
static bool is_mounted_here(uint64_t mount)
{
    FILE *list = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;
    bool here = false;

    while (list && !here && getline(&line, &room, list) > 0) {
        const char *type = type_of(line, mount);
        here = type && !is_remote(type);
    }
    free(line);
    if (list)
        fclose(list);
    return here;
}

int l4vio_server_check_memory(int fd, struct l4vio_error *error)
{
    struct statx status;

    /* Of what the kernel knows already: nobody is asked who may be slow to answer. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID, &status) < 0 ||
        !S_ISREG(status.stx_mode))
        return l4vio_fail(error, L4VIO_EINVAL, "a descriptor that is not of memory", 0);
    if (fcntl(fd, F_GET_SEALS) >= 0) /* A memfd, a file of a tmpfs, huge pages. */
        return L4VIO_OK;
    if (!(status.stx_mask & STATX_MNT_ID) || !is_mounted_here(status.stx_mnt_id))
        return l4vio_fail(error, L4VIO_EINVAL, "memory that is not on this machine", 0);
    return L4VIO_OK;
}

/* What kind of file it is; the size of its pages. */
static int check_file(int fd, uint64_t offset_bytes, uint64_t size_bytes, uint64_t *page_bytes,
                      struct l4vio_error *error)
{
    struct stat status;
    struct statfs file_system;
    int result = l4vio_server_check_memory(fd, error);

    if (result < 0)
        return result;
    if (fstat(fd, &status) < 0 || fstatfs(fd, &file_system) < 0)
        return l4vio_fail(error, L4VIO_EINVAL, "a descriptor that is not of memory", 0);
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
        return l4vio_fail(error, L4VIO_EINVAL, "memory that cannot be written", 0);
    if (size_bytes == 0 || offset_bytes > (uint64_t)status.st_size ||
        size_bytes > (uint64_t)status.st_size - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "memory beyond the end of its file",
                          (uint64_t)status.st_size);
    *page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    if ((uint32_t)file_system.f_type == HUGETLBFS_MAGIC && file_system.f_bsize > 0)
        *page_bytes = (uint64_t)file_system.f_bsize;
    return L4VIO_OK;
}

static struct l4vio_mapping *free_mapping(const struct l4vio_server *server)
{
    for (unsigned i = 0; i < server->mapping_count; i++) {
        if (atomic_load(&server->mappings[i].base) == 0)
            return &server->mappings[i];
    }
    return NULL;
}

int l4vio_client_map(struct l4vio_served_client *client, int fd, uint64_t offset_bytes,
                     uint64_t size_bytes, struct l4vio_mapping **out, void **base,
                     struct l4vio_error *error)
{
    struct l4vio_mapping *mapping = free_mapping(client->server);
    uint64_t page = 0;
    int result = check_file(fd, offset_bytes, size_bytes, &page, error);

    if (result < 0)
        return result;
    if (!mapping)
        return l4vio_fail(error, L4VIO_ENOMEM, "too many pieces of memory", 0);
    uint64_t inside = offset_bytes % page;
    uint64_t bytes = (inside + size_bytes + page - 1) / page * page;
    if (bytes < size_bytes || bytes > SIZE_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "size of memory is not valid", size_bytes);
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        (off_t)(offset_bytes - inside));
    if (memory == MAP_FAILED)
        return l4vio_fail(error, errno == ENOMEM ? L4VIO_ENOMEM : L4VIO_EINVAL,
                          "memory cannot be mapped", (uint64_t)errno);
    mapping->client = client;
    atomic_store(&mapping->lost, false);
    atomic_store(&mapping->bytes, (size_t)bytes);
    atomic_store(&mapping->base, (uintptr_t)memory);
    *base = (char *)memory + inside;
    *out = mapping;
    return L4VIO_OK;
}

void l4vio_client_unmap(struct l4vio_mapping *mapping)
{
    if (!mapping)
        return;
    void *memory = (void *)atomic_exchange(&mapping->base, 0); // NOLINT
    munmap(memory, atomic_load(&mapping->bytes));
}

bool l4vio_client_lost_memory(const struct l4vio_served_client *client)
{
    const struct l4vio_server *server = client->server;

    for (unsigned i = 0; i < server->mapping_count; i++) {
        const struct l4vio_mapping *mapping = &server->mappings[i];
        if (atomic_load(&mapping->base) && mapping->client == client && atomic_load(&mapping->lost))
            return true;
    }
    return false;
}

/*
 * The whole mapping, since its pages may be huge ones. The device is not live from here on, so that
 * nothing that was read as zeroes is taken for done.
 */
static bool replace(struct l4vio_mapping *mapping, uintptr_t base, size_t bytes)
{
    struct l4vio_served_client *client = mapping->client;
    void *zeroes = mmap((void *)base, bytes, PROT_READ | PROT_WRITE, /* NOLINT */
                        MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (zeroes == MAP_FAILED)
        return false;
    l4vio_private_or32(&client->device->status, VIRTIO_STATUS_FAILED);
    atomic_store(&mapping->lost, true);
    l4vio_server_signal(client->server->wake);
    return true;
}

bool l4vio_server_memory_fault(struct l4vio_server *server, const void *address)
{
    for (unsigned i = 0; i < server->mapping_count; i++) {
        struct l4vio_mapping *mapping = &server->mappings[i];
        uintptr_t base = atomic_load(&mapping->base);
        size_t bytes = atomic_load(&mapping->bytes);
        if (base && (uintptr_t)address - base < bytes)
            return replace(mapping, base, bytes);
    }
    return false;
}
