/* SPDX-License-Identifier: MIT */
#ifndef L4VIO_CORE_TRACING_H
#define L4VIO_CORE_TRACING_H

#include <stddef.h>

#include <l4vio/trace.h>

/* Tells the hook, if there is one, of an event. `queue` is UINT32_MAX if it is not of a queue. */
static inline void l4vio_trace_event(const struct l4vio_trace *trace, enum l4vio_trace_kind kind,
                                     uint32_t queue, uint64_t a, uint64_t b)
{
    if (!trace || !trace->event)
        return;
    struct l4vio_trace_event event = {.kind = kind, .queue = queue, .a = a, .b = b};
    trace->event(trace->self, &event);
}

#endif
