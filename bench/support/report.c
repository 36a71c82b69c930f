/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

enum { own_max = 16, option_own = 1000 };

static void print_help(const char *program, const char *what, double seconds,
                       const struct bench_option *own)
{
    printf("%s: %s\n\n"
           "  --rounds N       interleaved rounds, 1 to %d [5]\n"
           "  --seconds S      time of one measurement [%g]\n"
           "  --brief          few points, to see that it works\n"
           "  --json           print JSON\n",
           program, what, rounds_max, seconds);
    for (; own->name; own++)
        printf("  --%-14s %s\n", own->name, own->help);
}

static void find_cpus(struct bench_options *options)
{
    cpu_set_t set;
    unsigned found = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) < 0) {
        perror("sched_getaffinity");
        exit(1);
    }
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &set))
            options->cpus[found++] = cpu;
    options->two_cpus = found == 2;
    if (!options->two_cpus)
        options->cpus[1] = options->cpus[0];
}

static double number_or_exit(const char *program, const char *name, const char *text, double least,
                             double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) {
        fprintf(stderr, "%s: --%s is %g to %g, not %s\n", program, name, least, most, text);
        exit(2);
    }
    return value;
}

void bench_options_parse(struct bench_options *options, int argc, char **argv, const char *what,
                         double seconds, const struct bench_option *own)
{
    static const struct bench_option none = {NULL, NULL, NULL};
    struct option list[own_max + 6] = {
        {"rounds", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 's'},
        {"brief", no_argument, NULL, 'b'},        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
    };
    const char *program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    own = own ? own : &none;
    for (int i = 0; i < own_max && own[i].name; i++)
        list[5 + i] = (struct option){own[i].name, required_argument, NULL, option_own + i};

    *options = (struct bench_options){.rounds = 5, .seconds = seconds};
    find_cpus(options);
    for (int c; (c = getopt_long(argc, argv, "", list, NULL)) != -1;) {
        if (c == 'r') {
            options->rounds = (unsigned)number_or_exit(program, "rounds", optarg, 1, rounds_max);
        } else if (c == 's') {
            options->seconds = number_or_exit(program, "seconds", optarg, 1e-4, 100);
        } else if (c == 'b') {
            options->brief = true;
            no_extra_slices();
        } else if (c == 'j') {
            options->json = true;
        } else if (c == 'h') {
            print_help(program, what, seconds, own);
            exit(0);
        } else if (c >= option_own) {
            *own[c - option_own].value = optarg;
        } else {
            exit(2);
        }
    }
    if (optind != argc) {
        fprintf(stderr, "%s: what is '%s'? See --help\n", program, argv[optind]);
        exit(2);
    }
}

void samples_add(struct samples *samples, double value)
{
    if (samples->count < rounds_max && isfinite(value))
        samples->value[samples->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct samples sorted(const struct samples *samples)
{
    struct samples result = *samples;
    qsort(result.value, result.count, sizeof(result.value[0]), compare_doubles);
    return result;
}

double samples_median(const struct samples *samples)
{
    struct samples order = sorted(samples);
    unsigned half = order.count / 2;
    if (order.count == 0)
        return NAN;
    return order.count % 2 ? order.value[half] : (order.value[half - 1] + order.value[half]) / 2;
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

/* As JSON has them: no infinities. */
static void print_json_number(double value)
{
    if (isfinite(value))
        printf("%.6g", value);
    else
        printf("null");
}

void report_open(struct report *report, const struct bench_options *options, const char *program,
                 const char *method)
{
    memset(report, 0, sizeof(*report));
    report->options = options;
    if (!options->json) {
        printf("%s: %s; medians of %u interleaved rounds\n", program, method, options->rounds);
        return;
    }
    printf("{\"program\": ");
    print_json_text(program);
    printf(", \"method\": ");
    print_json_text(method);
    printf(", \"rounds\": %u, \"cpus\": [%u, %u], \"rows\": [", options->rounds, options->cpus[0],
           options->cpus[1]);
}

void report_close(struct report *report)
{
    report_progress(report, NULL, 0, 0);
    if (report->options->json)
        printf("\n], \"skipped\": [%s]}\n", report->skipped + (*report->skipped ? 1 : 0));
    else
        printf("%s\n", report->skipped);
}

static void begin_cell(struct report *report, const char *key)
{
    if (report->cells == cells_max)
        abort();
    snprintf(report->keys[report->cells], cell_text_bytes, "%s", key);
    if (!report->options->json)
        return;
    if (report->cells == 0)
        printf("%s\n  {", report->rows ? "," : "");
    else
        printf(", ");
    print_json_text(key);
    printf(": ");
}

void report_text(struct report *report, const char *key, const char *value)
{
    begin_cell(report, key);
    snprintf(report->texts[report->cells++], cell_text_bytes, "%s", value);
    if (report->options->json)
        print_json_text(value);
}

void report_number(struct report *report, const char *key, double value)
{
    begin_cell(report, key);
    const char *format = fabs(value) >= 100 || value == floor(value) ? "%.0f" : "%.3g";
    snprintf(report->texts[report->cells++], cell_text_bytes, isfinite(value) ? format : "-",
             value);
    if (report->options->json)
        print_json_number(value);
}

void report_samples(struct report *report, const char *key, const struct samples *samples)
{
    struct samples order = sorted(samples);
    report_number(report, key, samples_median(samples));
    if (!report->options->json || order.count == 0)
        return;
    printf(", \"%s_min\": ", key);
    print_json_number(order.value[0]);
    printf(", \"%s_max\": ", key);
    print_json_number(order.value[order.count - 1]);
}

static int width_of(const struct report *report, unsigned cell)
{
    int width = (int)strlen(report->keys[cell]);
    return width > 10 ? width : 10;
}

static void print_table_row(struct report *report)
{
    char header[sizeof(report->header)] = "";
    size_t used = 0;
    for (unsigned i = 0; i < report->cells; i++)
        used += (size_t)snprintf(header + used, sizeof(header) - used, "  %*s",
                                 i ? width_of(report, i) : -32, report->keys[i]);
    if (strcmp(header, report->header) != 0)
        printf("%s\n", header);
    memcpy(report->header, header, sizeof(header));
    for (unsigned i = 0; i < report->cells; i++)
        printf("  %*s", i ? width_of(report, i) : -32, report->texts[i]);
    printf("\n");
}

void report_end_row(struct report *report)
{
    report_progress(report, NULL, 0, 0);
    if (report->options->json)
        printf("}");
    else
        print_table_row(report);
    report->rows++;
    report->cells = 0;
}

void report_skip(struct report *report, const char *name, const char *why)
{
    char line[256];
    const char *format =
        report->options->json ? ",\n  {\"name\": \"%s\", \"why\": \"%s\"}" : "  skipped: %s: %s\n";
    snprintf(line, sizeof(line), format, name, why);
    size_t used = strlen(report->skipped);
    if (!strstr(report->skipped, line) && used + strlen(line) < sizeof(report->skipped))
        memcpy(report->skipped + used, line, strlen(line) + 1);
}

void report_progress(struct report *report, const char *where, unsigned done, unsigned all)
{
    if (!isatty(STDERR_FILENO) || (!where && !report->progress_width))
        return;
    fprintf(stderr, "\r%*s\r", (int)report->progress_width, "");
    int width = where ? fprintf(stderr, "  %s, %u of %u", where, done + 1, all) : 0;
    report->progress_width = width > 0 ? (unsigned)width : 0;
    fflush(stderr);
}
