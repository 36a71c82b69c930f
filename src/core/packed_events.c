/* SPDX-License-Identifier: MIT */
/*
 * Packed ring: event suppression of both sides (VIRTIO 1.4, sections 2.8.7 and 2.8.10), with and
 * without EVENT_IDX. An area is one 32-bit word, the place in the low half, the flags above, and is
 * read and written as one: a place never goes with the flags of another.
 */
#include "core/packed.h"

static uint32_t event_word(uint32_t off_wrap, uint32_t flags)
{
    return off_wrap | flags << 16;
}

static l4vio_le32 *area_of(const void *area)
{
    return (l4vio_le32 *)(uintptr_t)area;
}

/* Place and round as an area has them. */
static uint16_t off_wrap(uint32_t place, uint32_t bits)
{
    bool odd = bits & VIRTQ_PACKED_DESC_F_AVAIL;
    return (uint16_t)(place | (uint32_t)odd << VIRTQ_EVENT_WRAP_SHIFT);
}

/* Clause D-2.8.16-3: of the first that is not published. */
uint16_t l4vio_packed_kick_position(const struct l4vio_queue *queue)
{
    if (packed_is_held(queue))
        return off_wrap(queue->held_place, l4vio_packed_flags(queue->held_word));
    return off_wrap(packed_place(queue->next_avail), packed_bits(queue->next_avail));
}

uint16_t l4vio_packed_used_position(const struct l4vio_queue *queue)
{
    return off_wrap(packed_place(queue->next_used), packed_bits(queue->next_used));
}

/* The device's area is ours to write as long as no device knows it. */
void l4vio_packed_forget_device(struct l4vio_queue *queue)
{
    l4vio_store32(area_of(queue->used), event_word(0, VIRTQ_EVENT_F_ENABLE));
}

bool l4vio_packed_device_disarmed(const struct l4vio_queue *queue)
{
    uint32_t word = l4vio_load32(area_of(queue->used));
    return ((word >> 16) & 3u) == VIRTQ_EVENT_F_DISABLE;
}

/* A place of the round before counts as that much less than 0; all is modulo 65536. */
static uint16_t distance_from(uint16_t position, uint16_t now, uint16_t size)
{
    uint16_t place = position & (VIRTQ_SIZE_MAX - 1u);
    uint16_t at = now & (VIRTQ_SIZE_MAX - 1u);
    if ((position ^ now) & VIRTQ_SIZE_MAX)
        place = (uint16_t)(place - size);
    return (uint16_t)(at - place);
}

/*
 * Whether the place that the device waits for is among those published since the last decision. If in
 * doubt, it is: a kick too many costs time, one too few costs the request.
 */
static bool place_was_passed(const struct l4vio_queue *queue, uint16_t wanted)
{
    uint64_t requests = queue->published_index - queue->kick_index;
    /* More than a round may have gone by: then the places do not tell. */
    if (requests * queue->longest > queue->size)
        return true;
    if ((wanted & (VIRTQ_SIZE_MAX - 1u)) >= queue->size)
        return true;
    uint16_t now = l4vio_packed_kick_position(queue);
    return (uint16_t)(distance_from(wanted, now, queue->size) - 1u) <
           distance_from(queue->kick_place, now, queue->size);
}

/* The reserved value of the flags counts as enabled. */
bool l4vio_packed_wants_kick(const struct l4vio_queue *queue)
{
    uint32_t word = l4vio_load32(area_of(queue->used));
    uint32_t flags = (word >> 16) & 3u;

    if (flags == VIRTQ_EVENT_F_DISABLE)
        return false;
    return flags != VIRTQ_EVENT_F_DESC || !queue->event_idx ||
           place_was_passed(queue, (uint16_t)word);
}

/*
 * Which requests those will be is not known, so neither is how many entries they have: at least one
 * each, and at least what is left if all the others were as long as any ever was. So the device is
 * never asked for a place that it does not come to with these completions, and if all requests have
 * the same number of entries this is the exact figure.
 *
 * The first entry of the next completion tells of it whatever it is, even one that is added later and is
 * shorter than all that is in flight now.
 */
uint32_t l4vio_packed_entries_of(const struct l4vio_queue *queue, unsigned completions)
{
    if (completions == 1)
        return 1;

    uint32_t requests = l4vio_queue_in_flight(queue);
    uint32_t entries = requests + queue->extra_entries;
    uint32_t others = requests > completions ? (requests - completions) * queue->longest : 0;

    return entries > others + completions ? entries - others : completions;
}

void l4vio_packed_set_interrupts(struct l4vio_queue *queue, unsigned completions)
{
    uint32_t word = event_word(0, VIRTQ_EVENT_F_DISABLE);
    if (completions != 0 && queue->event_idx) {
        uint32_t ahead = l4vio_packed_entries_of(queue, completions) - 1u;
        uint32_t last = packed_advance(queue->next_used, ahead, queue->size);
        word = event_word(off_wrap(packed_place(last), packed_bits(last)), VIRTQ_EVENT_F_DESC);
    } else if (completions != 0) {
        word = event_word(0, VIRTQ_EVENT_F_ENABLE);
    }
    l4vio_store32(area_of(queue->avail), word);
}
