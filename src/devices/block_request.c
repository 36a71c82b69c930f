/* SPDX-License-Identifier: MIT */
/* What a request means: header, data, ranges, status (VIRTIO 1.4, section 5.2.6). */
#include <stddef.h>

#include "core/bytes.h"
#include "core/ordering.h"
#include "devices/block.h"

#define SECTOR_BYTES VIRTIO_BLK_SECTOR_BYTES
#define HEADER_BYTES ((uint64_t)sizeof(struct virtio_blk_req_header))
#define RANGE_BYTES  ((uint64_t)sizeof(struct virtio_blk_range))

static struct l4vio_device_block_counters *counters(struct l4vio_device_block_request *request)
{
    return &request->block->config.queues[request->queue].counters;
}

static enum l4vio_block_step answer(struct l4vio_device_block_request *request, uint8_t status)
{
    request->status = status;
    return L4VIO_BLOCK_STEP_ANSWER;
}

/* The first `bytes` of the segments do not count any more. */
static void skip_bytes(struct l4vio_block_io *io, uint64_t bytes)
{
    while (io->segment_count && bytes >= io->segments->length_bytes) {
        bytes -= io->segments->length_bytes;
        io->segments++;
        io->segment_count--;
    }
    if (bytes) {
        io->segments->base = (uint8_t *)io->segments->base + bytes;
        io->segments->length_bytes -= bytes;
    }
}

/*
 * The status is the last writable byte, wherever the descriptors are cut (clause V-2.7.4.1-1). It is
 * taken off the chain, so that no data can be put there.
 */
static bool take_status_byte(struct l4vio_device_block_request *request)
{
    struct l4vio_device_chain *chain = &request->chain;
    if (chain->writable_bytes == 0)
        return false;
    struct l4vio_device_segment *last = &chain->segments[chain->readable + chain->writable - 1u];
    while (last->length_bytes == 0) {
        last--;
        chain->writable--;
    }
    last->length_bytes--;
    chain->writable_bytes--;
    request->status_byte = (uint8_t *)last->base + last->length_bytes;
    return true;
}

void l4vio_block_request_return_status(struct l4vio_device_block_request *request)
{
    struct l4vio_device_chain *chain = &request->chain;
    chain->segments[chain->readable + chain->writable - 1u].length_bytes++;
    chain->writable_bytes++;
}

/* Limits of the configuration that a driver is held to. */
static bool segments_allowed(const struct l4vio_device_block *block,
                             const struct l4vio_block_io *io)
{
    uint32_t size_max = block->config.size_max_bytes;
    uint32_t count_max = block->config.segments_max;
    uint32_t count = 0;
    if (size_max == 0 && count_max == 0)
        return true;
    for (uint32_t i = 0; i < io->segment_count; i++) {
        if (size_max && io->segments[i].length_bytes > size_max)
            return false;
        if (io->segments[i].length_bytes)
            count++;
    }
    return count_max == 0 || count <= count_max;
}

/* Written so that no sum can overflow. */
static bool inside_capacity(const struct l4vio_device_block *block, uint64_t sector,
                            uint64_t sectors)
{
    uint64_t capacity = l4vio_load64(&block->blk_config.capacity);
    return sector <= capacity && sectors <= capacity - sector;
}

static enum l4vio_block_step prepare_transfer(struct l4vio_device_block_request *request)
{
    struct l4vio_block_io *io = &request->io;
    const struct l4vio_device_chain *chain = &request->chain;
    if (request->type == VIRTIO_BLK_T_IN) {
        io->op = L4VIO_BLOCK_OP_READ;
        io->segments = chain->segments + chain->readable;
        io->segment_count = chain->writable;
        io->length_bytes = chain->writable_bytes;
    } else {
        io->op = L4VIO_BLOCK_OP_WRITE;
        io->segments = chain->segments;
        io->segment_count = chain->readable;
        io->length_bytes = chain->readable_bytes - HEADER_BYTES;
        skip_bytes(io, HEADER_BYTES);
    }
    if (io->length_bytes % SECTOR_BYTES || !segments_allowed(request->block, io) ||
        !inside_capacity(request->block, request->sector, io->length_bytes / SECTOR_BYTES))
        return answer(request, VIRTIO_BLK_S_IOERR);
    io->offset_bytes = request->sector * SECTOR_BYTES;
    return io->length_bytes ? L4VIO_BLOCK_STEP_SUBMIT : answer(request, VIRTIO_BLK_S_OK);
}

