/* SPDX-License-Identifier: MIT */
/*
 * Block driver: checks a request and cuts it into parts that the device's limits allow.
 *
 * The shared part of a request is written here for the device and never read back; only the status
 * byte and the identity are the device's.
 */
#include "core/ordering.h"
#include "drivers/block_private.h"

/* A position in the segments of a request. */
struct cursor {
    uint32_t segment;
    uint64_t offset_bytes;
};

/* One part of data: where it ends, how many bytes and buffers. */
struct cut {
    struct cursor end;
    uint64_t bytes;
    unsigned count;
};

int l4vio_block_request_init(struct l4vio_block_request *request, const struct l4vio_region *region,
                             uint64_t offset_bytes)
{
    uint64_t address;

    if (offset_bytes % L4VIO_BLOCK_SHARED_BYTES)
        return L4VIO_EINVAL;
    if (!region || !region->base)
        return L4VIO_EFAULT;
    int result = l4vio_region_address(region, offset_bytes, L4VIO_BLOCK_SHARED_BYTES, &address);
    if (result < 0)
        return result;
    *request = (struct l4vio_block_request){
        .shared_region = region,
        .shared_offset_bytes = offset_bytes,
    };
    return L4VIO_OK;
}

static bool has_data(const struct l4vio_block_request *request)
{
    return request->type == L4VIO_BLOCK_READ || request->type == L4VIO_BLOCK_WRITE;
}

static bool has_range(const struct l4vio_block_request *request)
{
    return request->type == L4VIO_BLOCK_DISCARD || request->type == L4VIO_BLOCK_WRITE_ZEROES;
}

static uint64_t next_sector(const struct l4vio_block_request *request)
{
    return request->sector + request->done_bytes / VIRTIO_BLK_SECTOR_BYTES;
}

bool l4vio_block_all_added(const struct l4vio_block_request *request)
{
    if (has_data(request))
        return request->segment_index >= request->segment_count;
    if (has_range(request))
        return (request->done_bytes + request->part_bytes) / VIRTIO_BLK_SECTOR_BYTES >=
               request->sector_count;
    return true;
}

static struct cursor go_back(const struct l4vio_block_request *request, struct cursor from,
                             uint64_t bytes)
{
    while (bytes) {
        if (!from.offset_bytes)
            from.offset_bytes = request->segments[--from.segment].length_bytes;
        uint64_t step = l4vio_block_least(bytes, from.offset_bytes);
        from.offset_bytes -= step;
        bytes -= step;
    }
    return from;
}

void l4vio_block_take_back_part(struct l4vio_block_request *request)
{
    if (has_data(request)) {
        struct cursor end = {request->segment_index, request->segment_offset_bytes};
        struct cursor begin = go_back(request, end, request->part_bytes);
        request->segment_index = begin.segment;
        request->segment_offset_bytes = begin.offset_bytes;
    }
    request->part_bytes = 0;
}

/* Takes bytes off the end of a cut. `buffers` may be NULL: a cut that is only counted. */
static void shorten(const struct l4vio_block_request *request, struct cut *cut,
                    struct l4vio_buffer *buffers, uint64_t excess_bytes)
{
    uint64_t left = excess_bytes;

    while (buffers && left && cut->count) {
        struct l4vio_buffer *last = &buffers[cut->count - 1u];
        uint64_t step = l4vio_block_least(left, last->length_bytes);
        last->length_bytes -= (uint32_t)step;
        left -= step;
        if (!last->length_bytes)
            cut->count--;
    }
    cut->bytes -= excess_bytes;
    cut->end = go_back(request, cut->end, excess_bytes);
}

/*
 * Cuts the next part off the segments: as many buffers as the limits allow, ending at a block
 * boundary of the device if there is one within, else at a sector. `position_bytes` is where on the
 * device the part begins. Returns false if not even one sector fits.
 */
static bool cut_part(const struct l4vio_block *block, const struct l4vio_block_request *request,
                     struct cursor begin, uint64_t position_bytes, struct l4vio_buffer *buffers,
                     struct cut *cut)
{
    uint64_t piece_max = block->info.size_max_bytes;
    if (!piece_max)
        piece_max = BLOCK_PART_BYTES_MAX;

