/* SPDX-License-Identifier: MIT */
#include "counter.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int counter_open(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_HW_CACHE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_HW_CACHE_L1D | PERF_COUNT_HW_CACHE_OP_READ << 8 |
                  PERF_COUNT_HW_CACHE_RESULT_MISS << 16,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

uint64_t counter_read(int counter)
{
    uint64_t value = 0;
    if (read(counter, &value, sizeof(value)) != sizeof(value))
        return 0;
    return value;
}

void counter_close(int counter)
{
    if (counter >= 0)
        close(counter);
}
