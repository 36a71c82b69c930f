/* SPDX-License-Identifier: MIT */
/* Only what the driver implements is accepted, with its dependencies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_transport.h"

static bool accepts(const struct fake_transport *fake, unsigned bit)
{
    bool has = l4vio_features_has(&fake->accepted, bit);
    assert_int_equal(l4vio_driver_feature_negotiated(&fake->driver, bit), has);
    return has;
}

static void offer_everything(struct fake_transport *fake)
{
    memset(&fake->identity.offered, 0xff, sizeof(fake->identity.offered));
}

static void only_what_is_on_the_list(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    offer_everything(fake);
    l4vio_features_set(&fake->driver_config.allowed, 5);
    l4vio_features_set(&fake->driver_config.allowed, 7);
    l4vio_features_set(&fake->driver_config.refused, 7);
    fake_transport_connect(fake);
    assert_false(l4vio_driver_feature_negotiated(&fake->driver, 5));
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS + 64; bit++) {
        bool expected = bit == 5 || bit == L4VIO_F_VERSION_1;
        assert_int_equal(accepts(fake, bit), expected);
    }
    fake_transport_free(fake);
}

static void class_cannot_allow_what_the_queue_has_not(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_features ring;
    (void)state;
    l4vio_ring_features(&ring);
    l4vio_features_clear(&ring, L4VIO_F_RING_RESET);
    l4vio_features_set(&ring, L4VIO_F_VERSION_1);
    offer_everything(fake);
    memset(&fake->driver_config.allowed, 0xff, sizeof(fake->driver_config.allowed));
    fake->ops.reset_queue = NULL;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_true(accepts(fake, 23));
    for (unsigned bit = 24; bit < 50; bit++)
        assert_int_equal(accepts(fake, bit), l4vio_features_has(&ring, bit));
    assert_true(accepts(fake, 50));
    fake_transport_free(fake);
}

static void transport_adds_its_own(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    offer_everything(fake);
    l4vio_features_set(&fake->properties.own_features, L4VIO_F_L4_CMD_CONFIG);
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_true(accepts(fake, L4VIO_F_L4_CMD_CONFIG));
    fake_transport_free(fake);
}

static void dependent_bit_needs_the_other(void **state)
{
    static const struct l4vio_feature_dependency rules[] = {{.bit = 5, .needs = 6, .or_needs = 6}};
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    l4vio_features_set(&fake->identity.offered, 5);
    l4vio_features_set(&fake->driver_config.allowed, 5);
    l4vio_features_set(&fake->driver_config.allowed, 6);
    fake->driver_config.dependencies = rules;
    fake->driver_config.dependency_count = 1;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_false(accepts(fake, 5));
    fake_transport_free(fake);
}

/* Clause D-6.1-1. */
static void version_1_cannot_be_refused(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    l4vio_features_set(&fake->driver_config.refused, L4VIO_F_VERSION_1);
    assert_int_equal(l4vio_driver_connect(&fake->driver, &fake->driver_config, NULL), L4VIO_EINVAL);
    assert_int_equal(fake->closed, 1);
    fake_transport_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_on_the_list),
        cmocka_unit_test(class_cannot_allow_what_the_queue_has_not),
        cmocka_unit_test(transport_adds_its_own),
        cmocka_unit_test(dependent_bit_needs_the_other),
        cmocka_unit_test(version_1_cannot_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
