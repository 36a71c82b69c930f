/* SPDX-License-Identifier: MIT */
/*
 * The bytes play the device against one driver queue of either format with any ring features, at the
 * buffer level: batches, requests that are not published yet, completions taken in parts, wishes for
 * notifications, resets in the middle. Every request comes back exactly once, by a completion or, after
 * a reset, by l4vio_queue_detach, whatever the device did; no length is above what may be written.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/queue.h>

#include "core/ordering.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define SIZE_MAX_HERE 16u
#define PIECES        4u
#define BATCH         8u

struct input {
    const uint8_t *data;
    size_t left;
};

struct game {
    struct input input;
    struct l4vio_queue queue;
    struct l4vio_queue_config config;
    size_t desc_bytes;
    size_t avail_bytes;
    size_t used_bytes;
    /* By cookie: what may be written, and whether the queue has it. */
    struct {
        uint32_t writable_bytes;
        bool owned;
        bool published;
    } requests[SIZE_MAX_HERE];
    unsigned owned;
};

static uint32_t take(struct input *input, unsigned size_bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size_bytes && input->left; i++, input->left--)
        value |= (uint32_t)*input->data++ << (8 * i);
    return value;
}

static void expect(bool condition)
{
    if (!condition)
        __builtin_trap();
}

static void *area(size_t bytes)
{
    void *memory = aligned_alloc(16, (bytes + 15) / 16 * 16);
    expect(memory != NULL);
    memset(memory, 0xa5, bytes);
    return memory;
}

static void begin(struct game *game)
{
    static const unsigned features[] = {
        L4VIO_F_RING_PACKED,   L4VIO_F_IN_ORDER,       L4VIO_F_EVENT_IDX,
        L4VIO_F_INDIRECT_DESC, L4VIO_F_ORDER_PLATFORM, L4VIO_F_NOTIFICATION_DATA,
    };
    struct l4vio_queue_config *config = &game->config;
    uint32_t bits = take(&game->input, 1);
    uint32_t size = take(&game->input, 1);
    bool packed = bits & 1u;
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        if (bits & 1u << i)
            l4vio_features_set(&config->features, features[i]);
    config->size = (uint16_t)(packed ? 1u + size % SIZE_MAX_HERE : 1u << size % 5);
    config->strict = bits & 64u;
    game->desc_bytes = 16u * (size_t)config->size;
    game->avail_bytes = packed ? 4 : 6 + 2u * (size_t)config->size;
    game->used_bytes = packed ? 4 : 6 + 8u * (size_t)config->size;
    config->desc = area(game->desc_bytes);
    config->avail = area(game->avail_bytes);
    config->used = area(game->used_bytes);
    config->slots = area(config->size * sizeof(*config->slots));
    if (config->size >= 2) {
        config->indirect.entries = (uint16_t)(config->size < 3 ? 2 : 3);
        config->indirect.memory = area((size_t)config->size * config->indirect.entries * 16u);
    }
    expect(l4vio_queue_init(&game->queue, config, NULL) == L4VIO_OK);
    game->queue.live = true;
}

static void end(struct game *game)
{
    free(game->config.desc);
    free(game->config.avail);
    free(game->config.used);
    free(game->config.slots);
    free(game->config.indirect.memory);
}

static void came_back(struct game *game, void *cookie)
{
    uintptr_t i = (uintptr_t)cookie - 1;
    expect(i < SIZE_MAX_HERE && game->requests[i].owned);
    game->requests[i].owned = false;
    game->owned--;
}

/* As many requests as there are numbers for, most of them right. */
static void add(struct game *game)
{
    struct l4vio_buffer buffers[BATCH][PIECES];
    struct l4vio_request requests[BATCH];
    unsigned count = 0;
    uint32_t most = take(&game->input, 1) % (BATCH + 1);
    for (unsigned i = 0; i < SIZE_MAX_HERE && count < most; i++) {
        if (game->requests[i].owned)
            continue;
        uint32_t shape = take(&game->input, 1);
        uint32_t bytes = take(&game->input, 1) % 8 ? 1 + shape : shape & 3u ? 0xffffffff : 0;
        requests[count] = (struct l4vio_request){.buffers = buffers[count],
                                                 .readable = shape & 3u,
                                                 .writable = shape >> 2 & 1u,
                                                 .cookie = (void *)(uintptr_t)(i + 1)};
        if (shape & 8u && requests[count].readable < 3)
            requests[count].writable++;
        for (unsigned piece = 0; piece < PIECES; piece++)
            buffers[count][piece] = (struct l4vio_buffer){.address = i, .length_bytes = bytes};
        game->requests[i].writable_bytes = requests[count].writable * bytes;
        count++;
    }
    int added = l4vio_queue_add(&game->queue, requests, count);
    expect(added <= (int)count);
    for (int i = 0; i < added; i++) {
        uintptr_t number = (uintptr_t)requests[i].cookie - 1;
        game->requests[number].owned = true;
        game->requests[number].published = false;
        game->owned++;
    }
}

