/* SPDX-License-Identifier: MIT */
/*
 * Serves a device of one's own over a Unix socket: each client gets one, that takes text and gives it
 * back in capitals. The device needs three functions; own_device.c has a driver for it.
 *
 * Try it like this, or with vhost-user: for l4: each time:
 *     own_device_server l4:/tmp/upper.sock &
 *     l4vio info l4:/tmp/upper.sock
 *     own_device "hello, device" l4:/tmp/upper.sock
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/device.h>
#include <l4vio/l4_unix.h>
#include <l4vio/service.h>

enum { QUEUE_SIZE = 8, SEGMENTS = 4, TEXT_BYTES = 256 };

/* Ids of VIRTIO's own devices are small numbers. */
static const uint32_t device_id = 0xc0de;

/* One client's device. */
struct upper {
    struct l4vio_device device;
    struct l4vio_device_queue_state queue;
};

static int create(void *self, const struct l4vio_service_client *client, void **instance,
                  struct l4vio_device **device, struct l4vio_error *error)
{
    struct upper *upper = calloc(1, sizeof(*upper));

    (void)self;
    if (!upper)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    struct l4vio_device_config config = {
        .device_id = device_id,
        .queues = &upper->queue,
        .queue_count = 1,
        .queue_size_max = QUEUE_SIZE,
        .regions = client->regions,
        .region_count = client->region_count,
        .mapped_bytes_max = client->mapped_bytes_max,
        .release_region = client->release_region,
        .release_self = client->release_self,
        .trace = client->trace,
    };
    int result = l4vio_device_init(&upper->device, &config, error);
    if (result < 0) {
        free(upper);
        return result;
    }
    *instance = upper;
    *device = &upper->device;
    return 0;
}

static void destroy(void *self, void *instance)
{
    (void)self;
    free(instance);
}

/* One chain: text in the readable part, room for the answer in the writable one. */
static uint32_t answer(const struct l4vio_device_chain *chain)
{
    char text[TEXT_BYTES];
    uint64_t length = l4vio_device_chain_read(chain, 0, text, sizeof(text));

    for (uint64_t i = 0; i < length; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    return (uint32_t)l4vio_device_chain_write(chain, 0, text, length);
}

/* Every number in a chain was checked and its addresses translated when it arrives here. */
static unsigned process(void *instance, uint32_t queue, unsigned max)
{
    struct upper *upper = instance;
    struct l4vio_device_queue *ring = l4vio_device_queue(&upper->device, queue);
    struct l4vio_device_segment segments[SEGMENTS];
    struct l4vio_device_chain chain;
    unsigned taken = 0;

    while (taken < max && l4vio_device_queue_next(ring, &chain, segments, SEGMENTS) == 1) {
        struct l4vio_device_used used = l4vio_device_chain_used(ring, &chain, answer(&chain));
        l4vio_device_queue_finish(ring, &used, 1);
        taken++;
    }
    l4vio_device_notify(&upper->device, queue); /* Also tells of a broken queue. */
    return taken;
}

static struct l4vio_server *server;

static void stop(int signal_number)
{
    (void)signal_number;
    l4vio_server_stop(server);
}

int main(int argc, char **argv)
{
    static const struct l4vio_service_ops ops = {
        .create = create, .destroy = destroy, .process = process};
    const char *uri = argc > 1 ? argv[1] : "";
    bool vhost_user = strncmp(uri, "vhost-user:", 11) == 0;
    /* The device is the same, whatever its clients speak. */
    struct l4vio_server_config config = {
        .protocol = vhost_user ? l4vio_vhost_user_protocol() : l4vio_l4_protocol(),
        .path = strchr(uri, ':') ? strchr(uri, ':') + 1 : uri,
        .service = {.ops = &ops, .queue_count = 1},
    };
    struct l4vio_error error = {0};

    int result = l4vio_server_open(&config, &server, &error);
    if (result == 0) {
        signal(SIGINT, stop);
        signal(SIGTERM, stop);
        result = l4vio_server_run(server, &error);
        l4vio_server_close(server);
    }
    if (result < 0)
        fprintf(stderr, "%s: %s\n", uri, error.text);
    return result < 0;
}
