/* SPDX-License-Identifier: MIT */
/* Tables of device classes: they hold together, and say what the specification says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/classes.h>
#include <l4vio/names.h>
#include <l4vio/wire/block.h>
#include <l4vio/wire/status.h>

#include "host/class.h"

enum { GPU = 16, VSOCK = 19, CRYPTO = 20, FS = 26, MAC80211_WLAN = 10 };

static struct l4vio_features features_of(uint64_t bits)
{
    struct l4vio_features features = {{(uint32_t)bits, (uint32_t)(bits >> 32)}};
    return features;
}

static const struct l4vio_config_field *field_named(uint32_t device_id, const char *name)
{
    const struct l4vio_config_field *field;
    for (unsigned i = 0; (field = l4vio_config_field(device_id, i)); ++i)
        if (strcmp(field->name, name) == 0)
            return field;
    fail_msg("class %u has no field %s", device_id, name);
    return NULL;
}

static void ids_go_up_and_words_are_unique(void **state)
{
    (void)state;
    unsigned count = 0;
    uint32_t last = 0;
    for (uint32_t id = l4vio_class_next(0); id; id = l4vio_class_next(id)) {
        assert_true(id > last);
        last = id;
        ++count;
        assert_int_equal(l4vio_class_by_name(l4vio_class_word(id)), id);
        assert_int_equal(l4vio_class_by_name(l4vio_device_name(id)), id);
    }
    assert_int_equal(count, 46);
    assert_null(l4vio_class_word(14));
}

static void classes_are_found_by_word_name_or_number(void **state)
{
    (void)state;
    assert_int_equal(l4vio_class_by_name("BLOCK"), VIRTIO_ID_BLOCK);
    assert_int_equal(l4vio_class_by_name("mac80211-wlan"), MAC80211_WLAN);
    assert_int_equal(l4vio_class_by_name("network card"), VIRTIO_ID_NET);
    assert_int_equal(l4vio_class_by_name("26"), FS);
    assert_int_equal(l4vio_class_by_name("0xc0de"), 0xc0de);
    assert_int_equal(l4vio_class_by_name("99999999999"), 0);
    assert_int_equal(l4vio_class_by_name("2x"), 0);
    assert_int_equal(l4vio_class_by_name("blocks"), 0);
    assert_int_equal(l4vio_class_by_name(""), 0);
    assert_int_equal(l4vio_class_by_name("9p"), 9);
}

/* A field begins at a multiple of its width and behind the one before, and needs a feature with a name. */
static void fields_are_in_order_and_aligned(void **state)
{
    (void)state;
    for (uint32_t id = l4vio_class_next(0); id; id = l4vio_class_next(id)) {
        uint32_t end = 0;
        const struct l4vio_config_field *field;
        for (unsigned i = 0; (field = l4vio_config_field(id, i)); ++i) {
            assert_true(field->offset_bytes >= end);
            assert_int_equal(field->offset_bytes % field->width_bytes, 0);
            assert_true(field->count >= 1);
            assert_true(field->always || l4vio_feature_name(id, field->needs));
            assert_true(field->always || l4vio_feature_name(id, field->or_needs));
            end = field->offset_bytes + (uint32_t)field->width_bytes * field->count;
            for (unsigned n = 0; field->kind == L4VIO_FIELD_FLAGS && n < field->name_count; ++n)
                assert_true(field->names[n].number < 8u * field->width_bytes);
        }
        assert_int_equal(l4vio_config_bytes(id), end);
        assert_true(end <= 256);
    }
}

/* What a feature of a class depends on, and what a queue needs, are features of that class. */
static void features_have_names_and_are_of_their_class(void **state)
{
    (void)state;
    for (uint32_t id = l4vio_class_next(0); id; id = l4vio_class_next(id)) {
        const struct l4vio_class *class = l4vio_class_describe(id);
        for (unsigned i = 0; i < class->feature_count; ++i) {
            unsigned bit = class->features[i].number;
            assert_true(bit <= 23 || bit == 42 || (bit >= 50 && bit <= 127));
            assert_string_equal(l4vio_feature_name(id, bit), class->features[i].name);
            assert_int_equal(l4vio_feature_by_name(id, class->features[i].name), bit);
        }
        for (unsigned i = 0; i < class->dependency_count; ++i) {
            assert_non_null(l4vio_feature_name(id, class->dependencies[i].bit));
            assert_non_null(l4vio_feature_name(id, class->dependencies[i].needs));
            assert_non_null(l4vio_feature_name(id, class->dependencies[i].or_needs));
        }
        for (unsigned i = 0; i < class->queue_count; ++i)
            assert_true(class->queues[i].needs < 0 ||
                        l4vio_feature_name(id, (unsigned)class->queues[i].needs));
        if (class->repeat_field)
            field_named(id, class->repeat_field);
    }
}

