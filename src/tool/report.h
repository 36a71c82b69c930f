/* SPDX-License-Identifier: MIT */
/* What the tool says: complaints, progress, results. */
#ifndef L4VIO_TOOL_REPORT_H
#define L4VIO_TOOL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* Prints "l4vio: SENTENCE" on stderr, after ending a progress bar. Returns `exit_code`. */
__attribute__((format(printf, 2, 3))) int complain(int exit_code, const char *format, ...);

/* The same sentence, if stderr is a terminal: news, not a complaint. A progress bar goes on below it. */
__attribute__((format(printf, 1, 2))) void notice(const char *format, ...);

/* Monotonic time. */
uint64_t clock_ns(void);

/* Progress of long work, on stderr if that is a terminal. One at a time. */
void progress_start(const char *what, uint64_t total_bytes); /* 0: total not known */
void progress_show(uint64_t done_bytes);
void progress_end(void);

/*
 * Says what was done: "copied 256 MiB (268435456 bytes) in 0.21 s, 1278 MB/s". On stdout; if that
 * carries data, on stderr and only if that is a terminal.
 */
void report_done(const char *verb, uint64_t bytes, uint64_t span_ns, bool stdout_is_data);

/* Prints text that a device has given: what could steer a terminal becomes '?'. */
void print_safely(const char *text);

#endif
