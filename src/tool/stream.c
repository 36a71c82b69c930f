/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/report.h"
#include "tool/signals.h"
#include "tool/stream_private.h"
#include "tool/tool.h"

void stream_fail(struct stream *stream, int exit_code, const char *format, ...)
{
    char what[300];
    va_list arguments;
    if (stream->exit_code != TOOL_OK)
        return;
    stream->exit_code = exit_code;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (stream->length_bytes == STREAM_TO_END)
        complain(exit_code, "%s; %" PRIu64 " bytes were %s", what, stream->done_bytes,
                 stream->past_verb);
    else
        complain(exit_code, "%s; %" PRIu64 " of %" PRIu64 " bytes were %s", what,
                 stream->done_bytes, stream->length_bytes, stream->past_verb);
}

void stream_fail_device(struct stream *stream, struct client *client, const char *doing,
                        uint64_t position_bytes, int code)
{
    int exit_code;
    const char *reason = client_reason(client, code, &exit_code);
    stream_fail(stream, exit_code, "%s %s at byte %" PRIu64 " failed: %s", doing, client->uri,
                position_bytes, reason);
}

/* Cancelled by our own end (a difference was found, or something else failed): no news of the device. */
static bool failed(const struct l4vio_block_request *request)
{
    return request->result < 0 && request->result != L4VIO_ECANCELED;
}

static void read_done(struct l4vio_block_request *request, void *context)
{
    struct stream_slot *slot = context;
    struct stream *stream = slot->stream;
    slot->state = SLOT_FILLED;
    if (failed(request))
        stream_fail_device(stream, stream->source.client, "reading",
                           stream->source.offset_bytes + slot->position_bytes, request->result);
}

static void write_done(struct l4vio_block_request *request, void *context)
{
    struct stream_slot *slot = context;
    struct stream *stream = slot->stream;
    slot->state = SLOT_FINISHED;
    if (failed(request))
        stream_fail_device(stream, stream->target.client, "writing",
                           stream->target.offset_bytes + slot->position_bytes, request->result);
}

/* Sends one side's request. False: no room, or failed. */
static bool submit(struct stream_slot *slot, const struct stream_end *end, struct slot_side *side,
                   bool write)
{
    struct stream *stream = slot->stream;
    struct l4vio_block *block = end->client->block;
    uint64_t position = end->offset_bytes + slot->position_bytes;
    uint32_t queue = (uint32_t)(slot - stream->slots) % block->queue_count;
    side->segment.length_bytes = slot->length_bytes;
    side->request.type = write ? L4VIO_BLOCK_WRITE : L4VIO_BLOCK_READ;
    side->request.segments = &side->segment;
    side->request.segment_count = 1;
    side->request.sector = position / VIRTIO_BLK_SECTOR_BYTES;
    side->request.done = write ? write_done : read_done;
    side->request.context = slot;
    slot->state = write ? SLOT_WRITING : SLOT_READING;
    int result = l4vio_block_submit(block, queue, &side->request, NULL);
    if (result == 0)
        return true;
    slot->state = write ? SLOT_FILLED : SLOT_EMPTY;
    if (result != L4VIO_EAGAIN)
        stream_fail_device(stream, end->client, write ? "writing" : "reading", position, result);
    return false;
}

/* Writes a filled slot. False: not now, or failed. */
static bool write_slot(struct stream *stream, struct stream_slot *slot)
{
    const struct stream_end *target = &stream->target;
    if (target->client) {
        uint64_t room = client_size(target->client) - target->offset_bytes;
        if (slot->position_bytes + slot->length_bytes > room) {
            stream_fail(stream, TOOL_FAILED,
                        "%s is larger than the %" PRIu64 " bytes that %s has from offset %" PRIu64,
                        stream->source.name, room, target->name, target->offset_bytes);
            return false;
        }
        return submit(slot, target, &slot->write, true);
    }
    if (stream->compare)
        file_compare(stream, slot);
    else
        file_write(stream, slot);
    return slot->state == SLOT_FINISHED;
}

