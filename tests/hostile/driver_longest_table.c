/* SPDX-License-Identifier: MIT */
/* Packed: an indirect table longer than any ring is refused, however many segments the device takes: more
 * than the counts of a chain can say. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/device_queue.h>

#define SIZE         4u
#define ENTRIES_MAX  32768u
#define TABLE_OFFSET 4096u
#define DATA_BYTES   16u
#define BASE         UINT64_C(0x100000)

struct rig {
    unsigned char *memory;
    struct l4vio_device_memory list;
    struct l4vio_device_region regions[1];
    struct l4vio_device_queue queue;
    struct l4vio_device_segment *segments;
};

static void rig_open(struct rig *rig, unsigned entries)
{
    size_t bytes = TABLE_OFFSET + (size_t)entries * 16u;
    struct l4vio_device_queue_config config = {.size = SIZE,
                                               .desc_address = BASE,
                                               .avail_address = BASE + 1024,
                                               .used_address = BASE + 2048};
    l4vio_features_set(&config.features, L4VIO_F_RING_PACKED);
    l4vio_features_set(&config.features, L4VIO_F_INDIRECT_DESC);
    memset(rig, 0, sizeof(*rig));
    rig->memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    rig->segments = calloc(entries, sizeof(*rig->segments));
    assert_non_null(rig->memory);
    assert_non_null(rig->segments);
    memset(rig->memory, 0, bytes);
    l4vio_device_memory_init(&rig->list, rig->regions, 1, 0);
    struct l4vio_device_region region = {
        .device_address = BASE, .size_bytes = bytes, .base = rig->memory};
    assert_int_equal(l4vio_device_memory_add(&rig->list, &region, NULL), L4VIO_OK);
    assert_int_equal(l4vio_device_queue_init(&rig->queue, &config, &rig->list, NULL), L4VIO_OK);
}

static void rig_close(struct rig *rig)
{
    free(rig->memory);
    free(rig->segments);
}

/* A table of writable buffers, and the descriptor that points to it. */
static int take_table(struct rig *rig, unsigned entries, struct l4vio_device_chain *chain)
{
    struct virtq_packed_desc *table = (void *)(rig->memory + TABLE_OFFSET);
    struct virtq_packed_desc *first = (void *)rig->memory;
    for (unsigned i = 0; i < entries; i++)
        table[i] = (struct virtq_packed_desc){.addr = htole64(BASE),
                                              .len = htole32(DATA_BYTES),
                                              .flags = htole16(VIRTQ_DESC_F_WRITE)};
    *first = (struct virtq_packed_desc){
        .addr = htole64(BASE + TABLE_OFFSET),
        .len = htole32(entries * 16u),
        .flags = htole16(VIRTQ_DESC_F_INDIRECT | VIRTQ_PACKED_DESC_F_AVAIL)};
    return l4vio_device_queue_next(&rig->queue, chain, rig->segments, entries);
}

static void table_longer_than_any_ring_breaks_queue(void **state)
{
    static const unsigned lengths[] = {ENTRIES_MAX + 1, 65535, 65536, 65537, 70000};
    (void)state;
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct l4vio_device_chain chain;
        struct rig rig;
        rig_open(&rig, lengths[i]);
        assert_int_equal(take_table(&rig, lengths[i], &chain), L4VIO_EBADPROTO);
        assert_false(l4vio_device_queue_ready(&rig.queue));
        rig_close(&rig);
    }
}

static void table_as_long_as_the_longest_ring_is_taken(void **state)
{
    struct l4vio_device_chain chain;
    struct rig rig;
    (void)state;
    rig_open(&rig, ENTRIES_MAX);
    assert_int_equal(take_table(&rig, ENTRIES_MAX, &chain), 1);
    assert_int_equal(chain.writable, ENTRIES_MAX);
    assert_int_equal(chain.writable_bytes, ENTRIES_MAX * DATA_BYTES);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_longer_than_any_ring_breaks_queue),
        cmocka_unit_test(table_as_long_as_the_longest_ring_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
