/* SPDX-License-Identifier: MIT */
#include "raw_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/virtqueue.h>

#include "core/ordering.h"

#define ROUND_BITS (VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED)

void raw_ring_init(struct raw_ring *ring, bool packed, uint16_t size, void *desc, void *avail,
                   void *used, uint16_t *entries)
{
    memset(ring, 0, sizeof(*ring));
    memset(entries, 0, size * sizeof(*entries));
    ring->entries = entries;
    ring->packed = packed;
    ring->size = size;
    ring->desc = desc;
    ring->avail = avail;
    ring->used = used;
    ring->avail_round = true;
    ring->used_round = true;
    memset(desc, 0, l4vio_virtqueue_desc_bytes(size));
    memset(avail, 0, packed ? 4 : l4vio_virtqueue_avail_bytes(size));
    memset(used, 0, packed ? 4 : l4vio_virtqueue_used_bytes(size));
}

static void write_split(struct raw_ring *ring, uint16_t place, const struct raw_piece *piece,
                        bool last)
{
    struct virtq_desc *desc = (struct virtq_desc *)ring->desc + place;
    l4vio_store64(&desc->addr, piece->address);
    l4vio_store32(&desc->len, piece->length_bytes);
    l4vio_store16(&desc->flags, (uint16_t)(piece->flags | (last ? 0 : RAW_NEXT)));
    l4vio_store16(&desc->next, (uint16_t)((place + 1u) % ring->size));
}

static void publish_split(struct raw_ring *ring, uint16_t id, const struct raw_piece *pieces,
                          unsigned count)
{
    struct virtq_avail *avail = ring->avail;
    l4vio_le16 *heads = (l4vio_le16 *)(void *)(avail + 1);
    for (unsigned i = 0; i < count; i++)
        write_split(ring, (uint16_t)((id + i) % ring->size), &pieces[i], i + 1 == count);
    l4vio_store16(&heads[ring->avail_index % ring->size], id);
    ring->avail_index++;
    l4vio_store16_release(&avail->idx, ring->avail_index);
}

unsigned raw_packed_bits(const struct raw_ring *ring, unsigned place)
{
    bool round = place >= ring->avail_index ? ring->avail_round : !ring->avail_round;
    return round ? VIRTQ_PACKED_DESC_F_AVAIL : VIRTQ_PACKED_DESC_F_USED;
}

void raw_packed_desc(struct raw_ring *ring, unsigned place, struct raw_piece piece, uint16_t id,
                     unsigned flags)
{
    struct virtq_packed_desc *desc = (struct virtq_packed_desc *)ring->desc + place;
    l4vio_store64(&desc->addr, piece.address);
    l4vio_store32(&desc->len, piece.length_bytes);
    l4vio_store16(&desc->id, id);
    l4vio_store16_release(&desc->flags, (uint16_t)(piece.flags | flags));
}

void raw_packed_advance(struct raw_ring *ring, unsigned entries)
{
    unsigned place = ring->avail_index + entries;
    if (place >= ring->size) {
        place -= ring->size;
        ring->avail_round = !ring->avail_round;
    }
    ring->avail_index = (uint16_t)place;
}

static void publish_packed(struct raw_ring *ring, uint16_t id, const struct raw_piece *pieces,
                           unsigned count)
{
    for (unsigned i = count; i-- > 0;) {
        unsigned place = (ring->avail_index + i) % ring->size;
        raw_packed_desc(ring, place, pieces[i], id,
                        raw_packed_bits(ring, place) | (i + 1 == count ? 0 : RAW_NEXT));
    }
    raw_packed_advance(ring, count);
}

void raw_ring_publish(struct raw_ring *ring, uint16_t id, const struct raw_piece *pieces,
                      unsigned count)
{
    if (id < ring->size)
        ring->entries[id] = (uint16_t)count;
    if (ring->packed)
        publish_packed(ring, id, pieces, count);
    else
        publish_split(ring, id, pieces, count);
}

void raw_ring_skip_used(struct raw_ring *ring, unsigned chains, unsigned entries)
{
    unsigned place = ring->used_index + entries;
    if (!ring->packed) {
        ring->used_index = (uint16_t)(ring->used_index + chains);
        return;
    }
    if (place >= ring->size) {
        place -= ring->size;
        ring->used_round = !ring->used_round;
    }
    ring->used_index = (uint16_t)place;
}

static bool get_used_packed(struct raw_ring *ring, struct raw_used *used)
{
    const struct virtq_packed_desc *desc =
        (const struct virtq_packed_desc *)ring->desc + ring->used_index;
    unsigned flags = l4vio_load16_acquire(&desc->flags);
    if ((flags & ROUND_BITS) != (ring->used_round ? ROUND_BITS : 0))
        return false;
    used->id = l4vio_load16(&desc->id);
    used->length_bytes = l4vio_load32(&desc->len);
    used->flags = flags;
    raw_ring_skip_used(ring, 1, ring->entries[used->id % ring->size]);
    return true;
}

