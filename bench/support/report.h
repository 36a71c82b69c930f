/* SPDX-License-Identifier: MIT */
/*
 * What a benchmark program takes and gives: the options that all have, samples of interleaved rounds
 * and their medians, and rows of results, as a table for people or as JSON (--json) for scripts/bench.
 */
#ifndef L4VIO_BENCH_REPORT_H
#define L4VIO_BENCH_REPORT_H

#include <stdbool.h>

enum { rounds_max = 101, cells_max = 24, cell_text_bytes = 48 };

/* One option of a program's own: `--name VALUE`. */
struct bench_option {
    const char *name;
    const char *help;
    const char **value;
};

struct bench_options {
    unsigned rounds;  /* --rounds N: interleaved rounds, 5 by default. */
    double seconds;   /* --seconds S: time of one measurement; the program's default. */
    bool json;        /* --json */
    bool brief;       /* --brief: few points, short: does it work at all? */
    unsigned cpus[2]; /* The first two that this process may use. */
    bool two_cpus;    /* Are there two? */
};

/* Parses, or prints what is wrong, or the help, and exits. `own` ends with a NULL name. */
void bench_options_parse(struct bench_options *options, int argc, char **argv, const char *what,
                         double seconds, const struct bench_option *own);

/* The figures of one quantity, one per round. */
struct samples {
    double value[rounds_max];
    unsigned count;
};

void samples_add(struct samples *samples, double value);
double samples_median(const struct samples *samples);

struct report {
    const struct bench_options *options;
    unsigned rows;
    unsigned cells;
    unsigned progress_width;
    char keys[cells_max][cell_text_bytes];
    char texts[cells_max][cell_text_bytes];
    char header[cells_max * cell_text_bytes];
    char skipped[4096];
};

/* One line about what is measured and how: `method`. */
void report_open(struct report *report, const struct bench_options *options, const char *program,
                 const char *method);
void report_close(struct report *report);

/* Cells of a row, then its end. Keys name unit and quantity; rows with other keys begin a new table. */
void report_text(struct report *report, const char *key, const char *value);
void report_number(struct report *report, const char *key, double value);
/* The median; JSON has minimum and maximum too. */
void report_samples(struct report *report, const char *key, const struct samples *samples);
void report_end_row(struct report *report);

/* What is not measured, by its name, and why; once, however often it is said. */
void report_skip(struct report *report, const char *name, const char *why);

/* On a terminal only: where the program is. NULL: nowhere any more. */
void report_progress(struct report *report, const char *where, unsigned done, unsigned all);

#endif
