/* SPDX-License-Identifier: MIT */
#include "fake_device_ring.h"

/* cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_device_words.h"

void fake_device_ring_init(struct fake_device_ring *ring, uint16_t size, void *desc, void *avail,
                           void *used)
{
    *ring = (struct fake_device_ring){.size = size, .desc = desc, .avail = avail, .used = used};
}

uint16_t fake_device_avail_index(const struct fake_device_ring *ring)
{
    return get16(ring->avail + 2, __ATOMIC_ACQUIRE);
}

uint16_t fake_device_avail_flags(const struct fake_device_ring *ring)
{
    return get16(ring->avail, __ATOMIC_RELAXED);
}

uint16_t fake_device_avail_entry(const struct fake_device_ring *ring, uint16_t index)
{
    return get16(ring->avail + 4 + 2 * (index % ring->size), __ATOMIC_RELAXED);
}

struct fake_device_descriptor fake_device_descriptor(const struct fake_device_ring *ring,
                                                     uint16_t entry)
{
    const unsigned char *at = ring->desc + 16 * (size_t)entry;
    return (struct fake_device_descriptor){
        .address = get32(at) | (uint64_t)get32(at + 4) << 32,
        .length_bytes = get32(at + 8),
        .flags = get16(at + 12, __ATOMIC_RELAXED),
        .next = get16(at + 14, __ATOMIC_RELAXED),
    };
}

bool fake_device_next(struct fake_device_ring *ring, uint16_t *head)
{
    if (fake_device_avail_index(ring) == ring->avail_seen)
        return false;
    *head = fake_device_avail_entry(ring, ring->avail_seen++);
    return true;
}

void fake_device_put_element(struct fake_device_ring *ring, uint16_t index, uint32_t id,
                             uint32_t length_bytes)
{
    unsigned char *at = ring->used + 4 + 8 * (index % ring->size);
    put32(at, id);
    put32(at + 4, length_bytes);
}

void fake_device_put_used_index(struct fake_device_ring *ring, uint16_t index)
{
    put16(ring->used + 2, index, __ATOMIC_RELEASE);
}

void fake_device_put_used_flags(struct fake_device_ring *ring, uint16_t flags)
{
    put16(ring->used, flags, __ATOMIC_RELAXED);
}

void fake_device_complete(struct fake_device_ring *ring, uint32_t id, uint32_t length_bytes)
{
    fake_device_put_element(ring, ring->used_index, id, length_bytes);
    fake_device_put_used_index(ring, ++ring->used_index);
}

void fake_device_complete_batch(struct fake_device_ring *ring, uint32_t last_id,
                                uint32_t length_bytes, uint16_t count)
{
    fake_device_put_element(ring, ring->used_index, last_id, length_bytes);
    ring->used_index = (uint16_t)(ring->used_index + count);
    fake_device_put_used_index(ring, ring->used_index);
}

uint16_t fake_device_used_event(const struct fake_device_ring *ring)
{
    return get16(ring->avail + 4 + 2 * ring->size, __ATOMIC_RELAXED);
}

void fake_device_put_avail_event(struct fake_device_ring *ring, uint16_t index)
{
    put16(ring->used + 4 + 8 * (size_t)ring->size, index, __ATOMIC_RELAXED);
}

bool fake_device_wants_interrupt(struct fake_device_ring *ring)
{
    uint16_t since = (uint16_t)(ring->used_index - ring->kicked_index);
    ring->kicked_index = ring->used_index;
    return (uint16_t)(ring->used_index - fake_device_used_event(ring) - 1) < since;
}

unsigned fake_device_complete_all(struct fake_device_ring *ring, uint32_t length_bytes)
{
    unsigned count = 0;
    uint16_t head;
    for (; fake_device_next(ring, &head); count++)
        fake_device_complete(ring, head, length_bytes);
    return count;
}

static void add_tables(struct ring_fixture *fixture)
{
    struct l4vio_queue_config *config = &fixture->config;
    uint16_t entries = config->size < FIXTURE_TABLE_ENTRIES ? config->size : FIXTURE_TABLE_ENTRIES;
    size_t bytes = (size_t)config->size * entries * 16;

    if (entries < 2 || config->descriptors)
        return;
    fixture->tables = aligned_alloc(16, bytes);
    assert_non_null(fixture->tables);
    memset(fixture->tables, 0xa5, bytes);
    config->indirect = (struct l4vio_indirect_tables){
        .memory = fixture->tables,
        .device_address = (uintptr_t)fixture->tables,
        .entries = entries,
    };
}

struct ring_fixture *ring_fixture_create(uint16_t size, enum ring_fixture_level level)
{
    return ring_fixture_create_with(size, level, (const int[]){RING_FIXTURE_END});
}

struct ring_fixture *ring_fixture_create_with(uint16_t size, enum ring_fixture_level level,
                                              const int *features)
{
    struct ring_fixture *fixture = calloc(1, sizeof(*fixture));
    struct l4vio_features negotiated = {0};
    assert_non_null(fixture);
    for (; *features != RING_FIXTURE_END; features++)
        assert_int_equal(l4vio_features_set(&negotiated, (unsigned)*features), L4VIO_OK);
    assert_int_equal(l4vio_virtqueue_layout_for(size, &negotiated, &fixture->layout), L4VIO_OK);
    fixture->memory = aligned_alloc(64, fixture->layout.size_bytes);
    fixture->slots = calloc(size, sizeof(*fixture->slots));
    assert_non_null(fixture->memory);
    assert_non_null(fixture->slots);
    memset(fixture->memory, 0xa5, fixture->layout.size_bytes);
    if (level == DESCRIPTOR_LEVEL) {
        fixture->descriptors = calloc(size, sizeof(*fixture->descriptors));
        assert_non_null(fixture->descriptors);
    }
    fixture->config = (struct l4vio_queue_config){
        .size = size,
        .desc = fixture->memory + fixture->layout.desc_offset,
        .avail = fixture->memory + fixture->layout.avail_offset,
        .used = fixture->memory + fixture->layout.used_offset,
        .slots = fixture->slots,
        .descriptors = fixture->descriptors,
        .features = negotiated,
    };
    if (l4vio_features_has(&negotiated, L4VIO_F_INDIRECT_DESC))
        add_tables(fixture);
    struct l4vio_error error = {0};
    assert_int_equal(l4vio_queue_init(&fixture->queue, &fixture->config, &error), L4VIO_OK);
    fake_device_ring_init(&fixture->device, size, fixture->config.desc, fixture->config.avail,
                          fixture->config.used);
    fixture->queue.live = true;
    return fixture;
}

void ring_fixture_reset(struct ring_fixture *fixture)
{
    fixture->queue.live = false;
    fixture->device.avail_seen = 0;
    fixture->device.used_index = 0;
    fixture->device.kicked_index = 0;
}

void ring_fixture_free(struct ring_fixture *fixture)
{
    free(fixture->memory);
    free(fixture->slots);
    free(fixture->descriptors);
    free(fixture->tables);
    free(fixture);
}

int ring_fixture_add(struct ring_fixture *fixture, uint32_t writable_bytes, uintptr_t cookie)
{
    struct l4vio_buffer buffer = {.address = 0x1000, .length_bytes = writable_bytes};
    struct l4vio_request request = {.buffers = &buffer, .writable = 1, .cookie = (void *)cookie};
    return l4vio_queue_add(&fixture->queue, &request, 1);
}

void ring_fixture_spin(struct ring_fixture *fixture, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        struct l4vio_completion completion;
        assert_int_equal(ring_fixture_add(fixture, 8, i), 1);
        l4vio_queue_publish(&fixture->queue);
        assert_int_equal(fake_device_complete_all(&fixture->device, 8), 1);
        assert_int_equal(l4vio_queue_get_used(&fixture->queue, &completion, 1), 1);
        assert_int_equal((uintptr_t)completion.cookie, i);
    }
}
