/* SPDX-License-Identifier: MIT */
/*
 * Bandwidth of copying a whole device: 1 MiB sequential reads through l4:PATH from a memory image
 * into the driver's memory, beside memcpy of the same size in the same run. The device copies once;
 * the driver does not.
 *
 * Usage: block_copy [ROUNDS]   (interleaved rounds, 5 by default)
 */
#include "block_rig.h"

enum {
    rounds_max = 101,
    store_bytes = 256 << 20,
    read_bytes = 1 << 20,
    depth = 4,
    shared_bytes = 4096,
};

struct copy {
    struct rig rig;
    struct l4vio_block_request requests[depth];
    struct l4vio_block_segment segments[depth];
};

static void submit(struct copy *copy, unsigned slot, enum l4vio_block_type type, uint64_t offset)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_block_request *request = &copy->requests[slot];
    request->type = type;
    request->sector = offset / 512;
    request->segments = &copy->segments[slot];
    request->segment_count = 1;
    rig_check(l4vio_block_submit(copy->rig.block, 0, request, &error), "submit", &error);
}

static void finish(struct copy *copy, unsigned slot)
{
    struct l4vio_error error = {0, "wait", 0};
    rig_check(l4vio_block_wait(copy->rig.block, &copy->requests[slot], L4VIO_FOREVER), "wait",
              &error);
    error.text = "request failed";
    rig_check(copy->requests[slot].result, "request", &error);
}

static double pass_gb_per_s(struct copy *copy, enum l4vio_block_type type)
{
    uint64_t start = now_ns();
    for (unsigned i = 0; i < store_bytes / read_bytes; ++i) {
        if (i >= depth)
            finish(copy, i % depth);
        submit(copy, i % depth, type, (uint64_t)i * read_bytes);
    }
    for (unsigned i = 0; i < depth; ++i)
        finish(copy, i);
    return (double)store_bytes / (double)(now_ns() - start);
}

static void start(struct copy *copy, unsigned server_cpu)
{
    rig_start(&copy->rig, store_bytes, shared_bytes + (uint64_t)depth * read_bytes, 50000,
              server_cpu, 0);
    for (unsigned i = 0; i < depth; ++i) {
        l4vio_block_request_init(&copy->requests[i], &copy->rig.region,
                                 (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
        copy->segments[i] = (struct l4vio_block_segment){
            &copy->rig.region, shared_bytes + (uint64_t)i * read_bytes, read_bytes};
    }
}

/* As the device does it: every block once, into a few blocks that stay in the cache. */
static double memcpy_blocks_gb_per_s(unsigned char *to, const unsigned char *from)
{
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < store_bytes / read_bytes; ++i) {
        memcpy(to + (size_t)(i % depth) * read_bytes, from + (size_t)i * read_bytes, read_bytes);
        __asm__ volatile("" ::"r"(to) : "memory");
    }
    return (double)store_bytes / (double)(now_ns() - begin);
}

int main(int argc, char **argv)
{
    static struct copy copy;
    static double whole[rounds_max], blocks[rounds_max], read_one[rounds_max], read_two[rounds_max],
        write_two[rounds_max];
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
    if (rounds < 1 || rounds > rounds_max) {
        fprintf(stderr, "block_copy: ROUNDS is 1 to %d, not %s\n", rounds_max, argv[1]);
        return 2;
    }
    int two_cpus = pin_to_cpu(1);
    unsigned char *from = shared_pages(store_bytes);
    unsigned char *to = shared_pages(store_bytes);
    memset(from, 1, store_bytes);
    memset(to, 2, store_bytes);
    for (unsigned i = 0; i < rounds; ++i) {
        pin_to_cpu(0);
        whole[i] = memcpy_gb_per_s(to, from, store_bytes);
        blocks[i] = memcpy_blocks_gb_per_s(to, from);
        start(&copy, 0);
        read_one[i] = pass_gb_per_s(&copy, L4VIO_BLOCK_READ);
        rig_stop(&copy.rig);
        if (!two_cpus)
            continue;
        start(&copy, 1);
        read_two[i] = pass_gb_per_s(&copy, L4VIO_BLOCK_READ);
        write_two[i] = pass_gb_per_s(&copy, L4VIO_BLOCK_WRITE);
        rig_stop(&copy.rig);
    }
    double limit = median(whole, rounds);
    printf("256 MiB, 1 MiB requests, %d in flight; medians of %u interleaved rounds\n", depth,
           rounds);
    printf("  memcpy of 256 MiB                       %6.2f GB/s\n", limit);
    printf("  memcpy, 1 MiB at a time into 4 MiB      %6.2f GB/s\n", median(blocks, rounds));
    double value = median(read_one, rounds);
    printf("  read, both sides on one CPU             %6.2f GB/s   ratio %.2f\n", value,
           value / limit);
    if (two_cpus) {
        value = median(read_two, rounds);
        printf("  read, two CPUs                          %6.2f GB/s   ratio %.2f\n", value,
               value / limit);
        value = median(write_two, rounds);
        printf("  write, two CPUs                         %6.2f GB/s   ratio %.2f\n", value,
               value / limit);
    }
    return 0;
}
