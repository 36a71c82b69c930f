/* SPDX-License-Identifier: MIT */
#include "fake_transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#define ARENA_BYTES (1u << 20)

/* Records a call; the code that it is to fail with, or 0. */
static int enter(struct fake_transport *self, enum fake_op op, struct l4vio_error *error)
{
    self->calls[op]++;
    if (self->logged < FAKE_LOG)
        self->log[self->logged++] = op;
    if (self->fail_at && op == self->fail_op && self->calls[op] == self->fail_at)
        return l4vio_fail(error, self->fail_code, "told to fail", op);
    return L4VIO_OK;
}

static int identify(void *argument, struct l4vio_transport_properties *properties,
                    struct l4vio_identity *identity, uint64_t deadline_ns,
                    struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    *properties = self->properties;
    *identity = self->identity;
    return enter(self, FAKE_IDENTIFY, error);
}

static int get_status(void *argument, uint32_t *status)
{
    struct fake_transport *self = argument;
    *status = self->status;
    return enter(self, FAKE_GET_STATUS, NULL);
}

static int set_status(void *argument, uint32_t status, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    int rc = enter(self, FAKE_SET_STATUS, error);
    if (rc)
        return rc;
    if (self->statuses < FAKE_LOG)
        self->status_log[self->statuses++] = status;
    if (status == 0 && self->reset_hangs)
        return L4VIO_OK;
    self->failed_written = (status & VIRTIO_STATUS_FAILED) != 0;
    if (self->refuse_features)
        status &= ~VIRTIO_STATUS_FEATURES_OK;
    if (self->refuse_driver_ok)
        status &= ~VIRTIO_STATUS_DRIVER_OK;
    if (status & self->fail_on_status)
        status |= VIRTIO_STATUS_NEEDS_RESET;
    self->status = status;
    return L4VIO_OK;
}

static int set_features(void *argument, const struct l4vio_features *accepted,
                        struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    self->accepted = *accepted;
    return enter(self, FAKE_SET_FEATURES, error);
}

static int queue_size_max(void *argument, uint32_t queue, struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    int rc = enter(self, FAKE_QUEUE_SIZE_MAX, error);
    if (rc)
        return rc;
    return queue < FAKE_QUEUES ? (int)FAKE_SIZE_MAX : 0;
}

static int config_queue(void *argument, uint32_t queue, const struct l4vio_queue_setup *setup,
                        uint64_t deadline_ns, struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    assert_true(queue < FAKE_QUEUES);
    self->setups[queue] = *setup;
    return enter(self, FAKE_CONFIG_QUEUE, error);
}

static int reset_queue(void *argument, uint32_t queue, uint64_t deadline_ns,
                       struct l4vio_error *error)
{
    (void)queue;
    (void)deadline_ns;
    return enter(argument, FAKE_RESET_QUEUE, error);
}

static int map(void *argument, const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
               uint64_t size_bytes, uint64_t *device_address, uint64_t deadline_ns,
               struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    if (!self->properties.driver_chooses_addresses)
        *device_address = (uintptr_t)dataspace->base + offset_bytes + self->address_offset;
    self->mapped_address = *device_address;
    self->mapped_bytes = size_bytes;
    return enter(self, FAKE_MAP, error);
}

static int unmap(void *argument, uint64_t device_address, uint64_t size_bytes, uint64_t deadline_ns,
                 struct l4vio_error *error)
{
    (void)device_address;
    (void)size_bytes;
    (void)deadline_ns;
    return enter(argument, FAKE_UNMAP, error);
}

static int bind_notification(void *argument, uint32_t index,
                             const struct l4vio_notification *notification, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    assert_true(index < FAKE_NOTIFICATIONS);
    self->bound[index] = *notification;
    return enter(self, FAKE_BIND, error);
}

static int get_notification(void *argument, uint32_t index, struct l4vio_notification *out,
                            uint64_t deadline_ns, struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    int rc = enter(self, FAKE_GET_NOTIFICATION, error);
    if (rc)
        return rc;
    self->handed_out++;
    out->handle = (intptr_t)(1000 + index);
    return L4VIO_OK;
}

static void release_notification(void *argument, struct l4vio_notification *notification)
{
    struct fake_transport *self = argument;
    assert_true(notification->handle >= 1000);
    assert_true(self->handed_out > 0);
    self->handed_out--;
}

static uint32_t acknowledge(void *argument)
{
    (void)argument;
    return L4VIO_INTERRUPT_RING;
}

