/* SPDX-License-Identifier: MIT */
/*
 * The record of a packed ring: copies of the descriptors that were taken, each chain a list of entries,
 * and a list of those that are free. `free_head` and the used position are ahead of the `old_` ones
 * while something is being done; a successor takes what was done back, or completes it if the driver can
 * see it already.
 */
#include "core/bytes.h"
#include "devices/inflight.h"

static struct vhost_user_inflight_packed *region_of(const struct l4vio_device_queue *queue)
{
    return queue->inflight.region;
}

/* Aligned as the entries have to be: the header ends with padding. */
static struct vhost_user_inflight_packed_desc *entries_of(const struct l4vio_device_queue *queue)
{
    return (struct vhost_user_inflight_packed_desc *)(void *)(region_of(queue) + 1);
}

/* The used position, that before what is being done, and the two rounds, as they lie in the region. */
struct positions {
    uint16_t places[2];
    uint8_t rounds[2];
    uint8_t padding[2];
};

typedef uint64_t __attribute__((may_alias)) any_word64;
typedef uint32_t __attribute__((may_alias)) any_word32;
typedef uint16_t __attribute__((may_alias)) any_word16;

/*
 * Both positions with both rounds: by one store, or a successor could find the place of one round with
 * the number of another. Machines that have none of 64 bits store the rounds first, or last if the
 * position goes `back`: then was_shown can tell.
 */
static void store_positions(const struct l4vio_device_queue *queue,
                            struct l4vio_packed_position used, struct l4vio_packed_position old,
                            bool back)
{
    uint16_t *to = &region_of(queue)->used_idx;
    const struct positions positions = {
        .places = {(uint16_t)used.place, (uint16_t)old.place},
        .rounds = {l4vio_packed_first_round(used), l4vio_packed_first_round(old)},
    };
    _Static_assert(offsetof(struct vhost_user_inflight_packed, used_idx) % 8 == 0, "one word");
    _Static_assert(offsetof(struct vhost_user_inflight_packed, used_wrap_counter) ==
                       offsetof(struct vhost_user_inflight_packed, used_idx) + 4,
                   "places, then rounds");
#if __SIZEOF_POINTER__ >= 8
    any_word64 word;
    (void)back;
    memcpy(&word, &positions, sizeof(word));
    l4vio_record_store64((any_word64 *)(void *)to, word);
#else
    any_word32 places;
    any_word16 rounds;
    memcpy(&places, positions.places, sizeof(places));
    memcpy(&rounds, positions.rounds, sizeof(rounds));
    if (back)
        l4vio_record_store32((any_word32 *)(void *)to, places);
    l4vio_record_store16((any_word16 *)(void *)(to + 2), rounds);
    if (!back)
        l4vio_record_store32((any_word32 *)(void *)to, places);
#endif
}

/* What the header said, read once. */
struct header {
    uint32_t free_head;
    uint32_t old_free_head;
    struct l4vio_packed_position used;
    struct l4vio_packed_position old_used;
};

static int read_header(const struct l4vio_device_queue *queue, struct header *header,
                       struct l4vio_error *error)
{
    const struct vhost_user_inflight_packed *region = region_of(queue);
    uint8_t round = l4vio_record_load8(&region->used_wrap_counter);
    uint8_t old_round = l4vio_record_load8(&region->old_used_wrap_counter);
    header->free_head = l4vio_record_load16(&region->free_head);
    header->old_free_head = l4vio_record_load16(&region->old_free_head);
    header->used.place = l4vio_record_load16(&region->used_idx);
    header->used.bits = round ? L4VIO_PACKED_ROUND_BITS : 0;
    header->old_used.place = l4vio_record_load16(&region->old_used_idx);
    header->old_used.bits = old_round ? L4VIO_PACKED_ROUND_BITS : 0;
    if (header->used.place >= queue->size || header->old_used.place >= queue->size || round > 1 ||
        old_round > 1)
        return l4vio_fail(error, L4VIO_EINVAL, "an in-flight record of another ring",
                          header->used.place);
    return L4VIO_OK;
}

