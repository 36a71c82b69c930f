/* SPDX-License-Identifier: MIT */
/* `info` for programs. */
#include <stdio.h>

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

static json_t *protocol_features_json(uint64_t features)
{
    json_t *list = json_array();
    for (unsigned bit = 0; bit < 64; ++bit) {
        if (!(features >> bit & 1))
            continue;
        const char *name = l4vio_protocol_feature_name(bit);
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
    char text[L4VIO_QUEUE_NAME_BYTES];
    json_t *list = json_array();
    for (uint32_t q = 0; q < info_queues_shown(info); ++q) {
        const char *name = l4vio_queue_name(info->identity.device_id, &info->identity.offered,
                                            info->config, info->config_bytes, q, text);
        json_t *queue = json_pack("{s:I, s:s?}", "index", (json_int_t)q, "name", name);
        if (info->has_queue_sizes)
            json_object_set_new(queue, "size_max", json_integer(info->queue_size_max[q]));
        json_array_append_new(list, queue);
    }
    return list;
}

static json_t *device_json(const struct info *info)
{
    static const char *const sources[] = {
        [INFO_UNKNOWN] = NULL,
        [INFO_FROM_DEVICE] = "device",
        [INFO_FROM_OPTION] = "option",
        [INFO_GUESSED] = "guess",
    };
    uint32_t id = info->identity.device_id;
    json_t *device =
        json_pack("{s:I, s:s, s:s?, s:s?}", "id", (json_int_t)id, "name", l4vio_device_name(id),
                  "class", l4vio_class_word(id), "known_from", sources[info->class_source]);
    if (!info->is_vhost_user)
        json_object_set_new(device, "vendor", json_integer(info->identity.vendor_id));
    return device;
}

static json_t *vhost_user_json(const struct info *info)
{
    const struct l4vio_vhost_user_info *v = &info->vhost_user;
    return json_pack("{s:{s:o, s:o}, s:I, s:b, s:b, s:b, s:b, s:b, s:b}", "protocol_features",
                     "offered", protocol_features_json(v->protocol_features_offered), "used",
                     protocol_features_json(v->protocol_features_used), "memory_slots",
                     (json_int_t)v->memory_slots, "memory_slots_known", v->memory_slots_known,
                     "queue_count_known", v->queue_count_known, "stops_on_reset", v->stops_on_reset,
                     "resets_queues", v->resets_queues, "records_in_flight", info->tracks_in_flight,
                     "tells_changes", v->tells_changes);
}

bool info_print_json(const struct info *info)
{
    const struct l4vio_identity *identity = &info->identity;
    json_t *root =
        json_pack("{s:s, s:o, s:{s:o}, s:o, s:o}", "uri", info->uri, "device", device_json(info),
                  "features", "offered", features_json(identity->device_id, &identity->offered),
                  "queues", queues_json(info), "config", info_config_json(info));
    if (!root)
        return false;
    if (info->settled)
        json_object_set_new(json_object_get(root, "features"), "accepted",
                            features_json(identity->device_id, &info->accepted));
    if (info->has_status)
        json_object_set_new(root, "status", status_json(info->status));
    if (info->is_vhost_user)
        json_object_set_new(root, "vhost_user", vhost_user_json(info));
    else
        json_object_set_new(root, "notifications", json_integer(identity->notification_count));
    if (info->has_id) /* NULL, and so left out, if it is not UTF-8. */
        json_object_set_new(root, "id", json_string(info->id));
    bool written = json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return written;
}
