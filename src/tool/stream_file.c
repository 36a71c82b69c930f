/* SPDX-License-Identifier: MIT */
/* The file side of a stream. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "tool/signals.h"
#include "tool/stream_private.h"
#include "tool/tool.h"

/* Reads until the buffer is full, the file ends, or a signal asks for the end. */
static ssize_t read_fully(const struct stream_end *end, void *data, size_t bytes, uint64_t position)
{
    size_t done = 0;
    while (done < bytes && !signals_pending()) {
        uint8_t *to = (uint8_t *)data + done;
        ssize_t got = end->sequential ? read(end->fd, to, bytes - done)
                                      : pread(end->fd, to, bytes - done,
                                              (off_t)(end->offset_bytes + position + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Files do not end in whole sectors. */
static void pad(struct stream *stream, struct stream_slot *slot, uint64_t bytes)
{
    uint64_t over = bytes % VIRTIO_BLK_SECTOR_BYTES;
    if (!over)
        return;
    if (!stream->pad) {
        stream_fail(stream, TOOL_FAILED,
                    "%s ends at byte %" PRIu64
                    ", not a multiple of 512; --pad fills the last sector with zeroes",
                    stream->source.name, slot->position_bytes + bytes);
        return;
    }
    slot->padding_bytes = VIRTIO_BLK_SECTOR_BYTES - over;
    memset(slot->data + bytes, 0, slot->padding_bytes);
}

void file_fill(struct stream *stream, struct stream_slot *slot)
{
    ssize_t got = read_fully(&stream->source, slot->data, slot->length_bytes, slot->position_bytes);
    if (got < 0) {
        stream_fail(stream, TOOL_FAILED, "cannot read %s at byte %" PRIu64 ": %s",
                    stream->source.name, slot->position_bytes, strerror(errno));
        return;
    }
    if (signals_pending())
        return;
    uint64_t bytes = (uint64_t)got;
    slot->padding_bytes = 0;
    stream->source_ended = bytes < slot->length_bytes;
    if (stream->target.client)
        pad(stream, slot, bytes);
    slot->length_bytes = bytes + slot->padding_bytes;
}

void file_write(struct stream *stream, struct stream_slot *slot)
{
    const struct stream_end *end = &stream->target;
    uint64_t done = 0;
    while (done < slot->length_bytes) {
        const uint8_t *from = slot->data + done;
        size_t bytes = (size_t)(slot->length_bytes - done);
        uint64_t position = end->offset_bytes + slot->position_bytes + done;
        ssize_t put = end->sequential ? write(end->fd, from, bytes)
                                      : pwrite(end->fd, from, bytes, (off_t)position);
        if (put < 0 && errno == EINTR && !signals_pending())
            continue;
        if (put < 0 && errno == EINTR)
            return;
        if (put <= 0) {
            stream_fail(stream, TOOL_FAILED, "cannot write %s at byte %" PRIu64 ": %s", end->name,
                        position, strerror(put < 0 ? errno : ENOSPC));
            return;
        }
        done += (uint64_t)put;
    }
    slot->state = SLOT_FINISHED;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; ++i)
        if (a[i] != b[i])
            return i;
    return bytes;
}

void file_compare(struct stream *stream, struct stream_slot *slot)
{
    ssize_t got = read_fully(&stream->target, stream->compare_buffer, slot->length_bytes,
                             slot->position_bytes);
    if (got < 0) {
        stream_fail(stream, TOOL_FAILED, "cannot read %s at byte %" PRIu64 ": %s",
                    stream->target.name, slot->position_bytes, strerror(errno));
        return;
    }
    if (signals_pending())
        return;
    uint64_t bytes = (uint64_t)got;
    if (memcmp(slot->data, stream->compare_buffer, bytes) != 0 || bytes < slot->length_bytes) {
        stream->different = true;
        stream->difference =
            slot->position_bytes + first_difference(slot->data, stream->compare_buffer, bytes);
    }
    slot->state = SLOT_FINISHED;
}
