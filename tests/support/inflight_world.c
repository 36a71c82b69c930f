/* SPDX-License-Identifier: MIT */
#include "inflight_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/virtqueue.h>
#include <l4vio/wire/vhost_user_inflight.h>

#include "core/ordering.h"

#define BASE         UINT64_C(0x10000)
#define RECORD       0x1000u
#define DATA         0x2000u
#define DATA_BYTES   0x200u /* Of an id. */
#define TABLE        0x100u /* Its indirect table. */
#define ANSWER       0x10u  /* Its answer, behind the serial number. */
#define RECORD_BYTES (DATA - RECORD)
#define PIECES_MAX   4u
#define NESTING_MAX  2u

/* The world that runs, and how deep in recoveries. */
static struct world *running;
static unsigned depth;
static unsigned long deaths;
static unsigned nested_every;
static unsigned long cuts;

unsigned world_random(struct world *world, unsigned below)
{
    world->random = world->random * 1103515245u + 12345u;
    return (world->random >> 16) % below;
}

static bool is_packed(const struct world *world)
{
    return world->options & WORLD_PACKED;
}

static void lay_out(struct world *world, struct l4vio_virtqueue_layout *layout)
{
    static const struct {
        unsigned option;
        unsigned bit;
    } features[] = {{WORLD_PACKED, L4VIO_F_RING_PACKED},
                    {WORLD_IN_ORDER, L4VIO_F_IN_ORDER},
                    {WORLD_EVENT_IDX, L4VIO_F_EVENT_IDX}};
    world->config = (struct l4vio_device_queue_config){.size = world->size, .slots = world->slots};
    l4vio_features_set(&world->config.features, L4VIO_F_INDIRECT_DESC);
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (world->options & features[i].option)
            l4vio_features_set(&world->config.features, features[i].bit);
    }
    assert_int_equal(l4vio_virtqueue_layout_for(world->size, &world->config.features, layout), 0);
    assert_true(layout->size_bytes <= RECORD);
    world->config.desc_address = BASE + layout->desc_offset;
    world->config.avail_address = BASE + layout->avail_offset;
    world->config.used_address = BASE + layout->used_offset;
    world->region = (struct l4vio_device_region){
        .device_address = BASE, .size_bytes = WORLD_BYTES, .base = world->memory};
    l4vio_device_memory_init(&world->map, &world->region, 1, 0);
    world->map.count = 1;
}

static struct world *empty_world(uint16_t size, unsigned options)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->memory = aligned_alloc(4096, WORLD_BYTES);
    assert_non_null(world->memory);
    world->size = size;
    world->options = options;
    return world;
}

struct world *world_new(uint16_t size, unsigned options, unsigned seed)
{
    struct l4vio_virtqueue_layout layout;
    struct world *world = empty_world(size, options);
    memset(world->memory, 0, WORLD_BYTES);
    lay_out(world, &layout);
    raw_ring_init(&world->ring, is_packed(world), size, world->memory + layout.desc_offset,
                  world->memory + layout.avail_offset, world->memory + layout.used_offset,
                  world->ring_entries);
    world->random = seed;
    world->serial = 1;
    return world;
}

void *world_record(const struct world *world)
{
    return world->memory + RECORD;
}

void world_free(struct world *world)
{
    free(world->memory);
    free(world);
}

struct world *world_copy(const struct world *world)
{
    struct l4vio_virtqueue_layout layout;
    struct world *copy = empty_world(world->size, world->options);
    memcpy(copy->memory, world->memory, WORLD_BYTES);
    lay_out(copy, &layout);
    copy->random = world->random;
    copy->ring = world->ring;
    copy->ring.desc = copy->memory + layout.desc_offset;
    copy->ring.avail = copy->memory + layout.avail_offset;
    copy->ring.used = copy->memory + layout.used_offset;
    copy->ring.entries = copy->ring_entries;
    memcpy(copy->ring_entries, world->ring_entries, sizeof(copy->ring_entries));
    memcpy(copy->outstanding, world->outstanding, sizeof(copy->outstanding));
    copy->outstanding_count = world->outstanding_count;
    copy->serial = world->serial;
    return copy;
}

