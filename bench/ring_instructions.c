/* SPDX-License-Identifier: MIT */
/*
 * The cost of a request in the driver's ring code, in instructions: add, publish and get_used.
 *
 *   ring_instructions                        counts for batches of 1, 8 and 32
 *   ring_instructions BATCH BUFFERS ROUNDS   one run, to be counted by something else
 *
 * Counting is done by valgrind (callgrind), so the figures are the same on every run. The device side
 * here completes in order and is not counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <l4vio/queue.h>

#include "core/ordering.h"

#define SIZE      256
#define BATCH_MAX 64

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

__attribute__((noinline)) static void run(unsigned batch, unsigned buffers, unsigned rounds)
{
    struct l4vio_buffer list[8];
    struct l4vio_request requests[BATCH_MAX];
    struct l4vio_completion done[BATCH_MAX];

    for (unsigned i = 0; i < buffers; i++)
        list[i] = (struct l4vio_buffer){.address = 4096u * i, .length_bytes = 512};
    for (unsigned i = 0; i < batch; i++)
        requests[i] = (struct l4vio_request){
            .buffers = list,
            .readable = (uint16_t)(buffers - 1u),
            .writable = 1,
            .cookie = &requests[i],
        };
    set_up();
    for (unsigned i = 0; i < rounds; i++) {
        if (l4vio_queue_add(&ring.queue, requests, batch) != (int)batch)
            abort();
        l4vio_queue_publish(&ring.queue);
        device_side();
        if (l4vio_queue_get_used(&ring.queue, done, batch) != (int)batch)
            abort();
    }
}

/* Instructions of the library's functions in one run under callgrind, or less than 0. */
static long long count(const char *self, unsigned batch, unsigned buffers, unsigned rounds)
{
    char command[1024];
    char line[256];
    long long total = -1;
    snprintf(command, sizeof(command),
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
             "--toggle-collect=run --toggle-collect=device_side %s %u %u %u 2>&1",
             self, batch, buffers, rounds);
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

int main(int argc, char **argv)
{
    static const unsigned batches[] = {1, 8, 32};
    static const unsigned buffers[] = {1, 3};
    const unsigned rounds = 1000;

    if (argc == 4) {
        unsigned long batch = strtoul(argv[1], NULL, 0);
        unsigned long list = strtoul(argv[2], NULL, 0);
        if (batch < 1 || batch > BATCH_MAX || list < 1 || list > 8 || batch * list > SIZE)
            return 2;
        run((unsigned)batch, (unsigned)list, (unsigned)strtoul(argv[3], NULL, 0));
        return 0;
    }
    printf("instructions per request: add + publish + get_used\n");
    for (unsigned b = 0; b < 2; b++) {
        for (unsigned i = 0; i < 3; i++) {
            /* The difference of two runs: what is done once does not count. */
            long long less = count(argv[0], batches[i], buffers[b], rounds);
            long long more = count(argv[0], batches[i], buffers[b], 2 * rounds);
            if (less < 0 || more < 0) {
                printf("valgrind is missing or failed\n");
                return 0;
            }
            printf("  batch %2u, %u buffer%s %6.1f\n", batches[i], buffers[b],
                   buffers[b] == 1 ? " " : "s", (double)(more - less) / rounds / batches[i]);
        }
    }
    return 0;
}
