/* SPDX-License-Identifier: MIT */
/* An offset that is not on a page would shift every device address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_transport.h"

static void unaligned_offset_is_refused(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_dataspace dataspace;
    struct l4vio_region region;
    uint64_t address = 1;
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(
        fake->platform.ops->dataspace_allocate(fake->platform.self, 16384, &dataspace, NULL),
        L4VIO_OK);
    static const uint64_t offsets[] = {1, 512, 4095, 4097};
    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        assert_int_equal(l4vio_driver_register_dataspace(&fake->driver, &dataspace, offsets[i],
                                                         4096, &address, NULL),
                         L4VIO_EINVAL);
        assert_int_equal(l4vio_driver_register_region(&fake->driver, &dataspace, offsets[i], 4096,
                                                      &region, NULL),
                         L4VIO_EINVAL);
    }
    assert_int_equal(address, 1);
    assert_int_equal(fake->calls[FAKE_MAP], 0);
    assert_int_equal(
        l4vio_driver_register_region(&fake->driver, &dataspace, 4096, 4096, &region, NULL),
        L4VIO_OK);
    /* The device address is that of the byte at the offset. */
    assert_ptr_equal(region.base, (unsigned char *)dataspace.base + 4096);
    assert_int_equal(region.device_address, L4VIO_FIRST_DEVICE_ADDRESS);
    fake_transport_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unaligned_offset_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
