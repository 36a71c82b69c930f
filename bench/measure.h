/* SPDX-License-Identifier: MIT */
/*
 * What every benchmark needs: a clock, pinning, medians, and the reference figures of the machine,
 * measured in the same run as the figure that they are the limit of.
 */
#ifndef L4VIO_BENCH_MEASURE_H
#define L4VIO_BENCH_MEASURE_H

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Pins the calling thread; false where there is no such CPU. */
static inline int pin_to_cpu(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static inline void *shared_pages(size_t size_bytes)
{
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

/* A child that dies with us. 0 in the child. */
static inline pid_t spawn(void)
{
    fflush(NULL);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return child;
}

static inline void reap(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Round trip of one cache line between two CPUs, ns. */
static inline double cache_line_round_trip_ns(unsigned cpu, unsigned other_cpu, unsigned rounds)
{
    _Atomic uint32_t *line = shared_pages(4096);
    pid_t child = spawn();
    if (child == 0) {
        pin_to_cpu(other_cpu);
        for (uint32_t expected = 1;; expected += 2) {
            while (atomic_load_explicit(line, memory_order_acquire) != expected)
                ;
            atomic_store_explicit(line, expected + 1, memory_order_release);
        }
    }
    pin_to_cpu(cpu);
    uint64_t start = 0;
    unsigned warm = rounds / 10 + 1;
    for (unsigned i = 0; i < rounds + warm; ++i) {
        if (i == warm)
            start = now_ns();
        atomic_store_explicit(line, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(line, memory_order_acquire) != 2 * i + 2)
            ;
    }
    double result = (double)(now_ns() - start) / rounds;
    reap(child);
    munmap((void *)(uintptr_t)line, 4096);
    return result;
}

static inline void wait_eventfd(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t value;
    if (poll(&wait, 1, -1) != 1 || read(fd, &value, sizeof(value)) != sizeof(value)) {
        perror("eventfd");
        exit(1);
    }
}

static inline void signal_eventfd(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        perror("eventfd");
        exit(1);
    }
}

/* Round trip of write, poll + read over two eventfds between two processes, ns. */
static inline double eventfd_round_trip_ns(unsigned cpu, unsigned other_cpu, unsigned rounds)
{
    int there = eventfd(0, EFD_CLOEXEC);
    int back = eventfd(0, EFD_CLOEXEC);
    pid_t child = spawn();
    if (child == 0) {
        pin_to_cpu(other_cpu);
        for (;;) {
            wait_eventfd(there);
            signal_eventfd(back);
        }
    }
    pin_to_cpu(cpu);
    uint64_t start = 0;
    unsigned warm = rounds / 10 + 1;
    for (unsigned i = 0; i < rounds + warm; ++i) {
        if (i == warm)
            start = now_ns();
        signal_eventfd(there);
        wait_eventfd(back);
    }
    double result = (double)(now_ns() - start) / rounds;
    reap(child);
    close(there);
    close(back);
    return result;
}

/* memcpy of size_bytes, GB/s (10^9), after both sides have been touched. */
static inline double memcpy_gb_per_s(void *to, const void *from, size_t size_bytes)
{
    uint64_t start = now_ns();
    memcpy(to, from, size_bytes);
    __asm__ volatile("" ::"r"(to) : "memory");
    return (double)size_bytes / (double)(now_ns() - start);
}

#endif
