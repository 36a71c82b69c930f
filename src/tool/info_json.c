/* SPDX-License-Identifier: MIT */
/* `info` for programs. */
#include <stdio.h>

#include <jansson.h>
#include <l4vio/names.h>

#include "tool/info.h"

static json_t *features_json(uint32_t device_id, const struct l4vio_features *features)
{
    json_t *list = json_array();
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; ++bit) {
        if (!l4vio_features_has(features, bit))
            continue;
        const char *name = l4vio_feature_name(device_id, bit);
        json_array_append_new(list, json_pack("{s:i, s:s?}", "bit", (int)bit, "name", name));
    }
    return list;
}

static json_t *status_json(uint32_t status)
{
    json_t *names = json_array();
    for (uint32_t bit = 1; bit <= 128; bit <<= 1)
        if (status & bit && l4vio_status_name(bit))
            json_array_append_new(names, json_string(l4vio_status_name(bit)));
    return json_pack("{s:I, s:o}", "value", (json_int_t)status, "names", names);
}

static json_t *queues_json(const struct info *info)
{
    json_t *list = json_array();
    for (uint32_t q = 0; q < info->queues_shown; ++q)
        json_array_append_new(list, json_pack("{s:I, s:i}", "index", (json_int_t)q, "size_max",
                                              info->queue_size_max[q]));
    return list;
}

static void set_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *block_json(const struct info *info)
{
    const struct l4vio_block_info *b = &info->block->info;
    json_t *config = json_object();
    set_number(config, "capacity_bytes", b->capacity_sectors * 512);
    set_number(config, "capacity_sectors", b->capacity_sectors);
    set_number(config, "block_bytes", b->block_bytes);
    set_number(config, "size_max_bytes", b->size_max_bytes);
    set_number(config, "segment_max", b->segment_max);
    json_object_set_new(config, "read_only", json_boolean(b->read_only));
    json_object_set_new(config, "flush", json_boolean(b->flush));
    if (info->has_id) /* NULL, and so left out, if it is not UTF-8. */
        json_object_set_new(config, "id", json_string(info->id));
    if (info->has_writeback)
        json_object_set_new(config, "writeback", json_boolean(info->writeback));
    if (b->topology) {
        set_number(config, "physical_block_exponent", b->physical_block_exponent);
        set_number(config, "alignment_offset_blocks", b->alignment_offset_blocks);
        set_number(config, "minimum_io_blocks", b->minimum_io_blocks);
        set_number(config, "optimal_io_blocks", b->optimal_io_blocks);
    }
    if (b->discard) {
        set_number(config, "max_discard_sectors", b->max_discard_sectors);
        set_number(config, "max_discard_segments", b->max_discard_segments);
        set_number(config, "discard_alignment_sectors", b->discard_alignment_sectors);
    }
    if (b->write_zeroes) {
        set_number(config, "max_write_zeroes_sectors", b->max_write_zeroes_sectors);
        set_number(config, "max_write_zeroes_segments", b->max_write_zeroes_segments);
        json_object_set_new(config, "write_zeroes_may_unmap",
                            json_boolean(b->write_zeroes_may_unmap));
    }
    return config;
}

bool info_print_json(const struct info *info)
{
    const struct l4vio_identity *identity = &info->driver->identity;
    json_t *root = json_pack(
        "{s:s, s:{s:I, s:s, s:I}, s:o, s:{s:o}, s:o, s:I}", "uri", info->uri, "device", "id",
        (json_int_t)identity->device_id, "name", l4vio_device_name(identity->device_id), "vendor",
        (json_int_t)identity->vendor_id, "status", status_json(info->status), "features", "offered",
        features_json(identity->device_id, &identity->offered), "queues", queues_json(info),
        "notifications", (json_int_t)identity->notification_count);
    if (!root)
        return false;
    if (info->settled)
        json_object_set_new(json_object_get(root, "features"), "accepted",
                            features_json(identity->device_id, &info->driver->accepted));
    if (info->block)
        json_object_set_new(root, "config", block_json(info));
    bool written = json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return written;
}
