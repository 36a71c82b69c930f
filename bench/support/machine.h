/* SPDX-License-Identifier: MIT */
/*
 * What the machine can do, measured in the same run as the figures that it limits: cache lines between
 * two CPUs, eventfds between two processes, copies. Also clock, pinning and shared memory.
 */
#ifndef L4VIO_BENCH_MACHINE_H
#define L4VIO_BENCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

uint64_t now_ns(void);

/* Pins the calling thread, or exits. */
void pin_to_cpu(unsigned cpu);

/* Memory, zeroed; exits when there is none. */
void *shared_pages(size_t size_bytes); /* With children. */
void *huge_pages(size_t size_bytes); /* Private, by huge pages where there are: as memory images. */
void free_pages(void *memory, size_t size_bytes);

/* A child that dies with us; 0 in the child. */
pid_t spawn(void);
void reap(pid_t child);

/* Compilers do not know that nobody looks at the result. */
static inline void keep(const void *result)
{
    __asm__ volatile("" ::"r"(result) : "memory");
}

/* While looking at memory that another CPU will write. */
static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/*
 * Calls `work` again and again for so long, and returns ns per unit of what it says it has done: the
 * median of many short slices. NaN if nothing was done at all.
 */
double ns_per_unit(uint64_t (*work)(void *context), void *context, double seconds);

/*
 * The same for two who are busy all the time, this thread and one with that CPU clock (its own for
 * none): slices in which one of them had lost its CPU to somebody else do not count, and there are more
 * slices instead, within reason.
 */
double ns_per_busy_unit(uint64_t (*work)(void *context), void *context, double seconds,
                        clockid_t peer);

/* From here on no more slices than usual, however busy the machine is. */
void no_extra_slices(void);

/* Round trip of one cache line between two CPUs, ns. */
double line_round_trip_ns(unsigned cpu, unsigned other_cpu, double seconds);

/*
 * One way: the other CPU writes a ring of lines and this one reads it, ns per line that moved.
 * `batch` lines are announced together by an index in a line of its own, and the reader says the same
 * way what it has read: two more lines that move per batch, and count. 0: no announcement, the reader
 * looks at each line itself, as a packed ring does.
 */
double line_stream_ns(unsigned cpu, unsigned other_cpu, unsigned batch, double seconds);

/* The best of the ways above: what a cache line costs at least. */
double line_stream_best_ns(unsigned cpu, unsigned other_cpu, double seconds);

/* Round trip over two eventfds between two processes: write, poll, read; ns. */
double eventfd_round_trip_ns(unsigned cpu, unsigned other_cpu, double seconds);

/* memcpy of so many bytes once, GB/s (10^9), all pages touched before. */
double memcpy_gb_per_s(void *to, const void *from, size_t size_bytes);

/* memcpy of 4 KiB into one place, ns: from one place, or from a random place of so many bytes. */
double copy_4k_ns(size_t spread_bytes, double seconds);

/* memcpy of 4 KiB that another CPU has just written and holds in its cache, ns. */
double copy_4k_other_cpu_ns(unsigned cpu, unsigned other_cpu, double seconds);

#endif
