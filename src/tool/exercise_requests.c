/* SPDX-License-Identifier: MIT */
/* What the requests of an exercise are: kinds, ranges, the pieces of their memory. */
#include <stdio.h>
#include <string.h>

#include "tool/exercise.h"

static uint64_t below(struct exerciser *exerciser, uint64_t limit)
{
    return exercise_random(&exerciser->random, limit);
}

/* From 1 to `most`, small ones as often as large ones. */
static uint64_t any_size(struct exerciser *exerciser, uint64_t most)
{
    unsigned bits = 0;
    while (most >> bits > 1)
        ++bits;
    return 1 + below(exerciser, most >> below(exerciser, bits + 1));
}

static uint64_t slot_room(const struct exerciser *exerciser)
{
    return exerciser->settings->request_bytes_max / VIRTIO_BLK_SECTOR_BYTES;
}

/* Ranges of requests in flight must not overlap, but for reads. */
static bool is_free(const struct exerciser *exerciser, enum l4vio_block_type type, uint64_t sector,
                    uint64_t count)
{
    for (unsigned i = 0; i < exerciser->slot_count; ++i) {
        const struct exercise_slot *other = &exerciser->slots[i];
        if (!other->busy || sector >= other->sector + other->count ||
            other->sector >= sector + count)
            continue;
        if (type != L4VIO_BLOCK_READ || other->request.type != L4VIO_BLOCK_READ)
            return false;
    }
    return true;
}

static bool choose_range(struct exerciser *exerciser, struct exercise_slot *slot,
                         enum l4vio_block_type type)
{
    const struct exercise_model *model = &exerciser->model;
    uint64_t unit = exerciser->block_sectors;
    uint64_t blocks = model->sector_count / unit;
    uint64_t most = slot_room(exerciser) / unit;
    for (unsigned tries = 0; tries < 8; ++tries) {
        uint64_t count = any_size(exerciser, most < blocks ? most : blocks);
        uint64_t first = below(exerciser, blocks - count + 1);
        slot->sector = model->first_sector + first * unit;
        slot->count = count * unit;
        if (is_free(exerciser, type, slot->sector, slot->count))
            return true;
    }
    slot->count = 0;
    return false;
}

/* In units of `unit` bytes, into so many pieces with gaps behind them. */
static void cut(struct exerciser *exerciser, struct exercise_slot *slot, uint64_t pieces,
                uint64_t unit)
{
    uint64_t offset = slot->data_offset_bytes;
    uint64_t left = slot->count * VIRTIO_BLK_SECTOR_BYTES / unit;
    uint32_t used = 0;
    if (pieces > left)
        pieces = left;
    for (; pieces; --pieces, ++used) {
        uint64_t spare = left - pieces; /* Beyond one unit for each piece. */
        uint64_t usual = 2 * left / pieces;
        uint64_t length =
            pieces == 1 ? left : 1 + below(exerciser, (spare < usual ? spare : usual) + 1);
        slot->segments[used] =
            (struct l4vio_block_segment){&exerciser->data, offset, length * unit};
        offset += length * unit + EXERCISE_GAP_BYTES;
        left -= length;
    }
    slot->request.segments = slot->segments;
    slot->request.segment_count = used;
}

/*
 * Pieces of whole sectors, or of any length. However many, if each part of the request then has room for
 * a block; else as many as one part takes.
 */
static void cut_somehow(struct exerciser *exerciser, struct exercise_slot *slot)
{
    uint64_t most = exerciser->client->block->part_buffers_max;
    bool sectors = below(exerciser, 2);
    if (most > EXERCISE_SEGMENTS_MAX || (sectors && most >= exerciser->block_sectors))
        most = EXERCISE_SEGMENTS_MAX;
    cut(exerciser, slot, any_size(exerciser, most), sectors ? VIRTIO_BLK_SECTOR_BYTES : 1);
}

static unsigned char *piece_of(struct exerciser *exerciser, const struct exercise_slot *slot,
                               uint32_t number)
{
    return (unsigned char *)exerciser->data.base + slot->segments[number].offset_bytes;
}

static void prepare_write(struct exerciser *exerciser, struct exercise_slot *slot)
{
    const unsigned char *from = exerciser->scratch;
    exercise_model_write(&exerciser->model, slot->sector, slot->count, exerciser->scratch);
    cut_somehow(exerciser, slot);
    for (uint32_t i = 0; i < slot->request.segment_count; ++i) {
        memcpy(piece_of(exerciser, slot, i), from, slot->segments[i].length_bytes);
        from += slot->segments[i].length_bytes;
    }
}

