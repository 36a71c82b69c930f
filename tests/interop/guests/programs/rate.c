/* SPDX-License-Identifier: MIT */
/* Random reads of 4 KiB past the page cache, one at a time per thread: rate DEVICE THREADS SECONDS */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES 4096

static int device;
static uint64_t blocks;
static atomic_bool stop;

struct reader {
    pthread_t thread;
    uint64_t random;
    uint64_t reads;
};

static void fail(const char *what)
{
    printf("guest: FAILED rate: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *read_blocks(void *argument)
{
    struct reader *reader = argument;
    void *buffer = NULL;
    if (posix_memalign(&buffer, BLOCK_BYTES, BLOCK_BYTES) != 0)
        fail("memory");
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        reader->random = reader->random * 6364136223846793005u + 1442695040888963407u;
        off_t offset = (off_t)((reader->random >> 20) % blocks * BLOCK_BYTES);
        if (pread(device, buffer, BLOCK_BYTES, offset) != BLOCK_BYTES)
            fail("read");
        reader->reads++;
    }
    free(buffer);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t bytes = 0;
    if (argc != 4 || (device = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC)) < 0 ||
        ioctl(device, BLKGETSIZE64, &bytes) != 0)
        fail("open");
    blocks = bytes / BLOCK_BYTES;
    unsigned threads = (unsigned)atoi(argv[2]);
    struct reader *readers = calloc(threads, sizeof *readers);
    if (readers == NULL)
        fail("memory");
    double begin = now();
    for (unsigned i = 0; i < threads; i++) {
        readers[i].random = i;
        if (pthread_create(&readers[i].thread, NULL, read_blocks, &readers[i]) != 0)
            fail("thread");
    }
    usleep((useconds_t)(atof(argv[3]) * 1e6));
    atomic_store(&stop, true);
    uint64_t reads = 0;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(readers[i].thread, NULL);
        reads += readers[i].reads;
    }
    printf("guest: rate %u %.0f\n", threads, (double)reads / (now() - begin));
    free(readers);
    return 0;
}
