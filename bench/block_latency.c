/* SPDX-License-Identifier: MIT */
/*
 * Round trip of one 4 KiB read, depth 1, through l4:PATH from a memory image: sleeping and
 * spinning, beside what bounds it, in one run: an eventfd poll + read round trip between two
 * processes for sleeping, a cache-line round trip between two CPUs for spinning.
 *
 * Usage: block_latency [ROUNDS]   (interleaved rounds, 5 by default)
 */
#include "block_rig.h"

enum { rounds_max = 101, store_bytes = 64 << 20, read_bytes = 4096 };

static double read_ns(uint64_t spin_ns, unsigned server_cpu, unsigned client_cpu, unsigned count)
{
    struct rig rig;
    struct l4vio_block_request request;
    struct l4vio_block_segment segment = {&rig.region, read_bytes, read_bytes};
    struct l4vio_error error = {0, "", 0};
    rig_start(&rig, store_bytes, 2 * read_bytes, spin_ns, server_cpu, client_cpu);
    l4vio_block_request_init(&request, &rig.region, 0);
    request.type = L4VIO_BLOCK_READ;
    request.segments = &segment;
    request.segment_count = 1;
    uint64_t start = 0;
    unsigned warm = count / 10 + 1;
    uint32_t random = 1;
    for (unsigned i = 0; i < count + warm; ++i) {
        if (i == warm)
            start = now_ns();
        random = random * 1664525u + 1013904223u;
        request.sector = (uint64_t)((random >> 8) % (store_bytes / read_bytes)) * 8;
        rig_check(l4vio_block_submit(rig.block, 0, &request, &error), "read", &error);
        error.text = "wait";
        rig_check(l4vio_block_wait(rig.block, &request, L4VIO_FOREVER), "read", &error);
        if (request.result) {
            fprintf(stderr, "read: %s\n", l4vio_error_name(request.result));
            exit(1);
        }
    }
    double result = (double)(now_ns() - start) / count;
    rig_stop(&rig);
    return result;
}

static double copy_4k_ns(void)
{
    enum { pages = 16384 };
    static unsigned char to[read_bytes];
    unsigned char *from = shared_pages((size_t)pages * read_bytes);
    memset(from, 1, (size_t)pages * read_bytes);
    uint32_t random = 1;
    uint64_t start = now_ns();
    for (unsigned i = 0; i < 20000; ++i) {
        random = random * 1664525u + 1013904223u;
        memcpy(to, from + (size_t)((random >> 8) % pages) * read_bytes, read_bytes);
        __asm__ volatile("" ::"r"(to) : "memory");
    }
    double result = (double)(now_ns() - start) / 20000;
    munmap(from, (size_t)pages * read_bytes);
    return result;
}

struct row {
    const char *what;
    double values[rounds_max];
    const char *bound;
    double bounds[rounds_max];
};

static void print_row(struct row *row, unsigned rounds)
{
    double value = median(row->values, rounds);
    double bound = median(row->bounds, rounds);
    printf("  %-32s %8.0f ns   %-38s %8.0f ns   ratio %5.2f\n", row->what, value, row->bound, bound,
           value / bound);
}

int main(int argc, char **argv)
{
    static struct row one = {.what = "sleeping, one CPU", .bound = "eventfd round trip, one CPU"};
    static struct row two = {.what = "sleeping, two CPUs", .bound = "eventfd round trip, two CPUs"};
    static struct row spin = {.what = "spinning, two CPUs", .bound = "cache-line round trip"};
    static double copies[rounds_max];
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
    if (rounds < 1 || rounds > rounds_max) {
        fprintf(stderr, "block_latency: ROUNDS is 1 to %d, not %s\n", rounds_max, argv[1]);
        return 2;
    }
    int two_cpus = pin_to_cpu(1);
    for (unsigned i = 0; i < rounds; ++i) {
        one.bounds[i] = eventfd_round_trip_ns(0, 0, 10000);
        one.values[i] = read_ns(0, 0, 0, 10000);
        copies[i] = copy_4k_ns();
        if (!two_cpus)
            continue;
        two.bounds[i] = eventfd_round_trip_ns(0, 1, 2000);
        two.values[i] = read_ns(0, 1, 0, 2000);
        spin.bounds[i] = cache_line_round_trip_ns(0, 1, 200000);
        spin.values[i] = read_ns(1000000000, 1, 0, 50000);
    }
    printf("4 KiB random read, depth 1, memory image; medians of %u interleaved rounds\n", rounds);
    print_row(&one, rounds);
    if (two_cpus) {
        print_row(&two, rounds);
        print_row(&spin, rounds);
    }
    printf("  memcpy of 4 KiB from a random place of 64 MiB: %.0f ns\n", median(copies, rounds));
    return 0;
}
