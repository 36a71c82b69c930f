/* SPDX-License-Identifier: MIT */
/*
 * What this machine can do at best: the limits that every other figure is held against.
 * Usage: limits [ROUNDS]   (interleaved rounds, 5 by default)
 */
#include "measure.h"

enum { rounds_max = 101, copy_bytes = 64 << 20 };

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
    if (rounds < 1 || rounds > rounds_max) {
        fprintf(stderr, "limits: ROUNDS is 1 to %d, not %s\n", rounds_max, argv[1]);
        return 2;
    }
    unsigned char *from = shared_pages(copy_bytes);
    unsigned char *to = shared_pages(copy_bytes);
    memset(from, 1, copy_bytes);
    memset(to, 2, copy_bytes);

    int two_cpus = pin_to_cpu(1);
    double line[rounds_max];
    double event_same[rounds_max];
    double event_cross[rounds_max];
    double copy[rounds_max];
    for (unsigned i = 0; i < rounds; ++i) {
        if (two_cpus) {
            line[i] = cache_line_round_trip_ns(0, 1, 200000);
            event_cross[i] = eventfd_round_trip_ns(0, 1, 2000);
        }
        event_same[i] = eventfd_round_trip_ns(0, 0, 20000);
        copy[i] = memcpy_gb_per_s(to, from, copy_bytes);
    }
    printf("median of %u interleaved rounds\n", rounds);
    if (two_cpus) {
        printf("  cache line, round trip between two CPUs          %10.0f ns\n",
               median(line, rounds));
        printf("  eventfd poll + read, round trip, across two CPUs %10.0f ns\n",
               median(event_cross, rounds));
    }
    printf("  eventfd poll + read, round trip, on one CPU      %10.0f ns\n",
           median(event_same, rounds));
    printf("  memcpy of 64 MiB                                 %10.2f GB/s\n",
           median(copy, rounds));
    return 0;
}