    *cut = (struct cut){.end = begin};
    while (cut->count < block->part_buffers_max && cut->bytes < BLOCK_PART_BYTES_MAX &&
           cut->end.segment < request->segment_count) {
        const struct l4vio_block_segment *segment = &request->segments[cut->end.segment];
        uint64_t piece = segment->length_bytes - cut->end.offset_bytes;
        piece = l4vio_block_least(piece, piece_max);
        piece = l4vio_block_least(piece, BLOCK_PART_BYTES_MAX - cut->bytes);
        if (buffers)
            buffers[cut->count] = (struct l4vio_buffer){
                .address =
                    segment->region->device_address + segment->offset_bytes + cut->end.offset_bytes,
                .length_bytes = (uint32_t)piece,
            };
        cut->count++;
        cut->bytes += piece;
        cut->end.offset_bytes += piece;
        if (cut->end.offset_bytes == segment->length_bytes)
            cut->end = (struct cursor){.segment = cut->end.segment + 1u};
    }
    if (cut->end.segment == request->segment_count)
        return true;

    /* Block sizes are powers of two: no division, which some machines need a library for. */
    uint64_t excess = (position_bytes + cut->bytes) & (block->info.block_bytes - UINT64_C(1));
    if (excess >= cut->bytes)
        excess = cut->bytes % VIRTIO_BLK_SECTOR_BYTES;
    shorten(request, cut, buffers, excess);
    return cut->bytes != 0;
}

/* Segments that are cut in the middle of sectors: makes sure that every part can hold a sector. */
static bool parts_fit(const struct l4vio_block *block, const struct l4vio_block_request *request)
{
    uint64_t position = request->sector * VIRTIO_BLK_SECTOR_BYTES;
    struct cut cut = {.bytes = 0};

    while (cut.end.segment < request->segment_count) {
        if (!cut_part(block, request, cut.end, position, NULL, &cut))
            return false;
        position += cut.bytes;
    }
    return true;
}

static int check_place(const struct l4vio_block *block, uint64_t sector, uint64_t sectors,
                       struct l4vio_error *error)
{
    uint64_t capacity = block->info.capacity_sectors;
    if (sector > capacity || sectors > capacity - sector)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device (sectors)", capacity);
    return L4VIO_OK;
}

static int check_data(const struct l4vio_block *block, const struct l4vio_block_request *request,
                      struct l4vio_error *error)
{
    uint64_t total = 0;
    bool whole_sectors = true;

    if (!request->segment_count || !request->segments)
        return l4vio_fail(error, L4VIO_EINVAL, "a request without data", 0);
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct l4vio_block_segment *segment = &request->segments[i];
        uint64_t address;
        if (!segment->length_bytes)
            return l4vio_fail(error, L4VIO_EINVAL, "an empty segment", i);
        if (!segment->region || l4vio_region_address(segment->region, segment->offset_bytes,
                                                     segment->length_bytes, &address) < 0)
            return l4vio_fail(error, L4VIO_EFAULT, "a segment outside its region", i);
        if (segment->length_bytes > UINT64_MAX - total)
            return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device", i);
        total += segment->length_bytes;
        whole_sectors = whole_sectors && segment->length_bytes % VIRTIO_BLK_SECTOR_BYTES == 0;
    }
    if (total % VIRTIO_BLK_SECTOR_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "length not a multiple of 512", total);
    int result = check_place(block, request->sector, total / VIRTIO_BLK_SECTOR_BYTES, error);
    if (result < 0)
        return result;
    /* Whole sectors always fit: set-up made sure that a part can hold one. */
    if (!whole_sectors && !parts_fit(block, request))
        return l4vio_fail(error, L4VIO_E2BIG,
                          "queue too small for a request: a sector in more pieces than a part has",
                          block->part_buffers_max);
    return L4VIO_OK;
}

static int check_type(const struct l4vio_block *block, const struct l4vio_block_request *request,
                      struct l4vio_error *error)
{
    const struct l4vio_block_info *info = &block->info;
    bool writes = false;
    bool known = true;

    switch (request->type) {
    case L4VIO_BLOCK_READ:
    case L4VIO_BLOCK_GET_ID:
        break;
    case L4VIO_BLOCK_WRITE:
        writes = true;
        break;
    case L4VIO_BLOCK_FLUSH:
        known = info->flush;
        break;
    case L4VIO_BLOCK_DISCARD:
        writes = true;
        known = info->discard;
        break;
    case L4VIO_BLOCK_WRITE_ZEROES:
        writes = true;
        known = info->write_zeroes;
        break;
    default:
        return l4vio_fail(error, L4VIO_EINVAL, "no such request type", (uint64_t)request->type);
    }
    if (writes && info->read_only)
        return l4vio_fail(error, L4VIO_EROFS, "the device is read-only", 0);
    if (!known)
        return l4vio_fail(error, L4VIO_ENOSYS, "the device does not have this request type",
                          (uint64_t)request->type);
    return L4VIO_OK;
}

