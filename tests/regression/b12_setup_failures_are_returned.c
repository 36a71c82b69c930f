/* SPDX-License-Identifier: MIT */
/* Every call of the set-up fails once: the code comes back, FAILED is set, nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#include "fake_transport.h"

struct setup {
    struct l4vio_region region;
    struct l4vio_queue queue;
    struct l4vio_queue_slot slots[16];
};

static int set_up(struct fake_transport *fake, struct setup *setup, struct l4vio_error *error)
{
    struct l4vio_virtqueue_layout layout;
    assert_int_equal(l4vio_virtqueue_layout(16, &layout), L4VIO_OK);
    memset(setup, 0, sizeof(*setup));
    int rc = l4vio_driver_connect(&fake->driver, &fake->driver_config, error);
    if (rc == L4VIO_OK)
        rc = l4vio_driver_allocate(&fake->driver, layout.size_bytes, &setup->region, error);
    if (rc)
        return rc;
    unsigned char *base = setup->region.base;
    uint64_t address = setup->region.device_address;
    struct l4vio_queue_config config = {.size = 16,
                                        .desc = base + layout.desc_offset,
                                        .avail = base + layout.avail_offset,
                                        .used = base + layout.used_offset,
                                        .desc_address = address + layout.desc_offset,
                                        .avail_address = address + layout.avail_offset,
                                        .used_address = address + layout.used_offset,
                                        .slots = setup->slots};
    assert_int_equal(l4vio_queue_init(&setup->queue, &config, NULL), L4VIO_OK);
    rc = l4vio_driver_attach_queue(&fake->driver, &setup->queue, error);
    return rc ? rc : l4vio_driver_acknowledge(&fake->driver, error);
}

/* Sharing memory, and asking how large a queue may be, leave the device as it was. */
static bool leaves_device_alone(enum fake_op op)
{
    return op == FAKE_IDENTIFY || op == FAKE_MAP || op == FAKE_QUEUE_SIZE_MAX;
}

static void fail_once(enum fake_op op, unsigned at, int code)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_error error = {0};
    struct setup setup;
    fake->fail_op = op;
    fake->fail_at = at;
    fake->fail_code = code;
    int rc = set_up(fake, &setup, &error);
    if (rc != code)
        fail_msg("operation %d, call %u: %d in place of %d", (int)op, at, rc, code);
    assert_int_equal(error.code, code);
    assert_non_null(error.text);
    bool told = code != L4VIO_EPIPE && code != L4VIO_ETIMEDOUT;
    if (told && !leaves_device_alone(op) && !fake->failed_written)
        fail_msg("operation %d, call %u: FAILED is not set", (int)op, at);
    if (!told)
        assert_false(fake->failed_written);
    l4vio_driver_disconnect(&fake->driver);
    assert_int_equal(fake->closed, 1);
    assert_int_equal(fake->handed_out, 0);
    assert_int_equal(fake_transport_notifications(fake), 0);
    assert_false(l4vio_queue_ready(&setup.queue));
    fake_transport_free(fake);
}

static void fail_everywhere(int code)
{
    struct fake_transport *fake = fake_transport_new();
    struct setup setup;
    unsigned calls[FAKE_OPS];
    assert_int_equal(set_up(fake, &setup, NULL), L4VIO_OK);
    memcpy(calls, fake->calls, sizeof(calls));
    fake_transport_free(fake);
    for (int op = 0; op < FAKE_OPS; op++) {
        for (unsigned at = 1; at <= calls[op]; at++)
            fail_once((enum fake_op)op, at, code);
    }
}

static void every_refusal_is_returned(void **state)
{
    (void)state;
    fail_everywhere(L4VIO_EPERM);
}

static void every_dead_peer_is_returned(void **state)
{
    (void)state;
    fail_everywhere(L4VIO_EPIPE);
}

static void every_timeout_is_returned(void **state)
{
    (void)state;
    fail_everywhere(L4VIO_ETIMEDOUT);
}

static void failed_driver_needs_a_reset(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    uint64_t address = 0;
    struct l4vio_dataspace dataspace;
    (void)state;
    fake->refuse_features = true;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_EINVAL);
    assert_true(fake->failed_written);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_EIO);
    assert_int_equal(
        fake->platform.ops->dataspace_allocate(fake->platform.self, 4096, &dataspace, NULL),
        L4VIO_OK);
    assert_int_equal(
        l4vio_driver_register_dataspace(&fake->driver, &dataspace, 0, 4096, &address, NULL),
        L4VIO_EIO);
    fake->refuse_features = false;
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_restart(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(&fake->driver, NULL), L4VIO_OK);
    fake_transport_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_is_returned),
        cmocka_unit_test(every_dead_peer_is_returned),
        cmocka_unit_test(every_timeout_is_returned),
        cmocka_unit_test(failed_driver_needs_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
