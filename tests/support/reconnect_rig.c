/* SPDX-License-Identifier: MIT */
#include "reconnect_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* There is one at a time: the operations have the inner transport's `self`. */
static struct reconnect_rig *rig_of_operations;

static const struct l4vio_transport_ops *step(void)
{
    struct reconnect_rig *rig = rig_of_operations;
    if (++rig->operations == rig->kill_before) {
        reconnect_rig_kill(rig);
        reconnect_rig_restart(rig);
    }
    if (rig->operations == rig->freeze_before)
        reconnect_rig_freeze(rig);
    return rig->inner.ops;
}

static int set_status(void *self, uint32_t status, uint64_t deadline_ns, struct l4vio_error *error)
{
    return step()->set_status(self, status, deadline_ns, error);
}

static int set_features(void *self, const struct l4vio_features *accepted,
                        struct l4vio_error *error)
{
    return step()->set_features(self, accepted, error);
}

static int queue_size_max(void *self, uint32_t queue, struct l4vio_error *error)
{
    return step()->queue_size_max(self, queue, error);
}

static int config_queue(void *self, uint32_t queue, const struct l4vio_queue_setup *setup,
                        uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_queue_setup as_new = *setup;
    if (setup->resumes) {
        assert_int_equal(setup->used_position, 0);
        rig_of_operations->resumed++;
        as_new.resumes = false;
        as_new.avail_position = 0;
    }
    return step()->config_queue(self, queue, &as_new, deadline_ns, error);
}

static int map(void *self, const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
               uint64_t size_bytes, uint64_t *device_address, uint64_t deadline_ns,
               struct l4vio_error *error)
{
    return step()->map(self, dataspace, offset_bytes, size_bytes, device_address, deadline_ns,
                       error);
}

static int bind_notification(void *self, uint32_t index,
                             const struct l4vio_notification *notification, uint64_t deadline_ns,
                             struct l4vio_error *error)
{
    return step()->bind_notification(self, index, notification, deadline_ns, error);
}

static int get_notification(void *self, uint32_t index, struct l4vio_notification *out,
                            uint64_t deadline_ns, struct l4vio_error *error)
{
    return step()->get_notification(self, index, out, deadline_ns, error);
}

static int set_config_notify(void *self, uint16_t driver_notify_index, uint16_t device_notify_index)
{
    return step()->set_config_notify(self, driver_notify_index, device_notify_index);
}

static int kick(void *self, uint32_t queue, uint32_t data,
                const struct l4vio_notification *to_device)
{
    return step()->kick(self, queue, data, to_device);
}

static int write_config(void *self, uint32_t offset_bytes, const void *data, uint32_t width_bytes,
                        uint64_t deadline_ns, struct l4vio_error *error)
{
    return step()->write_config(self, offset_bytes, data, width_bytes, deadline_ns, error);
}

static int read_config(void *self, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                       uint32_t width_bytes, struct l4vio_error *error)
{
    uint32_t forged = rig_of_operations->block_bytes;
    int result = step()->read_config(self, offset_bytes, out, size_bytes, width_bytes, error);
    if (forged && offset_bytes == offsetof(struct virtio_blk_config, blk_size))
        for (unsigned i = 0; i < 4; i++)
            ((uint8_t *)out)[i] = (uint8_t)(forged >> 8 * i);
    return result;
}

static int identify(void *self, struct l4vio_transport_properties *properties,
                    struct l4vio_identity *identity, uint64_t deadline_ns,
                    struct l4vio_error *error)
{
    int result = step()->identify(self, properties, identity, deadline_ns, error);
    properties->tracks_in_flight = rig_of_operations->tracks_in_flight;
    return result;
}

static int reconnect(void *self, struct l4vio_transport_properties *properties,
                     struct l4vio_identity *identity, uint64_t deadline_ns,
                     struct l4vio_error *error)
{
    int result = step()->reconnect(self, properties, identity, deadline_ns, error);
    if (result == 0)
        properties->tracks_in_flight = rig_of_operations->tracks_in_flight;
    if (result == 0)
        identity->offered = l4vio_features_minus(&identity->offered, &rig_of_operations->hidden);
    return result;
}

static void set_operations(struct reconnect_rig *rig)
{
    rig->ops = *rig->inner.ops;
    rig->ops.identify = identify;
    rig->ops.set_status = set_status;
    rig->ops.set_features = set_features;
    rig->ops.queue_size_max = queue_size_max;
    rig->ops.config_queue = config_queue;
    rig->ops.map = map;
    rig->ops.bind_notification = bind_notification;
    rig->ops.get_notification = get_notification;
    rig->ops.set_config_notify = set_config_notify;
    rig->ops.kick = kick;
    rig->ops.write_config = write_config;
    rig->ops.read_config = read_config;
    rig->ops.reconnect = reconnect;
}

void reconnect_rig_start(struct reconnect_rig *rig, uint32_t queue_count)
{
    memset(rig, 0, sizeof(*rig));
    rig_of_operations = rig;
    snprintf(rig->image, sizeof(rig->image), "/tmp/l4vio-test-image-XXXXXX");
    int fd = mkstemp(rig->image);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, RECONNECT_DISK_BYTES), 0);
    close(fd);
    rig->options = (struct block_server_options){.image = rig->image, .queue_count = queue_count};
    block_server_start(&rig->server, &rig->options);
    rig->config.queue_count = (uint16_t)queue_count;
    rig->config.queue_size = RECONNECT_SLOTS;
    rig->config.queues = rig->queues;
    rig->config.slots = rig->slots;
    rig->config.driver.notifications = rig->notifications;
    rig->config.driver.notification_count = queue_count + 1u;
}

void reconnect_rig_open(struct reconnect_rig *rig)
{
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_linux_open(&rig->linux_platform, &rig->platform, NULL), 0);
    assert_int_equal(l4vio_l4_client_connect(rig->server.path, &rig->platform, 0, &rig->client,
                                             &rig->inner, &error),
                     0);
    set_operations(rig);
    rig->config.driver.platform = rig->platform;
    rig->config.driver.transport =
        (struct l4vio_transport){.ops = &rig->ops, .self = rig->inner.self};
    int result = l4vio_block_setup(&rig->block, &rig->config, &error);
    if (result)
        fail_msg("setup: %d %s (%llu)", result, error.text, (unsigned long long)error.value);
}

void reconnect_rig_end(struct reconnect_rig *rig)
{
    rig->kill_before = 0;
    l4vio_block_close(&rig->block);
    l4vio_l4_client_free(rig->client);
    l4vio_linux_close(rig->linux_platform);
    block_server_stop(&rig->server);
    unlink(rig->image);
}

void reconnect_rig_freeze(struct reconnect_rig *rig)
{
    int status = 0;
    kill(rig->server.process, SIGSTOP);
    assert_int_equal(waitpid(rig->server.process, &status, WUNTRACED), rig->server.process);
}

void reconnect_rig_kill(struct reconnect_rig *rig)
{
    block_server_kill(&rig->server);
}

void reconnect_rig_restart(struct reconnect_rig *rig)
{
    block_server_restart(&rig->server, &rig->options);
}

void reconnect_rig_replace(struct reconnect_rig *rig)
{
    reconnect_rig_kill(rig);
    reconnect_rig_restart(rig);
}

uint64_t reconnect_rig_deadline(const struct reconnect_rig *rig, unsigned ms)
{
    return l4vio_driver_deadline(&rig->block.driver, ms * MS);
}

unsigned reconnect_rig_image_byte(const struct reconnect_rig *rig, uint64_t offset)
{
    uint8_t byte = 0;
    int fd = open(rig->image, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
    return byte;
}
