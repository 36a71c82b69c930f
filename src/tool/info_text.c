/* SPDX-License-Identifier: MIT */
/* `info` for people. */
#include <inttypes.h>
#include <stdio.h>

#include <l4vio/names.h>
#include <l4vio/wire/l4_page.h>

#include "tool/info.h"
#include "tool/report.h"
#include "tool/values.h"

static void print_features(const char *heading, uint32_t device_id,
                           const struct l4vio_features *features)
{
    printf("%-16s", heading);
    const char *separator = "";
    unsigned column = 16;
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; ++bit) {
        char text[48];
        if (!l4vio_features_has(features, bit))
            continue;
        const char *name = l4vio_feature_name(device_id, bit);
        int length = name ? snprintf(text, sizeof text, "%s (%u)", name, bit)
                          : snprintf(text, sizeof text, "bit %u", bit);
        if (column + (unsigned)length + 2 > 100) {
            printf("%s\n%16s", separator, "");
            separator = "";
            column = 16;
        }
        printf("%s%s%s", separator, *separator ? " " : "", text);
        column += (unsigned)length + 2;
        separator = ",";
    }
    puts(*separator ? "" : "none");
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

static void print_queues(const struct info *info)
{
    uint32_t count = info->driver->identity.queue_count;
    bool same = info->queues_shown == count && count > 1;
    for (uint32_t q = 1; q < info->queues_shown; ++q)
        same = same && info->queue_size_max[q] == info->queue_size_max[0];
    printf("queues          %" PRIu32 ", most entries:", count);
    for (uint32_t q = 0; q < (same ? 1 : info->queues_shown); ++q)
        printf(" %d", info->queue_size_max[q]);
    if (same)
        puts(" each");
    else
        puts(info->queues_shown < count ? " ..." : "");
}

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

/* Limits of one request. */
static void print_segments(const struct l4vio_block_info *block)
{
    char size[VALUE_TEXT_BYTES];
    printf("segments        ");
    if (block->segment_max)
        printf("at most %" PRIu32 " per request", block->segment_max);
    else
        printf("any number per request");
    if (block->size_max_bytes)
        printf(", of at most %s each\n", format_size(block->size_max_bytes, size));
    else
        puts(", of any size");
}

static void print_topology(const struct l4vio_block_info *block)
{
    char size[VALUE_TEXT_BYTES];
    printf(
        "topology        physical block %s",
        format_size((uint64_t)block->block_bytes << (block->physical_block_exponent & 31), size));
    if (block->alignment_offset_blocks)
        printf(", the first begins at block %u", block->alignment_offset_blocks);
    if (block->minimum_io_blocks)
        printf(", best requests: multiples of %s",
               format_size((uint64_t)block->minimum_io_blocks * block->block_bytes, size));
    if (block->optimal_io_blocks)
        printf(", up to %s",
               format_size((uint64_t)block->optimal_io_blocks * block->block_bytes, size));
    putchar('\n');
}

/* Limits of discard and write-zeroes; the alignment is 0 if there is none. */
static void print_ranges(const char *heading, uint32_t ranges, uint32_t sectors, uint32_t alignment)
{
    char size[VALUE_TEXT_BYTES];
    printf("%-16sup to %s per range, ranges per request: %" PRIu32, heading,
           format_size((uint64_t)sectors * VIRTIO_BLK_SECTOR_BYTES, size), ranges);
    if (alignment)
        printf(", alignment %s", format_size((uint64_t)alignment * VIRTIO_BLK_SECTOR_BYTES, size));
}

static void print_block(const struct info *info)
{
    const struct l4vio_block_info *b = &info->block->info;
    char size[VALUE_TEXT_BYTES];
    printf("capacity        %s (%" PRIu64 " sectors of 512 bytes)\n",
           format_size(b->capacity_sectors * 512, size), b->capacity_sectors);
    if (info->has_id) {
        printf("id              ");
        print_safely(info->id);
        putchar('\n');
    }
    printf("block size      %" PRIu32 " bytes\n", b->block_bytes);
    printf("read-only       %s\n", yes_no(b->read_only));
    print_segments(b);
    if (b->topology)
        print_topology(b);
    printf("flush           %s\n", yes_no(b->flush));
    if (info->has_writeback)
        printf("cache           %s, can be switched\n",
               info->writeback ? "write-back" : "write-through");
    if (b->discard) {
        print_ranges("discard", b->max_discard_segments, b->max_discard_sectors,
                     b->discard_alignment_sectors);
        putchar('\n');
    }
    if (b->write_zeroes) {
        print_ranges("write zeroes", b->max_write_zeroes_segments, b->max_write_zeroes_sectors, 0);
        printf(", may unmap: %s\n", yes_no(b->write_zeroes_may_unmap));
    }
}

void info_print(const struct info *info)
{
    const struct l4vio_identity *identity = &info->driver->identity;
    printf("device          %s (%" PRIu32 ") at %s\n", l4vio_device_name(identity->device_id),
           identity->device_id, info->uri);
    printf("vendor          0x%" PRIx32 "%s\n", identity->vendor_id,
           identity->vendor_id == L4VIO_VENDOR_L4RE ? " (L4Re)" : "");
    print_status(info->status);
    print_features("offered", identity->device_id, &identity->offered);
    if (info->settled)
        print_features("accepted", identity->device_id, &info->driver->accepted);
    print_queues(info);
    printf("notifications   %" PRIu32 "\n", identity->notification_count);
    if (info->block)
        print_block(info);
}
