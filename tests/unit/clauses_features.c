/* SPDX-License-Identifier: MIT */
/* Clauses of the reserved feature bits (chapter 6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/block.h>

#include "block_rig.h"
#include "fake_transport.h"
#include "raw_driver.h"

#define SR_IOV            37u
#define NOTIF_CONFIG_DATA 39u

/* Clauses D-6.1-1, D-6.1-3a and D-6.1-9: of a device that offers everything, what the block driver
 * accepts if nobody says otherwise. */
static void block_driver_accepts_what_it_should(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    memset(&fake->identity.offered, 0xff, sizeof(fake->identity.offered));
    l4vio_block_ring_features(&fake->driver_config.allowed);
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_true(l4vio_features_has(&fake->accepted, L4VIO_F_VERSION_1));
    assert_true(l4vio_features_has(&fake->accepted, L4VIO_F_ACCESS_PLATFORM));
    assert_false(l4vio_features_has(&fake->accepted, SR_IOV));
    assert_false(l4vio_features_has(&fake->accepted, NOTIF_CONFIG_DATA));
    fake_transport_free(fake);
}

/* Clauses D-6.1-5 and D-6.1-6: a class driver that has them on its list accepts both, of any device. */
static void packed_ring_and_platform_order_are_accepted_if_allowed(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    memset(&fake->identity.offered, 0xff, sizeof(fake->identity.offered));
    l4vio_ring_features(&fake->driver_config.allowed);
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    assert_true(l4vio_features_has(&fake->accepted, L4VIO_F_RING_PACKED));
    assert_true(l4vio_features_has(&fake->accepted, L4VIO_F_ORDER_PLATFORM));
    assert_false(l4vio_features_has(&fake->accepted, SR_IOV));
    fake_transport_free(fake);
}

/* Clause D-6.1-2. */
static void device_without_version_1_is_refused(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    (void)state;
    l4vio_features_clear(&fake->identity.offered, L4VIO_F_VERSION_1);
    int result = l4vio_driver_connect(&fake->driver, &fake->driver_config, NULL);
    if (result == L4VIO_OK)
        result = l4vio_driver_acknowledge(&fake->driver, NULL);
    assert_int_equal(result, L4VIO_ENODEV);
    fake_transport_free(fake);
}

/* Clauses V-6.2-1 and V-6.2-9b: whatever the class asks for, VERSION_1 is there, and SR_IOV cannot
 * be. */
static void version_1_is_offered_and_sr_iov_is_not(void **state)
{
    struct l4vio_device_queue_state states[1];
    struct l4vio_device_config config = {
        .device_id = 1, .queues = states, .queue_count = 1, .queue_size_max = 16};
    struct l4vio_device device;
    (void)state;
    assert_int_equal(l4vio_device_init(&device, &config, NULL), 0);
    assert_true(l4vio_features_has(&device.config.offered, L4VIO_F_VERSION_1));
    assert_false(l4vio_features_has(&device.config.offered, SR_IOV));
    l4vio_features_set(&config.offered, SR_IOV);
    assert_int_equal(l4vio_device_init(&device, &config, NULL), L4VIO_EINVAL);
}

/* Clauses V-6.2-2, V-6.2-4 and V-6.2-6: who declines a bit that the device insists on is refused. */
static void driver_that_declines_a_required_bit_is_refused(void **state)
{
    static const unsigned bits[] = {L4VIO_F_VERSION_1, L4VIO_F_ACCESS_PLATFORM,
                                    L4VIO_F_ORDER_PLATFORM};
    struct raw_driver *driver = *state;
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        for (int accepted = 0; accepted < 2; accepted++) {
            l4vio_device_page_set_status(&driver->device_page, 0);
            l4vio_features_set(&driver->device.config.offered, bits[i]);
            l4vio_features_set(&driver->device.config.required, bits[i]);
            l4vio_device_page_set_status(&driver->device_page, 0);
            if (accepted)
                l4vio_features_set(&driver->features, bits[i]);
            else
                l4vio_features_clear(&driver->features, bits[i]);
            raw_negotiate(driver);
            assert_int_equal(!!(raw_status(driver) & VIRTIO_STATUS_FEATURES_OK), accepted);
        }
    }
}

/* Clause V-6.2-3: our devices reach only what was registered with them, by device addresses. */
static void block_device_offers_access_platform(void **state)
{
    struct block_rig *rig = block_rig_new();
    (void)state;
    block_rig_start(rig);
    assert_true(l4vio_features_has(&rig->block.device.config.offered, L4VIO_F_ACCESS_PLATFORM));
    block_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_driver_accepts_what_it_should),
        cmocka_unit_test(packed_ring_and_platform_order_are_accepted_if_allowed),
        cmocka_unit_test(device_without_version_1_is_refused),
        cmocka_unit_test(version_1_is_offered_and_sr_iov_is_not),
        RAW_SPLIT(driver_that_declines_a_required_bit_is_refused),
        cmocka_unit_test(block_device_offers_access_platform),
    };
    return cmocka_run_group_tests_name("clauses_features", tests, NULL, NULL);
}
