/* SPDX-License-Identifier: MIT */
#include "loopback_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARENA_BYTES  (4u << 20)
#define SEGMENTS_MAX LOOPBACK_DEVICE_SIZE_MAX

static int check_features(void *self, const struct l4vio_features *accepted)
{
    const struct loopback_device *device = self;
    (void)accepted;
    return device->refuse_features ? L4VIO_EINVAL : L4VIO_OK;
}

static int queue_ready(void *self, uint32_t queue)
{
    const struct loopback_device *device = self;
    (void)queue;
    return device->refuse_queue;
}

static int driver_ok(void *self)
{
    const struct loopback_device *device = self;
    return device->refuse_driver_ok;
}

static void config_written(void *self, uint32_t offset_bytes, uint32_t size_bytes)
{
    struct loopback_device *device = self;
    (void)offset_bytes;
    (void)size_bytes;
    device->config_writes++;
}

static const struct l4vio_device_ops echo_ops = {.check_features = check_features,
                                                 .queue_ready = queue_ready,
                                                 .driver_ok = driver_ok,
                                                 .config_written = config_written};

struct loopback_device *loopback_device_new(void)
{
    struct loopback_device *self = calloc(1, sizeof(*self));
    assert_non_null(self);
    self->arena = aligned_alloc(4096, ARENA_BYTES);
    assert_non_null(self->arena);
    self->platform =
        l4vio_loopback_platform_init(&self->loopback_platform, self->arena, ARENA_BYTES);
    l4vio_features_set(&self->offered, L4VIO_F_VERSION_1);
    return self;
}

static void echo(const struct l4vio_device_queue *queue, const struct l4vio_device_chain *chain,
                 struct l4vio_device_used *used)
{
    unsigned char bytes[4096];
    uint64_t done = 0;
    while (done < chain->readable_bytes && done < chain->writable_bytes) {
        uint64_t length = l4vio_device_chain_read(chain, done, bytes, sizeof(bytes));
        done += l4vio_device_chain_write(chain, done, bytes, length);
    }
    *used = l4vio_device_chain_used(queue, chain, (uint32_t)done);
}

static bool work(struct loopback_device *self, uint32_t index)
{
    struct l4vio_device_queue *queue = l4vio_device_queue(&self->device, index);
    struct l4vio_device_used used[LOOPBACK_DEVICE_SIZE_MAX];
    struct l4vio_device_segment segments[SEGMENTS_MAX];
    struct l4vio_device_chain chain;
    unsigned most = self->quota ? self->quota : LOOPBACK_DEVICE_SIZE_MAX;
    unsigned count = 0;
    while (queue && count < most &&
           l4vio_device_queue_next(queue, &chain, segments, SEGMENTS_MAX) == 1)
        echo(queue, &chain, &used[count++]);
    for (unsigned i = 0; self->backwards && i < count / 2; i++) {
        struct l4vio_device_used swap = used[i];
        used[i] = used[count - 1 - i];
        used[count - 1 - i] = swap;
    }
    if (count)
        l4vio_device_queue_finish(queue, used, count);
    if (queue && !self->silent)
        l4vio_device_notify(&self->device, index);
    /* With EVENT_IDX the device says anew from which request on it wants a kick. What a quota leaves for
     * later is looked at without one. */
    if (queue)
        (void)l4vio_device_queue_arm(queue);
    return count != 0;
}

/* Kicks that arrived; with a quota the device goes on by itself. */
static bool take_kicks(struct loopback_device *self)
{
    bool kicked = self->quota != 0;
    for (uint32_t i = 0; i < self->loopback.notification_count; i++) {
        const struct l4vio_notification *object = l4vio_loopback_kick_object(&self->loopback, i);
        if (self->platform.ops->notification_drain(self->platform.self, object) > 0) {
            self->kicks[i]++;
            kicked = true;
        }
    }
    return kicked;
}

