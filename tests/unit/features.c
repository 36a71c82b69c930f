/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <l4vio/error.h>
#include <l4vio/features.h>

static struct l4vio_features set_of(const unsigned *bits, unsigned count)
{
    struct l4vio_features features = {{0}};
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(l4vio_features_set(&features, bits[i]), L4VIO_OK);
    return features;
}

static void every_bit_is_set_tested_and_cleared(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; bit++) {
        struct l4vio_features features = {{0}};
        assert_int_equal(l4vio_features_set(&features, bit), L4VIO_OK);
        for (unsigned other = 0; other < L4VIO_FEATURE_BITS; other++)
            assert_int_equal(l4vio_features_has(&features, other), other == bit);
        assert_int_equal(features.word[bit / 32], UINT32_C(1) << (bit % 32));
        assert_int_equal(l4vio_features_clear(&features, bit), L4VIO_OK);
        assert_true(l4vio_features_empty(&features));
    }
}

static void and_and_minus_cover_all_words(void **state)
{
    (void)state;
    struct l4vio_features a = set_of((unsigned[]){0, 33, 70, 100, 140, 191}, 6);
    struct l4vio_features b = set_of((unsigned[]){0, 34, 70, 101, 140, 190}, 6);
    struct l4vio_features both = l4vio_features_and(&a, &b);
    struct l4vio_features only_a = l4vio_features_minus(&a, &b);
    struct l4vio_features expected_both = set_of((unsigned[]){0, 70, 140}, 3);
    struct l4vio_features expected_only_a = set_of((unsigned[]){33, 100, 191}, 3);

    assert_memory_equal(&both, &expected_both, sizeof(both));
    assert_memory_equal(&only_a, &expected_only_a, sizeof(only_a));
    assert_false(l4vio_features_empty(&both));
}

/* Clauses D-2.2.1-1a, -1b: only what was offered, and of that what the driver implements. */
static void choose_takes_offered_and_allowed_only(void **state)
{
    (void)state;
    struct l4vio_features offered = set_of((unsigned[]){1, 2, 32, 160}, 4);
    struct l4vio_features allowed = set_of((unsigned[]){2, 3, 32}, 3);
    struct l4vio_features expected = set_of((unsigned[]){2, 32}, 2);
    struct l4vio_features chosen = l4vio_features_choose(&offered, &allowed, NULL, 0);
    assert_memory_equal(&chosen, &expected, sizeof(chosen));
}

/* Clauses D-2.2.1-3a, -3b. The rules stand in the order that needs the most rounds. */
static void choose_settles_chains_of_dependencies(void **state)
{
    (void)state;
    static const struct l4vio_feature_dependency rules[] = {
        {.bit = 3, .needs = 2, .or_needs = 2},
        {.bit = 2, .needs = 1, .or_needs = 1},
        {.bit = 1, .needs = 0, .or_needs = 0},
    };
    struct l4vio_features all = set_of((unsigned[]){0, 1, 2, 3, 9}, 5);
    struct l4vio_features without = set_of((unsigned[]){1, 2, 3, 9}, 4);
    struct l4vio_features nine = set_of((unsigned[]){9}, 1);

    struct l4vio_features chosen = l4vio_features_choose(&all, &all, rules, 3);
    assert_memory_equal(&chosen, &all, sizeof(chosen));
    chosen = l4vio_features_choose(&all, &without, rules, 3);
    assert_memory_equal(&chosen, &nine, sizeof(chosen));
}

static void a_dependency_may_have_an_alternative(void **state)
{
    (void)state;
    static const struct l4vio_feature_dependency rule = {.bit = 5, .needs = 6, .or_needs = 180};
    struct l4vio_features with_first = set_of((unsigned[]){5, 6}, 2);
    struct l4vio_features with_second = set_of((unsigned[]){5, 180}, 2);
    struct l4vio_features with_none = set_of((unsigned[]){5}, 1);
    struct l4vio_features unrelated = set_of((unsigned[]){7}, 1);

    assert_int_equal(l4vio_features_broken_dependency(&with_first, &rule, 1), -1);
    assert_int_equal(l4vio_features_broken_dependency(&with_second, &rule, 1), -1);
    assert_int_equal(l4vio_features_broken_dependency(&with_none, &rule, 1), 0);
    assert_int_equal(l4vio_features_broken_dependency(&unrelated, &rule, 1), -1);
    assert_int_equal(l4vio_features_broken_dependency(&with_none, NULL, 0), -1);
}

static void the_first_broken_rule_is_named(void **state)
{
    (void)state;
    static const struct l4vio_feature_dependency rules[] = {
        {.bit = 1, .needs = 0, .or_needs = 0},
        {.bit = 2, .needs = 9, .or_needs = 9},
        {.bit = 3, .needs = 9, .or_needs = 9},
    };
    struct l4vio_features features = set_of((unsigned[]){0, 1, 2, 3}, 4);
    assert_int_equal(l4vio_features_broken_dependency(&features, rules, 3), 1);
}

static void error_codes_have_names(void **state)
{
    (void)state;
    assert_string_equal(l4vio_error_name(L4VIO_OK), "OK");
    assert_string_equal(l4vio_error_name(L4VIO_EINVAL), "EINVAL");
    assert_string_equal(l4vio_error_name(L4VIO_EBADPROTO), "EBADPROTO");
    assert_string_equal(l4vio_error_name(L4VIO_ECANCELED), "ECANCELED");
    assert_string_equal(l4vio_error_name(22), "unknown");
    assert_string_equal(l4vio_error_name(-9999), "unknown");
}

static void fail_fills_the_error_and_returns_the_code(void **state)
{
    (void)state;
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_fail(&error, L4VIO_ERANGE, "too far", 7), L4VIO_ERANGE);
    assert_int_equal(error.code, L4VIO_ERANGE);
    assert_string_equal(error.text, "too far");
    assert_int_equal(error.value, 7);
    assert_int_equal(l4vio_fail(NULL, L4VIO_EIO, "nobody listens", 0), L4VIO_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_is_set_tested_and_cleared),
        cmocka_unit_test(and_and_minus_cover_all_words),
        cmocka_unit_test(choose_takes_offered_and_allowed_only),
        cmocka_unit_test(choose_settles_chains_of_dependencies),
        cmocka_unit_test(a_dependency_may_have_an_alternative),
        cmocka_unit_test(the_first_broken_rule_is_named),
        cmocka_unit_test(error_codes_have_names),
        cmocka_unit_test(fail_fills_the_error_and_returns_the_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