static void publish(struct game *game)
{
    l4vio_queue_publish(&game->queue);
    if (game->queue.broken)
        return;
    for (unsigned i = 0; i < SIZE_MAX_HERE; i++)
        game->requests[i].published = true;
}

static void harvest(struct game *game)
{
    struct l4vio_completion done[BATCH];
    unsigned max = take(&game->input, 1) % (BATCH + 1);
    /* In order and packed, the driver knows which requests the device has not seen. */
    bool knows = game->queue.packed || game->queue.in_order;
    bool has_used = l4vio_queue_has_used(&game->queue);
    int taken = l4vio_queue_get_used(&game->queue, done, max);
    expect(taken <= (int)max && (has_used || taken == 0));
    for (int i = 0; i < taken; i++) {
        uintptr_t number = (uintptr_t)done[i].cookie - 1;
        came_back(game, done[i].cookie);
        expect(done[i].length_bytes <= game->requests[number].writable_bytes);
        expect(game->requests[number].published || !knows);
    }
}

/* The device writes what it likes; some of it makes sense. */
static void device_writes(struct game *game)
{
    struct input *input = &game->input;
    const struct l4vio_queue *queue = &game->queue;
    uint32_t kind = take(input, 1);
    uint32_t id = kind & 64u ? take(input, 4) : take(input, 1) % (queue->size + 1u);
    uint32_t length = kind & 128u ? take(input, 4) : take(input, 1);
    unsigned char *used = (unsigned char *)game->config.used;
    if (kind % 4 == 0) {
        unsigned char *desc = game->config.desc;
        l4vio_store8(desc + id % game->desc_bytes, (uint8_t)length);
    } else if (kind % 4 == 1) {
        l4vio_store8(used + id % game->used_bytes, (uint8_t)length);
    } else if (queue->packed) {
        uint32_t at = queue->next_used;
        uint32_t flags = kind & 8u ? take(input, 2) : (at >> 16 & 0x8080u) | (kind >> 4 & 2u);
        struct virtq_packed_desc *ring = game->config.desc;
        uint32_t place = kind & 16u ? take(input, 1) % queue->size : at & 0xffffu;
        l4vio_store_packed_release(&ring[place], l4vio_packed_word(length, id, flags));
    } else {
        struct virtq_used *area_of = game->config.used;
        struct virtq_used_elem *ring = (struct virtq_used_elem *)(void *)(area_of + 1);
        uint16_t index = l4vio_load16(&area_of->idx);
        struct virtq_used_elem *element = &ring[index & (queue->size - 1u)];
        l4vio_store32(&element->id, id);
        l4vio_store32(&element->len, length);
        l4vio_store16_release(&area_of->idx, (uint16_t)(index + 1u + (kind >> 3 & 3u)));
    }
}

/* The queue is reset: everything comes back, and it begins anew. */
static void reset(struct game *game)
{
    void *cookies[SIZE_MAX_HERE];
    unsigned max = 1 + take(&game->input, 1) % SIZE_MAX_HERE;
    int count;
    game->queue.live = false;
    while ((count = l4vio_queue_detach(&game->queue, cookies, max)) > 0)
        for (int i = 0; i < count; i++)
            came_back(game, cookies[i]);
    expect(count == 0 && game->owned == 0);
    expect(l4vio_queue_room(&game->queue) == game->queue.size);
    expect(l4vio_queue_initialize_rings(&game->queue) == L4VIO_OK);
    game->queue.live = true;
}

static void step(struct game *game)
{
    struct l4vio_queue *queue = &game->queue;
    uint32_t what = take(&game->input, 1);
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        add(game);
        break;
    case 3:
    case 4:
    case 5:
        publish(game);
        break;
    case 6:
    case 7:
    case 8:
        harvest(game);
        break;
    case 9:
        l4vio_queue_arm_after(queue, what >> 4);
        break;
    case 10:
        l4vio_queue_disarm(queue);
        break;
    case 11:
        l4vio_queue_needs_kick(queue);
        l4vio_queue_device_disarmed(queue);
        l4vio_queue_kick_data(queue);
        break;
    case 12:
        if (what >> 4 == 0)
            reset(game);
        break;
    default:
        device_writes(game);
        break;
    }
    expect(l4vio_queue_in_flight(queue) == game->owned);
    expect(l4vio_queue_room(queue) <= queue->size - game->owned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct game game = {.input = {.data = data, .left = size_bytes}};
    begin(&game);
    while (game.input.left)
        step(&game);
    reset(&game);
    end(&game);
    return 0;
}