static bool pump(void *argument)
{
    struct loopback_device *self = argument;
    bool done = false;
    if (self->loopback.dead)
        return false;
    self->looks++;
    if (self->at_look)
        self->at_look(self);
    if (!self->deaf && l4vio_device_page_poll_cmd(&self->page, NULL))
        done = true;
    if (self->break_next) {
        struct l4vio_error why = {.code = L4VIO_EIO, .text = "told to"};
        self->break_next = false;
        l4vio_device_needs_reset(&self->device, &why);
        return true;
    }
    if (!self->asleep && take_kicks(self) && l4vio_device_live(&self->device)) {
        for (uint32_t i = 0; i < LOOPBACK_DEVICE_QUEUES; i++)
            done = work(self, i) || done;
    }
    if (self->die_next)
        self->loopback.dead = true;
    return done;
}

void loopback_device_start(struct loopback_device *self)
{
    for (unsigned i = 0; i < LOOPBACK_DEVICE_CONFIG_BYTES; i++)
        self->device_config[i] = (uint8_t)(i + 1);
    struct l4vio_device_config device = {.device_id = LOOPBACK_DEVICE_ID,
                                         .offered = self->offered,
                                         .queues = self->states,
                                         .queue_count = LOOPBACK_DEVICE_QUEUES,
                                         .queue_size_max = LOOPBACK_DEVICE_SIZE_MAX,
                                         .config = self->device_config,
                                         .config_bytes = LOOPBACK_DEVICE_CONFIG_BYTES,
                                         .regions = self->regions,
                                         .region_count = LOOPBACK_DEVICE_REGIONS,
                                         .ops = &echo_ops,
                                         .ops_self = self};
    const struct l4vio_platform *platform = &self->platform;
    assert_int_equal(l4vio_device_init(&self->device, &device, NULL), L4VIO_OK);
    assert_int_equal(platform->ops->dataspace_allocate(platform->self, L4VIO_PAGE_BYTES,
                                                       &self->page_dataspace, NULL),
                     L4VIO_OK);
    struct l4vio_device_page_config page = {.device = &self->device,
                                            .page = self->page_dataspace.base,
                                            .cmd_mode = self->cmd_mode,
                                            .kick_per_queue = self->kick_per_queue,
                                            .carries_kick_data = self->carries_kick_data,
                                            .notification_count = LOOPBACK_DEVICE_NOTIFICATIONS,
                                            .trigger = l4vio_loopback_trigger,
                                            .trigger_self = &self->loopback};
    assert_int_equal(l4vio_device_page_init(&self->page, &page, NULL), L4VIO_OK);
    assert_int_equal(l4vio_loopback_init(&self->loopback, &self->page, &self->page_dataspace,
                                         LOOPBACK_DEVICE_NOTIFICATIONS, platform, &self->transport,
                                         NULL),
                     L4VIO_OK);
    self->loopback_platform.pump = pump;
    self->loopback_platform.pump_self = self;
    self->config.transport = self->transport;
    self->config.platform = self->platform;
    self->config.notifications = self->notifications;
    self->config.notification_count = self->notification_count;
}

void loopback_device_connect(struct loopback_device *self)
{
    struct l4vio_error error = {0};
    loopback_device_start(self);
    if (l4vio_driver_connect(&self->driver, &self->config, &error))
        fail_msg("connect: %d %s", error.code, error.text);
}

void loopback_device_stop(struct loopback_device *self)
{
    l4vio_driver_disconnect(&self->driver);
    if (self->loopback.page)
        l4vio_loopback_end(&self->loopback);
    free(self->arena);
    free(self);
}

struct l4vio_page_header *loopback_device_header(struct loopback_device *self)
{
    return self->page_dataspace.base;
}

struct l4vio_page_queue *loopback_device_entry(struct loopback_device *self, uint32_t queue)
{
    unsigned char *first = (unsigned char *)self->page_dataspace.base + self->page.queues_offset;
    return (struct l4vio_page_queue *)(void *)first + queue;
}

