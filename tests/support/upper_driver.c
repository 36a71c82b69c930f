/* SPDX-License-Identifier: MIT */
#include "upper_driver.h"

#include <string.h>

#include <l4vio/virtqueue.h>

#define QUEUE_BYTES UINT64_C(0x2000) /* Rings, then texts and answers. */
#define TEXT_OFFSET UINT64_C(0x1000)
#define TEXT_BYTES  64u
#define TIMEOUT_NS  UINT64_C(10000000000)

static uint64_t text_offset(unsigned queue, unsigned number)
{
    return queue * QUEUE_BYTES + TEXT_OFFSET + (uint64_t)number * 2 * TEXT_BYTES;
}

static char *at(struct upper_driver *driver, uint64_t offset)
{
    return (char *)driver->region.base + offset;
}

static int bring_up(struct upper_driver *driver)
{
    struct l4vio_virtqueue_layout layout;
    int result = l4vio_virtqueue_layout(UPPER_QUEUE_SIZE, &layout);

    for (unsigned i = 0; result == L4VIO_OK && i < UPPER_QUEUES; i++) {
        uint64_t offset = i * QUEUE_BYTES;
        uint64_t address = driver->region.device_address + offset;
        struct l4vio_queue_config config = {
            .index = i,
            .size = UPPER_QUEUE_SIZE,
            .desc = at(driver, offset + layout.desc_offset),
            .avail = at(driver, offset + layout.avail_offset),
            .used = at(driver, offset + layout.used_offset),
            .desc_address = address + layout.desc_offset,
            .avail_address = address + layout.avail_offset,
            .used_address = address + layout.used_offset,
            .slots = driver->slots[i],
            .descriptors = driver->descriptors[i],
            .driver_notify_index = (uint16_t)i,
        };
        result = l4vio_queue_init(&driver->queues[i], &config, NULL);
        if (result == L4VIO_OK)
            result = l4vio_driver_attach_queue(&driver->driver, &driver->queues[i], NULL);
    }
    return result < 0 ? result : l4vio_driver_acknowledge(&driver->driver, NULL);
}

static int connect_driver(struct upper_driver *driver, const char *path)
{
    struct l4vio_driver_config config = {.device_id = UPPER_DEVICE_ID,
                                         .platform = driver->platform,
                                         .notifications = driver->notifications,
                                         .notification_count = UPPER_QUEUES};
    int result = l4vio_l4_client_connect(path, &driver->platform, 0, &driver->client,
                                         &config.transport, NULL);

    if (result == L4VIO_OK)
        result = l4vio_driver_connect(&driver->driver, &config, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_allocate(&driver->driver, UPPER_QUEUES * QUEUE_BYTES, &driver->region,
                                       NULL);
    return result < 0 ? result : bring_up(driver);
}

int upper_driver_open(struct upper_driver *driver, const char *path)
{
    memset(driver, 0, sizeof(*driver));
    int result = l4vio_linux_open(&driver->linux_platform, &driver->platform, NULL);
    if (result == L4VIO_OK)
        result = connect_driver(driver, path);
    if (result < 0)
        upper_driver_close(driver);
    return result;
}

int upper_driver_restart(struct upper_driver *driver)
{
    int result = l4vio_driver_restart(&driver->driver, NULL);
    return result < 0 ? result : bring_up(driver);
}

void upper_driver_close(struct upper_driver *driver)
{
    l4vio_driver_disconnect(&driver->driver);
    l4vio_l4_client_free(driver->client);
    l4vio_linux_close(driver->linux_platform);
}

void upper_driver_vanish(struct upper_driver *driver)
{
    const struct l4vio_transport *transport = &driver->driver.transport;

    transport->ops->close(transport->self);
}

/* A chain of two: the device reads the first and writes the second. */
static int send_at(struct upper_driver *driver, unsigned queue, uint64_t address, uint32_t length)
{
    struct l4vio_queue *ring = &driver->queues[queue];
    uint16_t head = l4vio_descriptor_alloc(ring);
    uint16_t tail = l4vio_descriptor_alloc(ring);

    *l4vio_descriptor_get(ring, head) = (struct l4vio_descriptor){
        .address = address, .length_bytes = length, .flags = VIRTQ_DESC_F_NEXT, .next = tail};
    *l4vio_descriptor_get(ring, tail) = (struct l4vio_descriptor){
        .address = address + TEXT_BYTES, .length_bytes = TEXT_BYTES, .flags = VIRTQ_DESC_F_WRITE};
    return l4vio_driver_send(&driver->driver, ring, head);
}

int upper_driver_send(struct upper_driver *driver, unsigned queue, unsigned number,
                      const char *text)
{
    uint64_t offset = text_offset(queue, number);
    char *to = at(driver, offset);

    memset(to, 0, 2 * (size_t)TEXT_BYTES);
    memcpy(to, text, strlen(text));
    return send_at(driver, queue, driver->region.device_address + offset, (uint32_t)strlen(text));
}

int upper_driver_send_outside(struct upper_driver *driver, unsigned queue)
{
    return send_at(driver, queue, driver->region.device_address + (UINT64_C(1) << 40), 1);
}

int upper_driver_receive(struct upper_driver *driver, unsigned queue)
{
    struct l4vio_queue *ring = &driver->queues[queue];
    uint32_t length;
    int head = l4vio_driver_wait_for_next_used(&driver->driver, ring, &length,
                                               l4vio_driver_deadline(&driver->driver, TIMEOUT_NS));

    if (head < 0)
        return head;
    return l4vio_descriptor_free(ring, (uint16_t)head,
                                 l4vio_descriptor_get(ring, (uint16_t)head)->next);
}

const char *upper_driver_answer(struct upper_driver *driver, unsigned queue, unsigned number)
{
    return at(driver, text_offset(queue, number) + TEXT_BYTES);
}
