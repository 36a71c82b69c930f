/* SPDX-License-Identifier: MIT */
#include "socket_driver.h"

#include <string.h>

#include <l4vio/virtqueue.h>

#define RING_BYTES    UINT64_C(0x4000)
#define REQUEST_BYTES UINT64_C(0x2000) /* Header at 0, status at 64, data at 4096. */
#define QUEUE_BYTES   (RING_BYTES + SOCKET_DRIVER_DEPTH * REQUEST_BYTES)
#define STATUS_OFFSET 64u
#define DATA_OFFSET   4096u
#define TIMEOUT_NS    UINT64_C(10000000000)

static uint64_t request_offset(unsigned queue, unsigned number)
{
    return queue * QUEUE_BYTES + RING_BYTES + number * REQUEST_BYTES;
}

static unsigned char *at(struct socket_driver *driver, uint64_t offset)
{
    return (unsigned char *)driver->region.base + offset;
}

static int init_queue(struct socket_driver *driver, unsigned index)
{
    struct l4vio_virtqueue_layout layout;
    uint64_t offset = index * QUEUE_BYTES;
    uint64_t address = driver->region.device_address + offset;
    int result = l4vio_virtqueue_layout(SOCKET_DRIVER_QUEUE_SIZE, &layout);

    if (result < 0)
        return result;
    struct l4vio_queue_config config = {
        .index = index,
        .size = SOCKET_DRIVER_QUEUE_SIZE,
        .desc = at(driver, offset + layout.desc_offset),
        .avail = at(driver, offset + layout.avail_offset),
        .used = at(driver, offset + layout.used_offset),
        .desc_address = address + layout.desc_offset,
        .avail_address = address + layout.avail_offset,
        .used_address = address + layout.used_offset,
        .slots = driver->slots[index],
        .driver_notify_index = (uint16_t)index,
    };
    return l4vio_queue_init(&driver->queues[index], &config, NULL);
}

static int bring_up(struct socket_driver *driver)
{
    int result = L4VIO_OK;

    for (unsigned i = 0; result == L4VIO_OK && i < driver->queue_count; i++) {
        result = init_queue(driver, i);
        if (result == L4VIO_OK)
            result = l4vio_driver_attach_queue(&driver->driver, &driver->queues[i], NULL);
    }
    return result < 0 ? result : l4vio_driver_acknowledge(&driver->driver, NULL);
}

static int connect_driver(struct socket_driver *driver, const char *path)
{
    struct l4vio_driver_config config = {.device_id = VIRTIO_ID_BLOCK,
                                         .platform = driver->platform,
                                         .notifications = driver->notifications,
                                         .notification_count = driver->queue_count};
    int result = l4vio_l4_client_connect(path, &driver->platform, 0, &driver->client,
                                         &config.transport, NULL);

    if (result < 0)
        return result;
    l4vio_features_set(&config.allowed, VIRTIO_BLK_F_FLUSH);
    l4vio_features_set(&config.allowed, VIRTIO_BLK_F_MQ);
    result = l4vio_driver_connect(&driver->driver, &config, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_allocate(&driver->driver, driver->queue_count * QUEUE_BYTES,
                                       &driver->region, NULL);
    return result < 0 ? result : bring_up(driver);
}

int socket_driver_open(struct socket_driver *driver, const char *path, unsigned queues)
{
    memset(driver, 0, sizeof(*driver));
    driver->queue_count = queues;
    int result = l4vio_linux_open(&driver->linux_platform, &driver->platform, NULL);
    if (result == L4VIO_OK)
        result = connect_driver(driver, path);
    if (result < 0)
        socket_driver_close(driver);
    return result;
}

int socket_driver_restart(struct socket_driver *driver)
{
    int result = l4vio_driver_restart(&driver->driver, NULL);
    return result < 0 ? result : bring_up(driver);
}

void socket_driver_close(struct socket_driver *driver)
{
    l4vio_driver_disconnect(&driver->driver);
    l4vio_l4_client_free(driver->client);
    l4vio_linux_close(driver->linux_platform);
    driver->client = NULL;
    driver->linux_platform = NULL;
}

unsigned char *socket_driver_data(struct socket_driver *driver, unsigned queue, unsigned number)
{
    return at(driver, request_offset(queue, number) + DATA_OFFSET);
}

int socket_driver_start(struct socket_driver *driver, unsigned queue, unsigned number,
                        uint32_t type, uint64_t sector)
{
    uint64_t offset = request_offset(queue, number);
    uint64_t address = driver->region.device_address + offset;
    struct virtio_blk_req_header header = {.type = type, .sector = sector};
    struct l4vio_buffer buffers[3] = {{address, sizeof(header), 0},
                                      {address + DATA_OFFSET, SOCKET_DRIVER_DATA_BYTES, 0},
                                      {address + STATUS_OFFSET, 1, 0}};
    struct l4vio_request request = {.buffers = buffers, .readable = 1, .writable = 2};

    memcpy(at(driver, offset), &header, sizeof(header));
    *at(driver, offset + STATUS_OFFSET) = 0xff;
    if (type == VIRTIO_BLK_T_OUT) {
        request.readable = 2;
        request.writable = 1;
    } else if (type == VIRTIO_BLK_T_FLUSH) {
        buffers[1] = buffers[2];
        request.writable = 1;
    }
    int added = l4vio_queue_add(&driver->queues[queue], &request, 1);
    return added < 0 ? added : L4VIO_OK;
}

int socket_driver_finish(struct socket_driver *driver, unsigned queue)
{
    struct l4vio_queue *ring = &driver->queues[queue];

    l4vio_queue_publish(ring);
    int result = l4vio_driver_notify(&driver->driver, ring);
    if (result < 0)
        return result;
    return l4vio_driver_drain(&driver->driver, ring, NULL, NULL,
                              l4vio_driver_deadline(&driver->driver, TIMEOUT_NS));
}

uint8_t socket_driver_status(struct socket_driver *driver, unsigned queue, unsigned number)
{
    return *at(driver, request_offset(queue, number) + STATUS_OFFSET);
}

int socket_driver_request(struct socket_driver *driver, unsigned queue, uint32_t type,
                          uint64_t sector)
{
    int result = socket_driver_start(driver, queue, 0, type, sector);

    if (result == L4VIO_OK)
        result = socket_driver_finish(driver, queue);
    return result < 0 ? result : socket_driver_status(driver, queue, 0);
}