static enum l4vio_block_step prepare_flush(struct l4vio_device_block_request *request)
{
    if (!l4vio_device_feature(&request->block->device, VIRTIO_BLK_F_FLUSH))
        return answer(request, VIRTIO_BLK_S_UNSUPP);
    request->io.op = L4VIO_BLOCK_OP_FLUSH;
    return L4VIO_BLOCK_STEP_SUBMIT;
}

static enum l4vio_block_step answer_id(struct l4vio_device_block_request *request)
{
    request->written_bytes = (uint32_t)l4vio_device_chain_write(
        &request->chain, 0, request->block->config.id, VIRTIO_BLK_ID_BYTES);
    return answer(request, VIRTIO_BLK_S_OK);
}

/* Clauses V-5.2.6.2-4 and -5. */
static bool flags_allowed(const struct l4vio_device_block_request *request, uint32_t flags)
{
    uint32_t allowed = request->type == VIRTIO_BLK_T_DISCARD ? 0 : VIRTIO_BLK_RANGE_F_UNMAP;
    return (flags & ~allowed) == 0;
}

/* Every record is checked before the first is carried out. */
static uint8_t check_ranges(const struct l4vio_device_block_request *request)
{
    for (uint32_t i = 0; i < request->range_count; i++) {
        if (!flags_allowed(request, l4vio_load32(&request->ranges[i].flags)))
            return VIRTIO_BLK_S_UNSUPP;
    }
    for (uint32_t i = 0; i < request->range_count; i++) {
        uint32_t sectors = l4vio_load32(&request->ranges[i].num_sectors);
        uint64_t sector = l4vio_load64(&request->ranges[i].sector);
        if (sectors > L4VIO_DEVICE_BLOCK_RANGE_SECTORS_MAX ||
            !inside_capacity(request->block, sector, sectors))
            return VIRTIO_BLK_S_IOERR;
    }
    return VIRTIO_BLK_S_OK;
}

/* Puts the next record that is not empty into `io`. */
static bool next_range(struct l4vio_device_block_request *request)
{
    struct l4vio_block_io *io = &request->io;
    while (request->range_index < request->range_count) {
        const struct virtio_blk_range *range = &request->ranges[request->range_index++];
        io->offset_bytes = l4vio_load64(&range->sector) * SECTOR_BYTES;
        io->length_bytes = (uint64_t)l4vio_load32(&range->num_sectors) * SECTOR_BYTES;
        io->unmap = l4vio_load32(&range->flags) & VIRTIO_BLK_RANGE_F_UNMAP;
        if (io->length_bytes)
            return true;
    }
    return false;
}

static enum l4vio_block_step prepare_ranges(struct l4vio_device_block_request *request)
{
    bool discard = request->type == VIRTIO_BLK_T_DISCARD;
    unsigned feature = discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
    uint64_t bytes = request->chain.readable_bytes - HEADER_BYTES;
    if (!l4vio_device_feature(&request->block->device, feature))
        return answer(request, VIRTIO_BLK_S_UNSUPP);
    if (bytes == 0 || bytes % RANGE_BYTES || bytes > sizeof(request->ranges))
        return answer(request, VIRTIO_BLK_S_IOERR);
    l4vio_device_chain_read(&request->chain, HEADER_BYTES, request->ranges, bytes);
    request->range_count = (uint32_t)(bytes / RANGE_BYTES);
    request->range_index = 0;
    uint8_t status = check_ranges(request);
    request->io.op = discard ? L4VIO_BLOCK_OP_DISCARD : L4VIO_BLOCK_OP_ZERO;
    if (status != VIRTIO_BLK_S_OK || !next_range(request))
        return answer(request, status);
    return L4VIO_BLOCK_STEP_SUBMIT;
}

uint64_t l4vio_block_request_work(const struct l4vio_device_block_request *request)
{
    uint64_t bytes = 0;
    if (request->range_count == 0)
        return request->io.length_bytes;
    for (uint32_t i = 0; i < request->range_count; i++)
        bytes += (uint64_t)l4vio_load32(&request->ranges[i].num_sectors) * SECTOR_BYTES;
    return bytes;
}