int world_resume(struct world *world)
{
    uint16_t beginning = is_packed(world) ? 1u << VIRTQ_EVENT_WRAP_SHIFT : 0;
    struct l4vio_device_queue_resume resume = {.avail = beginning,
                                               .used = beginning,
                                               .in_flight = world_record(world),
                                               .in_flight_bytes = RECORD_BYTES,
                                               .in_flight_slots = world->inflight_slots};
    struct l4vio_device_queue_config config = world->config;
    config.resume = &resume;
    world->held_count = 0;
    return l4vio_device_queue_init(&world->queue, &config, &world->map, NULL);
}

static uint64_t data_of(uint16_t id)
{
    return DATA + (uint64_t)id * DATA_BYTES;
}

static unsigned entries_out(const struct world *world)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < world->outstanding_count; i++)
        sum += world->outstanding[i].entries;
    return sum;
}

/* Is a descriptor (split) or an id (packed) that of a request? */
static bool occupied(const struct world *world, unsigned number)
{
    for (unsigned i = 0; i < world->outstanding_count; i++) {
        unsigned length = is_packed(world) ? 1 : world->outstanding[i].entries;
        if ((number + world->size - world->outstanding[i].id) % world->size < length)
            return true;
    }
    return false;
}

static int find_id(struct world *world, unsigned entries)
{
    unsigned from = world_random(world, world->size);
    if (entries_out(world) + entries > world->size)
        return -1;
    for (unsigned i = 0; i < world->size; i++) {
        unsigned id = (from + i) % world->size;
        unsigned length = is_packed(world) ? 1 : entries;
        unsigned fits = 0;
        while (fits < length && !occupied(world, (id + fits) % world->size))
            fits++;
        if (fits == length)
            return (int)id;
    }
    return -1;
}

static void write_table(struct world *world, uint16_t id, const struct raw_piece *pieces,
                        unsigned count)
{
    unsigned char *table = world->memory + data_of(id) + TABLE;
    for (unsigned i = 0; i < count; i++) {
        unsigned flags = pieces[i].flags | (i + 1 < count ? RAW_NEXT : 0);
        struct virtq_desc *desc = (struct virtq_desc *)(void *)table + i;
        l4vio_store64(&desc->addr, pieces[i].address);
        l4vio_store32(&desc->len, pieces[i].length_bytes);
        l4vio_store16(&desc->flags, (uint16_t)(is_packed(world) ? 0 : flags));
        l4vio_store16(&desc->next, (uint16_t)(is_packed(world) ? pieces[i].flags : i + 1));
    }
}

bool world_publish(struct world *world)
{
    unsigned most = world->size < PIECES_MAX ? world->size : PIECES_MAX;
    unsigned count = 1 + world_random(world, most);
    bool indirect = world_random(world, 4) == 0;
    unsigned entries = indirect ? 1 : count;
    int found = find_id(world, entries);
    if (found < 0)
        return false;
    uint16_t id = (uint16_t)found;
    struct raw_piece pieces[PIECES_MAX];
    for (unsigned i = 0; i < count; i++)
        pieces[i] =
            (struct raw_piece){BASE + data_of(id) + i * ANSWER, 4, i ? RAW_WRITE : RAW_READ};
    memset(world->memory + data_of(id), 0, DATA_BYTES);
    l4vio_store32((l4vio_le32 *)(void *)(world->memory + data_of(id)), world->serial);
    if (indirect) {
        write_table(world, id, pieces, count);
        pieces[0] =
            (struct raw_piece){BASE + data_of(id) + TABLE, count * 16, VIRTQ_DESC_F_INDIRECT};
    }
    world->outstanding[world->outstanding_count++] = (struct world_request){
        .serial = world->serial++, .id = id, .entries = (uint16_t)entries, .writable = count > 1};
    raw_ring_publish(&world->ring, id, pieces, entries);
    return true;
}

