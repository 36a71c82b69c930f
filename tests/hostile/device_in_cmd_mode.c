/* SPDX-License-Identifier: MIT */
/* A device in cmd mode that does not look at its commands, or is gone; and reads past its configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "loopback_device.h"

static struct loopback_device *connected(bool cmd_mode)
{
    struct loopback_device *device = loopback_device_new();
    device->cmd_mode = cmd_mode;
    loopback_device_connect(device);
    return device;
}

static int set_status(struct loopback_device *device, uint64_t milliseconds)
{
    const struct l4vio_transport *transport = &device->driver.transport;
    return transport->ops->set_status(transport->self, 1,
                                      loopback_device_in_ms(device, milliseconds), NULL);
}

static void command_ends_at_its_deadline(void **state)
{
    struct loopback_device *device = connected(true);
    (void)state;
    device->deaf = true;
    assert_int_equal(set_status(device, 10), L4VIO_ETIMEDOUT);
    /* The one that was not looked at is not written over. */
    assert_int_equal(set_status(device, 10), L4VIO_ETIMEDOUT);
    device->deaf = false;
    assert_int_equal(set_status(device, 1000), 0);
    loopback_device_stop(device);
}

static void die(struct loopback_device *device)
{
    device->loopback.dead = true;
}

/* Not at the deadline. The command is on its way and the device was told when it goes. */
static void command_ends_when_the_peer_has_gone(void **state)
{
    struct loopback_device *device = connected(true);
    (void)state;
    device->deaf = true;
    device->at_look = die;
    assert_int_equal(set_status(device, 1000), L4VIO_EPIPE);
    loopback_device_stop(device);
}

/* The transport checks, whoever calls it. */
static void configuration_ends_where_the_queues_begin(void **state)
{
    struct loopback_device *device = connected(false);
    const struct l4vio_transport *transport = &device->driver.transport;
    uint32_t size = transport->ops->config_size(transport->self);
    uint8_t bytes[8];
    (void)state;
    for (uint32_t width = 1; width <= 8; width *= 2) {
        assert_int_equal(
            transport->ops->read_config(transport->self, size, bytes, width, width, NULL),
            L4VIO_ERANGE);
        assert_int_equal(transport->ops->read_config(transport->self, UINT32_MAX - width + 1, bytes,
                                                     width, width, NULL),
                         L4VIO_ERANGE);
        assert_int_equal(
            transport->ops->read_config(transport->self, size - width, bytes, width, width, NULL),
            0);
        assert_int_equal(transport->ops->write_config(transport->self, size, bytes, width,
                                                      loopback_device_in_ms(device, 10), NULL),
                         L4VIO_ERANGE);
    }
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_ends_at_its_deadline),
        cmocka_unit_test(command_ends_when_the_peer_has_gone),
        cmocka_unit_test(configuration_ends_where_the_queues_begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