/*
 * Whether the driver can see the batch that was being shown when the predecessor died: its first
 * descriptor is not as it was made available any more. It may have been made available again since, in
 * another round.
 */
static bool was_shown(const struct l4vio_device_queue *queue, const struct header *header)
{
    bool same_round = header->used.bits == header->old_used.bits;
    if (header->used.place == header->old_used.place && same_round)
        return false;
#if __SIZEOF_POINTER__ < 8
    if (header->used.place < header->old_used.place && same_round)
        return true;
#endif
    const struct virtq_packed_desc *desc = &l4vio_packed_ring(queue)[header->old_used.place];
    return (l4vio_load16_acquire(&desc->flags) & L4VIO_PACKED_ROUND_BITS) !=
           l4vio_packed_available(header->old_used);
}

/* The list of free entries, which ends with the size. Returns their number or a negative code. */
static int read_free(struct l4vio_device_queue *queue, uint32_t at, struct l4vio_error *error)
{
    const struct vhost_user_inflight_packed_desc *entries = entries_of(queue);
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    int count = 0;
    queue->inflight.head = (uint16_t)at;
    for (; at != queue->size; count++) {
        if (at > queue->size || slots[at].order == L4VIO_INFLIGHT_FREE)
            return l4vio_fail(error, L4VIO_EINVAL, "the free list of an in-flight record is wrong",
                              at);
        slots[at].order = L4VIO_INFLIGHT_FREE;
        slots[at].next = l4vio_record_load16(&entries[at].next);
        at = slots[at].next;
    }
    return count;
}

/* The chain that begins with an entry; `room` entries at most. Returns their number or a negative code. */
static int read_chain(struct l4vio_device_queue *queue, uint32_t first, uint32_t room,
                      struct l4vio_error *error)
{
    const struct vhost_user_inflight_packed_desc *entries = entries_of(queue);
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    uint32_t num = l4vio_record_load16(&entries[first].num);
    uint32_t last = l4vio_record_load16(&entries[first].last);
    uint32_t at = first;
    if (num == 0 || num > room)
        return l4vio_fail(error, L4VIO_EINVAL, "a chain of an in-flight record is too long", num);
    for (uint32_t i = 0;; i++) {
        if (at >= queue->size || slots[at].order != L4VIO_INFLIGHT_NONE)
            return l4vio_fail(error, L4VIO_EINVAL, "a chain of an in-flight record is wrong", at);
        slots[at].order = L4VIO_INFLIGHT_CONTINUED;
        if (i + 1 == num)
            break;
        slots[at].next = l4vio_record_load16(&entries[at].next);
        at = slots[at].next;
    }
    uint32_t id = l4vio_record_load16(&entries[at].id);
    if (at != last || id >= queue->size || slots[id].first != L4VIO_INFLIGHT_NONE)
        return l4vio_fail(error, L4VIO_EINVAL, "a chain of an in-flight record is wrong", id);
    slots[id].first = (uint16_t)first;
    slots[first].last = (uint16_t)last;
    slots[first].counter = l4vio_record_load64(&entries[first].counter);
    return (int)num;
}

/* All chains; together with the free entries these are all. Returns their entries or a negative code. */
static int read_chains(struct l4vio_device_queue *queue, uint32_t room, struct l4vio_error *error)
{
    const struct vhost_user_inflight_packed_desc *entries = entries_of(queue);
    uint32_t total = 0;
    for (uint32_t i = 0; i < queue->size; i++) {
        if (queue->inflight.slots[i].order == L4VIO_INFLIGHT_FREE)
            continue;
        uint8_t inflight = l4vio_record_load8(&entries[i].inflight);
        if (inflight > 1)
            return l4vio_fail(error, L4VIO_EINVAL, "an entry of an in-flight record is wrong", i);
        if (!inflight)
            continue;
        int num = read_chain(queue, i, room - total, error);
        if (num < 0)
            return num;
        total += (uint32_t)num;
    }
    if (total != room)
        return l4vio_fail(error, L4VIO_EINVAL, "an in-flight record has lost entries",
                          room - total);
    return (int)total;
}

