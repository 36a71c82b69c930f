/* SPDX-License-Identifier: MIT */
/* `info`: fields of the device configuration by their names. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool/info.h"
#include "tool/report.h"
#include "tool/values.h"

#define NAME_COLUMN    34
#define BYTES_PER_LINE 24u

const struct l4vio_config_field *info_next_field(const struct info *info, unsigned *index)
{
    const struct l4vio_config_field *field;
    while ((field = l4vio_config_field(info->identity.device_id, (*index)++))) {
        uint32_t end = field->offset_bytes + (uint32_t)field->width_bytes * field->count;
        if (end <= info->config_bytes && l4vio_config_field_valid(field, &info->identity.offered))
            return field;
    }
    return NULL;
}

uint32_t info_more_bytes(const struct info *info, uint32_t *from)
{
    uint32_t known = l4vio_config_bytes(info->identity.device_id);
    uint32_t end = info->config_bytes;
    while (end > known && info->config[end - 1] == 0)
        --end;
    *from = known;
    return end > known ? end - known : 0;
}

static void print_bytes(const unsigned char *bytes, uint32_t count, const char *separator)
{
    for (uint32_t i = 0; i < count; ++i)
        printf("%s%02x", i ? separator : "", bytes[i]);
}

/* Bits that have no name are told by their numbers. */
static void print_flags(const struct l4vio_config_field *field, uint64_t flags)
{
    const char *separator = " (";
    printf("0x%" PRIx64, flags);
    for (unsigned bit = 0; field->name_count && bit < 8u * field->width_bytes; ++bit) {
        const char *name = l4vio_config_value_name(field, bit);
        if (!(flags >> bit & 1))
            continue;
        if (name)
            printf("%s%s", separator, name);
        else
            printf("%sbit %u", separator, bit);
        separator = ", ";
    }
    fputs(*separator == ',' ? ")" : "", stdout);
}

static void print_number(const struct l4vio_config_field *field, uint64_t number)
{
    char size[VALUE_TEXT_BYTES];
    printf("%" PRIu64, number);
    if (field->unit)
        printf(" %s", field->unit);
    /* More than 2^64 bytes are nothing to tell in bytes. */
    if (field->unit_bytes && number && number <= UINT64_MAX / field->unit_bytes) {
        uint64_t bytes = number * field->unit_bytes;
        if (field->unit_bytes > 1 || bytes >= 1024)
            printf(" (%s)", format_size(bytes, size));
    }
}

static void print_choice(const struct l4vio_config_field *field, uint64_t number)
{
    const char *name = l4vio_config_value_name(field, number);
    if (name)
        printf("%s (%" PRIu64 ")", name, number);
    else
        print_number(field, number);
}

static void print_text(const unsigned char *text, unsigned count)
{
    char terminated[256];
    snprintf(terminated, sizeof terminated, "%.*s", (int)count, (const char *)text);
    print_safely(terminated);
}

static void print_value(const struct l4vio_config_field *field, const unsigned char *config)
{
    uint64_t number = l4vio_config_field_number(field, config, 0);
    switch ((enum l4vio_field_kind)field->kind) {
    case L4VIO_FIELD_NUMBER:
        print_number(field, number);
        for (unsigned i = 1; i < field->count; ++i)
            printf(", %" PRIu64, l4vio_config_field_number(field, config, i));
        return;
    case L4VIO_FIELD_BOOLEAN:
        fputs(number ? "yes" : "no", stdout);
        return;
    case L4VIO_FIELD_FLAGS:
        print_flags(field, number);
        return;
    case L4VIO_FIELD_CHOICE:
        print_choice(field, number);
        return;
    case L4VIO_FIELD_TEXT:
        print_text(config + field->offset_bytes, field->count);
        return;
    case L4VIO_FIELD_MAC:
        print_bytes(config + field->offset_bytes, field->count, ":");
        return;
    case L4VIO_FIELD_BYTES:
        print_bytes(config + field->offset_bytes, field->count, "");
        return;
    }
}

static void print_more(const struct info *info)
{
    uint32_t from;
    uint32_t count = info_more_bytes(info, &from);
    for (uint32_t at = 0; at < count; at += BYTES_PER_LINE) {
        uint32_t part = count - at < BYTES_PER_LINE ? count - at : BYTES_PER_LINE;
        printf("  byte %-5" PRIu32 " ", from + at);
        print_bytes(info->config + from + at, part, " ");
        putchar('\n');
    }
}

