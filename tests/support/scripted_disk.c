/* SPDX-License-Identifier: MIT */
#include "scripted_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/wire/status.h>

#include "core/ordering.h"

#define ARENA_BYTES (4u * 1024u * 1024u)
#define DATA_BYTES  (256u * 1024u)

struct scripted_disk *rig_new(void)
{
    struct scripted_disk *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->arena = aligned_alloc(4096, ARENA_BYTES);
    assert_non_null(rig->arena);
    for (uint32_t i = 0; i < RIG_DISK_BYTES; i++)
        rig->disk[i] = (uint8_t)(i / 512u * 7u + i);

    l4vio_block_features(&rig->offered);
    l4vio_features_clear(&rig->offered, VIRTIO_BLK_F_RO);
    rig->config = (struct virtio_blk_config){
        .capacity = l4vio_swap64(RIG_DISK_BYTES / 512u),
        .size_max = l4vio_swap32(4096),
        .seg_max = l4vio_swap32(8),
        .blk_size = l4vio_swap32(512),
        .num_queues = l4vio_swap16(RIG_QUEUES),
        .max_discard_sectors = l4vio_swap32(64),
        .max_discard_seg = l4vio_swap32(1),
        .discard_sector_alignment = l4vio_swap32(8),
        .max_write_zeroes_sectors = l4vio_swap32(48),
        .max_write_zeroes_seg = l4vio_swap32(1),
        .write_zeroes_may_unmap = 1,
    };
    rig->queue_size_max = RIG_QUEUE_SIZE;
    rig->device_queues = RIG_QUEUES;
    rig->setup = (struct l4vio_block_config){
        .driver.notifications = rig->notifications,
        .driver.notification_count = RIG_QUEUES + 1,
        .queue_count = RIG_QUEUES,
        .queue_size = 64,
        .queues = rig->queues,
        .slots = rig->slots,
    };
    return rig;
}

static void make_device(struct scripted_disk *rig)
{
    struct l4vio_error error;

    rig->platform = l4vio_loopback_platform_init(&rig->os, rig->arena, ARENA_BYTES);
    rig->os.pump = rig_pump;
    rig->os.pump_self = rig;
    struct l4vio_device_config config = {
        .device_id = VIRTIO_ID_BLOCK,
        .offered = rig->offered,
        .queues = rig->states,
        .queue_count = rig->device_queues,
        .queue_size_max = rig->queue_size_max,
        .queue_slots = rig->device_slots,
        .config = (uint8_t *)&rig->config,
        .config_bytes = sizeof(rig->config),
        .regions = rig->regions,
        .region_count = 16,
    };
    assert_int_equal(0, l4vio_device_init(&rig->device, &config, &error));
    assert_int_equal(0, rig->platform.ops->dataspace_allocate(rig->platform.self, L4VIO_PAGE_BYTES,
                                                              &rig->page_space, &error));
    struct l4vio_device_page_config page = {
        .device = &rig->device,
        .page = rig->page_space.base,
        .notification_count = RIG_QUEUES + 1,
        .trigger = l4vio_loopback_trigger,
        .trigger_self = &rig->loopback,
    };
    assert_int_equal(0, l4vio_device_page_init(&rig->page, &page, &error));
}

int rig_start(struct scripted_disk *rig, struct l4vio_error *error)
{
    make_device(rig);
    rig->setup.driver.platform = rig->platform;
    assert_int_equal(0, l4vio_loopback_init(&rig->loopback, &rig->page, &rig->page_space,
                                            RIG_QUEUES + 1, &rig->platform,
                                            &rig->setup.driver.transport, error));
    int result = l4vio_block_setup(&rig->block, &rig->setup, error);
    if (result < 0)
        return result;
    assert_int_equal(0, l4vio_driver_allocate(&rig->block.driver, DATA_BYTES, &rig->data, error));
    assert_int_equal(0, l4vio_driver_allocate(&rig->block.driver, 64 * L4VIO_BLOCK_SHARED_BYTES,
                                              &rig->shared, error));
    return result;
}

