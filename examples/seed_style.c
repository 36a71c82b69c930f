/* SPDX-License-Identifier: MIT */
/*
 * The seed's block API: start a request, add blocks, send it with a callback or process it and wait.
 *
 * Try it like this (it overwrites sectors 8 to 15):
 *     l4vio serve block --ram 16M --listen l4:/tmp/disk.sock &
 *     seed_style l4:/tmp/disk.sock
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/block_seed.h>
#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>

enum { QUEUE_SIZE = 16, REQUESTS = 4, DATA_BYTES = 4096 };

static const char message[] = "written the way of the seed";

static struct l4vio_queue queue;
static struct l4vio_queue_slot slots[QUEUE_SIZE];
static struct l4vio_block block;
static struct l4vio_block_seed seed;
static struct l4vio_block_seed_request requests[REQUESTS];
static struct l4vio_region memory;

static void need(int result, const char *what, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s (%llu)\n", what, error->text ? error->text : l4vio_error_name(result),
            (unsigned long long)error->value);
    exit(1);
}

static void written(struct l4vio_block_seed *layer, struct l4vio_block_handle handle, int result,
                    uint64_t done_bytes, void *context)
{
    (void)layer;
    (void)handle;
    printf("written: %s, %llu bytes\n", l4vio_error_name(result), (unsigned long long)done_bytes);
    *(int *)context = 1;
}

int main(int argc, char **argv)
{
    struct l4vio_error error = {0};
    struct l4vio_linux *os;
    struct l4vio_l4_client *client;
    struct l4vio_block_config config = {
        .queues = &queue,
        .slots = slots,
        .queue_size = QUEUE_SIZE,
        .one_notification = true, /* As the seed has it. */
    };
    struct l4vio_block_handle handle;
    int finished = 0;

    if (argc != 2 || strncmp(argv[1], "l4:", 3) != 0) {
        fprintf(stderr, "usage: seed_style l4:PATH\n");
        return 2;
    }
    need(l4vio_linux_open(&os, &config.driver.platform, &error), "platform", &error);
    need(l4vio_l4_client_connect(argv[1] + 3, &config.driver.platform, 0, &client,
                                 &config.driver.transport, &error),
         argv[1], &error);
    need(l4vio_block_setup(&block, &config, &error), "set-up", &error);
    need(l4vio_driver_allocate(&block.driver, DATA_BYTES, &memory, &error), "memory", &error);
    need(l4vio_block_seed_init(&seed, &block, 0, requests, REQUESTS, &error), "requests", &error);
    uint64_t deadline = l4vio_driver_deadline(&block.driver, UINT64_C(5000000000));

    /* Asynchronous: the callback runs inside l4vio_block_process_used_queue. */
    memcpy(memory.base, message, sizeof(message));
    need(l4vio_block_start_request(&seed, 8, L4VIO_BLOCK_WRITE, written, &finished, &handle),
         "start", &error);
    need(l4vio_block_add_block(&seed, handle, &memory, 0, DATA_BYTES), "add", &error);
    need(l4vio_block_send_request(&seed, handle, &error), "send", &error);
    while (!finished) {
        need(l4vio_driver_wait_used(&block.driver, &queue, deadline), "wait", &error);
        need(l4vio_block_process_used_queue(&seed), "process", &error);
    }

    /* Synchronous, in two pieces. The handle of the write is stale by now and stays so. */
    memset(memory.base, 0, DATA_BYTES);
    need(l4vio_block_start_request(&seed, 8, L4VIO_BLOCK_READ, NULL, NULL, &handle), "start",
         &error);
    need(l4vio_block_add_block(&seed, handle, &memory, 0, 512), "add", &error);
    need(l4vio_block_add_block(&seed, handle, &memory, 512, DATA_BYTES - 512), "add", &error);
    need(l4vio_block_process_request(&seed, handle, deadline, &error), "process", &error);
    need(l4vio_block_free_request(&seed, handle), "free", &error);
    printf("read back: %.*s\n", (int)sizeof(message), (const char *)memory.base);

    l4vio_block_close(&block);
    l4vio_l4_client_free(client);
    l4vio_linux_close(os);
    return 0;
}
