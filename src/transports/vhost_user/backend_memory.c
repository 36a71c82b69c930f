/* SPDX-License-Identifier: MIT */
/*
 * The front end's memory. A table is checked and mapped as a whole before anything changes, so that one that
 * is refused leaves the old one in force. Regions that stay are kept as they are.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transports/vhost_user/backend.h"

static bool ranges_meet(uint64_t a, uint64_t b, uint64_t a_bytes, uint64_t b_bytes)
{
    return a < b ? b - a < a_bytes : a - b < b_bytes;
}

static int check_region(const struct vhost_user_memory_region *told, struct l4vio_error *error)
{
    uint64_t last = told->memory_size - 1;

    if (told->memory_size == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "a region of memory without a byte", 0);
    if (told->guest_phys_addr + last < last || told->userspace_addr + last < last ||
        told->mmap_offset + last < last)
        return l4vio_fail(error, L4VIO_EINVAL, "a region wraps around the address space",
                          told->guest_phys_addr);
    return L4VIO_OK;
}

static int check_pair(const struct vhost_user_memory_region *a,
                      const struct vhost_user_memory_region *b, struct l4vio_error *error)
{
    if (ranges_meet(a->guest_phys_addr, b->guest_phys_addr, a->memory_size, b->memory_size))
        return l4vio_fail(error, L4VIO_EINVAL, "two regions at the same guest address",
                          a->guest_phys_addr);
    if (ranges_meet(a->userspace_addr, b->userspace_addr, a->memory_size, b->memory_size))
        return l4vio_fail(error, L4VIO_EINVAL, "two regions at the same user address",
                          a->userspace_addr);
    return L4VIO_OK;
}

static bool same_region(const struct vhost_user_memory_region *a,
                        const struct vhost_user_memory_region *b)
{
    return a->guest_phys_addr == b->guest_phys_addr && a->memory_size == b->memory_size &&
           a->userspace_addr == b->userspace_addr;
}

static unsigned quota(const struct l4vio_served_client *client)
{
    return client->server->config.quotas.regions;
}

bool l4vio_vhost_back_translate(const struct l4vio_served_client *client, uint64_t user_address,
                                uint64_t *device_address)
{
    for (unsigned i = 0; i < quota(client); i++) {
        const struct l4vio_vhost_region *region = &l4vio_vhost_served(client)->regions[i];
        uint64_t inside = user_address - region->told.userspace_addr;
        if (region->used && inside < region->told.memory_size) {
            *device_address = region->told.guest_phys_addr + inside;
            return true;
        }
    }
    return false;
}

/* The device lets a region go. */
void l4vio_vhost_back_release(void *client, const struct l4vio_device_region *region)
{
    struct l4vio_vhost_region *own = region->cookie;

    (void)client;
    l4vio_client_unmap(own->mapping);
    *own = (struct l4vio_vhost_region){0};
}

static int map_region(struct l4vio_served_client *client, int fd,
                      const struct vhost_user_memory_region *told, struct l4vio_vhost_region *out,
                      struct l4vio_error *error)
{
    struct stat file;

    *out = (struct l4vio_vhost_region){.told = *told};
    int result = l4vio_client_map(client, fd, told->mmap_offset, told->memory_size, &out->mapping,
                                  &out->base, error);
    if (result == L4VIO_OK && fstat(fd, &file) == 0) {
        out->device = file.st_dev;
        out->inode = file.st_ino;
    }
    return result;
}

/* A mapped region becomes the device's. */
static int add_region(struct l4vio_served_client *client, const struct l4vio_vhost_region *fresh,
                      struct l4vio_error *error)
{
    for (unsigned i = 0; i < quota(client); i++) {
        struct l4vio_vhost_region *own = &l4vio_vhost_served(client)->regions[i];
        if (own->used)
            continue;
        *own = *fresh;
        own->used = true;
        struct l4vio_device_region region = {.device_address = own->told.guest_phys_addr,
                                             .size_bytes = own->told.memory_size,
                                             .base = own->base,
                                             .cookie = own};
        int result = l4vio_device_add_region(client->device, &region, error);
        if (result < 0)
            l4vio_vhost_back_release(client, &region);
        return result;
    }
    l4vio_client_unmap(fresh->mapping);
    return l4vio_fail(error, L4VIO_ENOMEM, "too many regions", quota(client));
}

static int remove_region(struct l4vio_served_client *client, struct l4vio_vhost_region *own)
{
    return l4vio_device_remove_region(client->device, own->told.guest_phys_addr,
                                      own->told.memory_size);
}

/* A new table while it is being made. */
struct table {
    unsigned count;
    struct vhost_user_memory_region told[VHOST_USER_REGIONS_MAX];
    struct l4vio_vhost_region fresh[VHOST_USER_REGIONS_MAX]; /* Mapped; not those that are kept. */
    struct l4vio_vhost_region *kept[VHOST_USER_REGIONS_MAX];
};

static int check_table(const struct l4vio_served_client *client, const struct table *table,
                       struct l4vio_error *error)
{
    uint64_t room = client->server->config.quotas.mapped_bytes;

