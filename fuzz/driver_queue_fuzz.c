/* SPDX-License-Identifier: MIT */
/*
 * The bytes play the device against the block driver: what it offers, what it answers and when, what it
 * writes into rings and page between two looks of the driver, on rings of either format with any of their
 * features. Every request is completed at most once, and all are handed back at the end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/ordering.h"
#include "scripted_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define REQUESTS   16u
#define PIECES     3u
#define CHANGES    8u
#define CONTROL_NS UINT64_C(20000)

struct input {
    const uint8_t *data;
    size_t left;
};

struct game {
    struct input input;
    struct scripted_disk *rig;
    struct l4vio_block_request requests[REQUESTS];
    struct l4vio_block_segment segments[REQUESTS][PIECES];
    bool owned[REQUESTS]; /* Submitted and not completed. */
};

static uint32_t take(struct input *input, unsigned size_bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size_bytes && input->left; i++, input->left--)
        value |= (uint32_t)*input->data++ << (8 * i);
    return value;
}

static void done(struct l4vio_block_request *request, void *context)
{
    struct game *game = context;
    size_t i = (size_t)(request - game->requests);
    if (i >= REQUESTS || !game->owned[i] || request->in_flight)
        __builtin_trap();
    game->owned[i] = false;
}

/* The configuration page, as far as the device may ever write it, and the rings. */
static void scribble(struct game *game)
{
    struct scripted_disk *rig = game->rig;
    uint32_t what = take(&game->input, 1);
    uint32_t place = take(&game->input, 2);
    uint8_t byte = (uint8_t)take(&game->input, 1);
    uint8_t *page = rig->page_space.base;
    if (what & 1u)
        l4vio_store8(page + place % L4VIO_PAGE_BYTES, byte);
    else if (rig->block.ring_region.base)
        l4vio_store8((uint8_t *)rig->block.ring_region.base +
                         place % rig->block.ring_region.size_bytes,
                     byte);
    /* Where the configuration is, everybody looks. */
    if (what & 2u)
        l4vio_store8(page + L4VIO_PAGE_CONFIG_OFFSET + place % sizeof(struct virtio_blk_config),
                     byte);
    if (what & 4u)
        l4vio_loopback_trigger(&rig->loopback, place % (RIG_QUEUES + 2));
}

/* One chain, in the hands of the device. */
static void serve(struct scripted_disk *rig, uint32_t queue, const struct l4vio_device_chain *chain)
{
    struct game *game = rig->test;
    struct input *input = &game->input;
    uint8_t status = VIRTIO_BLK_S_OK;
    switch (take(input, 1) % 8) {
    case 0: /* Never answered. */
        break;
    case 1:
        rig_set_status(chain, (uint8_t)take(input, 1));
        rig_answer(rig, queue, chain->head, take(input, 4));
        break;
    case 2:
        rig_answer_raw(rig, queue, take(input, 4), take(input, 4));
        break;
    case 3:
        rig_answer_raw(rig, queue, take(input, 1), take(input, 2));
        break;
    case 4: /* Twice. */
        rig_set_status(chain, status);
        rig_answer_raw(rig, queue, chain->head, (uint32_t)chain->writable_bytes);
        rig_answer_raw(rig, queue, chain->head, (uint32_t)chain->writable_bytes);
        break;
    default:
        rig_set_status(chain, status);
        rig_answer(rig, queue, chain->head, (uint32_t)chain->writable_bytes);
        break;
    }
}

/* Both sides have the ring features of which there is a bit. */
static void offer_ring_features(struct scripted_disk *rig, uint32_t bits)
{
    static const unsigned features[] = {
        L4VIO_F_RING_PACKED,   L4VIO_F_IN_ORDER,       L4VIO_F_EVENT_IDX,
        L4VIO_F_INDIRECT_DESC, L4VIO_F_ORDER_PLATFORM, L4VIO_F_NOTIFICATION_DATA,
    };
    l4vio_block_features(&rig->setup.driver.allowed);
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (!(bits & 1u << i))
            continue;
        l4vio_features_set(&rig->offered, features[i]);
        l4vio_features_set(&rig->setup.driver.allowed, features[i]);
    }
}

