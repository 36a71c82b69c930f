/* SPDX-License-Identifier: MIT */
/*
 * The cost of a request in the driver's ring code, in instructions: add, publish and get_used, with
 * the loop of the caller.
 *
 *   ring_instructions                              the table; scripts/bench-instructions keeps it
 *   ring_instructions BATCH CALLS BUFFERS ROUNDS   one run, to be counted by something else
 *
 * A batch is published once; it is added by one call or by one per request, and taken by as many.
 * Counting is done by valgrind (callgrind), so the figures are the same on every run. The device side
 * here completes in order and is not counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <l4vio/queue.h>

#include "core/ordering.h"

#define SIZE        256
#define BATCH_MAX   64
#define BUFFERS_MAX 8

struct ring {
    struct l4vio_queue queue;
    struct l4vio_queue_slot slots[SIZE];
    _Alignas(64) unsigned char memory[16 * SIZE + 2 * SIZE + 8 * SIZE + 256];
    struct virtq_avail *avail;
    struct virtq_used *used;
};

static struct ring ring;

static void set_up(void)
{
    struct l4vio_virtqueue_layout layout;
    if (l4vio_virtqueue_layout(SIZE, &layout) < 0 || layout.size_bytes > sizeof(ring.memory))
        abort();
    ring.avail = (struct virtq_avail *)(void *)(ring.memory + layout.avail_offset);
    ring.used = (struct virtq_used *)(void *)(ring.memory + layout.used_offset);
    struct l4vio_queue_config config = {
        .size = SIZE,
        .desc = ring.memory,
        .avail = ring.avail,
        .used = ring.used,
        .slots = ring.slots,
    };
    if (l4vio_queue_init(&ring.queue, &config, NULL) < 0)
        abort();
}

/* Completes what was made available, in order, with four bytes written. */
__attribute__((noinline)) static void device_side(void)
{
    const l4vio_le16 *heads = (const l4vio_le16 *)(const void *)(ring.avail + 1);
    struct virtq_used_elem *elements = (struct virtq_used_elem *)(void *)(ring.used + 1);
    uint16_t end = l4vio_load16_acquire(&ring.avail->idx);
    uint16_t at = l4vio_load16(&ring.used->idx);
    for (; at != end; at++) {
        l4vio_store32(&elements[at % SIZE].id, l4vio_load16(&heads[at % SIZE]));
        l4vio_store32(&elements[at % SIZE].len, 4);
    }
    l4vio_store16_release(&ring.used->idx, at);
}

struct shape {
    unsigned batch;
    unsigned calls;
    unsigned buffers;
};

/* A batch by one call. */
__attribute__((noinline)) static void rounds_of_batches(const struct l4vio_request *requests,
                                                        unsigned batch, unsigned rounds)
{
    struct l4vio_completion done[BATCH_MAX];

    for (unsigned i = 0; i < rounds; i++) {
        if (l4vio_queue_add(&ring.queue, requests, batch) != (int)batch)
            abort();
        l4vio_queue_publish(&ring.queue);
        device_side();
        if (l4vio_queue_get_used(&ring.queue, done, batch) != (int)batch)
            abort();
    }
}

/* One call per request. */
__attribute__((noinline)) static void rounds_of_singles(const struct l4vio_request *requests,
                                                        unsigned batch, unsigned rounds)
{
    struct l4vio_completion done;

    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned at = 0; at < batch; at++)
            if (l4vio_queue_add(&ring.queue, &requests[at], 1) != 1)
                abort();
        l4vio_queue_publish(&ring.queue);
        device_side();
        for (unsigned at = 0; at < batch; at++)
            if (l4vio_queue_get_used(&ring.queue, &done, 1) != 1)
                abort();
    }
}

static void run(struct shape shape, unsigned rounds)
{
    struct l4vio_buffer list[BUFFERS_MAX];
    struct l4vio_request requests[BATCH_MAX];

    for (unsigned i = 0; i < shape.buffers; i++)
        list[i] = (struct l4vio_buffer){.address = 4096u * i, .length_bytes = 512};
    for (unsigned i = 0; i < shape.batch; i++)
        requests[i] = (struct l4vio_request){
            .buffers = list,
            .readable = (uint16_t)(shape.buffers - 1u),
            .writable = 1,
            .cookie = &requests[i],
        };
    set_up();
    if (shape.calls == 1)
        rounds_of_batches(requests, shape.batch, rounds);
    else
        rounds_of_singles(requests, shape.batch, rounds);
}

/* Instructions of one run under callgrind, or less than 0. */
static long long count(const char *self, struct shape shape, unsigned rounds)
{
    char command[1024];
    char line[256];
    long long total = -1;
    snprintf(command, sizeof(command),
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
             "'--toggle-collect=rounds_of*' --toggle-collect=device_side %s %u %u %u %u 2>&1",
             self, shape.batch, shape.calls, shape.buffers, rounds);
    FILE *output = popen(command, "r");
    if (!output)
        return -1;
    while (fgets(line, sizeof(line), output)) {
        char *collected = strstr(line, "Collected :");
        if (collected)
            total = strtoll(collected + strlen("Collected :"), NULL, 10);
    }
    return pclose(output) == 0 ? total : -1;
}

/* Figures of another machine or compiler cannot be compared. */
static void print_compiler(void)
{
    struct utsname name;
    if (uname(&name) < 0)
        abort();
#if defined(__clang__)
    printf("# %s clang %d\n", name.machine, __clang_major__);
#else
    printf("# %s gcc %d\n", name.machine, __GNUC__);
#endif
}

static int print_table(const char *self)
{
    static const struct shape shapes[] = {
        {1, 1, 1}, {8, 1, 1}, {32, 1, 1}, {32, 32, 1},
        {1, 1, 3}, {8, 1, 3}, {32, 1, 3}, {32, 32, 3},
    };
    const unsigned rounds = 300;

    print_compiler();
    printf("ring\tfeatures\tbatch\tcalls\tinstructions_per_request\tbuffers\n");
    for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        /* The difference of two runs: what is done once does not count. */
        long long less = count(self, shapes[i], rounds);
        long long more = count(self, shapes[i], 2 * rounds);
        if (less < 0 || more < 0) {
            fprintf(stderr, "valgrind is missing or failed\n");
            return 77;
        }
        printf("split\tnone\t%u\t%u\t%.1f\t%u\n", shapes[i].batch, shapes[i].calls,
               (double)(more - less) / rounds / shapes[i].batch, shapes[i].buffers);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return print_table(argv[0]);

    struct shape shape = {
        .batch = (unsigned)strtoul(argv[1], NULL, 0),
        .calls = (unsigned)strtoul(argv[2], NULL, 0),
        .buffers = (unsigned)strtoul(argv[3], NULL, 0),
    };
    if (shape.batch < 1 || shape.batch > BATCH_MAX ||
        (shape.calls != 1 && shape.calls != shape.batch) || shape.buffers < 1 ||
        shape.buffers > BUFFERS_MAX || shape.batch * shape.buffers > SIZE)
        return 2;
    run(shape, (unsigned)strtoul(argv[4], NULL, 0));
    return 0;
}