bool raw_ring_get_used(struct raw_ring *ring, struct raw_used *used)
{
    if (ring->packed)
        return get_used_packed(ring, used);
    const struct virtq_used *shared = ring->used;
    const struct virtq_used_elem *elements =
        (const struct virtq_used_elem *)(const void *)(shared + 1);
    if (l4vio_load16_acquire(&shared->idx) == ring->used_index)
        return false;
    const struct virtq_used_elem *element = &elements[ring->used_index++ % ring->size];
    used->id = l4vio_load32(&element->id);
    used->length_bytes = l4vio_load32(&element->len);
    used->flags = 0;
    return true;
}

void raw_packed_want(struct raw_ring *ring, unsigned flags, unsigned place, bool round)
{
    struct virtq_event_suppress *event = ring->avail;
    l4vio_store16(&event->off_wrap, (uint16_t)(place | (unsigned)round << VIRTQ_EVENT_WRAP_SHIFT));
    l4vio_store16_release(&event->flags, (uint16_t)flags);
}

struct virtq_event_suppress *raw_packed_device_event(struct raw_ring *ring)
{
    return ring->used;
}

static void set_up_rings(struct raw_queue *rig, uint16_t size,
                         const struct l4vio_features *features,
                         struct l4vio_device_queue_config *config)
{
    struct l4vio_virtqueue_layout layout;
    assert_int_equal(l4vio_virtqueue_layout_for(size, features, &layout), 0);
    uint64_t bytes = (layout.size_bytes + 4095u) & ~UINT64_C(4095);
    rig->rings = aligned_alloc(4096, (size_t)bytes);
    rig->data = aligned_alloc(4096, RAW_QUEUE_DATA);
    assert_non_null(rig->rings);
    assert_non_null(rig->data);
    memset(rig->data, 0, RAW_QUEUE_DATA);
    struct l4vio_device_region rings = {
        .device_address = RAW_QUEUE_RINGS, .size_bytes = bytes, .base = rig->rings};
    struct l4vio_device_region data = {
        .device_address = RAW_QUEUE_BASE, .size_bytes = RAW_QUEUE_DATA, .base = rig->data};
    l4vio_device_memory_init(&rig->memory, rig->regions, 2, 0);
    assert_int_equal(l4vio_device_memory_add(&rig->memory, &rings, NULL), 0);
    assert_int_equal(l4vio_device_memory_add(&rig->memory, &data, NULL), 0);

    raw_ring_init(&rig->ring, l4vio_features_has(features, L4VIO_F_RING_PACKED), size,
                  rig->rings + layout.desc_offset, rig->rings + layout.avail_offset,
                  rig->rings + layout.used_offset, rig->entries);
    config->desc_address = RAW_QUEUE_RINGS + layout.desc_offset;
    config->avail_address = RAW_QUEUE_RINGS + layout.avail_offset;
    config->used_address = RAW_QUEUE_RINGS + layout.used_offset;
}

struct raw_queue *raw_queue_new(uint16_t size, const int *features)
{
    struct raw_queue *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->slots = calloc(size, sizeof(*rig->slots));
    rig->entries = calloc(size, sizeof(*rig->entries));
    assert_non_null(rig->slots);
    assert_non_null(rig->entries);
    rig->config = (struct l4vio_device_queue_config){.index = 7, .size = size, .slots = rig->slots};
    for (; *features >= 0; features++)
        assert_int_equal(l4vio_features_set(&rig->config.features, (unsigned)*features), 0);
    set_up_rings(rig, size, &rig->config.features, &rig->config);
    assert_int_equal(l4vio_device_queue_init(&rig->queue, &rig->config, &rig->memory, NULL), 0);
    return rig;
}

int raw_queue_resume(struct raw_queue *rig, const struct l4vio_device_queue_resume *resume)
{
    struct l4vio_device_queue_config config = rig->config;
    config.resume = resume;
    return l4vio_device_queue_init(&rig->queue, &config, &rig->memory, NULL);
}

void raw_queue_free(struct raw_queue *rig)
{
    free(rig->slots);
    free(rig->entries);
    free(rig->rings);
    free(rig->data);
    free(rig);
}

void raw_queue_publish_many(struct raw_queue *rig, uint16_t id, unsigned count,
                            uint32_t length_bytes)
{
    struct raw_piece *pieces = calloc(count, sizeof(*pieces));
    assert_non_null(pieces);
    for (unsigned i = 0; i < count; i++)
        pieces[i] = (struct raw_piece){RAW_QUEUE_BASE, length_bytes, RAW_WRITE};
    raw_ring_publish(&rig->ring, id, pieces, count);
    free(pieces);
}

void raw_queue_publish(struct raw_queue *rig, uint16_t id, uint32_t length_bytes)
{
    raw_queue_publish_many(rig, id, 1, length_bytes);
}

int raw_queue_take(struct raw_queue *rig)
{
    return l4vio_device_queue_next(&rig->queue, &rig->chain, rig->segments, RAW_QUEUE_PARTS);
}

void raw_queue_finish(struct raw_queue *rig, const struct l4vio_device_chain *chain,
                      uint32_t written_bytes)
{
    struct l4vio_device_used used = l4vio_device_chain_used(&rig->queue, chain, written_bytes);
    l4vio_device_queue_finish(&rig->queue, &used, 1);
}
