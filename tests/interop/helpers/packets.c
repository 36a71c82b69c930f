/* SPDX-License-Identifier: MIT */
/*
 * packets SOCKET COUNT [FEATURE...]: sends frames through a vhost-user network device that echoes them with
 * their addresses swapped, with the ring features of these numbers, and checks each one that comes back.
 * Exit code 1: not as it should be; 2: no device, or one that lacks a feature.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/driver.h>
#include <l4vio/linux.h>
#include <l4vio/vhost_user.h>
#include <l4vio/virtqueue.h>

#define DEVICE_NET   1u
#define SIZE         256u
#define BUFFERS      64u
#define BUFFER_BYTES 2048u
#define HEADER_BYTES 12u /* Of every frame: struct virtio_net_hdr. */
#define FRAME_BYTES  64u
#define ADDRESS      6u
#define AHEAD        24u /* Frames on their way: fewer than the device has room for. */
/* Until the first one is back the device may still be starting, and lose frames. */
#define PATIENCE_NS UINT64_C(20000000000)
#define RETRY_NS    UINT64_C(100000000)

enum { RECEIVE, TRANSMIT, QUEUES };

struct net {
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_vhost_user *connection;
    struct l4vio_driver driver;
    struct l4vio_driver_notification notifications[QUEUES + 1];
    struct l4vio_region rings;
    struct l4vio_region data; /* BUFFERS to receive into, BUFFERS to send from. */
    struct l4vio_queue queues[QUEUES];
    struct l4vio_queue_slot slots[QUEUES][SIZE];
    unsigned char *unused[BUFFERS]; /* To send from. */
    unsigned unused_count;
};

static const unsigned char ours[ADDRESS] = {2, 0, 0, 0, 0, 2};
static const unsigned char theirs[ADDRESS] = {2, 0, 0, 0, 0, 1};

static void check(int result, const char *what, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "packets: %s: %s (%s)\n", what, l4vio_error_name(result),
            error && error->text ? error->text : "");
    exit(2);
}

static uint64_t now(const struct net *net)
{
    return net->platform.ops->now_ns(net->platform.self);
}

static void connect_to(struct net *net, const char *path, char **features, int count)
{
    const struct l4vio_vhost_user_options options = {.device_id = DEVICE_NET};
    struct l4vio_error error = {0};
    struct l4vio_driver_config config = {.notifications = net->notifications,
                                         .notification_count = QUEUES + 1};

    check(l4vio_linux_open(&net->linux_platform, &net->platform, &error), "platform", &error);
    config.platform = net->platform;
    check(l4vio_vhost_user_connect(path, &net->platform, &options, &net->connection,
                                   &config.transport, &error),
          "connect", &error);
    for (int i = 0; i < count; i++)
        l4vio_features_set(&config.required, (unsigned)atoi(features[i]));
    config.allowed = config.required;
    check(l4vio_driver_connect(&net->driver, &config, &error), "driver", &error);
    check(l4vio_driver_negotiate(&net->driver, &error), "negotiate", &error);
}

static void set_up_queue(struct net *net, unsigned index,
                         const struct l4vio_virtqueue_layout *layout, uint64_t offset)
{
    unsigned char *base = (unsigned char *)net->rings.base + offset;
    const uint64_t address = net->rings.device_address + offset;
    struct l4vio_error error = {0};
    const struct l4vio_queue_config config = {
        .index = index,
        .size = SIZE,
        .desc = base + layout->desc_offset,
        .avail = base + layout->avail_offset,
        .used = base + layout->used_offset,
        .desc_address = address + layout->desc_offset,
        .avail_address = address + layout->avail_offset,
        .used_address = address + layout->used_offset,
        .slots = net->slots[index],
        .driver_notify_index = (uint16_t)(index + 1),
        .device_notify_index = (uint16_t)index,
        .features = l4vio_driver_features(&net->driver),
    };

    check(l4vio_queue_init(&net->queues[index], &config, &error), "queue", &error);
    check(l4vio_driver_attach_queue(&net->driver, &net->queues[index], &error), "attach", &error);
}

static int add(struct net *net, unsigned queue, unsigned char *bytes, uint32_t length_bytes)
{
    const uint64_t offset = (uint64_t)(bytes - (unsigned char *)net->data.base);
    const struct l4vio_buffer buffer = {.address = net->data.device_address + offset,
                                        .length_bytes = length_bytes};
    const struct l4vio_request request = {.buffers = &buffer,
                                          .readable = queue == TRANSMIT,
                                          .writable = queue == RECEIVE,
                                          .cookie = bytes};

    return l4vio_queue_add(&net->queues[queue], &request, 1);
}

static void show(struct net *net, unsigned queue)
{
    l4vio_queue_publish(&net->queues[queue]);
    check(l4vio_driver_notify(&net->driver, &net->queues[queue]), "kick", NULL);
}

