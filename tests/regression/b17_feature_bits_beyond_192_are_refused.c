/* SPDX-License-Identifier: MIT */
/* B17: the feature helpers wrote past the 192-bit maps for bits 192 and up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/features.h>

/* A set with something behind it that must not change. */
struct guarded {
    struct l4vio_features features;
    uint32_t guard[64];
};

static void bits_beyond_192_are_refused(void **state)
{
    (void)state;
    static const unsigned far[] = {0x7fffffff, 0x80000000, 0xffffffff};
    struct guarded guarded;
    struct guarded before;

    memset(&guarded, 0x5a, sizeof(guarded));
    before = guarded;
    for (unsigned i = 192; i < 192 + 2048 + 3; i++) {
        unsigned bit = i < 192 + 2048 ? i : far[i - 192 - 2048];
        assert_int_equal(l4vio_features_set(&guarded.features, bit), L4VIO_EINVAL);
        assert_int_equal(l4vio_features_clear(&guarded.features, bit), L4VIO_EINVAL);
        assert_false(l4vio_features_has(&guarded.features, bit));
        assert_memory_equal(&guarded, &before, sizeof(guarded));
    }
    assert_int_equal(l4vio_features_set(&guarded.features, 191), L4VIO_OK);
}

/* A rule that needs a bit that cannot exist is never met. */
static void dependencies_beyond_192_are_never_met(void **state)
{
    (void)state;
    static const struct l4vio_feature_dependency rule = {.bit = 1, .needs = 192, .or_needs = 255};
    struct l4vio_features all;
    memset(&all, 0xff, sizeof(all));
    struct l4vio_features chosen = l4vio_features_choose(&all, &all, &rule, 1);
    assert_int_equal(l4vio_features_broken_dependency(&all, &rule, 1), 0);
    assert_false(l4vio_features_has(&chosen, 1));
    assert_true(l4vio_features_has(&chosen, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_beyond_192_are_refused),
        cmocka_unit_test(dependencies_beyond_192_are_never_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
