/* SPDX-License-Identifier: MIT */
#include "ring_rig.h"

/* cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    enum l4vio_feature_bit bit;
    const char *name;
} features[] = {
    {L4VIO_F_RING_PACKED, "packed"},
    {L4VIO_F_EVENT_IDX, "event_idx"},
    {L4VIO_F_INDIRECT_DESC, "indirect"},
    {L4VIO_F_IN_ORDER, "in_order"},
    {L4VIO_F_ORDER_PLATFORM, "order_platform"},
};
#define FEATURES     (sizeof(features) / sizeof(features[0]))
#define COMBINATIONS (1u << FEATURES)

/* Tests run one combination after the other: one more than the present one. */
static unsigned next_combination;
static char name[64];

static void make_name(unsigned combination)
{
    size_t at = (size_t)snprintf(name, sizeof(name), "%s", combination & 1u ? "packed" : "split");
    for (unsigned i = 1; i < FEATURES; i++)
        if (combination >> i & 1u)
            at += (size_t)snprintf(name + at, sizeof(name) - at, "+%s", features[i].name);
}

bool ring_rig_next_combination(void)
{
    const char *only = getenv("L4VIO_TEST_RING");
    while (next_combination < COMBINATIONS) {
        make_name(next_combination++);
        if (!only || strcmp(only, name) == 0)
            return true;
    }
    return false;
}

const char *ring_rig_name(void)
{
    return name;
}

bool ring_rig_has(enum l4vio_feature_bit bit)
{
    for (unsigned i = 0; i < FEATURES; i++)
        if (features[i].bit == bit)
            return (next_combination - 1u) >> i & 1u;
    return false;
}

/* Exact sizes, so that the address sanitizer sees a step too far. */
static unsigned char *memory_of(uint64_t size_bytes)
{
    unsigned char *memory = aligned_alloc(64, (size_t)((size_bytes + 63u) & ~UINT64_C(63)));
    assert_non_null(memory);
    memset(memory, 0xa5, (size_t)size_bytes);
    return memory;
}

static void add_tables(struct ring_rig *rig)
{
    uint16_t size = rig->config.size;
    uint16_t entries = size < RIG_TABLE_ENTRIES ? size : RIG_TABLE_ENTRIES;
    if (entries < 2 || rig->descriptors)
        return;
    rig->tables = memory_of(16u * (uint64_t)size * entries);
    rig->config.indirect = (struct l4vio_indirect_tables){
        .memory = rig->tables, .device_address = (uintptr_t)rig->tables, .entries = entries};
}

static void start_device(struct ring_rig *rig)
{
    const struct l4vio_queue_config *config = &rig->config;
    if (rig->packed)
        fake_packed_init(&rig->packed_device, config->size, config->desc, config->avail,
                         config->used);
    else
        fake_device_ring_init(&rig->split_device, config->size, config->desc, config->avail,
                              config->used);
}

struct ring_rig *ring_rig_create(uint16_t size, enum ring_fixture_level level)
{
    struct ring_rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->packed = ring_rig_has(L4VIO_F_RING_PACKED);
    for (unsigned i = 0; i < FEATURES; i++)
        if (ring_rig_has(features[i].bit))
            l4vio_features_set(&rig->config.features, features[i].bit);
    assert_int_equal(l4vio_virtqueue_layout_for(size, &rig->config.features, &rig->layout),
                     L4VIO_OK);
    rig->memory = memory_of(rig->layout.size_bytes);
    rig->slots = calloc(size, sizeof(*rig->slots));
    assert_non_null(rig->slots);
    if (level == DESCRIPTOR_LEVEL) {
        rig->descriptors = calloc(size, sizeof(*rig->descriptors));
        assert_non_null(rig->descriptors);
    }
    rig->config.size = size;
    rig->config.desc = rig->memory + rig->layout.desc_offset;
    rig->config.avail = rig->memory + rig->layout.avail_offset;
    rig->config.used = rig->memory + rig->layout.used_offset;
    rig->config.slots = rig->slots;
    rig->config.descriptors = rig->descriptors;
    if (ring_rig_has(L4VIO_F_INDIRECT_DESC))
        add_tables(rig);
    assert_int_equal(l4vio_queue_init(&rig->queue, &rig->config, NULL), L4VIO_OK);
    start_device(rig);
    rig->queue.live = true;
    return rig;
}

