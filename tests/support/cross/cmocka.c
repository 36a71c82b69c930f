/* SPDX-License-Identifier: MIT */
#include "cmocka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum outcome { RUNNING, FAILED, SKIPPED };

/* One test at a time; assertions in threads of its own are outside cmocka's rules as well. */
static jmp_buf leave;
static enum outcome left_as;
static int in_test;

static _Noreturn void stop(enum outcome outcome)
{
    /* In a group's setup there is nowhere to go on. */
    if (!in_test)
        exit(1);
    left_as = outcome;
    longjmp(leave, 1);
}

void cross_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    printf("%s:%d: ", file, line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    stop(FAILED);
}

void cross_skip(void)
{
    stop(SKIPPED);
}

void cross_check(const char *file, int line, int holds, const char *what)
{
    if (!holds)
        cross_fail(file, line, "%s", what);
}

void cross_int_equal(const char *file, int line, uintmax_t a, uintmax_t b, int equal,
                     const char *what)
{
    if ((a == b) != equal)
        cross_fail(file, line, "%s (0x%" PRIxMAX ", 0x%" PRIxMAX ")", what, a, b);
}

void cross_in_range(const char *file, int line, uintmax_t value, uintmax_t low, uintmax_t high,
                    int within, const char *what)
{
    if ((value >= low && value <= high) != within)
        cross_fail(file, line, "%s: 0x%" PRIxMAX " and 0x%" PRIxMAX " to 0x%" PRIxMAX, what, value,
                   low, high);
}

void cross_string_equal(const char *file, int line, const char *a, const char *b, int equal)
{
    if ((strcmp(a, b) == 0) != equal)
        cross_fail(file, line, "\"%s\" %s \"%s\"", a, equal ? "!=" : "==", b);
}

void cross_memory_equal(const char *file, int line, const void *a, const void *b, size_t bytes,
                        int equal)
{
    const unsigned char *left = a;
    const unsigned char *right = b;
    size_t at = 0;

    if ((memcmp(a, b, bytes) == 0) == equal)
        return;
    if (!equal)
        cross_fail(file, line, "%zu equal bytes", bytes);
    while (left[at] == right[at])
        at++;
    cross_fail(file, line, "byte %zu: 0x%02x != 0x%02x", at, left[at], right[at]);
}

/* Each step may leave by longjmp; what it has put into `*state` stays. */
static enum outcome guarded(const struct CMUnitTest *test, CMFixtureFunction fixture, void **state)
{
    left_as = RUNNING;
    if (setjmp(leave) == 0) {
        in_test = 1;
        if (fixture == NULL)
            test->test_func(state);
        else if (fixture(state) != 0)
            left_as = FAILED;
    }
    in_test = 0;
    return left_as;
}

static enum outcome run_one(const struct CMUnitTest *test, void **state)
{
    enum outcome outcome = RUNNING;

    if (test->setup_func != NULL)
        outcome = guarded(test, test->setup_func, state);
    if (outcome != RUNNING)
        return outcome;
    outcome = guarded(test, NULL, state);
    if (test->teardown_func != NULL && guarded(test, test->teardown_func, state) != RUNNING)
        outcome = FAILED;
    return outcome;
}

int cross_run(const char *group, const struct CMUnitTest *tests, size_t count,
              CMFixtureFunction setup, CMFixtureFunction teardown)
{
    void *group_state = NULL;
    int failed = 0;

    /* A crash must not take the lines before it along. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (setup != NULL && setup(&group_state) != 0) {
        printf("[  FAILED  ] %s: setup\n", group);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        void *state = tests[i].initial_state != NULL ? tests[i].initial_state : group_state;
        enum outcome outcome = run_one(&tests[i], &state);

        if (outcome == FAILED)
            failed++;
        printf("%s %s\n",
               outcome == FAILED    ? "[  FAILED  ]"
               : outcome == SKIPPED ? "[  SKIPPED ]"
                                    : "[       OK ]",
               tests[i].name);
    }
    if (teardown != NULL && teardown(&group_state) != 0) {
        printf("[  FAILED  ] %s: teardown\n", group);
        failed++;
    }
    return failed;
}
