/* SPDX-License-Identifier: MIT */
/* Regions: what is remembered, what is given back, several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "fake_transport.h"
#include "loopback_device.h"

#define THREADS    4u
#define PER_THREAD 50u

static void region_of_a_dataspace(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_dataspace dataspace;
    struct l4vio_region region;
    uint64_t address = 0;
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(
        fake->platform.ops->dataspace_allocate(fake->platform.self, 16384, &dataspace, NULL),
        L4VIO_OK);
    assert_int_equal(
        l4vio_driver_register_region(&fake->driver, &dataspace, 4096, 5000, &region, NULL),
        L4VIO_OK);
    assert_int_equal(fake->mapped_bytes, 5000);
    assert_int_equal(l4vio_region_address(&region, 4999, 1, &address), L4VIO_OK);
    assert_int_equal(address, region.device_address + 4999);
    assert_int_equal(l4vio_region_address(&region, 5000, 0, &address), L4VIO_OK);
    assert_int_equal(l4vio_region_address(&region, 5000, 1, &address), L4VIO_EFAULT);
    assert_int_equal(l4vio_region_address(&region, 1, UINT64_MAX, &address), L4VIO_EFAULT);
    assert_int_equal(l4vio_region_address(&region, UINT64_MAX, 1, &address), L4VIO_EFAULT);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_OK);
    assert_int_equal(fake->calls[FAKE_UNMAP], 1);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_EINVAL);
    /* Borrowed: still the caller's. */
    assert_non_null(dataspace.base);
    fake_transport_free(fake);
}

static void release_without_unmap(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_region region;
    (void)state;
    fake->ops.unmap = NULL;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 1, &region, NULL), L4VIO_OK);
    assert_int_equal(region.size_bytes, 4096);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_ENOSYS);
    assert_true(region.mapped);
    /* The device forgets it with the reset. */
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_OK);
    assert_null(region.base);
    fake_transport_free(fake);
}

static void allocation_failures(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_region region;
    (void)state;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 0, &region, NULL), L4VIO_EINVAL);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, UINT64_MAX, &region, NULL), L4VIO_ENOMEM);
    fake->fail_op = FAKE_UNMAP;
    fake->fail_at = 1;
    fake->fail_code = L4VIO_EBUSY;
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_EBUSY);
    assert_non_null(region.base);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_OK);
    fake_transport_free(fake);
}

static void unanswered_call_keeps_its_addresses(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_region region;
    (void)state;
    fake_transport_connect(fake);
    fake->fail_op = FAKE_MAP;
    fake->fail_at = 1;
    fake->fail_code = L4VIO_ETIMEDOUT;
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_ETIMEDOUT);
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_restart(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_OK);
    assert_int_equal(region.device_address, L4VIO_FIRST_DEVICE_ADDRESS + 4096);
    fake_transport_free(fake);
}

static unsigned dataspaces_freed;

static void count_free(void *self, struct l4vio_dataspace *dataspace)
{
    (void)self;
    dataspaces_freed++;
    *dataspace = (struct l4vio_dataspace){.handle = L4VIO_NO_HANDLE};
}

static void memory_of_an_unanswered_call_is_kept_until_reset_or_the_end(void **state)
{
    (void)state;
    for (unsigned by_reset = 0; by_reset < 2; by_reset++) {
        struct fake_transport *fake = fake_transport_new();
        struct l4vio_platform_ops ops = *fake->platform.ops;
        struct l4vio_region region;
        ops.dataspace_free = count_free;
        fake->driver_config.platform.ops = &ops;
        fake_transport_connect(fake);
        fake->fail_op = FAKE_MAP;
        fake->fail_at = 1;
        fake->fail_code = L4VIO_ETIMEDOUT;
        dataspaces_freed = 0;
        assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL),
                         L4VIO_ETIMEDOUT);
        assert_int_equal(dataspaces_freed, 0);
        assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_EBUSY);
        assert_int_equal(dataspaces_freed, 0);
        if (by_reset)
            assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
        else
            l4vio_driver_disconnect(&fake->driver);
        assert_int_equal(dataspaces_freed, 1);
        l4vio_driver_disconnect(&fake->driver);
        assert_int_equal(dataspaces_freed, 1);
        fake_transport_free(fake);
    }
}