void ring_rig_free(struct ring_rig *rig)
{
    free(rig->memory);
    free(rig->tables);
    free(rig->slots);
    free(rig->descriptors);
    free(rig);
}

void ring_rig_reset(struct ring_rig *rig)
{
    rig->queue.live = false;
    start_device(rig);
}

int ring_rig_add(struct ring_rig *rig, uint32_t writable_bytes, uintptr_t cookie)
{
    struct l4vio_buffer buffer = {.address = 0x1000, .length_bytes = writable_bytes};
    struct l4vio_request request = {.buffers = &buffer, .writable = 1, .cookie = (void *)cookie};
    return l4vio_queue_add(&rig->queue, &request, 1);
}

void ring_rig_add_many(struct ring_rig *rig, uint32_t writable_bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(ring_rig_add(rig, writable_bytes, i), 1);
    l4vio_queue_publish(&rig->queue);
}

void ring_rig_spin(struct ring_rig *rig, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        struct l4vio_completion completion;
        assert_int_equal(ring_rig_add(rig, 8, i), 1);
        l4vio_queue_publish(&rig->queue);
        assert_int_equal(ring_rig_complete_all(rig, 8), 1);
        assert_int_equal(l4vio_queue_get_used(&rig->queue, &completion, 1), 1);
        assert_int_equal((uintptr_t)completion.cookie, i);
        assert_int_equal(completion.length_bytes, 8);
    }
}

unsigned ring_rig_entries(const struct ring_rig *rig, unsigned buffers)
{
    bool table = rig->tables && buffers > 1 && buffers <= rig->config.indirect.entries;
    return table ? 1 : buffers;
}

static void add_piece(struct ring_rig_request *request, uint64_t address, uint32_t length_bytes,
                      unsigned flags)
{
    unsigned place = request->count++;
    if (place >= RIG_PIECES_MAX)
        return;
    request->pieces[place].address = address;
    request->pieces[place].length_bytes = length_bytes;
    request->pieces[place].writable = flags & VIRTQ_DESC_F_WRITE;
}

/* The entries of a split table are linked from 0. */
static void read_split_table(struct ring_rig_request *request, uint64_t address,
                             uint32_t length_bytes)
{
    struct fake_device_ring table = {.desc = (unsigned char *)(uintptr_t)address};
    uint16_t entry = 0;
    for (;;) {
        assert_true(entry < length_bytes / 16);
        struct fake_device_descriptor piece = fake_device_descriptor(&table, entry);
        assert_false(piece.flags & VIRTQ_DESC_F_INDIRECT);
        add_piece(request, piece.address, piece.length_bytes, piece.flags);
        if (!(piece.flags & VIRTQ_DESC_F_NEXT))
            return;
        entry = piece.next;
    }
}

static bool next_split(struct ring_rig *rig, struct ring_rig_request *request)
{
    uint16_t entry;
    if (!fake_device_next(&rig->split_device, &entry))
        return false;
    *request = (struct ring_rig_request){.id = entry};
    for (;;) {
        assert_true(entry < rig->config.size && request->entries < rig->config.size);
        struct fake_device_descriptor piece = fake_device_descriptor(&rig->split_device, entry);
        request->entries++;
        if (piece.flags & VIRTQ_DESC_F_INDIRECT) {
            assert_int_equal(piece.flags, VIRTQ_DESC_F_INDIRECT);
            assert_int_equal(piece.length_bytes % 16, 0);
            read_split_table(request, piece.address, piece.length_bytes);
            return true;
        }
        add_piece(request, piece.address, piece.length_bytes, piece.flags);
        if (!(piece.flags & VIRTQ_DESC_F_NEXT))
            return true;
        entry = piece.next;
    }
}