void info_print_config(const struct info *info)
{
    const struct l4vio_config_field *field;
    unsigned index = 0;
    if (!info->config_bytes) {
        puts("configuration   none can be read");
        return;
    }
    printf("configuration   %" PRIu32 " bytes\n", info->config_bytes);
    while ((field = info_next_field(info, &index))) {
        printf("  %-*s", NAME_COLUMN, field->name);
        print_value(field, info->config);
        putchar('\n');
    }
    print_more(info);
}

static json_t *hex_json(const unsigned char *bytes, uint32_t count)
{
    char text[2 * INFO_CONFIG_BYTES + 1] = "";
    for (uint32_t i = 0; i < count; ++i)
        snprintf(text + 2 * (size_t)i, 3, "%02x", bytes[i]);
    return json_string(text);
}

static json_t *number_json(uint64_t number)
{
    /* JSON for C has no more than 63 bits. */
    char text[24];
    if (number <= INT64_MAX)
        return json_integer((json_int_t)number);
    snprintf(text, sizeof text, "%" PRIu64, number);
    return json_string(text);
}

static json_t *numbers_json(const struct l4vio_config_field *field, const unsigned char *config)
{
    if (field->count == 1)
        return number_json(l4vio_config_field_number(field, config, 0));
    json_t *list = json_array();
    for (unsigned i = 0; i < field->count; ++i)
        json_array_append_new(list, number_json(l4vio_config_field_number(field, config, i)));
    return list;
}

static json_t *text_json(const unsigned char *text, unsigned count)
{
    json_t *value = json_stringn((const char *)text, strnlen((const char *)text, count));
    return value ? value : hex_json(text, count); /* Not UTF-8. */
}

static json_t *mac_json(const unsigned char *bytes, unsigned count)
{
    char text[3 * 16];
    for (unsigned i = 0; i < count && i < 16; ++i)
        snprintf(text + (size_t)3 * i, 4, i + 1 < count ? "%02x:" : "%02x", bytes[i]);
    return json_string(text);
}

static json_t *value_json(const struct l4vio_config_field *field, const unsigned char *config)
{
    const unsigned char *at = config + field->offset_bytes;
    switch ((enum l4vio_field_kind)field->kind) {
    case L4VIO_FIELD_BOOLEAN:
        return json_boolean(l4vio_config_field_number(field, config, 0) != 0);
    case L4VIO_FIELD_TEXT:
        return text_json(at, field->count);
    case L4VIO_FIELD_MAC:
        return mac_json(at, field->count);
    case L4VIO_FIELD_BYTES:
        return hex_json(at, field->count);
    case L4VIO_FIELD_NUMBER:
    case L4VIO_FIELD_FLAGS:
    case L4VIO_FIELD_CHOICE:
        break;
    }
    return numbers_json(field, config);
}

/* Names of what is set in a mask, or the name of a value. */
static void add_names(json_t *object, const struct l4vio_config_field *field, uint64_t number)
{
    if (field->kind == L4VIO_FIELD_CHOICE && l4vio_config_value_name(field, number))
        json_object_set_new(object, "name", json_string(l4vio_config_value_name(field, number)));
    if (field->kind != L4VIO_FIELD_FLAGS || !field->name_count)
        return;
    json_t *names = json_array();
    for (unsigned bit = 0; bit < 8u * field->width_bytes; ++bit)
        if (number >> bit & 1 && l4vio_config_value_name(field, bit))
            json_array_append_new(names, json_string(l4vio_config_value_name(field, bit)));
    json_object_set_new(object, "names", names);
}

static json_t *field_json(const struct l4vio_config_field *field, const unsigned char *config)
{
    json_t *object = json_object();
    uint64_t number = l4vio_config_field_number(field, config, 0);
    json_object_set_new(object, "value", value_json(field, config));
    add_names(object, field, number);
    if (field->unit)
        json_object_set_new(object, "unit", json_string(field->unit));
    if (field->unit_bytes && number <= UINT64_MAX / field->unit_bytes)
        json_object_set_new(object, "bytes", number_json(number * field->unit_bytes));
    return object;
}

json_t *info_config_json(const struct info *info)
{
    const struct l4vio_config_field *field;
    unsigned index = 0;
    uint32_t from;
    uint32_t more = info_more_bytes(info, &from);
    json_t *fields = json_object();
    while ((field = info_next_field(info, &index)))
        json_object_set_new(fields, field->name, field_json(field, info->config));
    json_t *config =
        json_pack("{s:I, s:o}", "bytes", (json_int_t)info->config_bytes, "fields", fields);
    if (more)
        json_object_set_new(config, "more", hex_json(info->config + from, more));
    return config;
}