static void memory_that_survives_is_not_mapped_again(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_region region;
    (void)state;
    fake->properties.memory_survives_reset = true;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
    assert_true(region.mapped);
    assert_int_equal(l4vio_driver_restart(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(fake->calls[FAKE_MAP], 1);
    fake_transport_free(fake);
}

static void transport_may_choose_addresses_but_not_move_them(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_region region;
    (void)state;
    fake->properties.driver_chooses_addresses = false;
    fake->address_offset = 0x1000;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_OK);
    assert_int_equal(region.device_address, (uintptr_t)region.base + 0x1000);
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_restart(&fake->driver, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_OK);
    fake->address_offset = 0x2000;
    assert_int_equal(l4vio_driver_restart(&fake->driver, NULL), L4VIO_EIO);
    assert_true(fake->failed_written);
    fake_transport_free(fake);
}

/* A back end that cannot promise that it has stopped: quarantine until the connection is closed. */
static void device_that_may_go_on_keeps_its_queues(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_queue queue = {.live = true};
    (void)state;
    fake->properties.stops_on_reset = false;
    fake_transport_connect(fake);
    fake->driver.queues = &queue;
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_EBUSY);
    assert_true(l4vio_queue_ready(&queue));
    assert_int_equal(l4vio_driver_restart(&fake->driver, NULL), L4VIO_OK);
    l4vio_driver_disconnect(&fake->driver);
    assert_false(l4vio_queue_ready(&queue));
    fake_transport_free(fake);
}

static void device_that_may_go_on_keeps_its_memory(void **state)
{
    struct fake_transport *fake = fake_transport_new();
    struct l4vio_queue queue = {.live = true, .avail_index = 1};
    struct l4vio_region region;
    (void)state;
    fake->properties.stops_on_reset = false;
    fake_transport_connect(fake);
    assert_int_equal(l4vio_driver_allocate(&fake->driver, 4096, &region, NULL), L4VIO_OK);
    fake->driver.queues = &queue;
    assert_int_equal(l4vio_driver_reset(&fake->driver, NULL), L4VIO_EBUSY);
    assert_int_equal(l4vio_driver_release(&fake->driver, &region, NULL), L4VIO_EBUSY);
    assert_non_null(region.base);
    l4vio_driver_disconnect(&fake->driver);
    assert_null(region.base);
    fake_transport_free(fake);
}

/* A platform with a lock, for the calls that are safe from several threads. */
struct locked {
    struct l4vio_platform_ops ops;
    pthread_mutex_t mutex;
    struct fake_transport *fake;
    uint64_t addresses[THREADS * PER_THREAD];
    struct l4vio_dataspace dataspace;
};

static struct locked locked;

static void take(void *self)
{
    (void)self;
    pthread_mutex_lock(&locked.mutex);
}

static void give(void *self)
{
    (void)self;
    pthread_mutex_unlock(&locked.mutex);
}

/* The fixture's virtual clock is for one thread. */
static uint64_t still(void *self)
{
    (void)self;
    return 1;
}

static void *register_many(void *argument)
{
    uint64_t *addresses = argument;
    for (unsigned i = 0; i < PER_THREAD; i++) {
        if (l4vio_driver_register_dataspace(&locked.fake->driver, &locked.dataspace, 0, 4097,
                                            &addresses[i], NULL))
            addresses[i] = 0;
    }
    return NULL;
}

static void several_threads_may_register(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    struct fake_transport *fake = fake_transport_new();
    locked.fake = fake;
    locked.ops = *fake->platform.ops;
    locked.ops.lock = take;
    locked.ops.unlock = give;
    locked.ops.now_ns = still;
    pthread_mutex_init(&locked.mutex, NULL);
    fake->driver_config.platform.ops = &locked.ops;
    fake_transport_connect(fake);
    assert_int_equal(
        fake->platform.ops->dataspace_allocate(fake->platform.self, 8192, &locked.dataspace, NULL),
        L4VIO_OK);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, register_many, &locked.addresses[i * PER_THREAD]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    bool seen[THREADS * PER_THREAD] = {false};
    for (unsigned i = 0; i < THREADS * PER_THREAD; i++) {
        uint64_t offset = locked.addresses[i] - L4VIO_FIRST_DEVICE_ADDRESS;
        assert_int_equal(offset % 8192, 0);
        assert_true(offset / 8192 < THREADS * PER_THREAD);
        assert_false(seen[offset / 8192]);
        seen[offset / 8192] = true;
    }
    fake_transport_free(fake);
    pthread_mutex_destroy(&locked.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region_of_a_dataspace),
        cmocka_unit_test(release_without_unmap),
        cmocka_unit_test(allocation_failures),
        cmocka_unit_test(unanswered_call_keeps_its_addresses),
        cmocka_unit_test(memory_that_survives_is_not_mapped_again),
        cmocka_unit_test(transport_may_choose_addresses_but_not_move_them),
        cmocka_unit_test(memory_of_an_unanswered_call_is_kept_until_reset_or_the_end),
        cmocka_unit_test(device_that_may_go_on_keeps_its_queues),
        cmocka_unit_test(device_that_may_go_on_keeps_its_memory),
        cmocka_unit_test(several_threads_may_register),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
