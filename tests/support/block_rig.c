/* SPDX-License-Identifier: MIT */
#include "block_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"

#define AVAIL_OFFSET 0x2000u
#define USED_OFFSET  0x3000u

static char letter(const struct l4vio_block_io *io)
{
    switch (io->op) {
    case L4VIO_BLOCK_OP_READ:
        return 'R';
    case L4VIO_BLOCK_OP_WRITE:
        return 'W';
    case L4VIO_BLOCK_OP_FLUSH:
        return 'F';
    case L4VIO_BLOCK_OP_DISCARD:
        return 'D';
    case L4VIO_BLOCK_OP_ZERO:
        return io->unmap ? 'U' : 'Z';
    }
    return '?';
}

static void store_info(void *self, struct l4vio_block_backend_info *info)
{
    const struct rig_store *store = self;
    *info = store->info;
}

static void carry_out(struct rig_store *store, struct l4vio_block_io *io)
{
    if (letter(io) == store->fail_op)
        io->done(io, store->fail_code);
    else
        store->memory.ops->submit(store->memory.self, NULL, io);
}

static void check_sum_of_segments(const struct l4vio_block_io *io)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < io->segment_count; i++)
        sum += io->segments[i].length_bytes;
    assert_int_equal(sum, io->length_bytes);
}

static void store_submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    struct rig_store *store = self;
    (void)lane;
    if (io->op == L4VIO_BLOCK_OP_READ || io->op == L4VIO_BLOCK_OP_WRITE)
        check_sum_of_segments(io);
    if (store->log_count < RIG_LOG - 1)
        store->log[store->log_count++] = letter(io);
    if (!store->hold) {
        carry_out(store, io);
        return;
    }
    assert_true(store->held_count < RIG_LOG);
    store->held[store->held_count++] = io;
}

void rig_store_release(struct rig_store *store)
{
    unsigned count = store->held_count;
    struct l4vio_block_io *held[RIG_LOG];
    memcpy(held, store->held, sizeof(held));
    store->held_count = 0;
    for (unsigned i = 0; i < count; i++)
        carry_out(store, held[i]);
}

static unsigned store_poll(void *self, struct l4vio_block_lane *lane, bool wait)
{
    struct rig_store *store = self;
    unsigned count = store->held_count;
    (void)lane;
    if (!wait)
        return 0;
    store->waits++;
    rig_store_release(store);
    return count;
}

static const struct l4vio_block_backend_ops store_ops = {
    .info = store_info,
    .submit = store_submit,
    .poll = store_poll,
};

static void publish_status(void *self, uint32_t status)
{
    struct block_rig *rig = self;
    rig->status = status;
}

static void publish_config(void *self, uint32_t offset_bytes, uint32_t size_bytes,
                           uint32_t generation)
{
    struct block_rig *rig = self;
    (void)generation;
    memcpy(rig->shown + offset_bytes, (uint8_t *)&rig->block.blk_config + offset_bytes, size_bytes);
}

static void notify_queue(void *self, uint32_t queue)
{
    struct block_rig *rig = self;
    rig->queue_notifications[queue]++;
}

static void notify_config(void *self)
{
    struct block_rig *rig = self;
    rig->config_notifications++;
}

static uint8_t read_driver_config(void *self, uint32_t offset_bytes)
{
    struct block_rig *rig = self;
    return l4vio_load8(rig->shown + offset_bytes);
}

static const struct l4vio_device_port_ops port_ops = {
    .publish_status = publish_status,
    .publish_config = publish_config,
    .notify_queue = notify_queue,
    .notify_config = notify_config,
    .read_driver_config = read_driver_config,
};

struct block_rig *block_rig_new(void)
{
    struct block_rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    assert_int_equal(l4vio_memory_backend_open(RIG_STORE_BYTES, &rig->store.memory, NULL), 0);
    rig->store.memory.ops->info(rig->store.memory.self, &rig->store.info);
    assert_int_equal(posix_memalign((void **)&rig->memory, 4096, RIG_MEMORY_BYTES), 0);
    memset(rig->memory, 0, RIG_MEMORY_BYTES);
    rig->config = (struct l4vio_device_block_config){
        .backend = {&store_ops, &rig->store},
        .id = "rig",
        .queue_states = rig->states,
        .queues = rig->queues,
        .queue_count = RIG_QUEUES,
        .requests = rig->requests,
        .requests_per_queue = RIG_REQUESTS,
        .regions = rig->regions,
        .region_count = 2,
    };
    return rig;
}

