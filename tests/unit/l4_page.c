/* SPDX-License-Identifier: MIT */
/* The driver's view of the config page: cmd mode, hostile values, the end of the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#include "core/ordering.h"
#include "loopback_device.h"

static struct loopback_device *cmd_device(struct loopback_queue *queue)
{
    struct loopback_device *device = loopback_device_new();
    device->cmd_mode = true;
    loopback_device_live(device, queue, false);
    return device;
}

static int never_called(void *self, uint32_t argument, uint64_t deadline_ns,
                        struct l4vio_error *error)
{
    (void)self;
    (void)argument;
    (void)deadline_ns;
    (void)error;
    fail_msg("a call in cmd mode");
    return L4VIO_EIO;
}

static void cmd_mode_uses_the_register_from_the_first_status_on(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->cmd_mode = true;
    loopback_device_start(device);
    struct l4vio_l4_calls calls = *device->loopback.l4.calls;
    calls.set_status = never_called;
    calls.config_queue = never_called;
    device->loopback.l4.calls = &calls;
    assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, NULL), L4VIO_OK);
    loopback_queue_attach(device, &queue, 0, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_drain(&device->driver, &queue.queue, NULL, NULL, L4VIO_FOREVER),
                     L4VIO_OK);
    assert_int_equal(loopback_device_header(device)->cmd, 0);
    loopback_device_stop(device);
}

static void cmd_mode_times_out_on_a_deaf_device(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_error error = {0};
    (void)state;
    device->cmd_mode = true;
    loopback_device_start(device);
    device->deaf = true;
    assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, &error),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(error.code, L4VIO_ETIMEDOUT);
    assert_in_range(device->loopback_platform.clock_ns, UINT64_C(5000000000), UINT64_C(5100000000));
    loopback_device_stop(device);
}

static void cmd_mode_does_not_overwrite_a_pending_command(void **state)
{
    struct loopback_queue queue;
    struct loopback_device *device = cmd_device(&queue);
    uint8_t byte = 1;
    (void)state;
    device->deaf = true;
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_ETIMEDOUT);
    uint32_t pending = l4vio_load32(&loopback_device_header(device)->cmd);
    assert_int_equal(pending, (uint32_t)L4VIO_PAGE_CMD_SET_STATUS << 24);
    assert_int_equal(l4vio_driver_write_config(&device->driver, 0, &byte, 1, NULL), L4VIO_EIO);
    assert_int_equal(device->transport.ops->write_config(device->transport.self, 0, &byte, 1,
                                                         loopback_device_in_ms(device, 10), NULL),
                     L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_load32(&loopback_device_header(device)->cmd), pending);
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_load32(&loopback_device_header(device)->cmd), pending);
    device->deaf = false;
    assert_int_equal(l4vio_driver_reset(&device->driver, NULL), L4VIO_OK);
    loopback_device_stop(device);
}

static void cmd_mode_reads_back_what_became_of_a_queue(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->cmd_mode = true;
    device->refuse_queue = L4VIO_EINVAL;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 0, 16, 0, false);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_EINVAL);
    assert_false(l4vio_queue_ready(&queue.queue));
    loopback_device_stop(device);

    device = loopback_device_new();
    device->cmd_mode = true;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 0, 16, 0, false);
    assert_int_equal(l4vio_driver_negotiate(&device->driver, NULL), L4VIO_OK);
    device->break_next = true;
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_EIO);
    loopback_device_stop(device);
}

static int no_notification(void *self, uint32_t index, struct l4vio_notification *out,
                           uint64_t deadline_ns, struct l4vio_error *error)
{
    (void)self;
    (void)index;
    (void)out;
    (void)deadline_ns;
    return l4vio_fail(error, L4VIO_ENOSYS, "not here", index);
}

/* A device that polls its page on a timer has no notification to hand out. */
static void cmd_mode_works_without_device_notification(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    device->cmd_mode = true;
    device->quota = 8;
    loopback_device_start(device);
    struct l4vio_l4_calls calls = *device->loopback.l4.calls;
    calls.device_notification = no_notification;
    device->loopback.l4.calls = &calls;
    assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, NULL), L4VIO_OK);
    loopback_queue_attach(device, &queue, 0, false);
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    assert_int_equal(loopback_queue_add(&queue, 16, NULL), 1);
    assert_int_equal(l4vio_driver_drain(&device->driver, &queue.queue, NULL, NULL, L4VIO_FOREVER),
                     L4VIO_OK);
    loopback_device_stop(device);
}