/* The table agrees with the structure that the block driver and the block device use. */
static void block_fields_are_where_the_wire_header_has_them(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset, size;
    } expected[] = {
#define FIELD(name) \
    {#name, offsetof(struct virtio_blk_config, name), sizeof(((struct virtio_blk_config *)0)->name)}
        FIELD(capacity),
        FIELD(size_max),
        FIELD(seg_max),
        FIELD(cylinders),
        FIELD(heads),
        FIELD(sectors),
        FIELD(blk_size),
        FIELD(physical_block_exp),
        FIELD(alignment_offset),
        FIELD(min_io_size),
        FIELD(opt_io_size),
        FIELD(writeback),
        FIELD(num_queues),
        FIELD(max_discard_sectors),
        FIELD(max_discard_seg),
        FIELD(discard_sector_alignment),
        FIELD(max_write_zeroes_sectors),
        FIELD(max_write_zeroes_seg),
        FIELD(write_zeroes_may_unmap),
        FIELD(max_secure_erase_sectors),
        FIELD(max_secure_erase_seg),
        FIELD(secure_erase_sector_alignment),
#undef FIELD
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; ++i) {
        const struct l4vio_config_field *field = field_named(VIRTIO_ID_BLOCK, expected[i].name);
        assert_int_equal(field->offset_bytes, expected[i].offset);
        assert_int_equal(field->width_bytes, expected[i].size);
    }
}

static void fields_are_valid_by_their_features(void **state)
{
    (void)state;
    const struct l4vio_config_field *key = field_named(VIRTIO_ID_NET, "rss_max_key_size");
    struct l4vio_features features = features_of(0);
    assert_false(l4vio_config_field_valid(key, &features));
    features = features_of(UINT64_C(1) << 60); /* RSS */
    assert_true(l4vio_config_field_valid(key, &features));
    features = features_of(UINT64_C(1) << 57); /* HASH_REPORT */
    assert_true(l4vio_config_field_valid(key, &features));
    features = features_of(0);
    assert_true(l4vio_config_field_valid(field_named(VIRTIO_ID_BLOCK, "capacity"), &features));
    assert_false(l4vio_config_field_valid(field_named(VIRTIO_ID_BLOCK, "blk_size"), &features));
}

static void numbers_are_little_endian(void **state)
{
    (void)state;
    unsigned char config[32] = {1, 2, 3, 4, 5, 6};
    config[10] = 0xdc;
    config[11] = 0x05;
    config[16] = 255;
    assert_int_equal(l4vio_config_field_number(field_named(VIRTIO_ID_NET, "mtu"), config, 0), 1500);
    assert_int_equal(l4vio_config_field_number(field_named(VIRTIO_ID_NET, "mac"), config, 5), 6);
    const struct l4vio_config_field *duplex = field_named(VIRTIO_ID_NET, "duplex");
    uint64_t value = l4vio_config_field_number(duplex, config, 0);
    assert_string_equal(l4vio_config_value_name(duplex, value), "unknown");
    assert_null(l4vio_config_value_name(duplex, 2));
}

static const char *queue_name(uint32_t device_id, uint64_t bits, const void *config,
                              uint32_t config_bytes, uint32_t queue)
{
    static char text[L4VIO_QUEUE_NAME_BYTES];
    struct l4vio_features features = features_of(bits);
    const char *name = l4vio_queue_name(device_id, &features, config, config_bytes, queue, text);
    return name ? name : "none";
}

static void queues_are_named_by_features_and_configuration(void **state)
{
    (void)state;
    assert_string_equal(queue_name(VIRTIO_ID_BLOCK, 0, NULL, 0, 0), "requestq1");
    assert_string_equal(queue_name(VIRTIO_ID_BLOCK, 0, NULL, 0, 300), "requestq301");
    assert_string_equal(queue_name(VIRTIO_ID_ENTROPY, 0, NULL, 0, 0), "requestq");
    assert_string_equal(queue_name(VIRTIO_ID_ENTROPY, 0, NULL, 0, 1), "none");
    assert_string_equal(queue_name(VIRTIO_ID_CONSOLE, 0, NULL, 0, 1), "transmitq(port0)");
    assert_string_equal(queue_name(VIRTIO_ID_CONSOLE, 0, NULL, 0, 2), "none");
    assert_string_equal(queue_name(VIRTIO_ID_CONSOLE, 2, NULL, 0, 3), "control transmitq");
    assert_string_equal(queue_name(VIRTIO_ID_CONSOLE, 2, NULL, 0, 6), "receiveq(port2)");
    assert_string_equal(queue_name(FS, 0, NULL, 0, 1), "requestq1");
    assert_string_equal(queue_name(FS, 1, NULL, 0, 1), "notification");
    assert_string_equal(queue_name(9999, 0, NULL, 0, 0), "none");
}