static bool going_on(const struct stream *stream)
{
    return stream->exit_code == TOOL_OK && !stream->different && !signals_pending();
}

static struct stream_slot *slot_at(struct stream *stream, uint64_t number)
{
    return &stream->slots[number % stream->slot_count];
}

/* Asks the source for as much as there are empty slots. */
static void start_slots(struct stream *stream)
{
    while (going_on(stream) && !stream->source_ended &&
           stream->position_bytes < stream->length_bytes &&
           stream->started - stream->finished < stream->slot_count) {
        struct stream_slot *slot = slot_at(stream, stream->started);
        uint64_t left = stream->length_bytes - stream->position_bytes;
        slot->position_bytes = stream->position_bytes;
        slot->padding_bytes = 0;
        slot->length_bytes =
            left < stream_settings.request_bytes ? left : stream_settings.request_bytes;
        if (stream->source.client) {
            if (!submit(slot, &stream->source, &slot->read, false))
                return;
        } else {
            file_fill(stream, slot);
            if (!slot->length_bytes || !going_on(stream))
                return;
            slot->state = SLOT_FILLED;
        }
        stream->position_bytes += slot->length_bytes - slot->padding_bytes;
        stream->started += 1;
        stream->moved = true;
        if (!stream->source.client)
            return; /* One at a time: the device works on it while we read on. */
    }
}

/* Passes on what the source has given; to a file in order. */
static void write_slots(struct stream *stream)
{
    for (uint64_t i = stream->finished; i < stream->started && going_on(stream); ++i) {
        struct stream_slot *slot = slot_at(stream, i);
        if (slot->state == SLOT_FILLED) {
            if (!write_slot(stream, slot))
                return;
            stream->moved = true;
        } else if (!stream->target.client) {
            return;
        }
    }
}

static void retire_slots(struct stream *stream)
{
    while (stream->finished < stream->started && stream->exit_code == TOOL_OK &&
           !stream->different) {
        struct stream_slot *slot = slot_at(stream, stream->finished);
        if (slot->state != SLOT_FINISHED)
            return;
        slot->state = SLOT_EMPTY;
        stream->done_bytes = slot->position_bytes + slot->length_bytes - slot->padding_bytes;
        stream->finished += 1;
        stream->moved = true;
    }
    progress_show(stream->done_bytes);
}

/* Whether a side has requests in flight, and the position of the first. */
static bool in_flight(struct stream *stream, enum slot_state state, uint64_t *position_bytes)
{
    for (uint64_t i = stream->finished; i < stream->started; ++i)
        if (slot_at(stream, i)->state == state) {
            *position_bytes = slot_at(stream, i)->position_bytes;
            return true;
        }
    return false;
}

/* Blames the device that is gone or failed; after a timeout the one that has something in flight. */
static void wait_failed(struct stream *stream, int code)
{
    struct stream_end *ends[] = {&stream->source, &stream->target};
    static const enum slot_state states[] = {SLOT_READING, SLOT_WRITING};
    static const char *const doing[] = {"reading", "writing"};
    for (int i = 0; i < 2; ++i) {
        uint64_t position = 0;
        struct client *client = ends[i]->client;
        bool busy = client && in_flight(stream, states[i], &position);
        if (client &&
            (code == L4VIO_ETIMEDOUT ? busy : l4vio_driver_fail_state(&client->block->driver)))
            stream_fail_device(stream, client, doing[i], ends[i]->offset_bytes + position, code);
    }
    if (stream->exit_code == TOOL_OK)
        stream_fail(stream, TOOL_NO_DEVICE, "the devices stopped working");
}

static void poll_client(struct stream *stream, const struct stream_end *end, const char *doing)
{
    if (!end->client)
        return;
    for (uint32_t q = 0; q < end->client->block->queue_count; ++q) {
        int result = l4vio_block_poll(end->client->block, q, 64);
        if (result > 0)
            stream->moved = true;
        if (result < 0)
            stream_fail_device(stream, end->client, doing, end->offset_bytes + stream->done_bytes,
                               result);
    }
}