int l4vio_block_check(const struct l4vio_block *block, const struct l4vio_block_request *request,
                      struct l4vio_error *error)
{
    int result = check_type(block, request, error);
    if (result < 0)
        return result;
    if (has_data(request))
        return check_data(block, request, error);
    if (!has_range(request))
        return L4VIO_OK;
    if (!request->sector_count)
        return l4vio_fail(error, L4VIO_EINVAL, "an empty range", 0);
    return check_place(block, request->sector, request->sector_count, error);
}

/* Sectors of the next range record: within the limit, and ending where the device likes it. */
static uint32_t range_sectors(const struct l4vio_block *block,
                              const struct l4vio_block_request *request)
{
    const struct l4vio_block_info *info = &block->info;
    bool discard = request->type == L4VIO_BLOCK_DISCARD;
    uint64_t most = discard ? info->max_discard_sectors : info->max_write_zeroes_sectors;
    uint64_t align = discard ? info->discard_alignment_sectors : 0;
    uint64_t left = request->sector_count - request->done_bytes / VIRTIO_BLK_SECTOR_BYTES;

    if (left <= most)
        return (uint32_t)left;
    /* Advice only: what is not a power of two is left alone, as dividing by it needs a library. */
    if (!align || align & (align - 1u))
        align = info->block_bytes / VIRTIO_BLK_SECTOR_BYTES;
    uint64_t excess = (next_sector(request) + most) & (align - 1u);
    return (uint32_t)(excess < most ? most - excess : most);
}

/* Writes header, range and poison for the device. */
static void write_shared(const struct l4vio_block_request *request, uint32_t range_count_sectors)
{
    uint8_t *shared = (uint8_t *)request->shared_region->base + request->shared_offset_bytes;
    struct virtio_blk_req_header *header = (void *)(shared + BLOCK_HEADER_OFFSET);
    struct virtio_blk_range *range = (void *)(shared + BLOCK_RANGE_OFFSET);

    l4vio_store32(&header->type, (uint32_t)request->type);
    l4vio_store32(&header->reserved, 0);
    l4vio_store64(&header->sector, has_data(request) ? next_sector(request) : 0);
    if (has_range(request)) {
        bool unmap = request->type == L4VIO_BLOCK_WRITE_ZEROES && request->unmap;
        l4vio_store64(&range->sector, next_sector(request));
        l4vio_store32(&range->num_sectors, range_count_sectors);
        l4vio_store32(&range->flags, unmap ? VIRTIO_BLK_RANGE_F_UNMAP : 0);
    }
    l4vio_store8(shared + BLOCK_STATUS_OFFSET, BLOCK_STATUS_POISON);
}

/* A buffer in the shared part. */
static struct l4vio_buffer shared_buffer(const struct l4vio_block_request *request,
                                         uint32_t offset_bytes, uint32_t length_bytes)
{
    return (struct l4vio_buffer){
        .address =
            request->shared_region->device_address + request->shared_offset_bytes + offset_bytes,
        .length_bytes = length_bytes,
    };
}

/* Gathers the data buffers of the next part behind the header. */
static int gather(const struct l4vio_block *block, const struct l4vio_block_request *request,
                  struct l4vio_buffer *buffers, struct cut *cut, struct l4vio_error *error)
{
    uint64_t position = next_sector(request) * VIRTIO_BLK_SECTOR_BYTES;
    struct cursor begin = {request->segment_index, request->segment_offset_bytes};

    *cut = (struct cut){.end = begin};
    if (has_data(request)) {
        if (!cut_part(block, request, begin, position, buffers, cut))
            return l4vio_fail(error, L4VIO_E2BIG, "queue too small for a request", cut->count);
        return check_place(block, next_sector(request), cut->bytes / VIRTIO_BLK_SECTOR_BYTES,
                           error);
    }
    if (has_range(request)) {
        cut->bytes = (uint64_t)range_sectors(block, request) * VIRTIO_BLK_SECTOR_BYTES;
        cut->count = 1;
        buffers[0] = shared_buffer(request, BLOCK_RANGE_OFFSET, sizeof(struct virtio_blk_range));
    } else if (request->type == L4VIO_BLOCK_GET_ID) {
        cut->bytes = VIRTIO_BLK_ID_BYTES;
        cut->count = 1;
        buffers[0] = shared_buffer(request, BLOCK_ID_OFFSET, VIRTIO_BLK_ID_BYTES);
    }
    return L4VIO_OK;
}

