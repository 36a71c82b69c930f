/* SPDX-License-Identifier: MIT */
#include "tool/report.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tool/values.h"

#define BAR_WIDTH       30
#define BAR_INTERVAL_NS UINT64_C(100000000)

static struct {
    const char *what;
    uint64_t total_bytes;
    uint64_t start_ns;
    uint64_t shown_ns;
    bool active; /* There is a terminal to show it on. */
    bool drawn;
} bar;

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int complain(int exit_code, const char *format, ...)
{
    va_list arguments;
    progress_end();
    flockfile(stderr);
    fputs("l4vio: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    return exit_code;
}

void notice(const char *format, ...)
{
    va_list arguments;
    if (!isatty(STDERR_FILENO))
        return;
    flockfile(stderr);
    fputs(bar.drawn ? "\r\033[Kl4vio: " : "l4vio: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void progress_start(const char *what, uint64_t total_bytes)
{
    bar.what = what;
    bar.total_bytes = total_bytes;
    bar.start_ns = clock_ns();
    bar.shown_ns = bar.start_ns;
    bar.active = isatty(STDERR_FILENO);
    bar.drawn = false;
}

void progress_show(uint64_t done_bytes)
{
    if (!bar.active)
        return;
    uint64_t now = clock_ns();
    if (now - bar.shown_ns < BAR_INTERVAL_NS)
        return;
    bar.shown_ns = now;
    bar.drawn = true;

    char size[VALUE_TEXT_BYTES];
    double rate = (double)done_bytes * 1e3 / (double)(now - bar.start_ns);
    if (!bar.total_bytes) {
        fprintf(stderr, "\r%s %s, %.0f MB/s\033[K", bar.what, format_size(done_bytes, size), rate);
        return;
    }
    double part = (double)done_bytes / (double)bar.total_bytes;
    int filled = (int)(part * BAR_WIDTH);
    fprintf(stderr, "\r%s [", bar.what);
    for (int i = 0; i < BAR_WIDTH; ++i)
        fputc(i < filled ? '#' : ' ', stderr);
    fprintf(stderr, "] %3.0f %% %s, %.0f MB/s\033[K", part * 100.0, format_size(done_bytes, size),
            rate);
}

void progress_end(void)
{
    if (bar.active && bar.drawn)
        fputs("\r\033[K", stderr);
    bar.active = false;
}

void report_done(const char *verb, uint64_t bytes, uint64_t span_ns, bool stdout_is_data)
{
    progress_end();
    if (stdout_is_data && !isatty(STDERR_FILENO))
        return;
    char size[VALUE_TEXT_BYTES];
    double seconds = (double)(span_ns ? span_ns : 1) / 1e9;
    fprintf(stdout_is_data ? stderr : stdout, "%s %s (%" PRIu64 " bytes) in %.2f s, %.0f MB/s\n",
            verb, format_size(bytes, size), bytes, seconds, (double)bytes / 1e6 / seconds);
}

void print_safely(const char *text)
{
    for (; *text; ++text)
        putchar(isprint((unsigned char)*text) ? *text : '?');
}
