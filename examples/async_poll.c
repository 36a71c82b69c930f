/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous, in a poll loop of one's own: the notification of the device is a file descriptor like
 * any other. Eight requests are kept in flight; 64 blocks are written, then read back and compared.
 *
 * Try it like this (it overwrites the first 256 KiB):
 *     l4vio serve block --ram 16M --listen l4:/tmp/disk.sock &
 *     async_poll l4:/tmp/disk.sock
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/block.h>
#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>

enum { QUEUE_SIZE = 32, DEPTH = 8, BLOCK_BYTES = 4096, BLOCKS = 64, TIMEOUT_MS = 5000 };

/* One place for a request: its shared part and one block of data lie in `memory`. */
struct place {
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    unsigned number; /* Of the block. */
};

static struct l4vio_queue queue;
static struct l4vio_queue_slot slots[QUEUE_SIZE];
static struct l4vio_block block;
static struct l4vio_region memory;
static struct place places[DEPTH];
static unsigned next_block, finished, wakeups;

static void fail(const char *what, const struct l4vio_error *error)
{
    fprintf(stderr, "%s: %s (%llu)\n", what, error->text ? error->text : "failed",
            (unsigned long long)error->value);
    exit(1);
}

static unsigned char *data_of(const struct place *place)
{
    return (unsigned char *)memory.base + place->segment.offset_bytes;
}

static void submit_next(struct place *place)
{
    struct l4vio_error error = {0};

    if (next_block == BLOCKS)
        return;
    place->number = next_block++;
    place->request.sector = (uint64_t)place->number * (BLOCK_BYTES / 512);
    if (place->request.type == L4VIO_BLOCK_WRITE)
        memset(data_of(place), (int)(place->number + 1), BLOCK_BYTES);
    if (l4vio_block_submit(&block, 0, &place->request, &error) < 0)
        fail("submit", &error);
}

/* Called by l4vio_block_poll. The request is ours again and may be submitted at once. */
static void done(struct l4vio_block_request *request, void *context)
{
    struct place *place = context;
    const unsigned char *data = data_of(place);

    if (request->result < 0)
        fail("request", &(struct l4vio_error){.text = l4vio_error_name(request->result),
                                              .value = place->number});
    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        if (data[i] != (unsigned char)(place->number + 1))
            fail("compare", &(struct l4vio_error){.text = "wrong data", .value = place->number});
    finished++;
    submit_next(place);
}

static void run(enum l4vio_block_type type)
{
    const struct l4vio_notification *notification = l4vio_driver_notification(&block.driver, 0);
    /* The second one tells that the device is gone. Descriptors of your own go here too. */
    struct pollfd fds[] = {
        {.fd = (int)notification->handle, .events = POLLIN},
        {.fd = (int)l4vio_driver_peer_handle(&block.driver), .events = POLLRDHUP},
    };

    next_block = finished = 0;
    for (unsigned i = 0; i < DEPTH; i++) {
        places[i].request.type = type;
        submit_next(&places[i]);
    }
    while (finished < BLOCKS) {
        /* Ask to be notified, then look once more: only then it is safe to sleep. */
        if (!l4vio_queue_arm(&queue)) {
            if (poll(fds, 2, TIMEOUT_MS) <= 0)
                fail("poll", &(struct l4vio_error){.text = "the device did not answer"});
            wakeups++;
            l4vio_driver_drain_notification(&block.driver, 0);
        }
        if (l4vio_block_poll(&block, 0, QUEUE_SIZE) < 0)
            fail("poll", &(struct l4vio_error){.text = "the device broke the protocol"});
        if (l4vio_driver_fail_state(&block.driver))
            fail("poll", &(struct l4vio_error){.text = "the device failed or is gone"});
    }
}

int main(int argc, char **argv)
{
    struct l4vio_error error = {0};
    struct l4vio_linux *os;
    struct l4vio_l4_client *client;
    struct l4vio_block_config config = {.queues = &queue, .slots = slots, .queue_size = QUEUE_SIZE};

    if (argc != 2 || strncmp(argv[1], "l4:", 3) != 0) {
        fprintf(stderr, "usage: async_poll l4:PATH\n");
        return 2;
    }
    if (l4vio_linux_open(&os, &config.driver.platform, &error) < 0 ||
        l4vio_l4_client_connect(argv[1] + 3, &config.driver.platform, 0, &client,
                                &config.driver.transport, &error) < 0 ||
        l4vio_block_setup(&block, &config, &error) < 0)
        fail(argv[1], &error);

    /* Data first, then the shared parts of the requests. */
    if (l4vio_driver_allocate(&block.driver, DEPTH * (BLOCK_BYTES + L4VIO_BLOCK_SHARED_BYTES),
                              &memory, &error) < 0)
        fail("memory", &error);
    for (unsigned i = 0; i < DEPTH; i++) {
        struct place *place = &places[i];
        l4vio_block_request_init(&place->request, &memory,
                                 DEPTH * BLOCK_BYTES + i * L4VIO_BLOCK_SHARED_BYTES);
        place->segment = (struct l4vio_block_segment){&memory, i * BLOCK_BYTES, BLOCK_BYTES};
        place->request.segments = &place->segment;
        place->request.segment_count = 1;
        place->request.done = done;
        place->request.context = place;
    }
    run(L4VIO_BLOCK_WRITE);
    run(L4VIO_BLOCK_READ);
    printf("%d blocks written, read back and compared; woken up %u times\n", BLOCKS, wakeups);

    l4vio_block_close(&block);
    l4vio_l4_client_free(client);
    l4vio_linux_close(os);
    return 0;
}
