/* SPDX-License-Identifier: MIT */
/* L4-VIRTIO's driver API, row by row: connecting, features, memory. Every error code of a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#include "core/ordering.h"
#include "loopback_device.h"

/* A device whose calls a test can replace. */
struct patched {
    struct loopback_device *device;
    struct l4vio_l4_calls calls;
};

static struct patched patch(void)
{
    struct patched patched = {.device = loopback_device_new()};
    loopback_device_start(patched.device);
    patched.calls = *patched.device->loopback.l4.calls;
    return patched;
}

static int connect_patched(struct patched *patched)
{
    struct l4vio_error error = {0};
    patched->device->loopback.l4.calls = &patched->calls;
    int rc = l4vio_driver_connect(&patched->device->driver, &patched->device->config, &error);
    assert_int_equal(error.code, rc);
    if (rc)
        assert_non_null(error.text);
    return rc;
}

static int unaligned_config(void *self, struct l4vio_dataspace *dataspace, uint64_t *offset_bytes,
                            uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    (void)deadline_ns;
    (void)error;
    *dataspace = loopback->page_dataspace;
    *offset_bytes = 64;
    return L4VIO_OK;
}

static int no_memory(void *self, struct l4vio_dataspace *dataspace, uint64_t *offset_bytes,
                     uint64_t deadline_ns, struct l4vio_error *error)
{
    (void)self;
    (void)dataspace;
    (void)offset_bytes;
    (void)deadline_ns;
    return l4vio_fail(error, L4VIO_ENOMEM, "no memory", 0);
}

/* Fails as soon as there is a driver. */
static int status_that_breaks(void *self, uint32_t status, uint64_t deadline_ns,
                              struct l4vio_error *error)
{
    struct l4vio_loopback *loopback = self;
    struct l4vio_error why = {.code = L4VIO_EIO, .text = "told to"};
    (void)deadline_ns;
    (void)error;
    l4vio_device_page_set_status(loopback->page, status);
    if (status & VIRTIO_STATUS_DRIVER)
        l4vio_device_needs_reset(loopback->page->config.device, &why);
    return L4VIO_OK;
}

static int status_ignored(void *self, uint32_t status, uint64_t deadline_ns,
                          struct l4vio_error *error)
{
    (void)self;
    (void)status;
    (void)deadline_ns;
    (void)error;
    return L4VIO_OK;
}

static void driver_connect(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    loopback_device_start(device);
    /* As an earlier driver left it. */
    loopback_device_header(device)->status = l4vio_swap32(VIRTIO_STATUS_FAILED);
    assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, NULL), L4VIO_OK);
    assert_int_equal(device->device.status, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    assert_int_equal(device->device.resets, 1);
    /* Index 0 both ways. */
    assert_non_null(l4vio_driver_notification(&device->driver, 0));
    assert_true(device->driver.notifications[0].fetched);
    assert_int_not_equal(device->loopback.to_driver[0].handle, L4VIO_NO_HANDLE);
    assert_int_equal(device->driver.next_device_address, 0x200000);
    loopback_device_stop(device);
}

static void driver_connect_unmanaged(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    device->config.unmanaged_notifications = true;
    loopback_device_connect(device);
    assert_null(l4vio_driver_notification(&device->driver, 0));
    assert_int_equal(device->loopback.to_driver[0].handle, L4VIO_NO_HANDLE);
    loopback_device_stop(device);
}

static void driver_connect_einval_page_not_aligned(void **state)
{
    struct patched patched = patch();
    (void)state;
    patched.calls.device_config = unaligned_config;
    assert_int_equal(connect_patched(&patched), L4VIO_EINVAL);
    loopback_device_stop(patched.device);
}

static void driver_connect_enodev_wrong_magic(void **state)
{
    struct patched patched = patch();
    (void)state;
    loopback_device_header(patched.device)->magic ^= 1;
    assert_int_equal(connect_patched(&patched), L4VIO_ENODEV);
    loopback_device_stop(patched.device);
}

static void driver_connect_enodev_wrong_version(void **state)
{
    static const uint32_t versions[] = {0, 1, 3, UINT32_MAX};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct patched patched = patch();
        loopback_device_header(patched.device)->version = l4vio_swap32(versions[i]);
        assert_int_equal(connect_patched(&patched), L4VIO_ENODEV);
        loopback_device_stop(patched.device);
    }
}