/* Those of a packed one just follow each other. */
static bool next_packed(struct ring_rig *rig, struct ring_rig_request *request)
{
    struct fake_packed_buffer buffer;
    if (!fake_packed_next(&rig->packed_device, &buffer))
        return false;
    *request = (struct ring_rig_request){.id = buffer.id, .entries = buffer.entries};
    for (unsigned i = 0; i < buffer.entries; i++) {
        uint16_t place = (uint16_t)((buffer.place + i) % rig->config.size);
        struct fake_packed_descriptor piece = fake_packed_at(&rig->packed_device, place);
        if (!(piece.flags & FAKE_PACKED_INDIRECT)) {
            add_piece(request, piece.address, piece.length_bytes, piece.flags);
            continue;
        }
        assert_int_equal(buffer.entries, 1);
        assert_int_equal(piece.length_bytes % 16, 0);
        for (unsigned entry = 0; entry < piece.length_bytes / 16; entry++) {
            const void *table = (const void *)(uintptr_t)piece.address;
            struct fake_packed_descriptor inner = fake_packed_in_table(table, entry);
            add_piece(request, inner.address, inner.length_bytes, inner.flags);
        }
    }
    return true;
}

bool ring_rig_next(struct ring_rig *rig, struct ring_rig_request *request)
{
    return rig->packed ? next_packed(rig, request) : next_split(rig, request);
}

void ring_rig_complete(struct ring_rig *rig, const struct ring_rig_request *request,
                       uint32_t length_bytes)
{
    if (rig->packed)
        fake_packed_use(&rig->packed_device, (uint16_t)request->id, request->entries, length_bytes);
    else
        fake_device_complete(&rig->split_device, request->id, length_bytes);
}

void ring_rig_complete_id(struct ring_rig *rig, uint32_t id, uint32_t length_bytes)
{
    struct ring_rig_request request = {.id = id, .entries = 1};
    ring_rig_complete(rig, &request, length_bytes);
}

unsigned ring_rig_complete_all(struct ring_rig *rig, uint32_t length_bytes)
{
    struct ring_rig_request request;
    unsigned count = 0;
    for (; ring_rig_next(rig, &request); count++)
        ring_rig_complete(rig, &request, length_bytes);
    return count;
}

void ring_rig_ask_for_kicks(struct ring_rig *rig, bool on)
{
    struct fake_device_ring *split = &rig->split_device;
    if (rig->packed)
        fake_packed_put_device_event(
            &rig->packed_device, (uint16_t)(on ? VIRTQ_EVENT_F_ENABLE : VIRTQ_EVENT_F_DISABLE), 0);
    else if (ring_rig_has(L4VIO_F_EVENT_IDX))
        fake_device_put_avail_event(split,
                                    (uint16_t)(fake_device_avail_index(split) - (on ? 0u : 1u)));
    else
        fake_device_put_used_flags(split, (uint16_t)(on ? 0u : VIRTQ_USED_F_NO_NOTIFY));
}

static bool packed_interrupt_wanted(const struct fake_packed *device)
{
    uint32_t event = fake_packed_driver_event(device);
    unsigned place = device->next_used | (device->used_wrap ? 0x8000u : 0u);
    switch (event >> 16 & 3u) {
    case VIRTQ_EVENT_F_DISABLE:
        return false;
    case VIRTQ_EVENT_F_DESC:
        assert_true(ring_rig_has(L4VIO_F_EVENT_IDX));
        return (event & 0xffff) == place;
    default:
        return true;
    }
}

bool ring_rig_interrupt_wanted(const struct ring_rig *rig)
{
    const struct fake_device_ring *split = &rig->split_device;
    if (rig->packed)
        return packed_interrupt_wanted(&rig->packed_device);
    if (!ring_rig_has(L4VIO_F_EVENT_IDX))
        return fake_device_avail_flags(split) != VIRTQ_AVAIL_F_NO_INTERRUPT;
    /* With EVENT_IDX the flag stays 0 (clause D-2.7.7.1-3). */
    assert_int_equal(fake_device_avail_flags(split), 0);
    return fake_device_used_event(split) == split->used_index;
}

/* Packed: not the flags, by which a device says that it has used something. */
void ring_rig_scribble_descriptors(struct ring_rig *rig, unsigned value)
{
    for (unsigned i = 0; i < rig->config.size; i++)
        memset(rig->memory + rig->layout.desc_offset + 16 * (size_t)i, (int)value,
               rig->packed ? 14 : 16);
    if (rig->tables)
        memset(rig->tables, (int)value,
               16 * (size_t)rig->config.size * rig->config.indirect.entries);
}