struct scripted_disk *rig_started(void)
{
    struct scripted_disk *rig = rig_new();
    struct l4vio_error error = {0};
    if (rig_start(rig, &error) < 0)
        fail_msg("setup: %s (%llu)", error.text, (unsigned long long)error.value);
    return rig;
}

void rig_free(struct scripted_disk *rig)
{
    l4vio_block_close(&rig->block);
    rig->platform.ops->dataspace_free(rig->platform.self, &rig->page_space);
    free(rig->arena);
    free(rig);
}

void rig_prepare(struct scripted_disk *rig, struct l4vio_block_request *request, unsigned i,
                 struct l4vio_block_segment *segment, enum l4vio_block_type type, uint64_t sector,
                 uint64_t offset_bytes, uint64_t length_bytes)
{
    assert_int_equal(
        0, l4vio_block_request_init(request, &rig->shared, (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES));
    *segment = (struct l4vio_block_segment){&rig->data, offset_bytes, length_bytes};
    request->type = type;
    request->sector = sector;
    request->segments = segment;
    request->segment_count = 1;
    request->sector_count = length_bytes / 512;
}

uint64_t rig_soon(const struct scripted_disk *rig)
{
    return l4vio_driver_deadline(&rig->block.driver, UINT64_C(1000000000));
}

static void log_chain(struct scripted_disk *rig, uint32_t queue,
                      const struct l4vio_device_chain *chain,
                      const struct virtio_blk_req_header *header)
{
    struct rig_entry *entry = &rig->log[rig->logged++ % RIG_LOG_ENTRIES];

    *entry = (struct rig_entry){
        .queue = queue,
        .type = l4vio_swap32(header->type),
        .sector = l4vio_swap64(header->sector),
        .readable = chain->readable,
        .writable = chain->writable,
        .readable_bytes = chain->readable_bytes,
        .writable_bytes = chain->writable_bytes,
    };
    for (unsigned i = 1; i + 1u < (unsigned)chain->readable + chain->writable; i++)
        if (chain->segments[i].length_bytes > entry->largest_bytes)
            entry->largest_bytes = chain->segments[i].length_bytes;
    l4vio_device_chain_read(chain, sizeof(*header), &entry->range, sizeof(entry->range));
}

/* DISCARD and WRITE_ZEROES: both write zeroes, so that a test can see where they went. */
static uint8_t carry_out_range(struct scripted_disk *rig, const struct l4vio_device_chain *chain)
{
    struct virtio_blk_range range;
    if (chain->readable_bytes != sizeof(struct virtio_blk_req_header) + sizeof(range))
        return VIRTIO_BLK_S_IOERR;
    l4vio_device_chain_read(chain, sizeof(struct virtio_blk_req_header), &range, sizeof(range));
    uint64_t sector = l4vio_swap64(range.sector);
    uint64_t count = l4vio_swap32(range.num_sectors);
    if (sector + count > RIG_DISK_BYTES / 512u)
        return VIRTIO_BLK_S_IOERR;
    memset(rig->disk + sector * 512u, 0, (size_t)count * 512u);
    return VIRTIO_BLK_S_OK;
}

uint32_t rig_carry_out(struct scripted_disk *rig, uint32_t queue,
                       const struct l4vio_device_chain *chain, uint8_t *status)
{
    struct virtio_blk_req_header header = {0};
    uint64_t done = 0;

    l4vio_device_chain_read(chain, 0, &header, sizeof(header));
    log_chain(rig, queue, chain, &header);
    uint64_t position = l4vio_swap64(header.sector) * 512u;
    uint64_t input = chain->readable_bytes - sizeof(header);
    uint64_t output = chain->writable_bytes - 1u;
    *status = VIRTIO_BLK_S_OK;
    switch (l4vio_swap32(header.type)) {
    case VIRTIO_BLK_T_IN:
        if (position + output > RIG_DISK_BYTES)
            *status = VIRTIO_BLK_S_IOERR;
        else
            done = l4vio_device_chain_write(chain, 0, rig->disk + position, output);
        break;
    case VIRTIO_BLK_T_OUT:
        if (position + input > RIG_DISK_BYTES)
            *status = VIRTIO_BLK_S_IOERR;
        else
            l4vio_device_chain_read(chain, sizeof(header), rig->disk + position, input);
        break;
    case VIRTIO_BLK_T_GET_ID:
        done = l4vio_device_chain_write(chain, 0, "twenty characters id", VIRTIO_BLK_ID_BYTES);
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        *status = carry_out_range(rig, chain);
        break;
    case VIRTIO_BLK_T_FLUSH:
        break;
    default:
        *status = VIRTIO_BLK_S_UNSUPP;
        break;
    }
    return (uint32_t)done + 1u;
}

void rig_set_status(const struct l4vio_device_chain *chain, uint8_t status)
{
    l4vio_device_chain_write(chain, chain->writable_bytes - 1u, &status, 1);
}

void rig_answer(struct scripted_disk *rig, uint32_t queue, uint16_t head, uint32_t length_bytes)
{
    struct l4vio_device_used used = {
        .head = head, .entries = rig->entries[queue][head], .written_bytes = length_bytes};
    l4vio_device_queue_finish(l4vio_device_queue(&rig->device, queue), &used, 1);
    l4vio_device_notify(&rig->device, queue);
}

static void answer_packed(struct l4vio_device_queue *ring, uint32_t id, uint32_t length_bytes)
{
    struct virtq_packed_desc *descs = ring->desc;
    uint64_t word = l4vio_packed_word(length_bytes, id & UINT16_MAX,
                                      (uint32_t)ring->used_bits | VIRTQ_DESC_F_WRITE);
    l4vio_store_packed_release(&descs[ring->used_index], word);
    if (++ring->used_index == ring->size) {
        ring->used_index = 0;
        ring->used_bits ^= VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED;
    }
}

static void answer_split(struct l4vio_device_queue *ring, uint32_t id, uint32_t length_bytes)
{
    struct virtq_used *used = ring->used;
    struct virtq_used_elem *elements = (void *)(used + 1);
    struct virtq_used_elem *element = &elements[ring->used_index % ring->size];

    l4vio_store32(&element->id, id);
    l4vio_store32(&element->len, length_bytes);
    ring->used_index++;
    l4vio_store16_release(&used->idx, ring->used_index);
}

void rig_answer_raw(struct scripted_disk *rig, uint32_t queue, uint32_t id, uint32_t length_bytes)
{
    struct l4vio_device_queue *ring = l4vio_device_queue(&rig->device, queue);

    if (l4vio_features_has(&rig->block.driver.accepted, L4VIO_F_RING_PACKED))
        answer_packed(ring, id, length_bytes);
    else
        answer_split(ring, id, length_bytes);
    l4vio_loopback_trigger(&rig->loopback, rig->states[queue].driver_notify_index);
}

void rig_serve_honestly(struct scripted_disk *rig, uint32_t queue,
                        const struct l4vio_device_chain *chain)
{
    uint8_t status;
    uint32_t length = rig_carry_out(rig, queue, chain, &status);
    rig_set_status(chain, status);
    rig_answer(rig, queue, chain->head, length);
}

bool rig_pump(void *self)
{
    struct scripted_disk *rig = self;
    bool worked = false;

    if (rig->stalled)
        return false;
    for (uint32_t i = 0; i < rig->device_queues && l4vio_device_live(&rig->device); i++) {
        struct l4vio_device_segment segments[RIG_QUEUE_SIZE];
        struct l4vio_device_queue *ring = l4vio_device_queue(&rig->device, i);
        struct l4vio_device_chain chain;
        unsigned taken = 0;
        while (ring && (!rig->take_max || taken < rig->take_max) &&
               l4vio_device_queue_next(ring, &chain, segments, RIG_QUEUE_SIZE) == 1) {
            taken++;
            rig->entries[i][chain.head] = chain.entries;
            (rig->serve ? rig->serve : rig_serve_honestly)(rig, i, &chain);
            worked = true;
        }
    }
    return worked;
}
