/* SPDX-License-Identifier: MIT */
/* Memory shared with the back end: region by region where it has slots, else the whole table each time. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/bytes.h"
#include "platforms/linux/linux.h"
#include "transports/vhost_user/frontend.h"

static bool has_slots(const struct l4vio_vhost_user *frontend)
{
    return l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

static int send_region(struct l4vio_vhost_user *frontend, uint32_t request,
                       const struct vhost_user_memory_region *region, int fd, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(request);

    message.header.size = sizeof(message.u.single);
    message.u.single.region = *region;
    if (fd >= 0) {
        message.fds.fd[0] = fd;
        message.fds.count = 1;
    }
    return l4vio_frontend_tell(frontend, &message, deadline_ns, error);
}

static int send_table(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_SET_MEM_TABLE);
    const unsigned count = (unsigned)frontend->region_count;

    message.header.size = (uint32_t)(offsetof(struct vhost_user_memory, regions) +
                                     count * sizeof(message.u.memory.regions[0]));
    message.u.memory.nregions = count;
    message.fds.count = count;
    for (unsigned i = 0; i < count; i++) {
        message.u.memory.regions[i] = frontend->regions[i].wire;
        message.fds.fd[i] = frontend->regions[i].fd;
    }
    return l4vio_frontend_tell(frontend, &message, deadline_ns, error);
}

static int add_to_table(struct l4vio_vhost_user *frontend,
                        const struct vhost_user_memory_region *wire, int fd, uint64_t deadline_ns,
                        struct l4vio_error *error)
{
    struct l4vio_frontend_region *region = &frontend->regions[frontend->region_count];

    region->wire = *wire;
    region->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (region->fd < 0)
        return l4vio_fail(error, l4vio_linux_code(errno), "a descriptor cannot be duplicated",
                          (uint64_t)errno);
    frontend->region_count++;
    int result = send_table(frontend, deadline_ns, error);
    if (result == L4VIO_EINVAL) {
        frontend->region_count--;
        close(region->fd);
    }
    return result;
}

int l4vio_frontend_map(void *self, const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                       uint64_t size_bytes, uint64_t *device_address, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    const struct vhost_user_memory_region wire = {
        .guest_phys_addr = *device_address,
        .memory_size = size_bytes,
        .userspace_addr = *device_address,
        .mmap_offset = offset_bytes,
    };
    int fd = (int)dataspace->handle;

    if (dataspace->handle == L4VIO_NO_HANDLE)
        return l4vio_fail(error, L4VIO_EINVAL, "dataspace without a descriptor", 0);
    if (frontend->region_count >= frontend->info.memory_slots)
        return l4vio_fail(error, L4VIO_ENOMEM, "the back end takes no more regions of memory",
                          frontend->info.memory_slots);
    if (!has_slots(frontend))
        return add_to_table(frontend, &wire, fd, deadline_ns, error);
    int result = send_region(frontend, VHOST_USER_ADD_MEM_REG, &wire, fd, deadline_ns, error);
    if (result == L4VIO_OK)
        frontend->region_count++;
    return result;
}

/* Until the back end has agreed, the region is in the table: it may have it. */
static int remove_from_table(struct l4vio_vhost_user *frontend, uint64_t device_address,
                             uint64_t deadline_ns, struct l4vio_error *error)
{
    unsigned count = (unsigned)frontend->region_count;
    unsigned at = 0;

    while (at < count && frontend->regions[at].wire.guest_phys_addr != device_address)
        at++;
    if (at == count)
        return l4vio_fail(error, L4VIO_EINVAL, "no memory at this address", device_address);
    struct l4vio_frontend_region removed = frontend->regions[at];
    frontend->regions[at] = frontend->regions[count - 1];
    frontend->region_count--;
    int result = send_table(frontend, deadline_ns, error);
    if (result == L4VIO_OK)
        close(removed.fd);
    else
        frontend->regions[frontend->region_count++] = removed;
    /* The last one took the place of the other: both are in the table again. */
    return result;
}

int l4vio_frontend_unmap(void *self, uint64_t device_address, uint64_t size_bytes,
                         uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    const struct vhost_user_memory_region wire = {
        .guest_phys_addr = device_address,
        .memory_size = size_bytes,
        .userspace_addr = device_address,
    };

    if (!has_slots(frontend))
        return remove_from_table(frontend, device_address, deadline_ns, error);
    int result = send_region(frontend, VHOST_USER_REM_MEM_REG, &wire, -1, deadline_ns, error);
    if (result == L4VIO_OK && frontend->region_count)
        frontend->region_count--;
    return result;
}

void l4vio_frontend_forget_memory(struct l4vio_vhost_user *frontend)
{
    for (unsigned i = 0; i < frontend->region_count && !has_slots(frontend); i++)
        close(frontend->regions[i].fd);
    frontend->region_count = 0;
}