static void bring_up(struct net *net)
{
    struct l4vio_virtqueue_layout layout;
    struct l4vio_error error = {0};

    l4vio_virtqueue_layout_for(SIZE, &net->driver.accepted, &layout);
    const uint64_t stride = (layout.size_bytes + 63) & ~UINT64_C(63);
    check(l4vio_driver_allocate(&net->driver, QUEUES * stride, &net->rings, &error), "rings",
          &error);
    check(l4vio_driver_allocate(&net->driver, 2 * BUFFERS * BUFFER_BYTES, &net->data, &error),
          "data", &error);
    for (unsigned i = 0; i < QUEUES; i++)
        set_up_queue(net, i, &layout, i * stride);
    check(l4vio_driver_acknowledge(&net->driver, &error), "acknowledge", &error);
    unsigned char *data = net->data.base;
    for (unsigned i = 0; i < BUFFERS; i++) {
        check(add(net, RECEIVE, data + i * BUFFER_BYTES, BUFFER_BYTES), "receive", NULL);
        net->unused[net->unused_count++] = data + (BUFFERS + i) * BUFFER_BYTES;
    }
    show(net, RECEIVE);
}

static void take_back(struct net *net)
{
    struct l4vio_completion completion;
    int result;

    while ((result = l4vio_queue_get_used(&net->queues[TRANSMIT], &completion, 1)) > 0)
        net->unused[net->unused_count++] = completion.cookie;
    check(result, "transmit", NULL);
}

static void send_frame(struct net *net, uint32_t number)
{
    unsigned char *bytes = net->unused[--net->unused_count];
    unsigned char *frame = bytes + HEADER_BYTES;

    memset(bytes, 0, HEADER_BYTES + FRAME_BYTES);
    memcpy(frame, theirs, ADDRESS);
    memcpy(frame + ADDRESS, ours, ADDRESS);
    frame[12] = 0x88; /* An EtherType for experiments. */
    frame[13] = 0xb5;
    memcpy(frame + 14, &number, sizeof(number));
    check(add(net, TRANSMIT, bytes, HEADER_BYTES + FRAME_BYTES), "send", NULL);
}

/* Numbers of what came back, in order, with nothing left out. */
static unsigned receive_frames(struct net *net, uint32_t *expected)
{
    struct l4vio_completion completion;
    unsigned count = 0;
    int result;

    while ((result = l4vio_queue_get_used(&net->queues[RECEIVE], &completion, 1)) > 0) {
        unsigned char *bytes = completion.cookie;
        const unsigned char *frame = bytes + HEADER_BYTES;
        uint32_t number;
        memcpy(&number, frame + 14, sizeof(number));
        if (*expected == UINT32_MAX)
            *expected = number;
        if (completion.length_bytes != HEADER_BYTES + FRAME_BYTES || number != *expected ||
            memcmp(frame, ours, ADDRESS) != 0 || memcmp(frame + ADDRESS, theirs, ADDRESS) != 0) {
            fprintf(stderr, "packets: frame %u came back as %u, %u bytes\n", *expected, number,
                    completion.length_bytes);
            exit(1);
        }
        ++*expected;
        count++;
        check(add(net, RECEIVE, bytes, BUFFER_BYTES), "receive", NULL);
    }
    check(result, "receive", NULL);
    if (count)
        show(net, RECEIVE);
    return count;
}

static void wait_for_frames(struct net *net, uint64_t deadline_ns)
{
    int result = l4vio_driver_wait_used(&net->driver, &net->queues[RECEIVE], deadline_ns);

    if (result != L4VIO_ETIMEDOUT)
        check(result, "wait", NULL);
}

/* Frames one by one until one comes back: then the device is at work. Returns the next number. */
static uint32_t await_device(struct net *net, uint64_t deadline_ns)
{
    uint32_t sent = 0;
    uint32_t expected = UINT32_MAX;

    /* Late ones may follow the first. */
    while (expected == UINT32_MAX || expected < sent) {
        take_back(net);
        if (expected == UINT32_MAX && net->unused_count) {
            send_frame(net, sent++);
            show(net, TRANSMIT);
        }
        wait_for_frames(net, now(net) + RETRY_NS);
        receive_frames(net, &expected);
        if (now(net) >= deadline_ns) {
            fprintf(stderr, "packets: nothing comes back\n");
            exit(1);
        }
    }
    return sent;
}

static void exchange(struct net *net, uint32_t count)
{
    const uint64_t deadline_ns = now(net) + PATIENCE_NS;
    uint32_t sent = await_device(net, deadline_ns);
    uint32_t expected = sent;
    const uint32_t end = sent + count;

    while (expected != end) {
        unsigned fresh = 0;
        take_back(net);
        for (; sent != end && net->unused_count && sent - expected < AHEAD; fresh++)
            send_frame(net, sent++);
        if (fresh)
            show(net, TRANSMIT);
        if (receive_frames(net, &expected) == 0)
            wait_for_frames(net, deadline_ns);
        if (now(net) >= deadline_ns) {
            fprintf(stderr, "packets: %u of %u came back\n", count - (end - expected), count);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    static struct net net;
    struct l4vio_error error = {0};

    if (argc < 3) {
        fprintf(stderr, "usage: packets SOCKET COUNT [FEATURE...]\n");
        return 2;
    }
    connect_to(&net, argv[1], argv + 3, argc - 3);
    bring_up(&net);
    exchange(&net, (uint32_t)atoi(argv[2]));
    check(l4vio_driver_reset(&net.driver, &error), "reset", &error);
    l4vio_driver_disconnect(&net.driver);
    l4vio_vhost_user_free(net.connection);
    l4vio_linux_close(net.linux_platform);
    printf("%s frames came back\n", argv[2]);
    return 0;
}
