/* SPDX-License-Identifier: MIT */
/*
 * A device of one's own and a driver for it, in one process over the loopback transport: it takes
 * text and gives it back in capitals. The driver uses the descriptor level of the seed. Given a URI,
 * the driver speaks to the same device there (own_device_server.c).
 *
 * Try it like this:
 *     own_device "hello, device"
 *     own_device "hello, device" l4:/tmp/upper.sock
 *     own_device "hello, device" vhost-user:/tmp/upper.sock
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/device.h>
#include <l4vio/device_page.h>
#include <l4vio/driver.h>
#include <l4vio/l4_unix.h>
#include <l4vio/loopback.h>
#include <l4vio/vhost_user.h>

enum { QUEUE_SIZE = 8, SEGMENTS = 4, TEXT_BYTES = 256, ARENA_BYTES = 64 * 1024 };

/* Ids of VIRTIO's own devices are small numbers. */
static const uint32_t device_id = 0xc0de;

static void need(int result, const char *what, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s (%llu)\n", what, error->text ? error->text : l4vio_error_name(result),
            (unsigned long long)error->value);
    exit(1);
}

/* ---- The device ---- */

static struct l4vio_device device;
static struct l4vio_device_queue_state device_queue;
static struct l4vio_device_region device_regions[4];

/* One chain: text in the readable part, room for the answer in the writable one. */
static uint32_t answer(const struct l4vio_device_chain *chain)
{
    char text[TEXT_BYTES];
    uint64_t length = l4vio_device_chain_read(chain, 0, text, sizeof(text));

    for (uint64_t i = 0; i < length; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    return (uint32_t)l4vio_device_chain_write(chain, 0, text, length);
}

/* Lets the device work. The loopback platform calls it when the driver waits. */
static bool device_work(void *self)
{
    struct l4vio_device_queue *ring = l4vio_device_queue(&device, 0);
    struct l4vio_device_segment segments[SEGMENTS];
    struct l4vio_device_chain chain;
    bool worked = false;

    (void)self;
    /* Every number in a chain was checked and its addresses translated when it arrives here. */
    while (ring && l4vio_device_live(&device) &&
           l4vio_device_queue_next(ring, &chain, segments, SEGMENTS) == 1) {
        struct l4vio_device_used used = l4vio_device_chain_used(ring, &chain, answer(&chain));
        l4vio_device_queue_finish(ring, &used, 1);
        l4vio_device_notify(&device, 0);
        worked = true;
    }
    return worked;
}

/* ---- What connects the two ---- */

static _Alignas(4096) unsigned char arena[ARENA_BYTES];
static struct l4vio_loopback_platform loopback_platform;
static struct l4vio_loopback loopback;
static struct l4vio_device_page page;

static void connect_loopback(struct l4vio_driver_config *config, struct l4vio_error *error)
{
    struct l4vio_dataspace page_memory;
    struct l4vio_device_config device_config = {
        .device_id = device_id,
        .queues = &device_queue,
        .queue_count = 1,
        .queue_size_max = QUEUE_SIZE,
        .regions = device_regions,
        .region_count = 4,
    };

    config->platform = l4vio_loopback_platform_init(&loopback_platform, arena, sizeof(arena));
    loopback_platform.pump = device_work;
    need(l4vio_device_init(&device, &device_config, error), "device", error);
    need(config->platform.ops->dataspace_allocate(config->platform.self, L4VIO_PAGE_BYTES,
                                                  &page_memory, error),
         "page", error);
    struct l4vio_device_page_config page_config = {
        .device = &device,
        .page = page_memory.base,
        .notification_count = 1,
        .trigger = l4vio_loopback_trigger,
        .trigger_self = &loopback,
    };
    need(l4vio_device_page_init(&page, &page_config, error), "page", error);
    need(l4vio_loopback_init(&loopback, &page, &page_memory, 1, &config->platform,
                             &config->transport, error),
         "loopback", error);
}

static struct l4vio_linux *linux_platform;
static struct l4vio_l4_client *client;
static struct l4vio_vhost_user *vhost_user;

/* vhost-user does not say what a device is, so we say what we take it for. */
static void connect_uri(const char *uri, struct l4vio_driver_config *config,
                        struct l4vio_error *error)
{
    const struct l4vio_vhost_user_options options = {.device_id = device_id};
    const char *path = strchr(uri, ':') ? strchr(uri, ':') + 1 : uri;

    need(l4vio_linux_open(&linux_platform, &config->platform, error), "platform", error);
    if (strncmp(uri, "vhost-user:", 11) == 0)
        need(l4vio_vhost_user_connect(path, &config->platform, &options, &vhost_user,
                                      &config->transport, error),
             uri, error);
    else
        need(
            l4vio_l4_client_connect(path, &config->platform, 0, &client, &config->transport, error),
            uri, error);
}

/* ---- The driver ---- */

static struct l4vio_driver driver;
static struct l4vio_queue queue;
static struct l4vio_queue_slot slots[QUEUE_SIZE];
static struct l4vio_descriptor descriptors[QUEUE_SIZE];
static struct l4vio_region memory; /* Rings first, then text, then answer. */

static void set_up(uint64_t *text_offset, struct l4vio_error *error)
{
    struct l4vio_virtqueue_layout layout;
    need(l4vio_virtqueue_layout(QUEUE_SIZE, &layout), "layout", error);
    *text_offset = layout.size_bytes;
    need(l4vio_driver_allocate(&driver, layout.size_bytes + 2 * TEXT_BYTES, &memory, error),
         "memory", error);

    unsigned char *base = memory.base;
    struct l4vio_queue_config config = {
        .index = 0,
        .size = QUEUE_SIZE,
        .desc = base + layout.desc_offset,
        .avail = base + layout.avail_offset,
        .used = base + layout.used_offset,
        .desc_address = memory.device_address + layout.desc_offset,
        .avail_address = memory.device_address + layout.avail_offset,
        .used_address = memory.device_address + layout.used_offset,
        .slots = slots,
        .descriptors = descriptors,
    };
    need(l4vio_queue_init(&queue, &config, error), "queue", error);
    need(l4vio_driver_attach_queue(&driver, &queue, error), "attach", error);
    need(l4vio_driver_acknowledge(&driver, error), "acknowledge", error);
}

int main(int argc, char **argv)
{
    const char *text = argc > 1 ? argv[1] : "hello, device";
    struct l4vio_driver_config config = {.device_id = device_id};
    struct l4vio_error error = {0};
    uint64_t text_offset;
    uint32_t length;

    if (argc > 2)
        connect_uri(argv[2], &config, &error);
    else
        connect_loopback(&config, &error);
    need(l4vio_driver_connect(&driver, &config, &error), "connect", &error);
    set_up(&text_offset, &error);

    size_t text_length = strlen(text);
    if (text_length == 0 || text_length > TEXT_BYTES) {
        fprintf(stderr, "text of 1 to %d bytes, please\n", TEXT_BYTES);
        return 2;
    }
    memcpy((char *)memory.base + text_offset, text, text_length);

    /* A chain of two: the device reads the first and writes the second. */
    uint16_t head = l4vio_descriptor_alloc(&queue);
    uint16_t tail = l4vio_descriptor_alloc(&queue);
    *l4vio_descriptor_get(&queue, head) = (struct l4vio_descriptor){
        .address = memory.device_address + text_offset,
        .length_bytes = (uint32_t)text_length,
        .flags = VIRTQ_DESC_F_NEXT,
        .next = tail,
    };
    *l4vio_descriptor_get(&queue, tail) = (struct l4vio_descriptor){
        .address = memory.device_address + text_offset + TEXT_BYTES,
        .length_bytes = TEXT_BYTES,
        .flags = VIRTQ_DESC_F_WRITE,
    };
    uint64_t deadline = l4vio_driver_deadline(&driver, UINT64_C(1000000000));
    need(l4vio_driver_send_and_wait(&driver, &queue, head, &length, deadline), "send", &error);
    printf("%.*s\n", (int)length, (const char *)memory.base + text_offset + TEXT_BYTES);
    need(l4vio_descriptor_free(&queue, head, tail), "free", &error);

    l4vio_driver_disconnect(&driver);
    l4vio_l4_client_free(client);
    l4vio_vhost_user_free(vhost_user);
    l4vio_linux_close(linux_platform);
    return 0;
}
