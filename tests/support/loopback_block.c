/* SPDX-License-Identifier: MIT */
#include "loopback_block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int result, const struct l4vio_error *error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "loopback_block: %s (%llu): %s\n", error->text,
            (unsigned long long)error->value, l4vio_error_name(result));
    abort();
}

static void lock(void *self)
{
    pthread_mutex_lock(self);
}

static void unlock(void *self)
{
    pthread_mutex_unlock(self);
}

/* Works until nothing is left; returns whether it is safe to sleep. */
static bool work(struct loopback_block *rig)
{
    bool idle = true;
    for (uint32_t i = 0; i < loopback_block_queues; ++i) {
        struct l4vio_device_queue *ring = l4vio_device_queue(&rig->device.device, i);
        if (!ring || !l4vio_device_live(&rig->device.device))
            continue;
        l4vio_device_queue_disarm(ring);
        if (l4vio_device_block_process(&rig->device, i, 8) || l4vio_device_queue_arm(ring))
            idle = false;
    }
    return idle;
}

static void *device_main(void *self)
{
    struct loopback_block *rig = self;
    const struct l4vio_platform *platform = &rig->platform;
    struct l4vio_notification kicks[loopback_block_queues + 1];
    for (uint32_t i = 0; i <= loopback_block_queues; ++i)
        kicks[i] = *l4vio_loopback_kick_object(&rig->loopback, i);
    while (!atomic_load(&rig->ending)) {
        pthread_mutex_lock(&rig->lock);
        bool idle = work(rig);
        pthread_mutex_unlock(&rig->lock);
        if (!idle)
            continue;
        platform->ops->wait(platform->self, kicks, loopback_block_queues + 1, L4VIO_NO_HANDLE,
                            L4VIO_FOREVER);
        for (uint32_t i = 0; i <= loopback_block_queues; ++i)
            platform->ops->notification_drain(platform->self, &kicks[i]);
    }
    return NULL;
}

static void start_device(struct loopback_block *rig, const struct l4vio_block_backend *store,
                         const struct l4vio_features *offered, struct l4vio_transport *transport)
{
    struct l4vio_error error = {0, "", 0};
    const struct l4vio_platform *platform = &rig->platform;
    struct l4vio_device_block_config config = {
        .backend = *store,
        .id = "loopback",
        .queue_states = rig->states,
        .queue_slots = rig->device_slots,
        .queues = rig->device_queues,
        .queue_count = loopback_block_queues,
        .queue_size_max = loopback_block_size,
        .requests = rig->requests,
        .requests_per_queue = loopback_block_requests,
        .regions = rig->regions,
        .region_count = sizeof(rig->regions) / sizeof(rig->regions[0]),
    };
    if (offered) {
        l4vio_ring_features(&config.refused);
        config.refused = l4vio_features_minus(&config.refused, offered);
        config.added = *offered;
    }
    check(l4vio_device_block_init(&rig->device, &config, &error), &error);
    check(platform->ops->dataspace_allocate(platform->self, L4VIO_PAGE_BYTES, &rig->page_memory,
                                            &error),
          &error);
    struct l4vio_device_page_config page = {
        .device = &rig->device.device,
        .page = rig->page_memory.base,
        .notification_count = loopback_block_queues + 1,
        .kick_per_queue = true,
        .carries_kick_data = true,
        .trigger = l4vio_loopback_trigger,
        .trigger_self = &rig->loopback,
    };
    check(l4vio_device_page_init(&rig->page, &page, &error), &error);
    check(l4vio_loopback_init(&rig->loopback, &rig->page, &rig->page_memory,
                              loopback_block_queues + 1, platform, transport, &error),
          &error);
    rig->loopback.lock = lock;
    rig->loopback.unlock = unlock;
    rig->loopback.lock_self = &rig->lock;
    if (pthread_create(&rig->thread, NULL, device_main, rig))
        abort();
}

static void start(struct loopback_block *rig, const struct l4vio_block_backend *store,
                  uint16_t queue_size, uint64_t spin_ns, const struct l4vio_features *offered,
                  const struct l4vio_features *allowed)
{
    struct l4vio_error error = {0, "", 0};
    struct l4vio_transport transport;
    memset(rig, 0, sizeof(*rig));
    pthread_mutex_init(&rig->lock, NULL);
    atomic_init(&rig->ending, false);
    check(l4vio_linux_open(&rig->linux_platform, &rig->platform, &error), &error);
    start_device(rig, store, offered, &transport);
    struct l4vio_block_config config = {
        .driver.transport = transport,
        .driver.platform = rig->platform,
        .driver.notifications = rig->notifications,
        .driver.notification_count = loopback_block_queues + 1,
        .driver.spin_ns = spin_ns,
        .queue_count = loopback_block_queues,
        .queue_size = queue_size < loopback_block_size ? queue_size : loopback_block_size,
        .queues = rig->queues,
        .slots = rig->slots,
    };
    if (allowed) {
        l4vio_block_features(&config.driver.allowed);
        config.driver.allowed = l4vio_features_or(&config.driver.allowed, allowed);
    }
    check(l4vio_block_setup(&rig->block, &config, &error), &error);
}

void loopback_block_start(struct loopback_block *rig, const struct l4vio_block_backend *store,
                          uint16_t queue_size, uint64_t spin_ns)
{
    start(rig, store, queue_size, spin_ns, NULL, NULL);
}

void loopback_block_start_with(struct loopback_block *rig, const struct l4vio_block_backend *store,
                               uint16_t queue_size, uint64_t spin_ns,
                               const struct l4vio_features *offered,
                               const struct l4vio_features *allowed)
{
    start(rig, store, queue_size, spin_ns, offered, allowed);
}

void loopback_block_stop(struct loopback_block *rig)
{
    const struct l4vio_platform *platform = &rig->platform;
    l4vio_block_close(&rig->block);
    atomic_store(&rig->ending, true);
    platform->ops->notification_trigger(platform->self,
                                        l4vio_loopback_kick_object(&rig->loopback, 0));
    pthread_join(rig->thread, NULL);
    l4vio_loopback_end(&rig->loopback);
    platform->ops->dataspace_free(platform->self, &rig->page_memory);
    pthread_mutex_destroy(&rig->lock);
    l4vio_linux_close(rig->linux_platform);
}
