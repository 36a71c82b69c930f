/* SPDX-License-Identifier: MIT */
/* Driver and device in two threads over the loopback, on the Linux platform. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include <l4vio/driver.h>
#include <l4vio/linux.h>
#include <l4vio/loopback.h>

#define ROUNDS 2000u

struct pair {
    struct l4vio_platform platform;
    struct l4vio_loopback loopback;
    struct l4vio_device device;
    struct l4vio_device_page page;
    struct l4vio_device_queue_state state;
    struct l4vio_device_region regions[4];
    uint8_t config[8];
    pthread_mutex_t mutex;
    bool stop;
};

static void take(void *self)
{
    struct pair *pair = self;
    pthread_mutex_lock(&pair->mutex);
}

static void give(void *self)
{
    struct pair *pair = self;
    pthread_mutex_unlock(&pair->mutex);
}

static void work(struct pair *pair)
{
    struct l4vio_device_segment segments[4];
    struct l4vio_device_chain chain;
    struct l4vio_device_queue *queue = l4vio_device_queue(&pair->device, 0);
    if (!queue || !l4vio_device_live(&pair->device))
        return;
    do {
        while (l4vio_device_queue_next(queue, &chain, segments, 4) == 1) {
            uint8_t bytes[64];
            uint64_t length = l4vio_device_chain_read(&chain, 0, bytes, sizeof(bytes));
            l4vio_device_chain_write(&chain, 0, bytes, length);
            struct l4vio_device_used used =
                l4vio_device_chain_used(queue, &chain, (uint32_t)length);
            l4vio_device_queue_finish(queue, &used, 1);
            l4vio_device_notify(&pair->device, 0);
        }
    } while (l4vio_device_queue_arm(queue));
}

static void *serve(void *argument)
{
    struct pair *pair = argument;
    const struct l4vio_platform *platform = &pair->platform;
    const struct l4vio_notification *kick = l4vio_loopback_kick_object(&pair->loopback, 0);
    while (!__atomic_load_n(&pair->stop, __ATOMIC_ACQUIRE)) {
        platform->ops->wait(platform->self, kick, 1, L4VIO_NO_HANDLE, L4VIO_FOREVER);
        platform->ops->notification_drain(platform->self, kick);
        take(pair);
        work(pair);
        give(pair);
    }
    return NULL;
}

static void build(struct pair *pair, struct l4vio_dataspace *page,
                  struct l4vio_transport *transport)
{
    struct l4vio_device_config device = {.device_id = 42,
                                         .queues = &pair->state,
                                         .queue_count = 1,
                                         .queue_size_max = 16,
                                         .config = pair->config,
                                         .config_bytes = sizeof(pair->config),
                                         .regions = pair->regions,
                                         .region_count = 4};
    struct l4vio_device_page_config config = {.device = &pair->device,
                                              .page = page->base,
                                              .notification_count = 1,
                                              .trigger = l4vio_loopback_trigger,
                                              .trigger_self = &pair->loopback};
    assert_int_equal(l4vio_device_init(&pair->device, &device, NULL), L4VIO_OK);
    assert_int_equal(l4vio_device_page_init(&pair->page, &config, NULL), L4VIO_OK);
    assert_int_equal(l4vio_loopback_init(&pair->loopback, &pair->page, page, 1, &pair->platform,
                                         transport, NULL),
                     L4VIO_OK);
    pthread_mutex_init(&pair->mutex, NULL);
    pair->loopback.lock = take;
    pair->loopback.unlock = give;
    pair->loopback.lock_self = pair;
}

static void exchange(struct l4vio_driver *driver, struct l4vio_queue *queue,
                     const struct l4vio_region *region)
{
    struct l4vio_buffer buffers[2] = {
        {.address = region->device_address + 2048, .length_bytes = 64},
        {.address = region->device_address + 3072, .length_bytes = 64}};
    struct l4vio_request request = {.buffers = buffers, .readable = 1, .writable = 1};
    unsigned char *base = region->base;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct l4vio_completion completion;
        memset(base + 2048, (int)i, 64);
        assert_int_equal(l4vio_queue_add(queue, &request, 1), 1);
        l4vio_queue_publish(queue);
        assert_int_equal(l4vio_driver_notify(driver, queue), L4VIO_OK);
        assert_int_equal(l4vio_driver_wait_used(
                             driver, queue, l4vio_driver_deadline(driver, UINT64_C(20000000000))),
                         L4VIO_OK);
        assert_int_equal(l4vio_queue_get_used(queue, &completion, 1), 1);
        assert_int_equal(completion.length_bytes, 64);
        assert_memory_equal(base + 2048, base + 3072, 64);
    }
}

static void run(uint64_t spin_ns)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct l4vio_linux *state = NULL;
    struct l4vio_dataspace page;
    struct l4vio_transport transport;
    struct l4vio_driver driver;
    struct l4vio_region region;
    struct l4vio_queue queue;
    struct l4vio_queue_slot slots[16];
    pthread_t thread;
    assert_non_null(pair);
    assert_int_equal(l4vio_linux_open(&state, &pair->platform, NULL), L4VIO_OK);
    const struct l4vio_platform *platform = &pair->platform;
    assert_int_equal(platform->ops->dataspace_allocate(platform->self, 4096, &page, NULL),
                     L4VIO_OK);
    build(pair, &page, &transport);
    assert_int_equal(pthread_create(&thread, NULL, serve, pair), 0);

    struct l4vio_driver_config config = {
        .transport = transport, .platform = pair->platform, .spin_ns = spin_ns};
    assert_int_equal(l4vio_driver_connect(&driver, &config, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_allocate(&driver, 4096, &region, NULL), L4VIO_OK);
    unsigned char *base = region.base;
    struct l4vio_queue_config queue_config = {.size = 16,
                                              .desc = base,
                                              .avail = base + 512,
                                              .used = base + 1024,
                                              .desc_address = region.device_address,
                                              .avail_address = region.device_address + 512,
                                              .used_address = region.device_address + 1024,
                                              .slots = slots};
    assert_int_equal(l4vio_queue_init(&queue, &queue_config, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_attach_queue(&driver, &queue, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_acknowledge(&driver, NULL), L4VIO_OK);
    exchange(&driver, &queue, &region);
    l4vio_driver_disconnect(&driver);

    __atomic_store_n(&pair->stop, true, __ATOMIC_RELEASE);
    platform->ops->notification_trigger(platform->self,
                                        l4vio_loopback_kick_object(&pair->loopback, 0));
    pthread_join(thread, NULL);
    l4vio_loopback_end(&pair->loopback);
    platform->ops->dataspace_free(platform->self, &page);
    unsigned dataspaces;
    unsigned notifications;
    l4vio_linux_usage(state, &dataspaces, &notifications);
    assert_int_equal(dataspaces, 0);
    assert_int_equal(notifications, 0);
    l4vio_linux_close(state);
    pthread_mutex_destroy(&pair->mutex);
    free(pair);
}

static void two_threads_sleeping(void **state)
{
    (void)state;
    run(0);
}

static void two_threads_spinning(void **state)
{
    (void)state;
    run(20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_threads_sleeping),
        cmocka_unit_test(two_threads_spinning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
