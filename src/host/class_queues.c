/* SPDX-License-Identifier: MIT */
/* Names of queues: which queue is which depends on features and on the configuration. */
#include "host/class.h"

#include <stdio.h>
#include <string.h>

static bool is_repeated(const struct l4vio_class_queue *queue)
{
    return strchr(queue->name, '#') != NULL;
}

/* The number takes the place of '#', if there is one. */
static const char *write_name(const char *name, uint64_t number, char text[L4VIO_QUEUE_NAME_BYTES])
{
    int before = (int)strcspn(name, "#");
    if (!name[before])
        snprintf(text, L4VIO_QUEUE_NAME_BYTES, "%s", name);
    else
        snprintf(text, L4VIO_QUEUE_NAME_BYTES, "%.*s%llu%s", before, name,
                 (unsigned long long)number, name + before + 1);
    return text;
}

/* How often the repeated group is there, as the configuration has it; UINT32_MAX if nobody tells. */
static uint32_t repetitions(uint32_t device_id, const char *field_name,
                            const struct l4vio_features *features, const void *config,
                            uint32_t config_bytes)
{
    const struct l4vio_config_field *field;
    for (unsigned i = 0; field_name && (field = l4vio_config_field(device_id, i)); ++i) {
        if (strcmp(field->name, field_name) != 0)
            continue;
        if (!l4vio_config_field_valid(field, features))
            return 1;
        if (field->offset_bytes + (uint32_t)field->width_bytes > config_bytes)
            break;
        return (uint32_t)l4vio_config_field_number(field, config, 0);
    }
    return UINT32_MAX;
}

const char *l4vio_queue_name(uint32_t device_id, const struct l4vio_features *features,
                             const void *config, uint32_t config_bytes, uint32_t queue,
                             char text[L4VIO_QUEUE_NAME_BYTES])
{
    const struct l4vio_class *class = l4vio_class_describe(device_id);
    uint64_t first = 0; /* Index of what comes next in the table. */
    for (unsigned i = 0; i < class->queue_count; ++i) {
        const struct l4vio_class_queue *entry = &class->queues[i];
        if (entry->needs >= 0 && !l4vio_features_has(features, (unsigned)entry->needs))
            continue;
        if (!is_repeated(entry)) {
            if (first++ == queue)
                return write_name(entry->name, 0, text);
            continue;
        }
        unsigned group = 1;
        while (i + group < class->queue_count && is_repeated(entry + group))
            ++group;
        uint64_t times =
            repetitions(device_id, class->repeat_field, features, config, config_bytes);
        if (queue - first < times * group)
            return write_name(entry[(queue - first) % group].name, (queue - first) / group + 1,
                              text);
        first += times * group;
        i += group - 1;
    }
    return NULL;
}
