/* SPDX-License-Identifier: MIT */
#include "fake_device_packed.h"

/* cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_words.h"

#define BUFFERS_MAX 8u

void fake_packed_init(struct fake_packed *device, uint16_t size, void *ring, void *driver_area,
                      void *device_area)
{
    *device = (struct fake_packed){
        .size = size,
        .ring = ring,
        .driver_area = driver_area,
        .device_area = device_area,
        .avail_wrap = true,
        .used_wrap = true,
    };
}

struct fake_packed_descriptor fake_packed_in_table(const void *table, unsigned entry)
{
    const unsigned char *at = (const unsigned char *)table + 16 * (size_t)entry;
    uint16_t flags = get16(at + 14, __ATOMIC_ACQUIRE);
    return (struct fake_packed_descriptor){
        .address = get32(at) | (uint64_t)get32(at + 4) << 32,
        .length_bytes = get32(at + 8),
        .id = get16(at + 12, __ATOMIC_RELAXED),
        .flags = flags,
    };
}

struct fake_packed_descriptor fake_packed_at(const struct fake_packed *device, uint16_t place)
{
    return fake_packed_in_table(device->ring, place);
}

static bool available(uint16_t flags, bool wrap)
{
    bool avail = flags & FAKE_PACKED_AVAIL;
    bool used = flags & FAKE_PACKED_USED;
    return avail == wrap && used != wrap;
}

bool fake_packed_is_available(const struct fake_packed *device)
{
    return available(fake_packed_at(device, device->next_avail).flags, device->avail_wrap);
}

static void advance(const struct fake_packed *device, uint16_t *place, bool *wrap, unsigned by)
{
    unsigned now = *place + by;
    if (now >= device->size) {
        now -= device->size;
        *wrap = !*wrap;
    }
    *place = (uint16_t)now;
}

bool fake_packed_next(struct fake_packed *device, struct fake_packed_buffer *buffer)
{
    if (!fake_packed_is_available(device))
        return false;
    *buffer = (struct fake_packed_buffer){.place = device->next_avail};
    for (;;) {
        struct fake_packed_descriptor descriptor = fake_packed_at(device, device->next_avail);
        assert_true(available(descriptor.flags, device->avail_wrap));
        advance(device, &device->next_avail, &device->avail_wrap, 1);
        buffer->id = descriptor.id;
        buffer->entries++;
        if (!(descriptor.flags & FAKE_PACKED_NEXT))
            return true;
        assert_true(buffer->entries < device->size);
    }
}

void fake_packed_put(struct fake_packed *device, uint16_t place, uint16_t id, uint32_t length_bytes,
                     uint16_t flags)
{
    unsigned char *at = device->ring + 16 * (size_t)place;
    put32(at + 8, length_bytes);
    put16(at + 12, id, __ATOMIC_RELAXED);
    put16(at + 14, flags, __ATOMIC_RELEASE);
}

void fake_packed_put_used(struct fake_packed *device, uint16_t id, uint32_t length_bytes)
{
    unsigned flags = device->used_wrap ? FAKE_PACKED_AVAIL | FAKE_PACKED_USED : 0;
    fake_packed_put(device, device->next_used, id, length_bytes,
                    (uint16_t)(length_bytes ? flags | FAKE_PACKED_WRITE : flags));
}

void fake_packed_use(struct fake_packed *device, uint16_t id, uint16_t entries,
                     uint32_t length_bytes)
{
    fake_packed_put_used(device, id, length_bytes);
    advance(device, &device->next_used, &device->used_wrap, entries);
}

unsigned fake_packed_use_all(struct fake_packed *device, uint32_t length_bytes)
{
    struct fake_packed_buffer buffer;
    unsigned count = 0;
    for (; fake_packed_next(device, &buffer); count++)
        fake_packed_use(device, buffer.id, buffer.entries, length_bytes);
    return count;
}

unsigned fake_packed_use_batch(struct fake_packed *device, uint32_t length_bytes)
{
    struct fake_packed_buffer buffer;
    unsigned count = 0;
    unsigned entries = 0;
    for (; fake_packed_next(device, &buffer); count++)
        entries += buffer.entries;
    if (count)
        fake_packed_use(device, buffer.id, (uint16_t)entries, length_bytes);
    return count;
}

uint32_t fake_packed_driver_event(const struct fake_packed *device)
{
    return get32(device->driver_area);
}

void fake_packed_put_device_event(struct fake_packed *device, uint16_t flags, uint16_t off_wrap)
{
    put16(device->device_area, off_wrap, __ATOMIC_RELAXED);
    put16(device->device_area + 2, flags, __ATOMIC_RELAXED);
}

/* By stepping through the places that were written, one by one. */
bool fake_packed_has_to_notify(const struct fake_packed *device, uint16_t moved)
{
    uint32_t event = get32(device->driver_area);
    uint16_t place = device->next_used;
    bool wrap = device->used_wrap;
    if (event >> 16 != 2)
        return event >> 16 == 0;
    while (moved-- > 0) {
        wrap = place ? wrap : !wrap;
        place = (uint16_t)((place ? place : device->size) - 1u);
        if ((event & 0xffff) == (place | (unsigned)wrap << 15))
            return true;
    }
    return false;
}