static int kick(void *argument, uint32_t queue, uint32_t data,
                const struct l4vio_notification *to_device)
{
    (void)queue;
    (void)data;
    assert_true(to_device->handle >= 1000);
    return enter(argument, FAKE_KICK, NULL);
}

static int set_config_notify(void *argument, uint16_t driver_notify_index,
                             uint16_t device_notify_index)
{
    struct fake_transport *self = argument;
    (void)device_notify_index;
    self->config_notify_index = driver_notify_index;
    return enter(self, FAKE_SET_CONFIG_NOTIFY, NULL);
}

static int read_config(void *argument, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                       uint32_t width_bytes, struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)width_bytes;
    memcpy(out, self->config + offset_bytes, size_bytes);
    if (self->moves) {
        /* The device changes it behind what was read. */
        self->moves--;
        self->generation++;
        self->config[offset_bytes]++;
    }
    return enter(self, FAKE_READ_CONFIG, error);
}

static int write_config(void *argument, uint32_t offset_bytes, const void *data,
                        uint32_t width_bytes, uint64_t deadline_ns, struct l4vio_error *error)
{
    struct fake_transport *self = argument;
    (void)deadline_ns;
    memcpy(self->config + offset_bytes, data, width_bytes);
    return enter(self, FAKE_WRITE_CONFIG, error);
}

static uint32_t config_size(void *argument)
{
    (void)argument;
    return FAKE_CONFIG_BYTES;
}

static uint32_t generation(void *argument)
{
    const struct fake_transport *self = argument;
    return self->generation;
}

static int peer_alive(void *argument)
{
    const struct fake_transport *self = argument;
    return self->dead ? L4VIO_EPIPE : L4VIO_OK;
}

static intptr_t peer_handle(void *argument)
{
    (void)argument;
    return L4VIO_NO_HANDLE;
}

static void close(void *argument)
{
    struct fake_transport *self = argument;
    self->closed++;
}

static const struct l4vio_transport_ops fake_ops = {
    .identify = identify,
    .get_status = get_status,
    .set_status = set_status,
    .set_features = set_features,
    .queue_size_max = queue_size_max,
    .config_queue = config_queue,
    .reset_queue = reset_queue,
    .map = map,
    .unmap = unmap,
    .bind_notification = bind_notification,
    .get_notification = get_notification,
    .release_notification = release_notification,
    .acknowledge = acknowledge,
    .kick = kick,
    .set_config_notify = set_config_notify,
    .read_config = read_config,
    .write_config = write_config,
    .config_size = config_size,
    .generation = generation,
    .peer_alive = peer_alive,
    .peer_handle = peer_handle,
    .close = close,
};

struct fake_transport *fake_transport_new(void)
{
    struct fake_transport *self = calloc(1, sizeof(*self));
    assert_non_null(self);
    self->arena = aligned_alloc(4096, ARENA_BYTES);
    assert_non_null(self->arena);
    self->platform = l4vio_loopback_platform_init(&self->loopback, self->arena, ARENA_BYTES);
    self->properties = (struct l4vio_transport_properties){.driver_chooses_addresses = true,
                                                           .stops_on_reset = true};
    self->identity.device_id = FAKE_DEVICE_ID;
    self->identity.queue_count = FAKE_QUEUES;
    self->identity.notification_count = FAKE_NOTIFICATIONS;
    l4vio_features_set(&self->identity.offered, L4VIO_F_VERSION_1);
    self->status = VIRTIO_STATUS_ACKNOWLEDGE; /* As an earlier driver left it. */
    self->ops = fake_ops;
    self->transport = (struct l4vio_transport){.ops = &self->ops, .self = self};
    self->driver_config.transport = self->transport;
    self->driver_config.platform = self->platform;
    return self;
}

void fake_transport_free(struct fake_transport *self)
{
    l4vio_driver_disconnect(&self->driver);
    free(self->arena);
    free(self);
}

void fake_transport_connect(struct fake_transport *self)
{
    struct l4vio_error error = {0};
    if (l4vio_driver_connect(&self->driver, &self->driver_config, &error))
        fail_msg("connect: %d %s", error.code, error.text);
}

unsigned fake_transport_notifications(const struct fake_transport *self)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < self->loopback.notifications; i++)
        count += self->loopback.pending[i] != UINT64_MAX;
    return count;
}

unsigned fake_transport_first(const struct fake_transport *self, enum fake_op op)
{
    for (unsigned i = 0; i < self->logged; i++) {
        if (self->log[i] == op)
            return i;
    }
    return FAKE_LOG;
}