/* Puts the chains into the list to give out, in order, with their ids; or a negative code. */
static int list_chains(struct l4vio_device_queue *queue, struct l4vio_error *error)
{
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    uint32_t count = 0;
    for (uint32_t id = 0; id < queue->size; id++) {
        if (slots[id].first == L4VIO_INFLIGHT_NONE)
            continue;
        l4vio_inflight_wait_again(queue, slots[id].first);
        count++;
    }
    int result = l4vio_inflight_sort(queue, error);
    if (result)
        return result;
    for (uint32_t id = 0; id < queue->size; id++) {
        if (slots[id].first != L4VIO_INFLIGHT_NONE)
            slots[slots[id].first].counter = id;
    }
    queue->in_flight = (uint16_t)count;
    return L4VIO_OK;
}

/*
 * Behind the first one, which was not shown, there may be used descriptors of a batch: they would be seen
 * once that one is used. The place is the device's; what lay there is in the record.
 */
static void take_back_used(const struct l4vio_device_queue *queue, struct l4vio_packed_position at,
                           uint32_t entries)
{
    for (; entries; entries--) {
        struct virtq_packed_desc *desc = &l4vio_packed_ring(queue)[at.place];
        uint32_t flags = l4vio_load16(&desc->flags);
        uint32_t bits = l4vio_packed_available(at);
        if ((flags & L4VIO_PACKED_ROUND_BITS) != bits)
            l4vio_store16(&desc->flags, (uint16_t)((flags & ~L4VIO_PACKED_ROUND_BITS) | bits));
        at = l4vio_packed_ahead(queue, at, 1);
    }
}

/* Completes what the predecessor was doing, or takes it back. Who dies here leaves it to the next one. */
static void repair(const struct l4vio_device_queue *queue, struct l4vio_packed_position used,
                   bool shown)
{
    struct vhost_user_inflight_packed *region = region_of(queue);
    const struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    uint16_t *behind = shown ? &region->old_free_head : &region->free_head;
    l4vio_record_store16(behind, queue->inflight.head);
    store_positions(queue, used, used, !shown);
    for (uint32_t i = 0; i < queue->size; i++) {
        if (slots[i].order == L4VIO_INFLIGHT_FREE)
            l4vio_record_store8(&entries_of(queue)[i].inflight, 0);
    }
    take_back_used(queue, used, queue->in_flight_entries);
}

int l4vio_inflight_packed_resume(struct l4vio_device_queue *queue,
                                 struct l4vio_device_queue_resume *at, struct l4vio_error *error)
{
    struct header header;
    int result = read_header(queue, &header, error);
    if (result)
        return result;
    bool shown = was_shown(queue, &header);
    struct l4vio_packed_position used = shown ? header.used : header.old_used;
    result = read_free(queue, shown ? header.free_head : header.old_free_head, error);
    if (result >= 0)
        result = read_chains(queue, queue->size - (uint32_t)result, error);
    if (result < 0)
        return result;
    uint32_t entries = (uint32_t)result;
    result = list_chains(queue, error);
    if (result)
        return result;

    queue->in_flight_entries = (uint16_t)entries;
    queue->inflight.place = (uint16_t)used.place;
    repair(queue, used, shown);
    at->used = l4vio_packed_number(used);
    at->avail = l4vio_packed_number(l4vio_packed_ahead(queue, used, entries));
    return L4VIO_OK;
}

void l4vio_inflight_packed_new(struct l4vio_device_queue *queue)
{
    struct vhost_user_inflight_packed *region = region_of(queue);
    struct vhost_user_inflight_packed_desc *entries = entries_of(queue);
    struct l4vio_packed_position used = l4vio_packed_used_position(queue);
    queue->inflight.head = 0;
    for (uint32_t i = 0; i < queue->size; i++) {
        queue->inflight.slots[i].next = (uint16_t)(i + 1);
        l4vio_record_store8(&entries[i].inflight, 0);
        l4vio_record_store16(&entries[i].next, (uint16_t)(i + 1));
        l4vio_record_store64(&entries[i].counter, 0);
    }
    l4vio_record_store64(&region->features, 0);
    l4vio_record_store16(&region->desc_num, queue->size);
    l4vio_record_store16(&region->free_head, 0);
    l4vio_record_store16(&region->old_free_head, 0);
    store_positions(queue, used, used, false);
    /* From here on it is a record. */
    l4vio_record_store16(&region->version, VHOST_USER_INFLIGHT_VERSION);
}

