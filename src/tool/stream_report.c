/* SPDX-License-Identifier: MIT */
/* What a stream that ran to its end tells. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "files.h"
#include "report.h"
#include "stream.h"
#include "tool.h"

static json_t *result_json(const struct stream *stream, uint64_t span_ns)
{
    double seconds = (double)(span_ns ? span_ns : 1) / 1e9;
    json_t *root = json_pack("{s:s, s:I, s:f, s:f}", "operation", stream->verb, "bytes",
                             (json_int_t)stream->done_bytes, "seconds", seconds, "bytes_per_second",
                             (double)stream->done_bytes / seconds);
    if (!root)
        return NULL;
    /* A name that is not UTF-8 gives NULL, and is left out. */
    json_object_set_new(root, "source", json_string(stream->source.name));
    json_object_set_new(root, "target", json_string(stream->target.name));
    const struct client *clients[] = {stream->source.client, stream->target.client};
    client_reconnects_json(clients, 2, root);
    if (!stream->compare)
        return root;
    json_object_set_new(root, "equal", json_boolean(!stream->different));
    if (stream->different) {
        uint64_t on_device = stream->source.offset_bytes + stream->difference;
        json_object_set_new(root, "first_difference",
                            json_pack("{s:I, s:I}", "file_offset_bytes",
                                      (json_int_t)stream->difference, "device_offset_bytes",
                                      (json_int_t)on_device));
    }
    return root;
}

static int report_json(const struct stream *stream, uint64_t span_ns)
{
    progress_end();
    json_t *root = result_json(stream, span_ns);
    bool written = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return written ? TOOL_OK : complain(TOOL_FAILED, "cannot write JSON");
}

int stream_report(const struct stream *stream, const char *verb, uint64_t span_ns)
{
    if (stream_settings.json)
        return report_json(stream, span_ns);
    if (!stream->different && !stream_settings.quiet)
        report_done(verb, stream->done_bytes, span_ns, file_is_stdout(&stream->target));
    return TOOL_OK;
}

int stream_check_json(const char *target)
{
    if (stream_settings.json && (!target || strcmp(target, "-") == 0))
        return complain(TOOL_USAGE,
                        "--json: standard output would carry both the data and the result; name a "
                        "file for the data");
    return TOOL_OK;
}
