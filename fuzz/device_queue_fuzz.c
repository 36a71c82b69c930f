/* SPDX-License-Identifier: MIT */
/*
 * The bytes play the driver against the device: they write rings and page, make chains available,
 * call. The first one chooses format and features of the rings. The device keeps some chains and
 * finishes them in another order. After each input it has to be usable again after a reset.
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

/* Writes the next packed descriptor, with the flags of its round or with any. */
static void write_packed(struct raw_driver *driver, struct input *input, uint32_t queue)
{
    struct raw_ring *ring = &driver->rings[queue];
    uint32_t kind = take(input, 1);
    unsigned place = (ring->avail_index + (kind & 7)) % RAW_QUEUE_SIZE;
    struct raw_piece piece = {
        .address = take_address(input), .length_bytes = take(input, 1), .flags = kind >> 4 & 7};
    uint16_t id = (uint16_t)take(input, 1) % (RAW_QUEUE_SIZE + 1);
    raw_packed_desc(ring, place, piece, id,
                    kind & 0x80 ? take(input, 2) : raw_packed_bits(ring, place));
    if (!(kind & 8))
        raw_packed_advance(ring, 1);
}

/* A chain as a driver makes it, over what may still be in flight. */
static void publish_chain(struct raw_driver *driver, struct input *input, uint32_t queue)
{
    struct raw_piece pieces[4];
    uint32_t kind = take(input, 1);
    for (unsigned i = 0; i < 4; i++)
        pieces[i] = (struct raw_piece){.address = RAW_BASE + RAW_DATA + 64u * i,
                                       .length_bytes = kind >> 2 & 15,
                                       .flags = kind & 0x40 || i > 1 ? RAW_WRITE : RAW_READ};
    raw_publish_chain(driver, queue, (uint16_t)take(input, 1) % RAW_QUEUE_SIZE, pieces,
                      1 + (kind & 3));
}

/* Every segment lies in the driver's memory, from end to end. */
static void check_segments(const struct raw_driver *driver)
{
    for (unsigned s = 0; s < (unsigned)driver->chain.readable + driver->chain.writable; s++) {
        const struct l4vio_device_segment *segment = &driver->segments[s];
        uint64_t offset = (uint64_t)((unsigned char *)segment->base - driver->memory);
        if (offset > RAW_MEMORY_BYTES || segment->length_bytes > RAW_MEMORY_BYTES - offset)
            __builtin_trap();
    }
}

/* Chains that the device keeps for a while; `order` says which to finish first. */
static void work(struct raw_driver *driver, uint32_t queue, uint32_t order)
{
    struct l4vio_device_used kept[2 * RAW_QUEUE_SIZE];
    unsigned count = 0;
    uint8_t copy[64];
    if (!l4vio_device_live(&driver->device))
        return;
    struct l4vio_device_queue *ring = l4vio_device_queue(&driver->device, queue);
    while (count < 2 * RAW_QUEUE_SIZE && raw_take(driver, queue) == 1) {
        uint64_t got = l4vio_device_chain_read(&driver->chain, 1, copy, sizeof(copy));
        l4vio_device_chain_write(&driver->chain, 1, copy, got);
        check_segments(driver);
        kept[count++] =
            l4vio_device_chain_used(ring, &driver->chain, (uint32_t)driver->chain.writable_bytes);
    }
    for (unsigned i = 0; i < count / 2 && (order & 1); i++) {
        struct l4vio_device_used swap = kept[i];
        kept[i] = kept[count - 1 - i];
        kept[count - 1 - i] = swap;
    }
    if (order & 2)
        for (unsigned i = 0; i < count; i++)
            l4vio_device_queue_finish(ring, &kept[i], 1);
    else if (count)
        l4vio_device_queue_finish(ring, kept, count);
    if (ring && ring->in_flight != 0)
        __builtin_trap(); /* All were handed back. */
    l4vio_device_notify(&driver->device, queue);
    if (ring && order & 4)
        l4vio_device_queue_disarm(ring);
    if (ring && order & 8)
        l4vio_device_queue_arm(ring);
    if (ring && order & 16)
        l4vio_device_queue_kicked(ring, queue | order << 16);
}

static void step(struct raw_driver *driver, struct input *input)
{
    uint32_t what = take(input, 1);
    uint32_t queue = what >> 7;
    struct l4vio_device_queue *ring = l4vio_device_queue(&driver->device, queue);
    switch (what % 16) {
    case 0:
    case 1:
        write_descriptor(driver, input, queue);
        break;
    case 2:
        raw_publish(driver, queue, (uint16_t)take(input, 1));
        work(driver, queue, what >> 2);
        break;
    case 3:
        raw_publish(driver, queue, (uint16_t)take(input, 2));
        break;
    case 4:
        work(driver, queue, take(input, 1));
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
        write_packed(driver, input, queue);
        break;
    case 13:
        publish_chain(driver, input, queue);
        break;
    case 14:
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
    struct raw_used used;
    raw_publish_one(driver, 0, 3);
    if (raw_take(driver, 0) != 1 || driver->chain.head != 3)
        return false;
    raw_finish(driver, 0, 3, 16);
    return raw_ring_get_used(&driver->rings[0], &used) && used.id == 3 && driver->triggers[1] == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct input input = {.data = data, .left = size_bytes};
    struct raw_driver driver;
    raw_driver_init(&driver, RAW_CMD_MODE | (take(&input, 1) & RAW_ALL_FEATURES));
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
