/* SPDX-License-Identifier: MIT */
/*
 * Writes blocks of increasing numbers, flushes, and tells how far the flushed ones go; what it told must be on the
 * disk whatever happened to the device in between.
 *   sequence write DEVICE THREADS COUNT    in the guest: each thread writes COUNT blocks, fewer when there is a file
 *                                          /tmp/stop; "guest: flushed T N": thread T's first N blocks are durable
 *   sequence check IMAGE THREADS COUNT     on the host: reads lines "T N" and looks for these blocks
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define BATCH       4
#define TELL_MS     100
#define WORDS       (BLOCK_BYTES / sizeof(uint64_t))

static int device;
static uint64_t count;

struct writer {
    pthread_t thread;
    uint64_t index;
};

static void fail(const char *what, uint64_t thread, uint64_t number)
{
    printf("guest: FAILED sequence: %s, block %llu of thread %llu: %s\n", what,
           (unsigned long long)number, (unsigned long long)thread, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static off_t place(uint64_t thread, uint64_t number)
{
    return (off_t)((thread * count + number) * BLOCK_BYTES);
}

static void fill(uint64_t *words, uint64_t thread, uint64_t number)
{
    for (uint64_t i = 0; i < WORDS; i++)
        words[i] = (thread << 56 | number) * 0x9e3779b97f4a7c15u + i;
}

static void check(uint64_t *words, uint64_t thread, uint64_t number)
{
    uint64_t wanted[WORDS];
    errno = 0;
    if (pread(device, words, BLOCK_BYTES, place(thread, number)) != BLOCK_BYTES)
        fail("cannot read", thread, number);
    fill(wanted, thread, number);
    if (memcmp(words, wanted, BLOCK_BYTES) != 0)
        fail("not on the disk", thread, number);
}

/* One line at a time, and not so many that the console is what is waited for. */
static void tell(uint64_t thread, uint64_t number)
{
    char line[64];
    int length = snprintf(line, sizeof line, "guest: flushed %llu %llu\n",
                          (unsigned long long)thread, (unsigned long long)number);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        fail("console", thread, number);
}

static void *write_numbers(void *argument)
{
    const struct writer *writer = argument;
    uint64_t *words = NULL;
    uint64_t told_ms = now_ms();
    if (posix_memalign((void **)&words, BLOCK_BYTES, BATCH * BLOCK_BYTES) != 0)
        fail("memory", writer->index, 0);
    uint64_t number = 0;
    while (number < count) {
        for (uint64_t i = 0; i < BATCH; i++)
            fill(words + i * WORDS, writer->index, number + i);
        errno = 0;
        if (pwrite(device, words, BATCH * BLOCK_BYTES, place(writer->index, number)) !=
            BATCH * BLOCK_BYTES)
            fail("cannot write", writer->index, number);
        if (fdatasync(device) != 0)
            fail("cannot flush", writer->index, number);
        number += BATCH;
        if (now_ms() - told_ms < TELL_MS)
            continue;
        tell(writer->index, number);
        told_ms = now_ms();
        if (access("/tmp/stop", F_OK) == 0)
            break;
    }
    tell(writer->index, number);
    for (uint64_t i = 0; i < number; i++)
        check(words, writer->index, i);
    free(words);
    return NULL;
}

static int write_all(uint64_t threads)
{
    struct writer *writers = calloc(threads, sizeof *writers);
    if (writers == NULL)
        fail("memory", 0, 0);
    for (uint64_t i = 0; i < threads; i++) {
        writers[i].index = i;
        if (pthread_create(&writers[i].thread, NULL, write_numbers, &writers[i]) != 0)
            fail("thread", i, 0);
    }
    for (uint64_t i = 0; i < threads; i++)
        pthread_join(writers[i].thread, NULL);
    free(writers);
    return 0;
}

static int check_all(void)
{
    uint64_t words[WORDS];
    unsigned long long thread, number, checked = 0;
    while (scanf("%llu %llu", &thread, &number) == 2) {
        for (uint64_t i = 0; i < number; i++)
            check(words, thread, i);
        checked += number;
    }
    printf("%llu blocks are there\n", checked);
    return checked == 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("sequence write|check FILE THREADS COUNT\n", stderr);
        return 2;
    }
    int writing = strcmp(argv[1], "write") == 0;
    device = open(argv[2], (writing ? O_RDWR | O_DIRECT : O_RDONLY) | O_CLOEXEC);
    if (device < 0)
        fail("cannot open", 0, 0);
    count = strtoull(argv[4], NULL, 10) / BATCH * BATCH;
    return writing ? write_all(strtoull(argv[3], NULL, 10)) : check_all();
}