static void driver_connect_enodev_other_class(void **state)
{
    struct patched patched = patch();
    (void)state;
    patched.device->config.device_id = LOOPBACK_DEVICE_ID + 1;
    assert_int_equal(connect_patched(&patched), L4VIO_ENODEV);
    assert_int_equal(patched.device->device.resets, 1); /* By the close alone. */
    loopback_device_stop(patched.device);
}

static void driver_connect_eio_device_fails(void **state)
{
    struct patched patched = patch();
    (void)state;
    patched.calls.set_status = status_that_breaks;
    assert_int_equal(connect_patched(&patched), L4VIO_EIO);
    loopback_device_stop(patched.device);
}

static void driver_connect_enomem(void **state)
{
    struct patched patched = patch();
    struct l4vio_notification notification;
    const struct l4vio_platform *platform = &patched.device->platform;
    (void)state;
    patched.calls.device_config = no_memory;
    assert_int_equal(connect_patched(&patched), L4VIO_ENOMEM);
    loopback_device_stop(patched.device);

    patched = patch();
    platform = &patched.device->platform;
    while (platform->ops->notification_create(platform->self, &notification, NULL) == L4VIO_OK)
        continue;
    assert_int_equal(connect_patched(&patched), L4VIO_ENOMEM);
    loopback_device_stop(patched.device);
}

static void driver_connect_etimedout_reset_not_finished(void **state)
{
    struct patched patched = patch();
    (void)state;
    loopback_device_header(patched.device)->status = l4vio_swap32(VIRTIO_STATUS_ACKNOWLEDGE);
    patched.calls.set_status = status_ignored;
    assert_int_equal(connect_patched(&patched), L4VIO_ETIMEDOUT);
    loopback_device_stop(patched.device);
}

static void driver_connect_epipe(void **state)
{
    struct patched patched = patch();
    (void)state;
    patched.device->loopback.dead = true;
    assert_int_equal(connect_patched(&patched), L4VIO_EPIPE);
    loopback_device_stop(patched.device);
}

static void bind_notification_irq(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_notification own;
    struct l4vio_notification none = {.handle = L4VIO_NO_HANDLE};
    const struct l4vio_platform *platform = &device->platform;
    (void)state;
    device->config.unmanaged_notifications = true;
    loopback_device_connect(device);
    assert_int_equal(platform->ops->notification_create(platform->self, &own, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_bind_notification(&device->driver, 0, &own, NULL), L4VIO_OK);
    l4vio_loopback_trigger(&device->loopback, 0);
    assert_int_equal(platform->ops->notification_drain(platform->self, &own), 1);
    /* It stays the caller's. */
    assert_int_equal(l4vio_driver_wait(&device->driver, 0, 0), L4VIO_EEXIST);
    /* Bound again after a reset. */
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_OK);
    device->loopback.to_driver[0] = none;
    assert_int_equal(l4vio_driver_restart(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(device->loopback.to_driver[0].handle, own.handle);

    assert_int_equal(
        l4vio_driver_bind_notification(&device->driver, LOOPBACK_DEVICE_NOTIFICATIONS, &own, NULL),
        L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_bind_notification(&device->driver, 0, &none, NULL), L4VIO_EINVAL);
    device->loopback.dead = true;
    assert_int_equal(l4vio_driver_bind_notification(&device->driver, 0, &own, NULL), L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void bind_notification_irq_in_place_of_a_managed_one(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_notification own;
    const struct l4vio_platform *platform = &device->platform;
    (void)state;
    loopback_device_connect(device);
    assert_int_equal(platform->ops->notification_create(platform->self, &own, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_bind_notification(&device->driver, 0, &own, NULL), L4VIO_OK);
    assert_null(l4vio_driver_notification(&device->driver, 0));
    assert_int_equal(l4vio_driver_drain_notification(&device->driver, 0), L4VIO_EEXIST);
    l4vio_driver_disconnect(&device->driver);
    assert_int_equal(platform->ops->notification_trigger(platform->self, &own), L4VIO_OK);
    loopback_device_stop(device);
}

static void fail_state(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_error why = {.code = L4VIO_EIO, .text = "told to"};
    (void)state;
    loopback_device_connect(device);
    assert_false(l4vio_driver_fail_state(&device->driver));
    l4vio_device_needs_reset(&device->device, &why);
    assert_true(l4vio_driver_fail_state(&device->driver));
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_OK);
    assert_false(l4vio_driver_fail_state(&device->driver));
    l4vio_device_page_set_status(&device->page, VIRTIO_STATUS_FAILED);
    assert_true(l4vio_driver_fail_state(&device->driver));
    loopback_device_stop(device);
}

static void feature_negotiated(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    l4vio_features_set(&device->offered, 3);
    l4vio_features_set(&device->config.allowed, 3);
    loopback_device_connect(device);
    assert_false(l4vio_driver_feature_negotiated(&device->driver, 3));
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_true(l4vio_driver_feature_negotiated(&device->driver, 3));
    assert_true(l4vio_driver_feature_negotiated(&device->driver, L4VIO_F_VERSION_1));
    assert_false(l4vio_driver_feature_negotiated(&device->driver, 4));
    assert_false(l4vio_driver_feature_negotiated(&device->driver, 192));
    assert_false(l4vio_driver_feature_negotiated(&device->driver, UINT32_MAX));
    loopback_device_stop(device);
}

static void driver_acknowledge(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    loopback_device_connect(device);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(device->device.status, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                                VIRTIO_STATUS_FEATURES_OK |
                                                VIRTIO_STATUS_DRIVER_OK);
    loopback_device_stop(device);
}

static void assert_acknowledge_fails(struct loopback_device *device, int code)
{
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, &error), code);
    assert_int_equal(error.code, code);
    assert_true(device->device.status & VIRTIO_STATUS_FAILED);
    assert_false(device->device.status & VIRTIO_STATUS_DRIVER_OK);
    loopback_device_stop(device);
}

static void driver_acknowledge_enodev_legacy(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    loopback_device_start(device);
    loopback_device_header(device)->dev_features_map[1] = 0;
    assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, NULL), L4VIO_OK);
    assert_acknowledge_fails(device, L4VIO_ENODEV);
}

