/* SPDX-License-Identifier: MIT */
/*
 * Synchronous: connect, ask for the identity, read the first bytes.
 *
 * Try it like this:
 *     l4vio serve block --ram 16M --listen l4:/tmp/disk.sock &
 *     sync_read l4:/tmp/disk.sock
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/block_sync.h>
#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>

enum { QUEUE_SIZE = 32, BUFFERS = 4, BUFFER_BYTES = 64 * 1024 };

/* The caller owns all memory of the library: nothing is allocated behind its back. */
static struct l4vio_queue queue;
static struct l4vio_queue_slot slots[QUEUE_SIZE];
static struct l4vio_block block;
static struct l4vio_block_pool pool;
static struct l4vio_block_bounce buffers[BUFFERS];

static void need(int result, const char *what, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s (%llu)\n", what, error->text ? error->text : l4vio_error_name(result),
            (unsigned long long)error->value);
    exit(1);
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
    };
    unsigned char data[4096];
    char id[VIRTIO_BLK_ID_BYTES + 1];

    if (argc != 2 || strncmp(argv[1], "l4:", 3) != 0) {
        fprintf(stderr, "usage: sync_read l4:PATH\n");
        return 2;
    }
    need(l4vio_linux_open(&os, &config.driver.platform, &error), "platform", &error);
    need(l4vio_l4_client_connect(argv[1] + 3, &config.driver.platform, 0, &client,
                                 &config.driver.transport, &error),
         argv[1], &error);
    need(l4vio_block_setup(&block, &config, &error), "set-up", &error);
    need(l4vio_block_pool_init(&pool, &block, 0, buffers, BUFFERS, BUFFER_BYTES, &error), "pool",
         &error);

    /* Every blocking call takes a deadline: here five seconds from now. */
    uint64_t deadline = l4vio_driver_deadline(&block.driver, UINT64_C(5000000000));
    need(l4vio_block_pool_id(&pool, id, deadline, &error), "identity", &error);
    need(l4vio_block_pool_read(&pool, 0, data, sizeof(data), deadline, NULL, &error), "read",
         &error);
    printf("%s: %llu sectors, first bytes %02x %02x %02x %02x\n", id,
           (unsigned long long)block.info.capacity_sectors, data[0], data[1], data[2], data[3]);

    l4vio_block_close(&block);
    l4vio_l4_client_free(client);
    l4vio_linux_close(os);
    return 0;
}