void loopback_queue_init(struct loopback_device *self, struct loopback_queue *queue, uint32_t index,
                         uint16_t size, uint16_t driver_notify_index, bool descriptors)
{
    struct l4vio_virtqueue_layout layout;
    memset(queue, 0, sizeof(*queue));
    assert_int_equal(l4vio_virtqueue_layout(size, &layout), L4VIO_OK);
    assert_int_equal(l4vio_driver_allocate(&self->driver, layout.size_bytes, &queue->rings, NULL),
                     L4VIO_OK);
    assert_int_equal(
        l4vio_driver_allocate(&self->driver, LOOPBACK_DEVICE_DATA_BYTES, &queue->data, NULL),
        L4VIO_OK);
    unsigned char *base = queue->rings.base;
    uint64_t address = queue->rings.device_address;
    struct l4vio_queue_config config = {.index = index,
                                        .size = size,
                                        .desc = base + layout.desc_offset,
                                        .avail = base + layout.avail_offset,
                                        .used = base + layout.used_offset,
                                        .desc_address = address + layout.desc_offset,
                                        .avail_address = address + layout.avail_offset,
                                        .used_address = address + layout.used_offset,
                                        .features = self->driver.accepted,
                                        .slots = queue->slots,
                                        .descriptors = descriptors ? queue->descriptors : NULL,
                                        .driver_notify_index = driver_notify_index};
    assert_int_equal(l4vio_queue_init(&queue->queue, &config, NULL), L4VIO_OK);
}

void loopback_queue_attach(struct loopback_device *self, struct loopback_queue *queue,
                           uint32_t index, bool descriptors)
{
    loopback_queue_init(self, queue, index, 16, 0, descriptors);
    assert_int_equal(l4vio_driver_attach_queue(&self->driver, &queue->queue, NULL), L4VIO_OK);
}

void loopback_device_live(struct loopback_device *self, struct loopback_queue *queue,
                          bool descriptors)
{
    loopback_device_connect(self);
    loopback_queue_attach(self, queue, 0, descriptors);
    assert_int_equal(l4vio_driver_acknowledge(&self->driver, NULL), L4VIO_OK);
}

int loopback_queue_add(struct loopback_queue *queue, uint32_t length_bytes, void *cookie)
{
    struct l4vio_buffer buffers[2] = {
        {.address = queue->data.device_address, .length_bytes = length_bytes},
        {.address = queue->data.device_address + LOOPBACK_DEVICE_DATA_BYTES / 2,
         .length_bytes = length_bytes}};
    struct l4vio_request request = {
        .buffers = buffers, .readable = 1, .writable = 1, .cookie = cookie};
    int added = l4vio_queue_add(&queue->queue, &request, 1);
    if (added == 1)
        l4vio_queue_publish(&queue->queue);
    return added;
}

uint16_t loopback_queue_chain(struct loopback_queue *queue, uint32_t length_bytes)
{
    uint16_t head = l4vio_descriptor_alloc(&queue->queue);
    uint16_t tail = l4vio_descriptor_alloc(&queue->queue);
    assert_int_not_equal(head, L4VIO_EOQ);
    assert_int_not_equal(tail, L4VIO_EOQ);
    *l4vio_descriptor_get(&queue->queue, head) =
        (struct l4vio_descriptor){.address = queue->data.device_address,
                                  .length_bytes = length_bytes,
                                  .flags = VIRTQ_DESC_F_NEXT,
                                  .next = tail};
    *l4vio_descriptor_get(&queue->queue, tail) = (struct l4vio_descriptor){
        .address = queue->data.device_address + LOOPBACK_DEVICE_DATA_BYTES / 2,
        .length_bytes = length_bytes,
        .flags = VIRTQ_DESC_F_WRITE};
    return head;
}

uint64_t loopback_device_in_ms(struct loopback_device *self, uint64_t milliseconds)
{
    return l4vio_driver_deadline(&self->driver, milliseconds * UINT64_C(1000000));
}