static void driver_acknowledge_einval_refused(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    device->refuse_features = true;
    loopback_device_connect(device);
    assert_acknowledge_fails(device, L4VIO_EINVAL);
}

static void driver_acknowledge_eio(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_error why = {.code = L4VIO_EIO, .text = "told to"};
    (void)state;
    loopback_device_connect(device);
    l4vio_device_needs_reset(&device->device, &why);
    assert_acknowledge_fails(device, L4VIO_EIO);
    /* Only at the very end. */
    device = loopback_device_new();
    device->refuse_driver_ok = L4VIO_EINVAL;
    loopback_device_connect(device);
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, &error), L4VIO_EIO);
    assert_true(device->device.status & VIRTIO_STATUS_FAILED);
    loopback_device_stop(device);
}

static int register_pages(struct loopback_device *device, const struct l4vio_dataspace *dataspace,
                          uint64_t offset_bytes, uint64_t size_bytes, uint64_t *address)
{
    struct l4vio_error error = {0};
    int rc = l4vio_driver_register_dataspace(&device->driver, dataspace, offset_bytes, size_bytes,
                                             address, &error);
    assert_int_equal(error.code, rc);
    return rc;
}

static struct l4vio_dataspace pages(struct loopback_device *device, uint64_t size_bytes)
{
    struct l4vio_dataspace dataspace;
    const struct l4vio_platform *platform = &device->platform;
    assert_int_equal(
        platform->ops->dataspace_allocate(platform->self, size_bytes, &dataspace, NULL), L4VIO_OK);
    return dataspace;
}

static void register_ds(void **state)
{
    struct loopback_device *device = loopback_device_new();
    uint64_t address = 0;
    (void)state;
    loopback_device_connect(device);
    struct l4vio_dataspace dataspace = pages(device, 16384);
    assert_int_equal(register_pages(device, &dataspace, 4096, 8192, &address), L4VIO_OK);
    assert_int_equal(address, L4VIO_FIRST_DEVICE_ADDRESS);
    assert_ptr_equal(l4vio_device_memory_translate(&device->device.memory, address, 8192),
                     (unsigned char *)dataspace.base + 4096);
    loopback_device_stop(device);
}