/* A request of one segment that is one part: what most are, without the general way's arrays. */
static bool is_single(const struct l4vio_block *block, const struct l4vio_block_request *request)
{
    uint64_t piece_max = block->info.size_max_bytes;
    if (!piece_max)
        piece_max = BLOCK_PART_BYTES_MAX;
    return has_data(request) && request->segment_count == 1 && request->done_bytes == 0 &&
           request->segments->length_bytes <= piece_max;
}

static int add_single(struct l4vio_block *block, struct l4vio_block_request *request,
                      struct l4vio_error *error)
{
    const struct l4vio_block_segment *segment = request->segments;
    bool read = request->type == L4VIO_BLOCK_READ;
    struct l4vio_buffer buffers[1 + BLOCK_EXTRA_BUFFERS] = {
        shared_buffer(request, BLOCK_HEADER_OFFSET, sizeof(struct virtio_blk_req_header)),
        {.address = segment->region->device_address + segment->offset_bytes,
         .length_bytes = (uint32_t)segment->length_bytes},
        shared_buffer(request, BLOCK_STATUS_OFFSET, 1),
    };
    struct l4vio_request part = {
        .buffers = buffers,
        .readable = read ? 1 : 2,
        .writable = read ? 2 : 1,
        .cookie = request,
    };
    /* Before it can be the device's; a request that finds no room writes it again. */
    write_shared(request, 0);
    int result = l4vio_queue_add(&block->queues[request->queue], &part, 1);
    if (result < 0)
        return l4vio_fail(error, result,
                          result == L4VIO_EAGAIN ? "no room in the queue"
                                                 : "the queue does not take the request",
                          0);
    request->order = block->queues[request->queue].avail_index;
    request->part_bytes = segment->length_bytes;
    request->segment_index = 1;
    request->segment_offset_bytes = 0;
    return L4VIO_OK;
}

/* Any request, and the later parts of one. */
__attribute__((noinline)) static int add_any(struct l4vio_block *block,
                                             struct l4vio_block_request *request,
                                             struct l4vio_error *error)
{
    struct l4vio_queue *queue = &block->queues[request->queue];
    struct l4vio_buffer buffers[BLOCK_BUFFERS_MAX];
    struct cut cut;

    if (l4vio_queue_room(queue) < l4vio_queue_entries(queue, BLOCK_EXTRA_BUFFERS))
        return l4vio_fail(error, L4VIO_EAGAIN, "no room in the queue", 0);
    int result = gather(block, request, buffers + 1, &cut, error);
    if (result < 0)
        return result;
    if (l4vio_queue_room(queue) < l4vio_queue_entries(queue, cut.count + BLOCK_EXTRA_BUFFERS))
        return l4vio_fail(error, L4VIO_EAGAIN, "no room in the queue", l4vio_queue_room(queue));

    /* B1: what the device fills is writable, what it looks at is readable. */
    bool fills = request->type == L4VIO_BLOCK_READ || request->type == L4VIO_BLOCK_GET_ID;
    struct l4vio_request part = {
        .buffers = buffers,
        .readable = (uint16_t)(fills ? 1u : 1u + cut.count),
        .writable = (uint16_t)(fills ? cut.count + 1u : 1u),
        .cookie = request,
    };
    buffers[0] = shared_buffer(request, BLOCK_HEADER_OFFSET, sizeof(struct virtio_blk_req_header));
    buffers[1u + cut.count] = shared_buffer(request, BLOCK_STATUS_OFFSET, 1);
    write_shared(request, (uint32_t)(cut.bytes / VIRTIO_BLK_SECTOR_BYTES));

    result = l4vio_queue_add(queue, &part, 1);
    if (result < 0)
        return l4vio_fail(error, result, "the queue does not take the request", 0);
    request->order = queue->avail_index;
    request->part_bytes = cut.bytes;
    request->segment_index = cut.end.segment;
    request->segment_offset_bytes = cut.end.offset_bytes;
    return L4VIO_OK;
}

int l4vio_block_add_part(struct l4vio_block *block, struct l4vio_block_request *request,
                         struct l4vio_error *error)
{
    if (is_single(block, request))
        return add_single(block, request, error);
    return add_any(block, request, error);
}