static void offer(struct game *game)
{
    struct scripted_disk *rig = game->rig;
    struct input *input = &game->input;
    uint8_t *config = (uint8_t *)&rig->config;
    rig->offered.word[0] &= ~take(input, 2);
    uint32_t size = take(input, 1);
    uint32_t queues = take(input, 1);
    rig->queue_size_max = (uint16_t)(1u << size % 9);
    rig->device_queues = 1 + queues % RIG_QUEUES;
    offer_ring_features(rig, queues / RIG_QUEUES);
    if (queues / RIG_QUEUES & 1u) /* Packed rings may have any size. */
        rig->setup.queue_size = (uint16_t)(1u + size % 64u);
    for (uint32_t i = take(input, 1) % CHANGES; i; i--) {
        uint32_t place = take(input, 1) % sizeof(rig->config);
        config[place] = (uint8_t)take(input, 1);
    }
    rig->setup.driver.control_timeout_ns = CONTROL_NS;
}

static void submit(struct game *game)
{
    struct input *input = &game->input;
    uint32_t i = take(input, 1) % REQUESTS;
    struct l4vio_block_request *request = &game->requests[i];
    if (game->owned[i] || l4vio_block_request_init(request, &game->rig->shared,
                                                   (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES) < 0)
        return;
    request->type = (enum l4vio_block_type)(take(input, 1) % 16);
    request->sector = take(input, 2);
    request->sector_count = take(input, 2);
    request->segments = game->segments[i];
    request->segment_count = 1 + take(input, 1) % PIECES;
    request->done = done;
    request->context = game;
    for (uint32_t piece = 0; piece < request->segment_count; piece++)
        game->segments[i][piece] = (struct l4vio_block_segment){
            &game->rig->data, take(input, 2), take(input, 1) % 4 ? 512u * take(input, 1) : 100u};
    game->owned[i] = true;
    if (l4vio_block_submit(&game->rig->block, take(input, 1) % RIG_QUEUES, request, NULL) < 0)
        game->owned[i] = false;
}

static void step(struct game *game)
{
    struct scripted_disk *rig = game->rig;
    uint32_t what = take(&game->input, 1);
    uint32_t queue = (what >> 4) % RIG_QUEUES;
    uint64_t soon = l4vio_driver_deadline(&rig->block.driver, CONTROL_NS);
    char id[VIRTIO_BLK_ID_BYTES + 1];
    switch (what % 12) {
    case 0:
    case 1:
    case 2:
        submit(game);
        break;
    case 3:
        rig_pump(rig);
        break;
    case 4:
        l4vio_block_poll(&rig->block, queue, 4);
        break;
    case 5:
        l4vio_block_drain(&rig->block, queue, soon);
        break;
    case 6:
        l4vio_block_wait(&rig->block, &game->requests[what >> 4], soon);
        l4vio_block_request_id(&game->requests[what >> 4], id);
        break;
    case 7:
        scribble(game);
        break;
    case 8:
        rig->stalled = !rig->stalled;
        break;
    case 9:
        l4vio_block_refresh(&rig->block, NULL);
        l4vio_block_set_writeback(&rig->block, what >> 7, NULL);
        break;
    case 10:
        l4vio_block_recover(&rig->block, NULL);
        break;
    default:
        l4vio_block_wait_room(&rig->block, queue, soon);
        break;
    }
}

/* A disk takes long to fill: the first one is copied. */
static void start_over(struct scripted_disk *rig)
{
    static struct scripted_disk *first;
    static void *arena;
    if (!first) {
        first = rig_new();
        arena = first->arena;
    }
    memcpy(rig, first, sizeof(*rig));
    rig->arena = arena;
    rig->setup.queues = rig->queues;
    rig->setup.slots = rig->slots;
    rig->setup.driver.notifications = rig->notifications;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct scripted_disk rig;
    static struct game game;
    start_over(&rig);
    game = (struct game){.input = {.data = data, .left = size_bytes}, .rig = &rig};
    rig.test = &game;
    rig.serve = serve;
    offer(&game);
    if (rig_start(&rig, NULL) == 0) {
        while (game.input.left)
            step(&game);
    }
    l4vio_block_close(&rig.block);
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (game.owned[i] || game.requests[i].in_flight)
            __builtin_trap();
    }
    return 0;
}