static void call_mode_needs_device_notification(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    loopback_device_start(device);
    struct l4vio_l4_calls calls = *device->loopback.l4.calls;
    calls.device_notification = no_notification;
    device->loopback.l4.calls = &calls;
    assert_int_equal(l4vio_driver_connect(&device->driver, &device->config, NULL), L4VIO_ENOSYS);
    loopback_device_stop(device);
}

static void whole_feature_map_is_written(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    loopback_device_connect(device);
    struct l4vio_page_header *header = loopback_device_header(device);
    memset(header->driver_features_map, 0xff, sizeof(header->driver_features_map));
    assert_int_equal(l4vio_driver_acknowledge(&device->driver, NULL), L4VIO_OK);
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        assert_int_equal(l4vio_load32(&header->driver_features_map[i]), i == 1);
    loopback_device_stop(device);
}

static void entry_is_not_touched_while_ready(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    (void)state;
    loopback_device_connect(device);
    loopback_queue_init(device, &queue, 0, 16, 0, false);
    struct l4vio_page_queue *entry = loopback_device_entry(device, 0);
    l4vio_store16(&entry->ready, 1);
    assert_int_equal(l4vio_driver_attach_queue(&device->driver, &queue.queue, NULL), L4VIO_EINVAL);
    assert_int_equal(entry->num, 0);
    assert_int_equal(entry->desc_addr, 0);
    loopback_device_stop(device);
}

static void config_is_read_in_natural_widths(void **state)
{
    struct loopback_device *device = loopback_device_new();
    uint8_t bytes[LOOPBACK_DEVICE_CONFIG_BYTES];
    static const uint32_t widths[] = {1, 2, 4, 8};
    (void)state;
    loopback_device_connect(device);
    for (unsigned i = 0; i < 4; i++) {
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(
            l4vio_driver_read_config(&device->driver, 0, bytes, sizeof(bytes), widths[i], NULL),
            L4VIO_OK);
        assert_memory_equal(bytes, device->device_config, sizeof(bytes));
    }
    loopback_device_stop(device);
}

