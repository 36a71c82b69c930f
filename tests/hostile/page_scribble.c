/* SPDX-License-Identifier: MIT */
/*
 * A driver that writes garbage over the config page and its rings at any time: the device decides by
 * what it keeps privately, survives, and is usable after a reset. One seed, so that what fails once
 * fails again.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "raw_driver.h"

#define ROUNDS 3000u
#define STEPS  20u
#define SEED   UINT64_C(0x9e3779b97f4a7c15)

static uint32_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

/* Small numbers and edges are what gets past the first check. */
static uint32_t pick(uint64_t *random)
{
    uint32_t value = next_random(random);
    switch (value % 5) {
    case 0:
        return next_random(random) % (2 * RAW_QUEUE_SIZE);
    case 1:
        return (uint32_t)RAW_BASE + next_random(random) % (RAW_MEMORY_BYTES + 16);
    case 2:
        return UINT32_C(1) << (next_random(random) % 32);
    default:
        return next_random(random);
    }
}

/* Word by word and atomic, as another processor would. */
static void scribble(unsigned char *bytes, uint32_t size_bytes, uint64_t *random)
{
    uint32_t words = size_bytes / 4;
    uint32_t first = next_random(random) % words;
    uint32_t count = next_random(random) % 64 + 1;
    for (uint32_t i = first; i < words && i < first + count; i++)
        l4vio_store32((l4vio_le32 *)(void *)bytes + i, pick(random));
}

static void scribble_somewhere(struct raw_driver *driver, uint64_t *random)
{
    if (next_random(random) % 2)
        scribble(driver->page_bytes, L4VIO_PAGE_BYTES, random);
    else
        scribble(driver->memory, RAW_DATA, random);
}

/* Works on a queue as a device class does. `copy`: with the data too, which two threads may not. */
static void work(struct raw_driver *driver, uint32_t queue, bool copy)
{
    if (!l4vio_device_live(&driver->device))
        return;
    unsigned char byte = 0;
    for (unsigned i = 0; i < RAW_QUEUE_SIZE && raw_take(driver, queue) == 1; i++) {
        if (copy) {
            l4vio_device_chain_read(&driver->chain, 3, &byte, 1);
            l4vio_device_chain_write(&driver->chain, driver->chain.writable_bytes / 2, &byte, 1);
        }
        raw_finish(driver, queue, driver->chain.head, 1);
    }
    struct l4vio_device_queue *ring = l4vio_device_queue(&driver->device, queue);
    if (ring) {
        l4vio_device_queue_disarm(ring);
        l4vio_device_queue_arm(ring);
    }
    l4vio_device_notify(&driver->device, queue);
}

static void one_call(struct raw_driver *driver, uint64_t *random, bool copy)
{
    uint32_t queue = next_random(random) % RAW_QUEUES;
    switch (next_random(random) % 8) {
    case 0:
        l4vio_device_page_set_status(&driver->device_page, pick(random) & 0xdf);
        break;
    case 1:
        l4vio_device_page_config_queue(&driver->device_page, pick(random) % 4, NULL);
        break;
    case 2:
        l4vio_device_page_poll_cmd(&driver->device_page, NULL);
        break;
    case 3:
        l4vio_device_write_config(&driver->device, next_random(random) % RAW_CONFIG_BYTES, "x", 1);
        break;
    case 4:
        l4vio_device_reset_queue(&driver->device, queue);
        break;
    case 5:
        raw_fill_entry(driver, queue);
        break;
    default:
        raw_publish_one(driver, queue, (uint16_t)(next_random(random) % RAW_QUEUE_SIZE));
        work(driver, queue, copy);
        break;
    }
}

static void expect_usable(struct raw_driver *driver)
{
    l4vio_device_page_set_status(&driver->device_page, 0);
    assert_int_equal(l4vio_load32(&driver->page->magic), L4VIO_PAGE_MAGIC);
    l4vio_store32(&driver->page->cmd, 0);
    raw_bring_up(driver);
    raw_expect_works(driver);
}

/* Ring features of a test. */
static unsigned options[] = {0, RAW_EVENT_IDX | RAW_IN_ORDER, RAW_PACKED,
                             RAW_PACKED | RAW_EVENT_IDX | RAW_IN_ORDER | RAW_ORDER_PLATFORM};

static void garbage_between_calls_harms_nobody(void **state)
{
    struct raw_driver driver;
    uint64_t random = SEED;
    raw_driver_init(&driver, RAW_CMD_MODE | *(unsigned *)*state);
    for (unsigned round = 0; round < ROUNDS; round++) {
        expect_usable(&driver);
        for (unsigned i = 0; i < STEPS; i++) {
            scribble_somewhere(&driver, &random);
            one_call(&driver, &random, true);
        }
    }
    raw_driver_free(&driver);
}

/* A thread that writes while the device works, so that values change between any two reads. */
struct scribbler {
    struct raw_driver *driver;
    uint32_t stop;
};

static void *scribble_on(void *argument)
{
    struct scribbler *scribbler = argument;
    uint64_t random = SEED + 1;
    while (!l4vio_private_load32(&scribbler->stop))
        scribble_somewhere(scribbler->driver, &random);
    return NULL;
}

static void garbage_during_calls_harms_nobody(void **state)
{
    struct raw_driver driver;
    uint64_t random = SEED;
    raw_driver_init(&driver, RAW_CMD_MODE | *(unsigned *)*state);
    for (unsigned round = 0; round < 10; round++) {
        expect_usable(&driver);
        struct scribbler scribbler = {.driver = &driver};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, scribble_on, &scribbler), 0);
        for (unsigned i = 0; i < 1000; i++)
            one_call(&driver, &random, false);
        l4vio_private_store32(&scribbler.stop, 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    expect_usable(&driver);
    raw_driver_free(&driver);
}

int main(void)
{
#define CASES(prefix, at)                                                                   \
    {prefix "between calls", garbage_between_calls_harms_nobody, NULL, NULL, &options[at]}, \
    {                                                                                       \
        prefix "during calls", garbage_during_calls_harms_nobody, NULL, NULL, &options[at]  \
    }

    const struct CMUnitTest tests[] = {
        CASES("split: ", 0),
        CASES("split, all features: ", 1),
        CASES("packed: ", 2),
        CASES("packed, all features: ", 3),
    };
    return cmocka_run_group_tests_name("page_scribble", tests, NULL, NULL);
}
