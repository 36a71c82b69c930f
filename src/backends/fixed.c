/* SPDX-License-Identifier: MIT */
#include "backends/fixed.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES ((uintptr_t)2 << 20)
/* A window may be in any slot of its set. */
#define SET_SLOTS 4u
/* To pin a window costs as much as it saves in some hundred requests. */
#define USES_TO_REGISTER 64u
#define USES_MAX         255u
/* After so many refusals nothing new is tried: each costs a system call. */
#define REFUSALS_MAX 16u

struct l4vio_fixed_region {
    uintptr_t base;
    uint64_t size_bytes;
};

void l4vio_fixed_init(struct l4vio_fixed_regions *regions)
{
    memset(regions, 0, sizeof(*regions));
    pthread_mutex_init(&regions->lock, NULL);
}

void l4vio_fixed_destroy(struct l4vio_fixed_regions *regions)
{
    free(regions->regions);
    pthread_mutex_destroy(&regions->lock);
}

static bool contains(uintptr_t base, uint64_t size_bytes, uintptr_t at, uint64_t length_bytes)
{
    return at - base < size_bytes && length_bytes <= size_bytes - (at - base);
}

static bool overlap(const struct l4vio_fixed_slot *slot, uintptr_t base, uint64_t size_bytes)
{
    return slot->size_bytes &&
           (base - slot->base < slot->size_bytes || slot->base - base < size_bytes);
}

static bool put(struct l4vio_fixed_table *table, const struct l4vio_fixed_slot *slot, void *base,
                uint64_t size_bytes)
{
    struct iovec vector = {.iov_base = base, .iov_len = (size_t)size_bytes};
    __u64 tag = 0;
    unsigned index = (unsigned)(slot - table->slots);
    return io_uring_register_buffers_update_tag(table->ring, index, &vector, &tag, 1) == 1;
}

static void empty(struct l4vio_fixed_table *table, struct l4vio_fixed_slot *slot)
{
    if (slot->registered)
        (void)put(table, slot, NULL, 0);
    *slot = (struct l4vio_fixed_slot){0};
}

void l4vio_fixed_region_added(struct l4vio_fixed_regions *regions, void *base, uint64_t size_bytes)
{
    pthread_mutex_lock(&regions->lock);
    if (regions->count == regions->capacity) {
        unsigned capacity = regions->capacity ? 2 * regions->capacity : 16;
        void *grown = realloc(regions->regions, capacity * sizeof(*regions->regions));
        if (grown) {
            regions->regions = grown;
            regions->capacity = capacity;
        }
    }
    if (regions->count < regions->capacity)
        regions->regions[regions->count++] =
            (struct l4vio_fixed_region){(uintptr_t)base, size_bytes};
    pthread_mutex_unlock(&regions->lock);
}

static void forget(struct l4vio_fixed_table *table, uintptr_t base, uint64_t size_bytes)
{
    pthread_mutex_lock(&table->lock);
    for (unsigned i = 0; i < L4VIO_FIXED_SLOTS; i++) {
        if (overlap(&table->slots[i], base, size_bytes))
            empty(table, &table->slots[i]);
    }
    pthread_mutex_unlock(&table->lock);
}

void l4vio_fixed_region_removed(struct l4vio_fixed_regions *regions, void *base,
                                uint64_t size_bytes)
{
    pthread_mutex_lock(&regions->lock);
    for (unsigned i = 0; i < regions->count; i++) {
        if (regions->regions[i].base == (uintptr_t)base)
            regions->regions[i--] = regions->regions[--regions->count];
    }
    for (struct l4vio_fixed_table *table = regions->tables; table; table = table->next)
        forget(table, (uintptr_t)base, size_bytes);
    pthread_mutex_unlock(&regions->lock);
}

void l4vio_fixed_open(struct l4vio_fixed_table *table, struct l4vio_fixed_regions *regions,
                      struct io_uring *ring)
{
    memset(table, 0, sizeof(*table));
    pthread_mutex_init(&table->lock, NULL);
    table->regions = regions;
    if (io_uring_register_buffers_sparse(ring, L4VIO_FIXED_SLOTS) == 0)
        table->ring = ring;
    pthread_mutex_lock(&regions->lock);
    table->next = regions->tables;
    regions->tables = table;
    pthread_mutex_unlock(&regions->lock);
}

/* What is registered goes with the ring. */
void l4vio_fixed_close(struct l4vio_fixed_table *table)
{
    struct l4vio_fixed_regions *regions = table->regions;
    pthread_mutex_lock(&regions->lock);
    struct l4vio_fixed_table **link = &regions->tables;
    while (*link != table)
        link = &(*link)->next;
    *link = table->next;
    pthread_mutex_unlock(&regions->lock);
    pthread_mutex_destroy(&table->lock);
}