static void retire(struct world *world, unsigned index)
{
    const struct world_request *request = &world->outstanding[index];
    const unsigned char *data = world->memory + data_of(request->id);
    if (request->writable)
        assert_int_equal(l4vio_load32((const l4vio_le32 *)(const void *)(data + ANSWER)),
                         request->serial);
    world->outstanding_count--;
    memmove(&world->outstanding[index], &world->outstanding[index + 1],
            (world->outstanding_count - index) * sizeof(world->outstanding[0]));
}

/* In order, what is used stands for all requests before it as well. */
static void retire_up_to(struct world *world, unsigned index)
{
    unsigned chains = index;
    unsigned entries = 0;
    for (unsigned i = 0; i < chains; i++) {
        entries += world->outstanding[0].entries;
        retire(world, 0);
    }
    retire(world, 0);
    raw_ring_skip_used(&world->ring, chains, entries);
}

unsigned world_collect(struct world *world)
{
    struct raw_used used;
    unsigned before = world->outstanding_count;
    while (raw_ring_get_used(&world->ring, &used)) {
        unsigned index = 0;
        while (index < world->outstanding_count && world->outstanding[index].id != used.id)
            index++;
        assert_true(index < world->outstanding_count);
        if (world->options & WORLD_IN_ORDER)
            retire_up_to(world, index);
        else
            retire(world, index);
    }
    return before - world->outstanding_count;
}

bool world_take(struct world *world)
{
    struct world_chain *held = &world->held[world->held_count];
    int result =
        l4vio_device_queue_next(&world->queue, &held->chain, held->segments, WORLD_SIZE_MAX);
    if (result < 0)
        fail_msg("%s: %llu", world->queue.broken_error.text,
                 (unsigned long long)world->queue.broken_error.value);
    if (result == 0)
        return false;
    l4vio_le32 serial;
    assert_int_equal(l4vio_device_chain_read(&held->chain, 0, &serial, 4), 4);
    held->serial = l4vio_load32(&serial);
    held->chain.segments = NULL; /* It may move. */
    world->held_count++;
    return true;
}

void world_finish(struct world *world, unsigned count)
{
    struct l4vio_device_used used[WORLD_SIZE_MAX];
    for (unsigned i = 0; i < count; i++) {
        unsigned index = world_random(world, world->held_count);
        struct world_chain *held = &world->held[index];
        l4vio_le32 serial;
        l4vio_store32(&serial, held->serial);
        held->chain.segments = held->segments;
        uint64_t written = 0;
        if (held->chain.writable)
            written = l4vio_device_chain_write(&held->chain, 0, &serial, 4);
        /* Not always all of it: else one used entry stands for all chains. */
        uint32_t said =
            world_random(world, 2) ? (uint32_t)held->chain.writable_bytes : (uint32_t)written;
        used[i] = l4vio_device_chain_used(&world->queue, &held->chain, said);
        world->held_count--;
        memmove(held, held + 1, (world->held_count - index) * sizeof(*held));
    }
    l4vio_device_queue_finish(&world->queue, used, count);
    (void)l4vio_device_queue_needs_notify(&world->queue);
}

void world_rewind(struct world *world)
{
    assert_int_equal(
        l4vio_device_queue_rewind(&world->queue, &world->held[world->held_count - 1].chain), 0);
    world->held_count--;
}

void world_step(struct world *world)
{
    /* What was taken last may be finished by then, and something older may not be put back. */
    unsigned what = world_random(world, 16);
    if (what < 5) {
        world_publish(world);
    } else if (what < 9) {
        if (world_take(world) && world_random(world, 8) == 0)
            world_rewind(world);
    } else if (what < 12) {
        if (world->held_count)
            world_finish(world, 1 + world_random(world, world->held_count));
    } else if (what < 15) {
        world_collect(world);
    } else if (world_random(world, 2)) {
        l4vio_device_queue_disarm(&world->queue);
    } else {
        (void)l4vio_device_queue_arm(&world->queue);
    }
}

