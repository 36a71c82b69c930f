/* SPDX-License-Identifier: MIT */
/* What the tables say. */
#include "host/class.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/names.h>

bool l4vio_same_name(const char *a, const char *b)
{
    for (;; ++a, ++b) {
        int left = *a == '-' ? '_' : toupper((unsigned char)*a);
        int right = *b == '-' ? '_' : toupper((unsigned char)*b);
        if (left != right)
            return false;
        if (!left)
            return true;
    }
}

const char *l4vio_class_word(uint32_t device_id)
{
    const struct l4vio_class_entry *entry = l4vio_class_find(device_id);
    return entry ? entry->word : NULL;
}

uint32_t l4vio_class_by_name(const char *name)
{
    for (uint32_t id = l4vio_class_next(0); id; id = l4vio_class_next(id))
        if (l4vio_same_name(l4vio_class_word(id), name) ||
            l4vio_same_name(l4vio_device_name(id), name))
            return id;
    char *end;
    if (!isdigit((unsigned char)*name))
        return 0;
    unsigned long long number = strtoull(name, &end, 0);
    return *end || number > UINT32_MAX ? 0 : (uint32_t)number;
}

const struct l4vio_config_field *l4vio_config_field(uint32_t device_id, unsigned index)
{
    const struct l4vio_class *class = l4vio_class_describe(device_id);
    return index < class->field_count ? &class->fields[index] : NULL;
}

bool l4vio_config_field_valid(const struct l4vio_config_field *field,
                              const struct l4vio_features *features)
{
    return field->always || l4vio_features_has(features, field->needs) ||
           l4vio_features_has(features, field->or_needs);
}

static uint32_t field_end(const struct l4vio_config_field *field)
{
    return field->offset_bytes + (uint32_t)field->width_bytes * field->count;
}

uint64_t l4vio_config_field_number(const struct l4vio_config_field *field, const void *config,
                                   unsigned element)
{
    const unsigned char *at =
        (const unsigned char *)config + field->offset_bytes + (size_t)field->width_bytes * element;
    uint64_t number = 0;
    for (unsigned i = field->width_bytes; i-- > 0;)
        number = number << 8 | at[i];
    return number;
}

const char *l4vio_config_value_name(const struct l4vio_config_field *field, uint64_t number)
{
    for (unsigned i = 0; i < field->name_count; ++i)
        if (field->names[i].number == number)
            return field->names[i].name;
    return NULL;
}

uint32_t l4vio_config_bytes(uint32_t device_id)
{
    const struct l4vio_class *class = l4vio_class_describe(device_id);
    return class->field_count ? field_end(&class->fields[class->field_count - 1]) : 0;
}

static bool text_allowed(const unsigned char *text, unsigned count)
{
    unsigned length = 0;
    while (length < count && text[length])
        if (iscntrl(text[length++]))
            return false;
    for (unsigned i = length; i < count; ++i)
        if (text[i])
            return false;
    return length > 0;
}

/* Whether a field that is valid holds what it may hold. */
static bool value_allowed(const struct l4vio_config_field *field, const void *config)
{
    uint64_t number = l4vio_config_field_number(field, config, 0);
    switch ((enum l4vio_field_kind)field->kind) {
    case L4VIO_FIELD_BYTES:
    case L4VIO_FIELD_MAC:
        return true;
    case L4VIO_FIELD_TEXT:
        return text_allowed((const unsigned char *)config + field->offset_bytes, field->count);
    case L4VIO_FIELD_BOOLEAN:
        return number <= 1;
    case L4VIO_FIELD_NUMBER:
    case L4VIO_FIELD_FLAGS:
    case L4VIO_FIELD_CHOICE:
        break;
    }
    return number >= field->least && (!field->most || number <= field->most);
}

static bool config_fits(uint32_t device_id, const struct l4vio_features *offered,
                        const void *config, uint32_t config_bytes)
{
    const unsigned char *bytes = config;
    const struct l4vio_config_field *field;
    for (unsigned i = 0; (field = l4vio_config_field(device_id, i)); ++i) {
        if (!l4vio_config_field_valid(field, offered))
            continue;
        if (field_end(field) > config_bytes || !value_allowed(field, config))
            return false;
    }
    for (uint32_t i = l4vio_config_bytes(device_id); i < config_bytes; ++i)
        if (bytes[i])
            return false;
    return true;
}

/* VIRTIO 1.4, 2.2: bits 0 to 23 and 50 to 127 belong to the class. */
static bool class_bit(unsigned bit)
{
    return bit <= 23 || (bit >= 50 && bit <= 127);
}

bool l4vio_class_fits(uint32_t device_id, const struct l4vio_features *offered, const void *config,
                      uint32_t config_bytes)
{
    const struct l4vio_class_entry *entry = l4vio_class_find(device_id);
    if (!entry || !entry->description)
        return false;
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; ++bit)
        if (class_bit(bit) && l4vio_features_has(offered, bit) &&
            !l4vio_feature_name(device_id, bit))
            return false;
    if (l4vio_features_broken_dependency(offered, entry->description->dependencies,
                                         entry->description->dependency_count) >= 0)
        return false;
    return !config_bytes || config_fits(device_id, offered, config, config_bytes);
}

uint32_t l4vio_class_guess(const struct l4vio_features *offered, const void *config,
                           uint32_t config_bytes)
{
    uint32_t found = 0;
    for (uint32_t id = l4vio_class_next(0); id; id = l4vio_class_next(id)) {
        if (!l4vio_class_fits(id, offered, config, config_bytes))
            continue;
        if (found)
            return 0;
        found = id;
    }
    return found;
}
