/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { line_bytes = 64, copy_bytes = 4096 };

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t in_ns(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

void pin_to_cpu(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        fprintf(stderr, "cannot run on CPU %u\n", cpu);
        exit(1);
    }
}

static void *pages_or_exit(size_t size_bytes, int sharing)
{
    void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

void *shared_pages(size_t size_bytes)
{
    return pages_or_exit(size_bytes, MAP_SHARED);
}

void *huge_pages(size_t size_bytes)
{
    void *memory = pages_or_exit(size_bytes, MAP_PRIVATE);
    madvise(memory, size_bytes, MADV_HUGEPAGE);
    return memory;
}

void free_pages(void *memory, size_t size_bytes)
{
    munmap(memory, size_bytes);
}

pid_t spawn(void)
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

void reap(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One slice: ns per unit, less than 0 if nothing was done; `busy` if both had their CPU throughout. */
static double run_slice(uint64_t (*work)(void *context), void *context, uint64_t slice_ns,
                        const clockid_t *peer, bool *busy)
{
    uint64_t own_ns = peer ? clock_ns(CLOCK_THREAD_CPUTIME_ID) : 0;
    uint64_t peer_ns = peer ? clock_ns(*peer) : 0;
    uint64_t start = now_ns();
    uint64_t units = 0;
    uint64_t now;
    do {
        units += work(context);
        now = now_ns();
    } while (now < start + slice_ns);
    uint64_t most_ns = now - start;
    uint64_t least_ns = most_ns - most_ns / 20;
    *busy = !peer || (clock_ns(*peer) - peer_ns >= least_ns &&
                      clock_ns(CLOCK_THREAD_CPUTIME_ID) - own_ns >= least_ns);
    return units ? (double)most_ns / (double)units : -1;
}

/* All that this process spends on slices beyond the usual number: a busy machine stays so. */
static uint64_t extra_ns = UINT64_C(25000000000);

void no_extra_slices(void)
{
    extra_ns = 0;
}

static double median_of_slices(uint64_t (*work)(void *context), void *context, double seconds,
                               const clockid_t *peer)
{
    enum { slices = 51, patience = 4 };
    double values[2][slices]; /* Of slices that were not busy, and of those that were. */
    unsigned count[2] = {0, 0};
    for (unsigned i = 0; i < slices || (count[1] < slices / 2 && i < patience * slices); i++) {
        bool busy;
        uint64_t start = now_ns();
        double value = run_slice(work, context, in_ns(seconds / slices), peer, &busy);
        if (value >= 0 && count[busy] < slices)
            values[busy][count[busy]++] = value;
        uint64_t spent_ns = i < slices ? 0 : now_ns() - start;
        if (spent_ns > extra_ns)
            break;
        extra_ns -= spent_ns;
    }
    bool busy = count[1] > 0;
    if (!count[busy])
        return NAN;
    qsort(values[busy], count[busy], sizeof(double), compare_doubles);
    /* If both never ran at once for a whole slice, the best one is the least wrong. */
    return busy ? values[1][count[1] / 2] : values[0][0];
}

double ns_per_unit(uint64_t (*work)(void *context), void *context, double seconds)
{
    return median_of_slices(work, context, seconds, NULL);
}

double ns_per_busy_unit(uint64_t (*work)(void *context), void *context, double seconds,
                        clockid_t peer)
{
    return median_of_slices(work, context, seconds, &peer);
}

static clockid_t clock_of(pid_t child)
{
    clockid_t clock;
    return clock_getcpuclockid(child, &clock) == 0 ? clock : CLOCK_THREAD_CPUTIME_ID;
}

struct ping {
    _Atomic uint32_t *line;
    uint32_t trips;
};

static uint64_t ping(void *context)
{
    struct ping *ping = context;
    const unsigned count = 32;
    for (unsigned i = 0; i < count; i++, ping->trips++) {
        atomic_store_explicit(ping->line, 2 * ping->trips + 1, memory_order_release);
        while (atomic_load_explicit(ping->line, memory_order_acquire) != 2 * ping->trips + 2)
            ;
    }
    return count;
}

double line_round_trip_ns(unsigned cpu, unsigned other_cpu, double seconds)
{
    struct ping context = {.line = shared_pages(copy_bytes)};
    pid_t child = spawn();
    if (child == 0) {
        pin_to_cpu(other_cpu);
        for (uint32_t expected = 1;; expected += 2) {
            while (atomic_load_explicit(context.line, memory_order_acquire) != expected)
                ;
            atomic_store_explicit(context.line, expected + 1, memory_order_release);
        }
    }
    pin_to_cpu(cpu);
    ping(&context);
    double result = ns_per_busy_unit(ping, &context, seconds, clock_of(child));
    reap(child);
    free_pages((void *)(uintptr_t)context.line, copy_bytes);
    return result;
}

/* A ring of lines; what either side says about its progress is in lines apart. */
struct stream {
    _Alignas(2 * line_bytes) _Atomic uint64_t written;
    _Alignas(2 * line_bytes) _Atomic uint64_t read;
    _Alignas(2 * line_bytes) struct {
        _Alignas(line_bytes) _Atomic uint64_t number;
        uint64_t content;
    } line[512];
};

enum { stream_lines = 512, stream_unannounced = 64 };

static _Noreturn void stream_writer(struct stream *stream, unsigned batch, bool announce)
{
    uint64_t at = 0;
    for (;;) {
        while (at + batch - atomic_load_explicit(&stream->read, memory_order_acquire) >
               stream_lines)
            relax();
        for (unsigned i = 0; i < batch; i++, at++) {
            stream->line[at % stream_lines].content = at;
            atomic_store_explicit(&stream->line[at % stream_lines].number, at + 1,
                                  memory_order_release);
        }
        if (announce)
            atomic_store_explicit(&stream->written, at, memory_order_release);
    }
}

struct stream_reader {
    struct stream *stream;
    uint64_t at;
    unsigned batch;
    bool announce;
};

static void read_batch(struct stream_reader *reader)
{
    struct stream *stream = reader->stream;
    uint64_t at = reader->at;
    uint64_t end = at + reader->batch;
    uint64_t sum = 0;
    while (reader->announce && atomic_load_explicit(&stream->written, memory_order_acquire) < end)
        relax();
    for (; at < end; at++) {
        while (!reader->announce && atomic_load_explicit(&stream->line[at % stream_lines].number,
                                                         memory_order_acquire) != at + 1)
            relax();
        sum += stream->line[at % stream_lines].content;
    }
    keep(&sum);
    reader->at = at;
    atomic_store_explicit(&stream->read, at, memory_order_release);
}

static uint64_t read_lap(void *context)
{
    struct stream_reader *reader = context;
    uint64_t lines = 0;
    while (lines < stream_lines) {
        read_batch(reader);
        lines += reader->batch;
    }
    return lines + lines / reader->batch * (reader->announce ? 2 : 1);
}

double line_stream_ns(unsigned cpu, unsigned other_cpu, unsigned batch, double seconds)
{
    struct stream_reader reader = {.stream = shared_pages(sizeof(struct stream)),
                                   .batch = batch ? batch : stream_unannounced,
                                   .announce = batch != 0};
    memset(reader.stream, 0, sizeof(*reader.stream));
    pid_t child = spawn();
    if (child == 0) {
        pin_to_cpu(other_cpu);
        stream_writer(reader.stream, reader.batch, reader.announce);
    }
    pin_to_cpu(cpu);
    for (unsigned i = 0; i < 4; i++)
        read_lap(&reader);
    double result = ns_per_busy_unit(read_lap, &reader, seconds, clock_of(child));
    reap(child);
    free_pages(reader.stream, sizeof(*reader.stream));
    return result;
}

double line_stream_best_ns(unsigned cpu, unsigned other_cpu, double seconds)
{
    static const unsigned batches[] = {0, 32, 128};
    const unsigned count = sizeof(batches) / sizeof(batches[0]);
    double best = 0;
    for (unsigned i = 0; i < count; i++) {
        double value = line_stream_ns(cpu, other_cpu, batches[i], seconds / count);
        if (i == 0 || value < best)
            best = value;
    }
    return best;
}

static void wait_eventfd(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t value;
    if (poll(&wait, 1, -1) != 1 || read(fd, &value, sizeof(value)) != sizeof(value)) {
        perror("eventfd");
        exit(1);
    }
}

static void signal_eventfd(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        perror("eventfd");
        exit(1);
    }
}

struct event_ping {
    int there;
    int back;
};

static uint64_t event_ping(void *context)
{
    struct event_ping *ping = context;
    signal_eventfd(ping->there);
    wait_eventfd(ping->back);
    return 1;
}

double eventfd_round_trip_ns(unsigned cpu, unsigned other_cpu, double seconds)
{
    struct event_ping fds = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    pid_t child = spawn();
    if (child == 0) {
        pin_to_cpu(other_cpu);
        for (;;) {
            wait_eventfd(fds.there);
            signal_eventfd(fds.back);
        }
    }
    pin_to_cpu(cpu);
    for (unsigned i = 0; i < 10; i++)
        event_ping(&fds);
    double result = ns_per_unit(event_ping, &fds, seconds);
    reap(child);
    close(fds.there);
    close(fds.back);
    return result;
}

double memcpy_gb_per_s(void *to, const void *from, size_t size_bytes)
{
    uint64_t start = now_ns();
    memcpy(to, from, size_bytes);
    keep(to);
    return (double)size_bytes / (double)(now_ns() - start);
}

struct copy_places {
    const unsigned char *from;
    size_t pages;
    uint32_t random;
};

static uint64_t copy_pages(void *context)
{
    static unsigned char to[copy_bytes];
    struct copy_places *places = context;
    const unsigned count = 32;
    for (unsigned i = 0; i < count; i++) {
        places->random = places->random * 1664525u + 1013904223u;
        memcpy(to, places->from + (size_t)((places->random >> 8) % places->pages) * copy_bytes,
               copy_bytes);
        keep(to);
    }
    return count;
}

double copy_4k_ns(size_t spread_bytes, double seconds)
{
    size_t pages = spread_bytes > copy_bytes ? spread_bytes / copy_bytes : 1;
    unsigned char *from = huge_pages(pages * copy_bytes);
    struct copy_places places = {.from = from, .pages = pages, .random = 1};
    memset(from, 1, pages * copy_bytes);
    double result = ns_per_busy_unit(copy_pages, &places, seconds, CLOCK_THREAD_CPUTIME_ID);
    free_pages(from, pages * copy_bytes);
    return result;
}

/* Fits any second-level cache, and takes long enough to copy for the clock not to matter. */
enum { turn_pages = 16, turns_max = 4096 };

struct turn {
    _Alignas(copy_bytes) _Atomic uint32_t number;
    _Alignas(copy_bytes) unsigned char data[turn_pages * copy_bytes];
};

static _Noreturn void write_turns(struct turn *turn)
{
    for (uint32_t expected = 1;; expected += 2) {
        while (atomic_load_explicit(&turn->number, memory_order_acquire) != expected)
            relax();
        memset(turn->data, (int)(expected & 0xff), sizeof(turn->data));
        atomic_store_explicit(&turn->number, expected + 1, memory_order_release);
    }
}

double copy_4k_other_cpu_ns(unsigned cpu, unsigned other_cpu, double seconds)
{
    static unsigned char to[copy_bytes];
    static double values[turns_max];
    struct turn *turn = shared_pages(sizeof(*turn));
    memset(turn, 0, sizeof(*turn));
    pid_t child = spawn();
    if (child == 0) {
        pin_to_cpu(other_cpu);
        write_turns(turn);
    }
    pin_to_cpu(cpu);
    uint64_t end = now_ns() + in_ns(seconds);
    uint64_t now = 0;
    unsigned turns = 0;
    for (; now < end && turns < turns_max; turns++) {
        atomic_store_explicit(&turn->number, 2 * turns + 1, memory_order_release);
        while (atomic_load_explicit(&turn->number, memory_order_acquire) != 2 * turns + 2)
            relax();
        uint64_t start = now_ns();
        for (unsigned i = 0; i < turn_pages; i++) {
            memcpy(to, turn->data + (size_t)i * copy_bytes, copy_bytes);
            keep(to);
        }
        now = now_ns();
        values[turns] = (double)(now - start) / turn_pages;
    }
    reap(child);
    free_pages(turn, sizeof(*turn));
    qsort(values, turns, sizeof(values[0]), compare_doubles);
    return values[turns / 2];
}