static struct l4vio_fixed_slot *set_of(struct l4vio_fixed_table *table, uintptr_t at)
{
    unsigned set =
        (unsigned)(at / WINDOW_BYTES * 0x9e3779b1u >> 8) % (L4VIO_FIXED_SLOTS / SET_SLOTS);
    return &table->slots[(size_t)set * SET_SLOTS];
}

/* With the table's lock. The slot that the range lies in, registered or not, or NULL. */
static struct l4vio_fixed_slot *look_up(struct l4vio_fixed_table *table, uintptr_t at,
                                        uint64_t length_bytes)
{
    struct l4vio_fixed_slot *set = set_of(table, at);
    for (unsigned i = 0; i < SET_SLOTS; i++) {
        if (contains(set[i].base, set[i].size_bytes, at, length_bytes))
            return &set[i];
    }
    return NULL;
}

/* With the lock of the regions. The part of its region that is in the same window as `at`. */
static bool find_window(const struct l4vio_fixed_regions *regions, uintptr_t at,
                        uint64_t length_bytes, struct l4vio_fixed_slot *window)
{
    for (unsigned i = 0; i < regions->count; i++) {
        const struct l4vio_fixed_region *region = &regions->regions[i];
        if (!contains(region->base, region->size_bytes, at, length_bytes))
            continue;
        uintptr_t begin = at / WINDOW_BYTES * WINDOW_BYTES;
        uintptr_t end = begin + WINDOW_BYTES;
        if (begin < region->base)
            begin = region->base;
        if (end - region->base > region->size_bytes)
            end = region->base + (uintptr_t)region->size_bytes;
        *window = (struct l4vio_fixed_slot){.base = begin, .size_bytes = end - begin};
        return contains(window->base, window->size_bytes, at, length_bytes);
    }
    return false;
}

/* With both locks. Puts a window that is not there in the place of one that is not used. */
static void admit(struct l4vio_fixed_table *table, const struct l4vio_fixed_slot *window)
{
    struct l4vio_fixed_slot *set = set_of(table, window->base);
    struct l4vio_fixed_slot *least = set;
    for (unsigned i = 1; i < SET_SLOTS; i++) {
        if (set[i].uses < least->uses)
            least = &set[i];
    }
    if (least->registered && least->batch == table->batch)
        return;
    if (least->uses == 0) {
        empty(table, least);
        *least = *window;
        least->uses = 1;
        return;
    }
    for (unsigned i = 0; i < SET_SLOTS; i++)
        set[i].uses--;
}

/* With both locks. */
static void register_slot(struct l4vio_fixed_table *table, struct l4vio_fixed_slot *slot)
{
    slot->registered = put(table, slot, (void *)slot->base, slot->size_bytes);
    if (slot->registered) {
        l4vio_fixed_count(&table->registered);
        return;
    }
    slot->uses = 0;
    l4vio_fixed_count(&table->refused);
}

/* The range is in no slot, or in one that has become worth registering. */
static int look_closer(struct l4vio_fixed_table *table, uintptr_t at, uint64_t length_bytes)
{
    struct l4vio_fixed_slot window;
    int index = -1;
    if (__atomic_load_n(&table->refused, __ATOMIC_RELAXED) >= REFUSALS_MAX)
        return -1;
    pthread_mutex_lock(&table->regions->lock);
    pthread_mutex_lock(&table->lock);
    struct l4vio_fixed_slot *slot = look_up(table, at, length_bytes);
    if (slot && !slot->registered)
        register_slot(table, slot);
    if (slot && slot->registered)
        index = (int)(slot - table->slots);
    if (!slot && find_window(table->regions, at, length_bytes, &window))
        admit(table, &window);
    pthread_mutex_unlock(&table->lock);
    pthread_mutex_unlock(&table->regions->lock);
    return index;
}

int l4vio_fixed_find(struct l4vio_fixed_table *table, const void *base, uint64_t length_bytes)
{
    uintptr_t at = (uintptr_t)base;
    int index = -1;
    bool settled = false;
    if (!table->ring)
        return -1;
    pthread_mutex_lock(&table->lock);
    struct l4vio_fixed_slot *slot = look_up(table, at, length_bytes);
    if (slot) {
        if (slot->uses < USES_MAX)
            slot->uses++;
        slot->batch = table->batch;
        if (slot->registered)
            index = (int)(slot - table->slots);
        settled = slot->registered || slot->uses < USES_TO_REGISTER;
    }
    pthread_mutex_unlock(&table->lock);
    return settled ? index : look_closer(table, at, length_bytes);
}