/* Everything that is outstanding, in order, and nothing else. */
static void take_all(struct world *world)
{
    for (unsigned i = world->held_count; i < world->outstanding_count; i++) {
        if (world_random(world, 8) == 0 && world_take(world))
            world_rewind(world);
        assert_true(world_take(world));
        assert_int_equal(world->held[i].serial, world->outstanding[i].serial);
        assert_int_equal(world->held[i].chain.head, world->outstanding[i].id);
        assert_int_equal(world->held[i].chain.entries,
                         is_packed(world) ? world->outstanding[i].entries : 1);
        assert_int_equal(world->held[i].chain.writable != 0, world->outstanding[i].writable);
    }
    assert_false(world_take(world));
}

static void finish_all(struct world *world)
{
    while (world->held_count) {
        world_finish(world, 1 + world_random(world, world->held_count));
        if (world_random(world, 2))
            world_collect(world);
    }
    world_collect(world);
    assert_int_equal(world->outstanding_count, 0);
}

static void recover(struct world *world)
{
    uint16_t avail;
    uint16_t used;
    /* The driver does not know, and goes on. */
    if (world_random(world, 2)) {
        world_collect(world);
        while (world_random(world, 3) && world_publish(world)) {}
    }
    assert_int_equal(world_resume(world), 0);
    world_collect(world);
    assert_int_equal(l4vio_device_queue_arm(&world->queue), world->outstanding_count != 0);
    take_all(world);
    while (world_publish(world)) {}
    take_all(world);
    finish_all(world);
    for (unsigned i = 0; i < 12; i++)
        world_step(world);
    while (world->held_count)
        world_finish(world, world->held_count);
    world_collect(world);
    assert_int_equal(l4vio_device_queue_in_flight(&world->queue), 0);
    /* Nothing is left in the record either. */
    l4vio_device_queue_position(&world->queue, &avail, &used);
    assert_int_equal(avail, used);
    assert_int_equal(world_resume(world), 0);
    l4vio_device_queue_position(&world->queue, &avail, NULL);
    assert_int_equal(avail, used);
    assert_int_equal(world->queue.in_flight, 0);
}

/*
 * Those who compare places only, as the protocol text does, take a batch that goes all round the ring for none. In
 * order, one used descriptor may stand for that many; and one chain may be that long. Machines without a store of
 * 64 bits have such a moment between two.
 */
static void check_batch(const struct world *world)
{
    const struct vhost_user_inflight_packed *record = world_record(world);
    const struct vhost_user_inflight_packed_desc *entries =
        (const struct vhost_user_inflight_packed_desc *)(const void *)(record + 1);
    if (sizeof(void *) < 8 || !is_packed(world) || world->options & WORLD_IN_ORDER ||
        record->free_head >= world->size)
        return;
    if (record->used_idx == record->old_used_idx &&
        record->used_wrap_counter != record->old_used_wrap_counter)
        assert_int_equal(entries[record->free_head].num, world->size);
}

void world_check_death(const struct world *world)
{
    check_batch(world);
    struct world *interrupted = running;
    struct world *copy = world_copy(world);
    copy->random ^= (unsigned)deaths * 2654435761u;
    deaths++;
    depth++;
    running = copy;
    recover(copy);
    running = interrupted;
    depth--;
    world_free(copy);
}

void world_cut(void)
{
    if (!running || depth >= NESTING_MAX)
        return;
    if (depth && cuts++ % nested_every)
        return;
    world_check_death(running);
}

unsigned long world_run(uint16_t size, unsigned options, unsigned seed, unsigned steps,
                        unsigned nested)
{
    struct world *world = world_new(size, options, seed);
    depth = 0;
    deaths = 0;
    cuts = 0;
    nested_every = nested;
    running = world;
    assert_int_equal(world_resume(world), 0);
    for (unsigned i = 0; i < steps; i++)
        world_step(world);
    running = NULL;
    world_free(world);
    return deaths;
}
