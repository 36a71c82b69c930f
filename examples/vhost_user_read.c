/* SPDX-License-Identifier: MIT */
/*
 * Drives a block device of another process over vhost-user, or over whatever else a URI names: asks what the
 * back end can do, reads the first bytes.
 *
 * Try it like this, with a device of QEMU's:
 *     qemu-storage-daemon --blockdev driver=file,node-name=disk,filename=disk.img \
 *         --export type=vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path=/tmp/disk.sock &
 *     vhost_user_read vhost-user:/tmp/disk.sock
 */
#include <stdio.h>

#include <l4vio/block_sync.h>
#include <l4vio/session.h>
#include <l4vio/vhost_user.h>

static int fail(const char *what, const struct l4vio_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->text);
    return 1;
}

int main(int argc, char **argv)
{
    static struct l4vio_block_pool pool;
    static struct l4vio_block_bounce buffer;
    const struct l4vio_session_options options = {.queue_count = 1, .queue_size = 64};
    struct l4vio_vhost_user_info info = {0};
    struct l4vio_error error = {0};
    struct l4vio_session *session;
    unsigned char data[512] = {0};

    if (argc != 2)
        return 2;
    if (l4vio_session_open_block(argv[1], &options, &session, &error) < 0)
        return fail(argv[1], &error);
    struct l4vio_block *block = l4vio_session_block(session);
    if (l4vio_session_vhost_user(session))
        l4vio_vhost_user_describe(l4vio_session_vhost_user(session), &info);

    uint64_t deadline = l4vio_driver_deadline(&block->driver, UINT64_C(5000000000));
    int result = l4vio_block_pool_init(&pool, block, 0, &buffer, 1, sizeof(data), &error);
    if (result == 0)
        result = l4vio_block_pool_read(&pool, 0, data, sizeof(data), deadline, NULL, &error);
    if (result < 0)
        return fail("read", &error);
    printf("%llu sectors, protocol features %#llx, first bytes %02x %02x %02x %02x\n",
           (unsigned long long)block->info.capacity_sectors,
           (unsigned long long)info.protocol_features_used, data[0], data[1], data[2], data[3]);
    l4vio_session_close(session);
    return 0;
}
