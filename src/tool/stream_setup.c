/* SPDX-License-Identifier: MIT */
/* Options, memory and the end of a stream. */
#include <l4vio/names.h>

#include <stdlib.h>

#include "tool/report.h"
#include "tool/stream_private.h"
#include "tool/tool.h"

struct stream_settings stream_settings = {.request_bytes = UINT64_C(1) << 20, .depth = 8};

const struct option stream_options[] = {
    {.kind = OPTION_SIZE,
     .name = "request-size",
     .argument = "SIZE",
     .help = "bytes per request, a multiple of 512 [1M]",
     .target = &stream_settings.request_bytes,
     .min = VIRTIO_BLK_SECTOR_BYTES,
     .max = UINT64_C(64) << 20},
    {.kind = OPTION_NUMBER,
     .name = "depth",
     .argument = "N",
     .help = "requests in flight [8]",
     .target = &stream_settings.depth,
     .min = 1,
     .max = 1024},
    {.kind = OPTION_FLAG,
     .name = "quiet",
     .help = "say nothing unless something is wrong",
     .target = &stream_settings.quiet},
    {.kind = OPTION_FLAG,
     .name = "json",
     .help = "print the result as JSON",
     .target = &stream_settings.json},
    {.kind = OPTION_GROUP, .name = "Device options", .group = client_block_options},
    {.kind = OPTION_END},
};

/* Shared parts of the requests of one side. */
static int setup_requests(struct stream *stream, struct client *client, struct l4vio_region *region,
                          bool write, struct l4vio_error *error)
{
    if (!client)
        return 0;
    uint64_t bytes = (uint64_t)stream->slot_count * L4VIO_BLOCK_SHARED_BYTES;
    int result = l4vio_driver_allocate(&client->block->driver, bytes, region, error);
    for (unsigned i = 0; i < stream->slot_count && result == 0; ++i) {
        struct slot_side *side = write ? &stream->slots[i].write : &stream->slots[i].read;
        result = l4vio_block_request_init(&side->request, region,
                                          (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES);
    }
    return result;
}

/* The data: one piece of memory, known to both devices if there are two. */
static int setup_data(struct stream *stream, struct l4vio_error *error)
{
    struct client *first = stream->source.client ? stream->source.client : stream->target.client;
    struct client *second = stream->source.client ? stream->target.client : NULL;
    uint64_t bytes = (uint64_t)stream->slot_count * stream_settings.request_bytes;
    int result = l4vio_driver_allocate(&first->block->driver, bytes, &stream->data_region, error);
    if (result == 0 && second)
        result =
            l4vio_driver_register_region(&second->block->driver, &stream->data_region.dataspace, 0,
                                         bytes, &stream->target_data_region, error);
    return result;
}

static void setup_slots(struct stream *stream)
{
    for (unsigned i = 0; i < stream->slot_count; ++i) {
        struct stream_slot *slot = &stream->slots[i];
        uint64_t offset = (uint64_t)i * stream_settings.request_bytes;
        slot->stream = stream;
        slot->data = (uint8_t *)stream->data_region.base + offset;
        slot->read.segment = (struct l4vio_block_segment){&stream->data_region, offset, 0};
        slot->write.segment = slot->read.segment;
        if (stream->source.client && stream->target.client)
            slot->write.segment.region = &stream->target_data_region;
    }
}

int stream_setup(struct stream *stream)
{
    if (stream_settings.request_bytes % VIRTIO_BLK_SECTOR_BYTES)
        return complain(TOOL_USAGE, "--request-size is not a multiple of 512");
    struct client *client = stream->source.client ? stream->source.client : stream->target.client;
    struct l4vio_error error = {0};
    stream->slot_count = (unsigned)stream_settings.depth;
    stream->slots = calloc(stream->slot_count, sizeof *stream->slots);
    if (stream->compare)
        stream->compare_buffer = malloc(stream_settings.request_bytes);
    if (!stream->slots || (stream->compare && !stream->compare_buffer))
        return complain(TOOL_FAILED, "out of memory");

    int result = setup_data(stream, &error);
    if (result == 0)
        setup_slots(stream);
    if (result == 0)
        result =
            setup_requests(stream, stream->source.client, &stream->source_requests, false, &error);
    if (result == 0)
        result =
            setup_requests(stream, stream->target.client, &stream->target_requests, true, &error);
    if (result == L4VIO_ENOMEM)
        return complain(TOOL_FAILED,
                        "cannot share memory with %s: too much, or in too many regions; a smaller "
                        "--depth or --request-size needs less, larger --max-mapped and "
                        "--max-regions of the server allow more",
                        client->uri);
    if (result < 0) {
        char text[200];
        l4vio_error_format(&error, text, sizeof text);
        return complain(TOOL_FAILED, "cannot share memory with %s: %s", client->uri, text);
    }
    return TOOL_OK;
}

void stream_free(struct stream *stream)
{
    free(stream->slots);
    free(stream->compare_buffer);
    stream->slots = NULL;
    stream->compare_buffer = NULL;
}