void block_rig_start(struct block_rig *rig)
{
    assert_int_equal(l4vio_device_block_init(&rig->block, &rig->config, NULL), 0);
    l4vio_device_set_port(&rig->block.device, &port_ops, rig);
    memcpy(rig->shown, &rig->block.blk_config, sizeof(rig->shown));
    /* The raw driver below knows the simplest ring, and indirect tables. */
    struct l4vio_features ring;
    l4vio_ring_features(&ring);
    l4vio_features_clear(&ring, L4VIO_F_INDIRECT_DESC);
    rig->accept = l4vio_features_minus(&rig->block.device.config.offered, &ring);
}

static void set_up_queue(struct block_rig *rig, uint32_t queue)
{
    uint64_t base = RIG_BASE + (uint64_t)queue * RIG_QUEUE_BYTES;
    struct l4vio_queue_setup setup = {
        .size = RIG_QUEUE_SIZE,
        .desc_address = base,
        .avail_address = base + AVAIL_OFFSET,
        .used_address = base + USED_OFFSET,
    };
    memset(rig->memory + (size_t)queue * RIG_QUEUE_BYTES, 0, RIG_QUEUE_BYTES);
    rig->avail[queue] = 0;
    rig->used[queue] = 0;
    rig->next_desc[queue] = 0;
    assert_int_equal(l4vio_device_config_queue(&rig->block.device, queue, &setup, NULL), 0);
}

void block_rig_live(struct block_rig *rig)
{
    struct l4vio_device *device = &rig->block.device;
    struct l4vio_device_region region = {RIG_BASE, RIG_MEMORY_BYTES, rig->memory, NULL};
    uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
    l4vio_device_set_status(device, status, &rig->accept);
    status |= VIRTIO_STATUS_FEATURES_OK;
    l4vio_device_set_status(device, status, &rig->accept);
    assert_int_equal(rig->status, status);
    assert_int_equal(l4vio_device_add_region(device, &region, NULL), 0);
    for (uint32_t i = 0; i < rig->config.queue_count; i++)
        set_up_queue(rig, i);
    l4vio_device_set_status(device, status | VIRTIO_STATUS_DRIVER_OK, &rig->accept);
    assert_true(l4vio_device_live(device));
}

struct block_rig *block_rig_usual(void)
{
    struct block_rig *rig = block_rig_new();
    block_rig_start(rig);
    block_rig_live(rig);
    return rig;
}

void block_rig_free(struct block_rig *rig)
{
    l4vio_device_reset(&rig->block.device);
    assert_int_equal(rig->store.held_count, 0);
    l4vio_memory_backend_close(&rig->store.memory);
    free(rig->memory);
    free(rig);
}

static struct virtq_desc *descriptor(struct block_rig *rig, uint32_t queue, uint16_t index)
{
    unsigned char *table = rig->memory + (size_t)queue * RIG_QUEUE_BYTES;
    return (struct virtq_desc *)(void *)table + index % RIG_QUEUE_SIZE;
}

void block_rig_piece(struct block_rig *rig, uint32_t queue, uint32_t offset, uint32_t bytes,
                     bool writable)
{
    uint16_t index = rig->next_desc[queue]++;
    if (rig->pieces[queue]++ == 0) {
        rig->first_desc[queue] = index;
    } else {
        struct virtq_desc *before = descriptor(rig, queue, (uint16_t)(index - 1u));
        l4vio_store16(&before->flags, l4vio_load16(&before->flags) | VIRTQ_DESC_F_NEXT);
        l4vio_store16(&before->next, index % RIG_QUEUE_SIZE);
    }
    struct virtq_desc *desc = descriptor(rig, queue, index);
    l4vio_store64(&desc->addr, RIG_BASE + offset);
    l4vio_store32(&desc->len, bytes);
    l4vio_store16(&desc->flags, writable ? VIRTQ_DESC_F_WRITE : 0);
}