static bool changes_data(uint32_t type)
{
    return type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
           type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static void count_type(struct l4vio_device_block_request *request)
{
    struct l4vio_device_block_counters *count = counters(request);
    switch (request->type) {
    case VIRTIO_BLK_T_IN:
        count->reads++;
        break;
    case VIRTIO_BLK_T_OUT:
        count->writes++;
        break;
    case VIRTIO_BLK_T_FLUSH:
        count->flushes++;
        break;
    case VIRTIO_BLK_T_GET_ID:
        count->ids++;
        break;
    case VIRTIO_BLK_T_DISCARD:
        count->discards++;
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        count->zeroes++;
        break;
    default:
        break;
    }
}

/* Copied before it is looked at. Mostly it is the first buffer, and one piece. */
static bool read_header(const struct l4vio_device_chain *chain,
                        struct virtio_blk_req_header *header)
{
    if (chain->readable && chain->segments->length_bytes >= sizeof(*header)) {
        memcpy(header, chain->segments->base, sizeof(*header));
        return true;
    }
    return l4vio_device_chain_read(chain, 0, header, sizeof(*header)) == sizeof(*header);
}

enum l4vio_block_step l4vio_block_request_prepare(struct l4vio_device_block_request *request)
{
    struct virtio_blk_req_header header;
    request->written_bytes = 0;
    request->range_count = 0;
    request->flushing = false;
    request->io.unmap = false;
    request->io.segment_count = 0;
    request->io.offset_bytes = 0;
    request->io.length_bytes = 0;
    request->type = UINT32_MAX;
    if (!take_status_byte(request))
        return L4VIO_BLOCK_STEP_BROKEN;
    if (!read_header(&request->chain, &header))
        return answer(request, VIRTIO_BLK_S_IOERR);
    request->type = l4vio_load32(&header.type);
    request->sector = l4vio_load64(&header.sector);
    count_type(request);
    if (request->block->read_only && changes_data(request->type))
        return answer(request, VIRTIO_BLK_S_IOERR);
    switch (request->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        return prepare_transfer(request);
    case VIRTIO_BLK_T_FLUSH:
        return prepare_flush(request);
    case VIRTIO_BLK_T_GET_ID:
        return answer_id(request);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return prepare_ranges(request);
    default:
        return answer(request, VIRTIO_BLK_S_UNSUPP);
    }
}

/*
 * Whether this driver's writes have to be durable when they complete (clause V-5.2.6.2-11). The
 * driver may switch at any time: what it finds at the completion of a write counts, so a write during
 * which it was always off is flushed.
 */
static bool write_through(const struct l4vio_device_block *block)
{
    const struct l4vio_device *device = &block->device;
    if (!l4vio_device_feature(device, VIRTIO_BLK_F_FLUSH))
        return true;
    if (!l4vio_device_feature(device, VIRTIO_BLK_F_CONFIG_WCE))
        return false;
    if (!device->port || !device->port->read_driver_config)
        return block->blk_config.writeback == 0;
    return device->port->read_driver_config(
               device->port_self, (uint32_t)offsetof(struct virtio_blk_config, writeback)) == 0;
}

enum l4vio_block_step l4vio_block_request_continue(struct l4vio_device_block_request *request,
                                                   int result)
{
    if (result != L4VIO_OK)
        return answer(request, result == L4VIO_ENOSYS ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
    if (!changes_data(request->type) || request->flushing) {
        if (request->type == VIRTIO_BLK_T_IN)
            request->written_bytes = (uint32_t)request->io.length_bytes;
        return answer(request, VIRTIO_BLK_S_OK);
    }
    if (next_range(request))
        return L4VIO_BLOCK_STEP_SUBMIT;
    if (!write_through(request->block))
        return answer(request, VIRTIO_BLK_S_OK);
    request->flushing = true;
    request->io.op = L4VIO_BLOCK_OP_FLUSH;
    return L4VIO_BLOCK_STEP_SUBMIT;
}

/*
 * Clause V-2.7.8.2-2: the length counts from the first writable byte, and all of it was written. The
 * status is the last one, so it is included only if the data in front of it was written completely;
 * after an error nothing is promised about the data, and the length is 0. A driver that wants the
 * status looks at it, whatever the length says.
 */
uint32_t l4vio_block_request_account(const struct l4vio_device_block_request *request)
{
    struct l4vio_device_block_counters *count =
        &request->block->config.queues[request->queue].counters;
    if (request->status != VIRTIO_BLK_S_OK)
        count->errors++;
    else if (request->type == VIRTIO_BLK_T_IN)
        count->read_bytes += request->written_bytes;
    else if (request->type == VIRTIO_BLK_T_OUT)
        count->written_bytes += request->chain.readable_bytes - HEADER_BYTES;
    if (request->written_bytes == request->chain.writable_bytes)
        return request->written_bytes + 1u;
    return request->written_bytes;
}
