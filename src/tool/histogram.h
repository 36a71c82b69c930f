/* SPDX-License-Identifier: MIT */
/* Latencies, counted in buckets of 1/32 of a power of two: percentiles to about 3 % of any length. */
#ifndef L4VIO_TOOL_HISTOGRAM_H
#define L4VIO_TOOL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS   32u /* Per power of two. */
#define HISTOGRAM_BUCKETS (60u * HISTOGRAM_STEPS)

struct histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);

/* Adds all values of another one. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* The value that `fraction` (0 to 1) of all values do not exceed; 0 if there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, double fraction);

/* 0 if there are none. */
uint64_t histogram_mean(const struct histogram *histogram);

#endif
