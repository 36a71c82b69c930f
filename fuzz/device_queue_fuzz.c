/* SPDX-License-Identifier: MIT */
/*
 * The bytes play the driver against the device: they write rings and page, make chains available,
 * call. After each input the device has to be usable again after a reset.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/ordering.h"
#include "raw_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct input *input, unsigned size_bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size_bytes && input->left; i++, input->left--)
        value |= (uint32_t)*input->data++ << (8 * i);
    return value;
}

/* An address near the memory, or any. */
static uint64_t take_address(struct input *input)
{
    uint32_t kind = take(input, 1);
    if (kind < 200)
        return RAW_BASE + take(input, 2) + (kind & 1u ? RAW_DATA : 0);
    return (uint64_t)take(input, 4) << 32 | take(input, 4);
}

static void write_descriptor(struct raw_driver *driver, struct input *input, uint32_t queue)
{
    uint32_t place = take(input, 1);
    uint64_t address = take_address(input);
    uint32_t length_bytes = take(input, place & 0x80 ? 4 : 1);
    uint16_t flags = (uint16_t)take(input, 1);
    uint16_t next = (uint16_t)take(input, flags & 0x80 ? 2 : 1);
    if (place & 0x40)
        raw_desc_at(driver, RAW_TABLE + (place & 0x3f) * 4, address, length_bytes, flags & 7, next);
    else
        raw_desc(&raw_table(driver, queue)[place % RAW_QUEUE_SIZE], address, length_bytes,
                 flags & 7, next);
}

static void work(struct raw_driver *driver, uint32_t queue)
{
    if (!l4vio_device_live(&driver->device))
        return;
    uint8_t copy[64];
    for (unsigned i = 0; i < 2 * RAW_QUEUE_SIZE && raw_take(driver, queue) == 1; i++) {
        uint64_t got = l4vio_device_chain_read(&driver->chain, 1, copy, sizeof(copy));
        l4vio_device_chain_write(&driver->chain, 1, copy, got);
        /* Every segment lies in the driver's memory, from end to end. */
        for (unsigned s = 0; s < (unsigned)driver->chain.readable + driver->chain.writable; s++) {
            const struct l4vio_device_segment *segment = &driver->segments[s];
            uint64_t offset = (uint64_t)((unsigned char *)segment->base - driver->memory);
            if (offset > RAW_MEMORY_BYTES || segment->length_bytes > RAW_MEMORY_BYTES - offset)
                __builtin_trap();
        }
        raw_finish(driver, queue, driver->chain.head, (uint32_t)driver->chain.writable_bytes);
    }
    l4vio_device_notify(&driver->device, queue);
}

static void step(struct raw_driver *driver, struct input *input)
{
    uint32_t what = take(input, 1);
    uint32_t queue = what >> 7;
    struct l4vio_device_queue *ring = l4vio_device_queue(&driver->device, queue);
    switch (what % 14) {
    case 0:
    case 1:
        write_descriptor(driver, input, queue);
        break;
    case 2:
        raw_publish(driver, queue, (uint16_t)take(input, 1));
        work(driver, queue);
        break;
    case 3:
        raw_publish(driver, queue, (uint16_t)take(input, 2));
        break;
    case 4:
        work(driver, queue);
        break;
    case 5:
        l4vio_store16(&raw_avail(driver, queue)->idx, (uint16_t)take(input, 2));
        break;
    case 6:
        driver->page_bytes[take(input, 2) % L4VIO_PAGE_BYTES] = (uint8_t)take(input, 1);
        break;
    case 7:
        driver->memory[take(input, 2) % RAW_MEMORY_BYTES] = (uint8_t)take(input, 1);
        break;
    case 8:
        l4vio_device_page_set_status(&driver->device_page, take(input, 1));
        break;
    case 9:
        raw_fill_entry(driver, queue);
        l4vio_device_page_config_queue(&driver->device_page, take(input, 1) % 4, NULL);
        break;
    case 10:
        l4vio_store32(&driver->page->cmd, take(input, 4));
        l4vio_device_page_poll_cmd(&driver->device_page, NULL);
        break;
    case 11:
        l4vio_device_reset_queue(&driver->device, queue);
        break;
    case 12:
        l4vio_device_remove_region(&driver->device, RAW_BASE, RAW_MEMORY_BYTES);
        break;
    default:
        if (ring && raw_take(driver, queue) == 1)
            l4vio_device_queue_rewind(ring, &driver->chain);
        break;
    }
}

static bool request_works(struct raw_driver *driver)
{
    raw_publish_one(driver, 0, 3);
    if (raw_take(driver, 0) != 1 || driver->chain.head != 3)
        return false;
    raw_finish(driver, 0, 3, 16);
    return raw_used_index(driver, 0) == 1 && driver->triggers[1] == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct input input = {.data = data, .left = size_bytes};
    struct raw_driver driver;
    raw_driver_init(&driver, RAW_CMD_MODE);
    raw_bring_up(&driver);
    while (input.left)
        step(&driver, &input);

    l4vio_device_page_set_status(&driver.device_page, 0);
    memset(driver.triggers, 0, sizeof(driver.triggers));
    raw_bring_up(&driver);
    if (!request_works(&driver))
        __builtin_trap();
    raw_driver_free(&driver);
    return 0;
}
