/* SPDX-License-Identifier: MIT */
/*
 * The part of cmocka's interface that the tests use, so that they run where there is no cmocka:
 * built by a cross compiler, under an emulator. A test that uses more of cmocka does not compile
 * here; add it then.
 */
#ifndef CROSS_CMOCKA_H
#define CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func;
    CMFixtureFunction teardown_func;
    void *initial_state;
};

#define cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, state) \
    {                                                                          \
#test, test, setup, teardown, state                                    \
    }
#define cmocka_unit_test(test) cmocka_unit_test_prestate_setup_teardown(test, NULL, NULL, NULL)
#define cmocka_unit_test_setup(test, setup) \
    cmocka_unit_test_prestate_setup_teardown(test, setup, NULL, NULL)
#define cmocka_unit_test_teardown(test, teardown) \
    cmocka_unit_test_prestate_setup_teardown(test, NULL, teardown, NULL)
#define cmocka_unit_test_setup_teardown(test, setup, teardown) \
    cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, NULL)
#define cmocka_unit_test_prestate(test, state) \
    cmocka_unit_test_prestate_setup_teardown(test, NULL, NULL, state)

#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
    cross_run(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
#define cmocka_run_group_tests(tests, setup, teardown) \
    cmocka_run_group_tests_name(#tests, tests, setup, teardown)

/* As cmocka: integers of any type are compared as the widest unsigned one. */
#define CROSS_HERE         __FILE__, __LINE__
#define CROSS_INT(value)   ((uintmax_t)(value))
#define assert_true(c)     cross_check(CROSS_HERE, !!(c), #c)
#define assert_false(c)    cross_check(CROSS_HERE, !(c), "not " #c)
#define assert_null(p)     cross_check(CROSS_HERE, (p) == NULL, #p " is null")
#define assert_non_null(p) cross_check(CROSS_HERE, (p) != NULL, #p " is not null")
#define assert_int_equal(a, b) \
    cross_int_equal(CROSS_HERE, CROSS_INT(a), CROSS_INT(b), 1, #a " == " #b)
#define assert_int_not_equal(a, b) \
    cross_int_equal(CROSS_HERE, CROSS_INT(a), CROSS_INT(b), 0, #a " != " #b)
#define assert_ptr_equal(a, b) \
    cross_int_equal(CROSS_HERE, (uintptr_t)(a), (uintptr_t)(b), 1, #a " == " #b)
#define assert_ptr_not_equal(a, b) \
    cross_int_equal(CROSS_HERE, (uintptr_t)(a), (uintptr_t)(b), 0, #a " != " #b)
#define assert_in_range(value, low, high) \
    cross_in_range(CROSS_HERE, CROSS_INT(value), CROSS_INT(low), CROSS_INT(high), 1, #value)
#define assert_not_in_range(value, low, high) \
    cross_in_range(CROSS_HERE, CROSS_INT(value), CROSS_INT(low), CROSS_INT(high), 0, #value)
#define assert_string_equal(a, b)            cross_string_equal(CROSS_HERE, a, b, 1)
#define assert_string_not_equal(a, b)        cross_string_equal(CROSS_HERE, a, b, 0)
#define assert_memory_equal(a, b, bytes)     cross_memory_equal(CROSS_HERE, a, b, bytes, 1)
#define assert_memory_not_equal(a, b, bytes) cross_memory_equal(CROSS_HERE, a, b, bytes, 0)
#define fail()                               cross_check(CROSS_HERE, 0, "fail()")
#define fail_msg(...)                        cross_fail(CROSS_HERE, __VA_ARGS__)
#define skip()                               cross_skip()

int cross_run(const char *group, const struct CMUnitTest *tests, size_t count,
              CMFixtureFunction setup, CMFixtureFunction teardown);
void cross_check(const char *file, int line, int holds, const char *what);
void cross_int_equal(const char *file, int line, uintmax_t a, uintmax_t b, int equal,
                     const char *what);
void cross_in_range(const char *file, int line, uintmax_t value, uintmax_t low, uintmax_t high,
                    int within, const char *what);
void cross_string_equal(const char *file, int line, const char *a, const char *b, int equal);
void cross_memory_equal(const char *file, int line, const void *a, const void *b, size_t bytes,
                        int equal);
_Noreturn void cross_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void cross_skip(void);

#endif