static void set_features(struct l4vio_queue_config *config, unsigned features)
{
    static const unsigned bits[] = {L4VIO_F_EVENT_IDX, L4VIO_F_IN_ORDER, L4VIO_F_INDIRECT_DESC,
                                    L4VIO_F_ORDER_PLATFORM, L4VIO_F_NOTIFICATION_DATA};
    l4vio_features_set(&config->features, L4VIO_F_RING_PACKED);
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        if (features & 1u << i)
            l4vio_features_set(&config->features, bits[i]);
    config->strict = features & PACKED_STRICT;
}

/* Plain malloc and exact sizes, so that the address sanitizer sees a step too far. */
static void *memory_of(size_t size_bytes)
{
    void *memory = aligned_alloc(64, (size_bytes + 63u) & ~(size_t)63u);
    assert_non_null(memory);
    memset(memory, 0xa5, size_bytes);
    return memory;
}

struct packed_fixture *packed_fixture_create(uint16_t size, unsigned features)
{
    struct packed_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    set_features(&fixture->config, features);
    assert_int_equal(l4vio_virtqueue_layout_for(size, &fixture->config.features, &fixture->layout),
                     L4VIO_OK);
    fixture->memory = memory_of(fixture->layout.size_bytes);
    fixture->slots = malloc(size * sizeof(*fixture->slots));
    assert_non_null(fixture->slots);
    if (features & PACKED_DESCRIPTOR_LEVEL) {
        fixture->descriptors = calloc(size, sizeof(*fixture->descriptors));
        assert_non_null(fixture->descriptors);
    }
    fixture->config.size = size;
    fixture->config.desc = fixture->memory + fixture->layout.desc_offset;
    fixture->config.avail = fixture->memory + fixture->layout.avail_offset;
    fixture->config.used = fixture->memory + fixture->layout.used_offset;
    fixture->config.slots = fixture->slots;
    fixture->config.descriptors = fixture->descriptors;
    if (features & PACKED_INDIRECT) {
        uint16_t entries = size < 4 ? size : 4;
        fixture->tables = memory_of(16u * (size_t)size * entries);
        fixture->config.indirect.memory = fixture->tables;
        fixture->config.indirect.device_address = PACKED_TABLES_ADDRESS;
        fixture->config.indirect.entries = entries;
    }
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_queue_init(&fixture->queue, &fixture->config, &error), L4VIO_OK);
    fake_packed_init(&fixture->device, size, fixture->config.desc, fixture->config.avail,
                     fixture->config.used);
    fixture->queue.live = true;
    return fixture;
}

void packed_fixture_reset(struct packed_fixture *fixture)
{
    fixture->queue.live = false;
    fake_packed_init(&fixture->device, fixture->device.size, fixture->config.desc,
                     fixture->config.avail, fixture->config.used);
}

void packed_fixture_free(struct packed_fixture *fixture)
{
    free(fixture->memory);
    free(fixture->tables);
    free(fixture->slots);
    free(fixture->descriptors);
    free(fixture);
}

int packed_fixture_add(struct packed_fixture *fixture, unsigned buffers, uint32_t bytes,
                       uintptr_t cookie)
{
    struct l4vio_buffer list[BUFFERS_MAX];
    struct l4vio_request request = {
        .buffers = list, .writable = (uint16_t)buffers, .cookie = (void *)cookie};
    assert_true(buffers <= BUFFERS_MAX);
    for (unsigned i = 0; i < buffers; i++)
        list[i] = (struct l4vio_buffer){.address = 0x1000u * (i + 1u), .length_bytes = bytes};
    return l4vio_queue_add(&fixture->queue, &request, 1);
}

void packed_fixture_spin(struct packed_fixture *fixture, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        struct l4vio_completion completion;
        assert_int_equal(packed_fixture_add(fixture, 1, 8, i), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_int_equal(fake_packed_use_all(&fixture->device, 8), 1);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, &completion, 1), 1);
        assert_int_equal((uintptr_t)completion.cookie, i);
    }
}