static void config_bounds(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct l4vio_driver *driver = &device->driver;
    uint8_t bytes[64];
    (void)state;
    loopback_device_connect(device);
    uint32_t end = LOOPBACK_DEVICE_CONFIG_BYTES;
    assert_int_equal(l4vio_driver_read_config(driver, end, bytes, 1, 1, NULL), L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_read_config(driver, end - 4, bytes, 8, 4, NULL), L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_read_config(driver, UINT32_MAX, bytes, 1, 1, NULL), L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_read_config(driver, 8, bytes, UINT32_MAX, 1, NULL), L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_read_config(driver, 0, bytes, 3, 3, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_read_config(driver, 0, bytes, 16, 16, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_read_config(driver, 0, bytes, 4, 0, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_read_config(driver, 2, bytes, 4, 4, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_read_config(driver, 4, bytes, 6, 4, NULL), L4VIO_EINVAL);
    /* Not before the features are settled (clause D-3.1.1-2b). */
    assert_int_equal(l4vio_driver_write_config(driver, 0, bytes, 1, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_negotiate(driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_write_config(driver, end, bytes, 1, NULL), L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_write_config(driver, 1, bytes, 2, NULL), L4VIO_EINVAL);
    loopback_device_stop(device);
}

static void config_write_is_announced(void **state)
{
    struct loopback_device *device = loopback_device_new();
    struct loopback_queue queue;
    const struct l4vio_platform *platform = &device->platform;
    uint32_t word = 0x04030201;
    (void)state;
    loopback_device_live(device, &queue, false);
    const struct l4vio_notification *kick = l4vio_loopback_kick_object(&device->loopback, 0);
    assert_int_equal(platform->ops->notification_drain(platform->self, kick), 0);
    assert_int_equal(l4vio_driver_write_config(&device->driver, 4, &word, 4, NULL), L4VIO_OK);
    assert_int_equal(platform->ops->notification_drain(platform->self, kick), 1);
    assert_memory_equal((unsigned char *)device->page_dataspace.base + 0x104, &word, 4);
    loopback_device_stop(device);

    device = cmd_device(&queue);
    assert_int_equal(l4vio_driver_write_config(&device->driver, 4, &word, 4, NULL), L4VIO_OK);
    assert_int_equal(device->config_writes, 1);
    loopback_device_stop(device);
}

static void new_generation_is_a_change(void **state)
{
    struct loopback_device *device = loopback_device_new();
    (void)state;
    loopback_device_connect(device);
    assert_false(l4vio_driver_config_changed(&device->driver));
    l4vio_store32(&loopback_device_header(device)->generation, 2);
    assert_int_equal(device->transport.ops->acknowledge(device->transport.self),
                     L4VIO_INTERRUPT_RING | L4VIO_INTERRUPT_CONFIG);
    assert_int_equal(device->transport.ops->acknowledge(device->transport.self),
                     L4VIO_INTERRUPT_RING);
    assert_true(l4vio_driver_config_changed(&device->driver));
    assert_false(l4vio_driver_config_changed(&device->driver));
    loopback_device_stop(device);
}

static void closed_transport_says_so(void **state)
{
    struct loopback_device *device = loopback_device_new();
    const struct l4vio_transport *transport = &device->transport;
    struct l4vio_queue_setup setup = {0};
    struct l4vio_features features = {0};
    struct l4vio_notification notification = {.handle = L4VIO_NO_HANDLE};
    uint32_t status;
    uint64_t address = 0;
    uint8_t byte = 0;
    (void)state;
    loopback_device_connect(device);
    transport = &device->transport;
    const struct l4vio_transport_ops *ops = transport->ops;
    void *self = transport->self;
    l4vio_driver_disconnect(&device->driver);
    ops->close(self);
    assert_int_equal(ops->get_status(self, &status), L4VIO_EPIPE);
    assert_int_equal(ops->set_status(self, 0, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->set_features(self, &features, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->queue_size_max(self, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->config_queue(self, 0, &setup, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->reset_queue(self, 0, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->map(self, &device->page_dataspace, 0, 1, &address, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->unmap(self, 0, 1, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->bind_notification(self, 0, &notification, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->get_notification(self, 0, &notification, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->kick(self, 0, 0, &notification), L4VIO_EPIPE);
    assert_int_equal(ops->set_config_notify(self, 0, 0), L4VIO_EPIPE);
    assert_int_equal(ops->read_config(self, 0, &byte, 1, 1, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->write_config(self, 0, &byte, 1, 0, NULL), L4VIO_EPIPE);
    assert_int_equal(ops->generation(self), 0);
    assert_int_equal(ops->peer_alive(self), L4VIO_EPIPE);
    assert_int_equal(ops->peer_handle(self), L4VIO_NO_HANDLE);
    loopback_device_stop(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cmd_mode_uses_the_register_from_the_first_status_on),
        cmocka_unit_test(cmd_mode_times_out_on_a_deaf_device),
        cmocka_unit_test(cmd_mode_does_not_overwrite_a_pending_command),
        cmocka_unit_test(cmd_mode_reads_back_what_became_of_a_queue),
        cmocka_unit_test(cmd_mode_works_without_device_notification),
        cmocka_unit_test(call_mode_needs_device_notification),
        cmocka_unit_test(whole_feature_map_is_written),
        cmocka_unit_test(entry_is_not_touched_while_ready),
        cmocka_unit_test(config_is_read_in_natural_widths),
        cmocka_unit_test(config_bounds),
        cmocka_unit_test(config_write_is_announced),
        cmocka_unit_test(new_generation_is_a_change),
        cmocka_unit_test(closed_transport_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