void exercise_prepare_read(struct exerciser *exerciser, struct exercise_slot *slot, uint64_t sector,
                           uint64_t count)
{
    slot->sector = slot->request.sector = sector;
    slot->count = count;
    slot->request.type = L4VIO_BLOCK_READ;
    cut_somehow(exerciser, slot);
    slot->poison = slot->poison == EXERCISE_POISON ? EXERCISE_OTHER_POISON : EXERCISE_POISON;
    for (uint32_t i = 0; i < slot->request.segment_count; ++i)
        memset(piece_of(exerciser, slot, i), slot->poison,
               slot->segments[i].length_bytes + EXERCISE_GAP_BYTES);
}

bool exercise_check_read(struct exerciser *exerciser, struct exercise_slot *slot,
                         char text[EXERCISE_TEXT_BYTES])
{
    unsigned char *to = exerciser->scratch;
    for (uint32_t i = 0; i < slot->request.segment_count; ++i) {
        const unsigned char *piece = piece_of(exerciser, slot, i);
        uint64_t length = slot->segments[i].length_bytes;
        memcpy(to, piece, length);
        to += length;
        for (unsigned g = 0; g < EXERCISE_GAP_BYTES; ++g) {
            if (piece[length + g] == slot->poison)
                continue;
            snprintf(text, EXERCISE_TEXT_BYTES,
                     "a read of sector %llu has written past the end of its buffer",
                     (unsigned long long)slot->sector);
            return false;
        }
    }
    return exercise_model_check(&exerciser->model, slot->sector, slot->count, exerciser->scratch,
                                text);
}

static bool supported(const struct exerciser *exerciser, enum l4vio_block_type type)
{
    const struct l4vio_block_info *info = &exerciser->client->block->info;
    switch (type) {
    case L4VIO_BLOCK_WRITE:
        return exerciser->settings->write;
    case L4VIO_BLOCK_DISCARD:
        return exerciser->settings->write && info->discard;
    case L4VIO_BLOCK_WRITE_ZEROES:
        return exerciser->settings->write && info->write_zeroes;
    case L4VIO_BLOCK_FLUSH:
        return info->flush;
    case L4VIO_BLOCK_READ:
    case L4VIO_BLOCK_GET_ID:
        return true;
    }
    return false;
}

/* In 64ths. */
static enum l4vio_block_type choose_type(struct exerciser *exerciser)
{
    static const struct {
        unsigned weight;
        enum l4vio_block_type type;
    } types[] = {
        {25, L4VIO_BLOCK_WRITE}, {5, L4VIO_BLOCK_WRITE_ZEROES}, {5, L4VIO_BLOCK_DISCARD},
        {2, L4VIO_BLOCK_FLUSH},  {1, L4VIO_BLOCK_GET_ID},
    };
    uint64_t place = below(exerciser, 64);
    for (unsigned i = 0; i < sizeof types / sizeof *types; ++i) {
        if (place < types[i].weight)
            return supported(exerciser, types[i].type) ? types[i].type : L4VIO_BLOCK_READ;
        place -= types[i].weight;
    }
    return L4VIO_BLOCK_READ;
}

bool exercise_choose(struct exerciser *exerciser, struct exercise_slot *slot)
{
    struct l4vio_block_request *request = &slot->request;
    enum l4vio_block_type type = choose_type(exerciser);
    request->sector = slot->sector = slot->count = 0;
    request->segment_count = 0;
    if (type == L4VIO_BLOCK_FLUSH || type == L4VIO_BLOCK_GET_ID) {
        request->type = type;
        return true;
    }
    if (!choose_range(exerciser, slot, type))
        return false;
    request->type = type;
    request->sector = slot->sector;
    request->sector_count = slot->count;
    request->unmap = below(exerciser, 2);
    if (type == L4VIO_BLOCK_DISCARD)
        exercise_model_discard(&exerciser->model, slot->sector, slot->count);
    else if (type == L4VIO_BLOCK_WRITE_ZEROES)
        exercise_model_zero(&exerciser->model, slot->sector, slot->count);
    else if (type == L4VIO_BLOCK_WRITE)
        prepare_write(exerciser, slot);
    else
        exercise_prepare_read(exerciser, slot, slot->sector, slot->count);
    return true;
}
