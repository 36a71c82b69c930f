/* SPDX-License-Identifier: MIT */
/* Shared records besides the front end's memory: requests in flight, pages written. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platforms/linux/linux.h"
#include "transports/vhost_user/backend.h"

static int check_shape(const struct l4vio_served_client *client,
                       const struct vhost_user_inflight *told, struct l4vio_error *error)
{
    if (told->num_queues == 0 || told->num_queues > l4vio_vhost_back_queues(client))
        return l4vio_fail(error, L4VIO_EINVAL, "a record of another number of queues",
                          told->num_queues);
    if (told->queue_size == 0 || told->queue_size > client->device->config.queue_size_max)
        return l4vio_fail(error, L4VIO_EINVAL, "a record of queues of another size",
                          told->queue_size);
    return L4VIO_OK;
}

/* The answer is as long as the question: some count the padding at the end. */
int l4vio_vhost_back_get_inflight_fd(struct l4vio_served_client *client,
                                     struct l4vio_vhost_message *message,
                                     struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_inflight *asked = &message->u.inflight;
    uint64_t file_bytes;
    int fd = -1;
    int result = check_shape(client, asked, error);

    if (result < 0)
        return result;
    uint64_t bytes = asked->num_queues * l4vio_device_inflight_bytes(
                                             asked->queue_size, l4vio_vhost_back_packed(client));
    file_bytes = bytes;
    result = l4vio_memfd_create(&file_bytes, &fd, error);
    if (result < 0)
        return result;
    reply->u.inflight = *asked;
    reply->u.inflight.mmap_size = bytes;
    reply->u.inflight.mmap_offset = 0;
    reply->header.size = message->header.size;
    reply->fds.fd[0] = fd;
    reply->fds.count = 1;
    return L4VIO_VHOST_REPLY;
}

static void drop_record(struct l4vio_vhost_record *record)
{
    l4vio_client_unmap(record->mapping);
    free(record->slots);
    *record = (struct l4vio_vhost_record){0};
}

int l4vio_vhost_back_set_inflight_fd(struct l4vio_served_client *client,
                                     struct l4vio_vhost_message *message,
                                     struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_inflight *told = &message->u.inflight;
    struct l4vio_vhost_record fresh = {.queues = told->num_queues, .queue_size = told->queue_size};
    void *base = NULL;
    int result = check_shape(client, told, error);

    (void)reply;
    if (result < 0)
        return result;
    if (message->fds.count != 1)
        return l4vio_fail(error, L4VIO_EINVAL, "not one descriptor", message->fds.count);
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        if (l4vio_vhost_back_ring_runs(client, i))
            return l4vio_fail(error, L4VIO_EBUSY, "another record while rings run", i);
    }
    fresh.queue_bytes =
        l4vio_device_inflight_bytes(told->queue_size, l4vio_vhost_back_packed(client));
    if (told->mmap_size < fresh.queues * fresh.queue_bytes ||
        told->mmap_offset % L4VIO_DEVICE_INFLIGHT_ALIGN)
        return l4vio_fail(error, L4VIO_EINVAL, "a record that is too small, or not aligned",
                          told->mmap_size);
    fresh.slots = calloc((size_t)fresh.queues * fresh.queue_size, sizeof(*fresh.slots));
    if (!fresh.slots)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    result = l4vio_client_map(client, message->fds.fd[0], told->mmap_offset,
                              fresh.queues * fresh.queue_bytes, &fresh.mapping, &base, error);
    if (result < 0) {
        free(fresh.slots);
        return result;
    }
    fresh.base = base;
    drop_record(&l4vio_vhost_served(client)->record);
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++)
        l4vio_vhost_served(client)->rings[i].recorded = false;
    l4vio_vhost_served(client)->record = fresh;
    return L4VIO_OK;
}

/*
 * Nothing of it is a predecessor's: the rings of this device have taken that over. If none has run yet, the
 * front end resets a device that is fresh, and may count on what it has given us for later.
 */
void l4vio_vhost_back_forget_inflight(struct l4vio_served_client *client)
{
    struct l4vio_vhost_record *record = &l4vio_vhost_served(client)->record;

    if (record->used)
        memset(record->base, 0, record->queues * record->queue_bytes);
    record->used = false;
}

/* As above: what a ring has not run with yet may be a predecessor's. */
void l4vio_vhost_back_forget_ring_inflight(struct l4vio_served_client *client, uint32_t index)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    const struct l4vio_vhost_record *record = &own->record;

    if (record->mapping && own->rings[index].recorded && index < record->queues)
        memset(record->base + index * record->queue_bytes, 0, record->queue_bytes);
    own->rings[index].recorded = false;
}

void l4vio_vhost_back_apply_log(struct l4vio_served_client *client)
{
    const struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    bool on = own->features >> VHOST_F_LOG_ALL & 1u;

    l4vio_device_set_log(client->device, on && own->log_mapping ? &own->log : NULL);
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        const struct vhost_user_vring_addr *addresses = &own->rings[i].addresses;
        l4vio_device_queue_log_used(client->device, i, addresses->flags & VHOST_VRING_F_LOG,
                                    addresses->log_guest_addr);
    }
}

int l4vio_vhost_back_set_log_base(struct l4vio_served_client *client,
                                  struct l4vio_vhost_message *message,
                                  struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    const struct vhost_user_log *told = &message->u.log;
    struct l4vio_mapping *fresh = NULL;
    void *base = NULL;

    if (message->header.size != sizeof(*told) || message->fds.count != 1)
        return l4vio_fail(error, L4VIO_EINVAL, "a log without a descriptor", message->fds.count);
    if (told->mmap_size > client->server->config.quotas.mapped_bytes)
        return l4vio_fail(error, L4VIO_ENOMEM, "a log larger than the quota", told->mmap_size);
    int result = l4vio_client_map(client, message->fds.fd[0], told->mmap_offset, told->mmap_size,
                                  &fresh, &base, error);
    if (result < 0)
        return result;
    struct l4vio_mapping *old = own->log_mapping;
    own->log_mapping = fresh;
    own->log = (struct l4vio_dirty_log){.bits = base, .size_bytes = told->mmap_size};
    l4vio_vhost_back_apply_log(client);
    l4vio_client_unmap(old);
    reply->u.u64 = 0;
    reply->header.size = sizeof(reply->u.u64);
    return L4VIO_VHOST_REPLY;
}

void l4vio_vhost_back_drop_records(struct l4vio_served_client *client)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    drop_record(&own->record);
    l4vio_client_unmap(own->log_mapping);
    own->log_mapping = NULL;
    own->log = (struct l4vio_dirty_log){0};
}