/* Of what was checked already: a copy for the successor, which checks it anew. */
static void copy_desc(struct vhost_user_inflight_packed_desc *entry,
                      const struct virtq_packed_desc *desc)
{
    uint64_t word = l4vio_load_packed(desc);
    l4vio_record_store64(&entry->addr, l4vio_load64(&desc->addr));
    l4vio_record_store32(&entry->len, l4vio_packed_length(word));
    l4vio_record_store16(&entry->id, (uint16_t)l4vio_packed_id(word));
    l4vio_record_store16(&entry->flags, (uint16_t)l4vio_packed_flags(word));
}

/* A chain is in flight once `old_free_head` has passed its entries. */
bool l4vio_inflight_packed_take(struct l4vio_device_queue *queue,
                                const struct l4vio_device_chain *chain, uint32_t place)
{
    struct vhost_user_inflight_packed *region = region_of(queue);
    struct vhost_user_inflight_packed_desc *entries = entries_of(queue);
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    uint16_t first = queue->inflight.head;
    uint16_t at = first;
    uint16_t last = first;
    if (slots[chain->head].first != L4VIO_INFLIGHT_NONE)
        return false;
    for (uint32_t i = 0; i < chain->entries; i++) {
        copy_desc(&entries[at], &l4vio_packed_ring(queue)[place]);
        last = at;
        at = slots[at].next;
        place = place + 1u == queue->size ? 0 : place + 1u;
    }
    slots[chain->head].first = first;
    slots[first].last = last;
    slots[first].order = L4VIO_INFLIGHT_TAKEN;
    queue->inflight.head = at;

    l4vio_record_store16(&entries[last].id, chain->head);
    l4vio_record_store16(&entries[first].num, chain->entries);
    l4vio_record_store16(&entries[first].last, last);
    l4vio_record_store64(&entries[first].counter, queue->inflight.counter++);
    l4vio_record_store8(&entries[first].inflight, 1);
    l4vio_record_store16(&region->free_head, at);
    l4vio_record_store16(&region->old_free_head, at);
    return true;
}

void l4vio_inflight_packed_batch(struct l4vio_device_queue *queue, uint16_t id)
{
    struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    uint16_t first = slots[id].first;
    uint16_t last = slots[first].last;
    slots[id].first = L4VIO_INFLIGHT_NONE;
    slots[last].next = queue->inflight.head;
    l4vio_record_store16(&entries_of(queue)[last].next, queue->inflight.head);
    queue->inflight.head = first;
    l4vio_record_store16(&region_of(queue)->free_head, first);
}

/* Its entries are free before it is not in flight any more: entries that are neither would be lost. */
void l4vio_inflight_packed_rewind(struct l4vio_device_queue *queue, uint16_t id)
{
    uint16_t first = queue->inflight.slots[id].first;
    l4vio_inflight_packed_batch(queue, id);
    l4vio_record_store16(&region_of(queue)->old_free_head, first);
    l4vio_record_store8(&entries_of(queue)[first].inflight, 0);
}

void l4vio_inflight_packed_moving(const struct l4vio_device_queue *queue,
                                  struct l4vio_packed_position used)
{
    store_positions(queue, used, l4vio_packed_used_position(queue), false);
}

/* The batch is what was put to the front of the free list. */
void l4vio_inflight_packed_moved(const struct l4vio_device_queue *queue, uint32_t chains)
{
    const struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    struct l4vio_packed_position used = l4vio_packed_used_position(queue);
    uint16_t first = queue->inflight.head;
    for (; chains; chains--) {
        l4vio_record_store8(&entries_of(queue)[first].inflight, 0);
        first = slots[slots[first].last].next;
    }
    l4vio_record_store16(&region_of(queue)->old_free_head, queue->inflight.head);
    store_positions(queue, used, used, false);
}
