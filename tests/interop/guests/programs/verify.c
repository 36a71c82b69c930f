/* SPDX-License-Identifier: MIT */
/*
 * Random reads, writes, zeroings, discards and flushes of a block device by several threads, past the page cache;
 * every block read is compared with what was written there last: verify DEVICE SECONDS THREADS SEED
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Of a block: zero after a zeroing, not known after a discard, otherwise the number of its write. */
#define ZERO          0u
#define NOT_KNOWN     UINT32_MAX
#define MOST_BYTES    (512u << 10)
#define MOST_SEGMENTS 4

static int device;
static uint32_t block_bytes;
static uint64_t seed;
static time_t deadline;

/* A thread has a part of the device for itself. */
struct worker {
    pthread_t thread;
    uint64_t first_block;
    uint64_t blocks;
    uint32_t *written;
    uint64_t random;
    uint32_t writes;
    uint64_t operations;
    uint64_t bytes;
    unsigned char *buffer;
};

static time_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t value = *state += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static void fail(const char *what, uint64_t block)
{
    printf("guest: FAILED verify: %s at block %llu: %s\n", what, (unsigned long long)block,
           strerror(errno));
    fflush(stdout);
    _exit(1);
}

static void fill(void *bytes, uint64_t block, uint32_t number)
{
    uint64_t state = seed ^ (block << 24) ^ ((uint64_t)number << 1);
    uint64_t *words = bytes;
    for (uint32_t i = 0; i < block_bytes / 8; i++)
        words[i] = next_random(&state);
    words[0] = block;
    words[1] = number;
}

/* The range as a random list of segments, so that a request has several descriptors. */
static int segments(struct worker *worker, size_t bytes, struct iovec *list)
{
    unsigned char *at = worker->buffer;
    int count = 0;
    while (count < MOST_SEGMENTS - 1 && bytes > block_bytes) {
        size_t part = (next_random(&worker->random) % (bytes / block_bytes) + 1) * block_bytes;
        list[count++] = (struct iovec){at, part};
        at += part;
        bytes -= part;
        if (bytes == 0)
            return count;
    }
    list[count++] = (struct iovec){at, bytes};
    return count;
}

static void write_blocks(struct worker *worker, uint64_t first, uint64_t count)
{
    struct iovec list[MOST_SEGMENTS];
    uint32_t number = ++worker->writes;
    for (uint64_t i = 0; i < count; i++) {
        fill(worker->buffer + i * block_bytes, worker->first_block + first + i, number);
        worker->written[first + i] = number;
    }
    size_t bytes = count * block_bytes;
    off_t offset = (off_t)((worker->first_block + first) * block_bytes);
    errno = 0;
    if (pwritev(device, list, segments(worker, bytes, list), offset) != (ssize_t)bytes)
        fail("write", worker->first_block + first);
    worker->bytes += bytes;
}

static void check_block(const struct worker *worker, uint64_t index, const unsigned char *bytes)
{
    unsigned char wanted[4096];
    uint32_t number = worker->written[index];
    if (number == NOT_KNOWN)
        return;
    if (number == ZERO)
        memset(wanted, 0, block_bytes);
    else
        fill(wanted, worker->first_block + index, number);
    if (memcmp(bytes, wanted, block_bytes) == 0)
        return;
    uint64_t found[2];
    memcpy(found, bytes, sizeof found);
    printf("guest: block %llu has %llu, write %llu; wanted is write %u\n",
           (unsigned long long)(worker->first_block + index), (unsigned long long)found[0],
           (unsigned long long)found[1], number);
    fail("other data", worker->first_block + index);
}

static void read_blocks(struct worker *worker, uint64_t first, uint64_t count)
{
    struct iovec list[MOST_SEGMENTS];
    size_t bytes = count * block_bytes;
    off_t offset = (off_t)((worker->first_block + first) * block_bytes);
    errno = 0;
    if (preadv(device, list, segments(worker, bytes, list), offset) != (ssize_t)bytes)
        fail("read", worker->first_block + first);
    for (uint64_t i = 0; i < count; i++)
        check_block(worker, first + i, worker->buffer + i * block_bytes);
}

/* A device without discard refuses it and keeps its data. */
static void give_back(struct worker *worker, uint64_t first, uint64_t count, bool zero)
{
    uint64_t range[] = {(worker->first_block + first) * block_bytes, count * block_bytes};
    if (ioctl(device, zero ? BLKZEROOUT : BLKDISCARD, range) != 0) {
        if (zero || errno != EOPNOTSUPP)
            fail(zero ? "zero" : "discard", worker->first_block + first);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        worker->written[first + i] = zero ? ZERO : NOT_KNOWN;
}

static void operate(struct worker *worker)
{
    uint64_t most = MOST_BYTES / block_bytes;
    uint64_t random = next_random(&worker->random);
    /* Most are small, some are as large as a request may be. */
    uint64_t count = random % ((random >> 20) % 16 == 0 ? most : 16) + 1;
    uint64_t first = next_random(&worker->random) % (worker->blocks - count);
    unsigned choice = (unsigned)(random >> 32) % 100;
    if (choice < 45)
        write_blocks(worker, first, count);
    else if (choice < 90)
        read_blocks(worker, first, count);
    else if (choice < 93)
        give_back(worker, first, count, false);
    else if (choice < 96)
        give_back(worker, first, count, true);
    else if (fdatasync(device) != 0)
        fail("flush", 0);
    worker->operations++;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    while (now() < deadline)
        operate(worker);
    uint64_t most = MOST_BYTES / block_bytes;
    for (uint64_t block = 0; block < worker->blocks; block += most)
        read_blocks(worker, block, worker->blocks - block < most ? worker->blocks - block : most);
    return NULL;
}

static void prepare(struct worker *worker, uint64_t index, uint64_t blocks)
{
    worker->first_block = index * blocks;
    worker->blocks = blocks;
    worker->random = seed + index;
    worker->written = calloc(blocks, sizeof *worker->written);
    if (worker->written == NULL || posix_memalign((void **)&worker->buffer, 4096, MOST_BYTES) != 0)
        fail("memory", 0);
    give_back(worker, 0, blocks, true);
    if (pthread_create(&worker->thread, NULL, work, worker) != 0)
        fail("thread", 0);
}

int main(int argc, char **argv)
{
    uint64_t bytes = 0;
    unsigned block_size = 0;
    if (argc != 5 || (device = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC)) < 0 ||
        ioctl(device, BLKGETSIZE64, &bytes) != 0 || ioctl(device, BLKSSZGET, &block_size) != 0)
        fail("open", 0);
    block_bytes = block_size;
    deadline = now() + atoi(argv[2]);
    uint64_t threads = strtoull(argv[3], NULL, 10);
    seed = strtoull(argv[4], NULL, 10);
    struct worker *workers = calloc(threads, sizeof *workers);
    if (workers == NULL || block_bytes > 4096 || bytes / threads < 4 * MOST_BYTES)
        fail("device", 0);
    for (uint64_t i = 0; i < threads; i++)
        prepare(&workers[i], i, bytes / block_bytes / threads);
    uint64_t operations = 0;
    uint64_t written = 0;
    for (uint64_t i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        operations += workers[i].operations;
        written += workers[i].bytes;
    }
    printf("guest: verified %llu operations, %llu MiB written\n", (unsigned long long)operations,
           (unsigned long long)(written >> 20));
    return 0;
}