void block_rig_publish(struct block_rig *rig, uint32_t queue)
{
    struct virtq_avail *avail =
        (void *)(rig->memory + (size_t)queue * RIG_QUEUE_BYTES + AVAIL_OFFSET);
    l4vio_le16 *ring = (l4vio_le16 *)(avail + 1);
    l4vio_store16(&ring[rig->avail[queue] % RIG_QUEUE_SIZE],
                  rig->first_desc[queue] % RIG_QUEUE_SIZE);
    l4vio_store16_release(&avail->idx, ++rig->avail[queue]);
    rig->pieces[queue] = 0;
}

void block_rig_header(struct block_rig *rig, uint32_t offset, uint32_t type, uint64_t sector)
{
    struct virtio_blk_req_header header = {
        .type = l4vio_swap32(type),
        .sector = l4vio_swap64(sector),
    };
    memcpy(rig->memory + offset, &header, sizeof(header));
}

void block_rig_range(struct block_rig *rig, unsigned index, uint64_t sector, uint32_t sectors,
                     uint32_t flags)
{
    struct virtio_blk_range range = {
        .sector = l4vio_swap64(sector),
        .num_sectors = l4vio_swap32(sectors),
        .flags = l4vio_swap32(flags),
    };
    memcpy(rig->memory + RIG_OUT + index * sizeof(range), &range, sizeof(range));
}

bool block_rig_used(struct block_rig *rig, uint32_t queue, uint32_t *head)
{
    struct virtq_used *used = (void *)(rig->memory + (size_t)queue * RIG_QUEUE_BYTES + USED_OFFSET);
    struct virtq_used_elem *ring = (struct virtq_used_elem *)(used + 1);
    if (l4vio_load16_acquire(&used->idx) == rig->used[queue])
        return false;
    const struct virtq_used_elem *element = &ring[rig->used[queue]++ % RIG_QUEUE_SIZE];
    if (queue == 0)
        rig->used_length = l4vio_load32(&element->len);
    if (head)
        *head = l4vio_load32(&element->id);
    return true;
}

void block_rig_send(struct block_rig *rig, uint32_t queue, uint32_t type, uint64_t sector,
                    uint32_t out, uint32_t in)
{
    /* Each its own, since several may be available at once. */
    uint32_t header =
        RIG_HEADER + (queue * RIG_QUEUE_SIZE + rig->next_desc[queue] % RIG_QUEUE_SIZE) * 16u;
    block_rig_header(rig, header, type, sector);
    rig->memory[RIG_IN + in] = RIG_POISON;
    block_rig_piece(rig, queue, header, 16, false);
    if (out)
        block_rig_piece(rig, queue, RIG_OUT, out, false);
    if (in)
        block_rig_piece(rig, queue, RIG_IN, in, true);
    block_rig_piece(rig, queue, RIG_IN + in, 1, true);
    block_rig_publish(rig, queue);
}

uint8_t block_rig_do(struct block_rig *rig, uint32_t type, uint64_t sector, uint32_t out,
                     uint32_t in)
{
    uint32_t head;
    uint16_t expected = rig->next_desc[0] % RIG_QUEUE_SIZE;
    block_rig_send(rig, 0, type, sector, out, in);
    assert_int_equal(l4vio_device_block_process(&rig->block, 0, 1), 1);
    assert_true(block_rig_used(rig, 0, &head));
    assert_int_equal(head, expected);
    assert_false(block_rig_used(rig, 0, &head));
    assert_int_equal(rig->status & VIRTIO_STATUS_NEEDS_RESET, 0);
    return rig->memory[RIG_IN + in];
}

unsigned char *rig_store_bytes(struct block_rig *rig)
{
    return l4vio_memory_backend_bytes(&rig->store.memory);
}

const char *rig_store_log(struct block_rig *rig)
{
    rig->store.log[rig->store.log_count] = '\0';
    return rig->store.log;
}