static void the_control_queue_comes_after_as_many_pairs_as_there_are(void **state)
{
    (void)state;
    const uint64_t ctrl_vq = 1u << 17, mq = 1u << 22;
    unsigned char config[28] = {0};
    config[8] = 4;
    assert_string_equal(queue_name(VIRTIO_ID_NET, 0, config, 28, 1), "transmitq1");
    assert_string_equal(queue_name(VIRTIO_ID_NET, 0, config, 28, 2), "none");
    assert_string_equal(queue_name(VIRTIO_ID_NET, ctrl_vq, config, 28, 2), "controlq");
    assert_string_equal(queue_name(VIRTIO_ID_NET, ctrl_vq | mq, config, 28, 7), "transmitq4");
    assert_string_equal(queue_name(VIRTIO_ID_NET, ctrl_vq | mq, config, 28, 8), "controlq");
    assert_string_equal(queue_name(VIRTIO_ID_NET, ctrl_vq | mq, config, 28, 9), "none");
    /* A device whose configuration cannot be read does not tell where its pairs end. */
    assert_string_equal(queue_name(VIRTIO_ID_NET, ctrl_vq | mq, NULL, 0, 8), "receiveq5");
    unsigned char crypto[56] = {0};
    crypto[4] = 2;
    assert_string_equal(queue_name(CRYPTO, 0, crypto, 56, 1), "dataq2");
    assert_string_equal(queue_name(CRYPTO, 0, crypto, 56, 2), "controlq");
    assert_string_equal(queue_name(CRYPTO, 0, crypto, 56, UINT32_MAX), "none");
}

/* Features of real back ends: QEMU's storage daemon, DPDK's net_vhost, virtiofsd. */
static void a_class_is_guessed_where_only_one_fits(void **state)
{
    (void)state;
    struct l4vio_features storage_daemon = features_of(UINT64_C(0x175007e46));
    assert_int_equal(l4vio_class_guess(&storage_daemon, NULL, 0), VIRTIO_ID_BLOCK);
    struct l4vio_features net_vhost = features_of(UINT64_C(0xd7c66e7cb));
    assert_int_equal(l4vio_class_guess(&net_vhost, NULL, 0), VIRTIO_ID_NET);
    struct l4vio_features virtiofsd = features_of(UINT64_C(0x175000000));
    assert_int_equal(l4vio_class_guess(&virtiofsd, NULL, 0), 0);
    struct l4vio_features nobody = features_of(UINT64_C(0xffffff));
    assert_int_equal(l4vio_class_guess(&nobody, NULL, 0), 0);
}

static void a_class_does_not_fit_if_its_configuration_cannot_be(void **state)
{
    (void)state;
    struct l4vio_features features = features_of(UINT64_C(0x175007e46)); /* With MQ and BLK_SIZE. */
    unsigned char config[256] = {0};
    config[20 + 1] = 2; /* blk_size 512 */
    config[34] = 1;     /* num_queues */
    assert_true(l4vio_class_fits(VIRTIO_ID_BLOCK, &features, config, sizeof config));
    assert_true(l4vio_class_fits(VIRTIO_ID_BLOCK, &features, config, 57));
    assert_false(l4vio_class_fits(VIRTIO_ID_BLOCK, &features, config, 56)); /* Too short. */
    config[34] = 0;
    assert_false(l4vio_class_fits(VIRTIO_ID_BLOCK, &features, config, sizeof config));
    config[34] = 1;
    config[200] = 1; /* More than a block device has. */
    assert_false(l4vio_class_fits(VIRTIO_ID_BLOCK, &features, config, sizeof config));
    assert_false(l4vio_class_fits(MAC80211_WLAN, &features, config, sizeof config));

    struct l4vio_features none = features_of(UINT64_C(1) << 32);
    unsigned char tag[44] = "myfs";
    tag[36] = 1;
    assert_true(l4vio_class_fits(FS, &none, tag, sizeof tag));
    tag[20] = 'x';
    assert_false(l4vio_class_fits(FS, &none, tag, sizeof tag));
    unsigned char cid[8] = {2};
    assert_false(l4vio_class_fits(VSOCK, &none, cid, sizeof cid));
    cid[0] = 3;
    assert_true(l4vio_class_fits(VSOCK, &none, cid, sizeof cid));
    unsigned char gpu[20] = {0};
    assert_false(l4vio_class_fits(GPU, &none, gpu, sizeof gpu));
    gpu[8] = 1;
    assert_true(l4vio_class_fits(GPU, &none, gpu, sizeof gpu));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_go_up_and_words_are_unique),
        cmocka_unit_test(classes_are_found_by_word_name_or_number),
        cmocka_unit_test(fields_are_in_order_and_aligned),
        cmocka_unit_test(features_have_names_and_are_of_their_class),
        cmocka_unit_test(block_fields_are_where_the_wire_header_has_them),
        cmocka_unit_test(fields_are_valid_by_their_features),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(queues_are_named_by_features_and_configuration),
        cmocka_unit_test(the_control_queue_comes_after_as_many_pairs_as_there_are),
        cmocka_unit_test(a_class_is_guessed_where_only_one_fits),
        cmocka_unit_test(a_class_does_not_fit_if_its_configuration_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
