/* SPDX-License-Identifier: MIT */
/* `info` for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <l4vio/names.h>
#include <l4vio/wire/l4_page.h>

#include "tool/info.h"
#include "tool/report.h"
#include "tool/values.h"

#define HEADING_COLUMN 16u
#define LINE_COLUMNS   100u
/* Of more queues only the first ones are named, and the last. */
#define QUEUES_NAMED 12u

/* A list with commas that is broken into lines. */
struct list {
    unsigned column;
    const char *separator;
};

static struct list list_begin(const char *heading)
{
    printf("%-*s", (int)HEADING_COLUMN, heading);
    return (struct list){.column = HEADING_COLUMN, .separator = ""};
}

static void list_add(struct list *list, const char *text)
{
    unsigned width = (unsigned)strlen(text) + 2;
    if (list->column + width > LINE_COLUMNS && *list->separator) {
        printf(",\n%*s", (int)HEADING_COLUMN, "");
        list->separator = "";
        list->column = HEADING_COLUMN;
    }
    printf("%s%s", list->separator, text);
    list->column += width;
    list->separator = ", ";
}

static void list_end(const struct list *list)
{
    puts(list->column > HEADING_COLUMN || *list->separator ? "" : "none");
}

static void list_add_bit(struct list *list, const char *name, unsigned bit)
{
    char text[48];
    if (name)
        snprintf(text, sizeof text, "%s (%u)", name, bit);
    else
        snprintf(text, sizeof text, "bit %u", bit);
    list_add(list, text);
}

static void print_features(const char *heading, uint32_t device_id,
                           const struct l4vio_features *features)
{
    struct list list = list_begin(heading);
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; ++bit)
        if (l4vio_features_has(features, bit))
            list_add_bit(&list, l4vio_feature_name(device_id, bit), bit);
    list_end(&list);
}

static void print_protocol_features(const char *heading, uint64_t features)
{
    struct list list = list_begin(heading);
    for (unsigned bit = 0; bit < 64; ++bit)
        if (features >> bit & 1)
            list_add_bit(&list, l4vio_protocol_feature_name(bit), bit);
    list_end(&list);
}

static void print_status(uint32_t status)
{
    printf("status          %" PRIu32, status);
    const char *separator = " (";
    for (uint32_t bit = 1; bit <= 128; bit <<= 1)
        if (status & bit && l4vio_status_name(bit)) {
            printf("%s%s", separator, l4vio_status_name(bit));
            separator = ", ";
        }
    puts(*separator == ',' ? ")" : "");
}

static void print_queue_sizes(const struct info *info)
{
    uint32_t count = info->identity.queue_count;
    uint32_t shown = info_queues_shown(info);
    bool same = shown == count && count > 1;
    for (uint32_t q = 1; q < shown; ++q)
        same = same && info->queue_size_max[q] == info->queue_size_max[0];
    printf(", most entries:");
    for (uint32_t q = 0; q < (same ? 1 : shown); ++q)
        printf(" %d", info->queue_size_max[q]);
    printf("%s", same ? " each" : shown < count ? " ..." : "");
}

static void print_queue_names(const struct info *info)
{
    char text[L4VIO_QUEUE_NAME_BYTES];
    const struct l4vio_identity *identity = &info->identity;
    uint32_t count = info_queues_shown(info);
    if (!l4vio_queue_name(identity->device_id, &identity->offered, info->config, info->config_bytes,
                          0, text))
        return;
    struct list list = list_begin("");
    for (uint32_t q = 0; q < count; ++q) {
        const char *name = l4vio_queue_name(identity->device_id, &identity->offered, info->config,
                                            info->config_bytes, q, text);
        if (q == QUEUES_NAMED && count > QUEUES_NAMED + 1) {
            list_add(&list, "...");
            q = count - 2;
        } else {
            list_add(&list, name ? name : "without a name");
        }
    }
    list_end(&list);
}

static void print_queues(const struct info *info)
{
    printf("queues          %" PRIu32, info->identity.queue_count);
    if (info->has_queue_sizes)
        print_queue_sizes(info);
    if (info->is_vhost_user && !info->vhost_user.queue_count_known)
        printf(" or more: the back end does not tell how many");
    putchar('\n');
    print_queue_names(info);
}

static void print_vhost_user(const struct info *info)
{
    const struct l4vio_vhost_user_info *v = &info->vhost_user;
    print_protocol_features("protocol", v->protocol_features_offered);
    print_protocol_features("protocol used", v->protocol_features_used);
    printf("memory          %" PRIu64 " regions at most%s\n", v->memory_slots,
           v->memory_slots_known ? "" : ", in one table");
    printf("reset           %s\n",
           v->stops_on_reset
               ? "the device stops, memory can be taken back"
               : "the device cannot tell that it has stopped: it keeps memory to the end");
    printf("queue reset     %s\n", v->resets_queues ? "yes" : "no");
    printf("in flight       %s\n", info->tracks_in_flight
                                       ? "recorded for whoever takes over from a device that died"
                                       : "not recorded by the device");
    printf("config changes  %s\n", v->tells_changes ? "told" : "not told");
}

static void print_device(const struct info *info)
{
    const struct l4vio_identity *identity = &info->identity;
    if (info->class_source == INFO_UNKNOWN) {
        printf("device          of a class that it does not tell (--class names it) at %s\n",
               info->uri);
        return;
    }
    const char *how = "";
    if (info->class_source == INFO_FROM_OPTION)
        how = ", as --class says,";
    else if (info->class_source == INFO_GUESSED)
        how = ", a guess (--class names it),";
    printf("device          %s (%" PRIu32 ")%s at %s\n", l4vio_device_name(identity->device_id),
           identity->device_id, how, info->uri);
    /* By features alone: many back ends leave fields to be filled in by those who connect to them. */
    if (info->class_source == INFO_FROM_OPTION && l4vio_config_bytes(identity->device_id) &&
        !l4vio_class_fits(identity->device_id, &identity->offered, NULL, 0))
        puts("                but it does not offer what such a device may offer");
}

void info_print(const struct info *info)
{
    const struct l4vio_identity *identity = &info->identity;
    print_device(info);
    if (!info->is_vhost_user)
        printf("vendor          0x%" PRIx32 "%s\n", identity->vendor_id,
               identity->vendor_id == L4VIO_VENDOR_L4RE ? " (L4Re)" : "");
    if (info->has_status)
        print_status(info->status);
    print_features("offered", identity->device_id, &identity->offered);
    if (info->settled)
        print_features("accepted", identity->device_id, &info->accepted);
    if (info->is_vhost_user)
        print_vhost_user(info);
    print_queues(info);
    if (!info->is_vhost_user)
        printf("notifications   %" PRIu32 "\n", identity->notification_count);
    if (info->has_id) {
        printf("id              ");
        print_safely(info->id);
        putchar('\n');
    }
    info_print_config(info);
}