    if (table->count > quota(client))
        return l4vio_fail(error, L4VIO_ENOMEM, "too many regions", table->count);
    for (unsigned i = 0; i < table->count; i++) {
        int result = check_region(&table->told[i], error);
        for (unsigned j = 0; result == L4VIO_OK && j < i; j++)
            result = check_pair(&table->told[j], &table->told[i], error);
        if (result < 0)
            return result;
        if (table->told[i].memory_size > room)
            return l4vio_fail(error, L4VIO_ENOMEM, "the quota of mapped bytes is used up",
                              table->told[i].memory_size);
        room -= table->told[i].memory_size;
    }
    return L4VIO_OK;
}

/* A region of the old table that is the same, of the same file, and still as it was. */
static struct l4vio_vhost_region *find_kept(const struct l4vio_served_client *client, int fd,
                                            const struct vhost_user_memory_region *told)
{
    struct stat file;

    for (unsigned i = 0; i < quota(client); i++) {
        struct l4vio_vhost_region *own = &l4vio_vhost_served(client)->regions[i];
        if (own->used && same_region(&own->told, told) &&
            own->told.mmap_offset == told->mmap_offset && !atomic_load(&own->mapping->lost) &&
            fstat(fd, &file) == 0 && file.st_dev == own->device && file.st_ino == own->inode)
            return own;
    }
    return NULL;
}

static int map_table(struct l4vio_served_client *client, struct table *table, const int *fds,
                     struct l4vio_error *error)
{
    int result = L4VIO_OK;

    for (unsigned i = 0; result == L4VIO_OK && i < table->count; i++) {
        result = l4vio_server_check_memory(fds[i], error);
        if (result == L4VIO_OK)
            table->kept[i] = find_kept(client, fds[i], &table->told[i]);
        if (result == L4VIO_OK && !table->kept[i])
            result = map_region(client, fds[i], &table->told[i], &table->fresh[i], error);
    }
    for (unsigned i = 0; result < 0 && i < table->count; i++)
        l4vio_client_unmap(table->fresh[i].mapping);
    return result;
}

static bool is_kept(const struct table *table, const struct l4vio_vhost_region *own)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (table->kept[i] == own)
            return true;
    }
    return false;
}

/* Rings are set up again afterwards, where they were. */
static int put_in_force(struct l4vio_served_client *client, struct table *table,
                        struct l4vio_error *error)
{
    int result = L4VIO_OK;

    l4vio_vhost_back_rings_stop(client);
    for (unsigned i = 0; i < quota(client); i++) {
        struct l4vio_vhost_region *own = &l4vio_vhost_served(client)->regions[i];
        if (own->used && !is_kept(table, own))
            remove_region(client, own);
    }
    for (unsigned i = 0; i < table->count; i++) {
        int added = table->kept[i] ? L4VIO_OK : add_region(client, &table->fresh[i], error);
        result = result < 0 ? result : added;
    }
    l4vio_vhost_served(client)->lost_seen = l4vio_client_lost_memory(client);
    return result;
}

int l4vio_vhost_back_set_mem_table(struct l4vio_served_client *client,
                                   struct l4vio_vhost_message *message,
                                   struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    struct table table = {.count = message->u.memory.nregions};

    (void)reply;
    if (table.count > VHOST_USER_REGIONS_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "more regions than a table has", table.count);
    if (message->fds.count != table.count)
        return l4vio_fail(error, L4VIO_EINVAL, "not one descriptor per region", message->fds.count);
    memcpy(table.told, message->u.memory.regions, table.count * sizeof(table.told[0]));
    int result = check_table(client, &table, error);
    if (result == L4VIO_OK)
        result = map_table(client, &table, message->fds.fd, error);
    return result < 0 ? result : put_in_force(client, &table, error);
}

int l4vio_vhost_back_max_mem_slots(struct l4vio_served_client *client,
                                   struct l4vio_vhost_message *message,
                                   struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)message;
    (void)error;
    reply->u.u64 = quota(client);
    reply->header.size = sizeof(reply->u.u64);
    return L4VIO_VHOST_REPLY;
}

int l4vio_vhost_back_add_mem_reg(struct l4vio_served_client *client,
                                 struct l4vio_vhost_message *message,
                                 struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_memory_region *told = &message->u.single.region;
    struct l4vio_vhost_region fresh;

    (void)reply;
    if (message->fds.count != 1)
        return l4vio_fail(error, L4VIO_EINVAL, "not one descriptor per region", message->fds.count);
    int result = check_region(told, error);
    for (unsigned i = 0; result == L4VIO_OK && i < quota(client); i++) {
        const struct l4vio_vhost_region *own = &l4vio_vhost_served(client)->regions[i];
        if (own->used)
            result = check_pair(&own->told, told, error);
    }
    if (result == L4VIO_OK)
        result = map_region(client, message->fds.fd[0], told, &fresh, error);
    return result < 0 ? result : add_region(client, &fresh, error);
}

int l4vio_vhost_back_rem_mem_reg(struct l4vio_served_client *client,
                                 struct l4vio_vhost_message *message,
                                 struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_memory_region *told = &message->u.single.region;

    (void)reply;
    for (unsigned i = 0; i < quota(client); i++) {
        struct l4vio_vhost_region *own = &l4vio_vhost_served(client)->regions[i];
        if (!own->used || !same_region(&own->told, told))
            continue;
        l4vio_vhost_back_rings_stop(client);
        int result = remove_region(client, own);
        l4vio_vhost_served(client)->lost_seen = l4vio_client_lost_memory(client);
        return result;
    }
    return l4vio_fail(error, L4VIO_ENOENT, "no such region", told->guest_phys_addr);
}