static void wait_for_devices(struct stream *stream)
{
    struct client *clients[2];
    unsigned count = 0;
    if (stream->source.client)
        clients[count++] = stream->source.client;
    if (stream->target.client)
        clients[count++] = stream->target.client;
    int result = client_wait(clients, count, stream->last_progress_ns + client_settings.timeout_ns);
    if (result < 0)
        wait_failed(stream, result);
}

static void take_completions(struct stream *stream)
{
    poll_client(stream, &stream->source, "reading");
    poll_client(stream, &stream->target, "writing");
    retire_slots(stream);
}

static void move(struct stream *stream)
{
    stream->last_progress_ns = clock_ns();
    while (going_on(stream)) {
        stream->moved = false;
        start_slots(stream);
        write_slots(stream);
        take_completions(stream);
        if (stream->finished == stream->started &&
            (stream->source_ended || stream->position_bytes >= stream->length_bytes))
            return;
        if (stream->moved)
            stream->last_progress_ns = clock_ns();
        else if (going_on(stream))
            wait_for_devices(stream);
    }
}

/* Makes it durable. */
static void settle(struct stream *stream)
{
    if (stream->exit_code != TOOL_OK || stream->compare)
        return;
    if (stream->target.client)
        stream->exit_code = client_flush(stream->target.client);
    else if (!stream->target.sequential && fsync(stream->target.fd) < 0 && errno != EINVAL)
        stream_fail(stream, TOOL_FAILED, "cannot make %s durable: %s", stream->target.name,
                    strerror(errno));
}

static void run_once(struct stream *stream)
{
    if (!stream_settings.quiet)
        progress_start(stream->verb,
                       stream->length_bytes == STREAM_TO_END ? 0 : stream->length_bytes);
    move(stream);
    if (signals_pending())
        stream_fail(stream, TOOL_SIGNAL + signals_pending(), "%s interrupted", stream->verb);
    else if (stream->exit_code == TOOL_OK && !stream->different &&
             stream->length_bytes != STREAM_TO_END && stream->done_bytes < stream->length_bytes)
        stream_fail(stream, TOOL_FAILED, "%s became shorter meanwhile", stream->source.name);
    settle(stream);
}

static bool can_repeat(const struct stream *stream)
{
    return stream->source.client || !stream->source.sequential;
}

/* What cannot be written twice must not be lost. */
static void prepare(struct stream *stream)
{
    struct client *client = stream->target.client;
    if (client && client_settings.reconnect_ns && !can_repeat(stream) && client_has_cache(client))
        (void)client_write_through(client, NULL);
}

/*
 * Whether the target has died with writes in its cache. No flush that comes afterwards makes up for them, so
 * everything is written again.
 */
static bool must_repeat(struct stream *stream, uint64_t returns)
{
    const struct client *client = stream->target.client;
    if (stream->exit_code != TOOL_OK || !client || client_returns(client) == returns ||
        !client_has_cache(client))
        return false;
    if (!can_repeat(stream)) {
        stream_fail(stream, TOOL_FAILED,
                    "%s went away and came back, what it had in its cache may be lost, and %s "
                    "cannot be read again",
                    client->uri, stream->source.name);
        return false;
    }
    notice("%s may have lost what was in its cache: writing it again", client->uri);
    stream->started = stream->finished = 0;
    stream->position_bytes = stream->done_bytes = 0;
    stream->source_ended = false;
    return true;
}

int stream_run(struct stream *stream)
{
    uint64_t returns;
    stream->exit_code = stream_setup(stream);
    if (stream->exit_code != TOOL_OK)
        return stream->exit_code;
    prepare(stream);
    do {
        returns = stream->target.client ? client_returns(stream->target.client) : 0;
        run_once(stream);
    } while (must_repeat(stream, returns));
    progress_end();
    return stream->exit_code;
}