static void register_ds_errors(void **state)
{
    struct loopback_device *device = loopback_device_new();
    uint64_t address = 0;
    (void)state;
    loopback_device_connect(device);
    struct l4vio_dataspace dataspace = pages(device, 8192);
    struct l4vio_dataspace unmapped = {.size_bytes = 4096, .handle = L4VIO_NO_HANDLE};
    assert_int_equal(register_pages(device, &dataspace, 0, 0, &address), L4VIO_EINVAL);
    assert_int_equal(register_pages(device, &dataspace, 0, 8193, &address), L4VIO_ERANGE);
    assert_int_equal(register_pages(device, &dataspace, 8192, 1, &address), L4VIO_ERANGE);
    assert_int_equal(register_pages(device, &dataspace, 12288, 1, &address), L4VIO_ERANGE);
    assert_int_equal(register_pages(device, &dataspace, 4096, UINT64_MAX, &address), L4VIO_ERANGE);
    /* What the device says. */
    assert_int_equal(register_pages(device, &unmapped, 0, 4096, &address), L4VIO_EINVAL);
    /* A refused call does not cost device addresses. */
    assert_int_equal(device->driver.next_device_address, L4VIO_FIRST_DEVICE_ADDRESS);
    for (unsigned i = 0; i < LOOPBACK_DEVICE_REGIONS; i++)
        assert_int_equal(register_pages(device, &dataspace, 0, 4096, &address), L4VIO_OK);
    assert_int_equal(register_pages(device, &dataspace, 0, 4096, &address), L4VIO_ENOMEM);
    /* None of it is the end of the connection. */
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    device->loopback.dead = true;
    assert_int_equal(register_pages(device, &dataspace, 0, 4096, &address), L4VIO_EPIPE);
    loopback_device_stop(device);
}

static void next_device_address_rounds_to_pages(void **state)
{
    struct loopback_device *device = loopback_device_new();
    uint64_t address = 0;
    (void)state;
    loopback_device_connect(device);
    struct l4vio_dataspace dataspace = pages(device, 16384);
    assert_int_equal(register_pages(device, &dataspace, 0, 1, &address), L4VIO_OK);
    assert_int_equal(address, 0x200000);
    assert_int_equal(register_pages(device, &dataspace, 0, 4097, &address), L4VIO_OK);
    assert_int_equal(address, 0x201000);
    assert_int_equal(register_pages(device, &dataspace, 0, 4096, &address), L4VIO_OK);
    assert_int_equal(address, 0x203000);
    loopback_device_stop(device);
}

static void next_device_address_enomem(void **state)
{
    struct loopback_device *device = loopback_device_new();
    uint64_t address = 0;
    (void)state;
    device->config.last_device_address = 0x202fff;
    loopback_device_connect(device);
    struct l4vio_dataspace dataspace = pages(device, 65536);
    assert_int_equal(register_pages(device, &dataspace, 0, 0x3001, &address), L4VIO_ENOMEM);
    assert_int_equal(register_pages(device, &dataspace, 0, 0x3000, &address), L4VIO_OK);
    assert_int_equal(register_pages(device, &dataspace, 0, 1, &address), L4VIO_ENOMEM);
    loopback_device_stop(device);

    /* Up to the very last address, and not around. */
    device = loopback_device_new();
    device->config.first_device_address = UINT64_MAX - 8191;
    loopback_device_connect(device);
    dataspace = pages(device, 65536);
    assert_int_equal(register_pages(device, &dataspace, 0, 8193, &address), L4VIO_ENOMEM);
    assert_int_equal(register_pages(device, &dataspace, 0, 4096, &address), L4VIO_OK);
    assert_int_equal(register_pages(device, &dataspace, 0, 4095, &address), L4VIO_OK);
    assert_int_equal(address, UINT64_MAX - 4095);
    assert_int_equal(register_pages(device, &dataspace, 0, 1, &address), L4VIO_ENOMEM);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_connect),
        cmocka_unit_test(driver_connect_unmanaged),
        cmocka_unit_test(driver_connect_einval_page_not_aligned),
        cmocka_unit_test(driver_connect_enodev_wrong_magic),
        cmocka_unit_test(driver_connect_enodev_wrong_version),
        cmocka_unit_test(driver_connect_enodev_other_class),
        cmocka_unit_test(driver_connect_eio_device_fails),
        cmocka_unit_test(driver_connect_enomem),
        cmocka_unit_test(driver_connect_etimedout_reset_not_finished),
        cmocka_unit_test(driver_connect_epipe),
        cmocka_unit_test(bind_notification_irq),
        cmocka_unit_test(bind_notification_irq_in_place_of_a_managed_one),
        cmocka_unit_test(fail_state),
        cmocka_unit_test(feature_negotiated),
        cmocka_unit_test(driver_acknowledge),
        cmocka_unit_test(driver_acknowledge_enodev_legacy),
        cmocka_unit_test(driver_acknowledge_einval_refused),
        cmocka_unit_test(driver_acknowledge_eio),
        cmocka_unit_test(register_ds),
        cmocka_unit_test(register_ds_errors),
        cmocka_unit_test(next_device_address_rounds_to_pages),
        cmocka_unit_test(next_device_address_enomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
