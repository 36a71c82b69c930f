/* SPDX-License-Identifier: MIT */
/* Names for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <l4vio/features.h>
#include <l4vio/names.h>
#include <l4vio/wire/block.h>
#include <l4vio/wire/status.h>
#include <l4vio/wire/vhost_user.h>

static void feature_names_depend_on_the_device_class(void **state)
{
    (void)state;
    assert_string_equal(l4vio_feature_name(VIRTIO_ID_BLOCK, VIRTIO_BLK_F_DISCARD), "DISCARD");
    assert_string_equal(l4vio_feature_name(VIRTIO_ID_NET, 5), "MAC");
    assert_string_equal(l4vio_feature_name(VIRTIO_ID_BLOCK, 5), "RO");
    assert_null(l4vio_feature_name(VIRTIO_ID_ENTROPY, 5));
    assert_string_equal(l4vio_feature_name(VIRTIO_ID_ENTROPY, L4VIO_F_VERSION_1), "VERSION_1");
    assert_null(l4vio_feature_name(VIRTIO_ID_BLOCK, 100000));
}

static void features_are_found_by_name_or_number(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS; ++bit) {
        const char *name = l4vio_feature_name(VIRTIO_ID_BLOCK, bit);
        if (name)
            assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, name), bit);
    }
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, "event-idx"), L4VIO_F_EVENT_IDX);
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, "191"), 191);
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, "192"), L4VIO_ENOENT);
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, "1x"), L4VIO_ENOENT);
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, "event"), L4VIO_ENOENT);
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, ""), L4VIO_ENOENT);
    assert_int_equal(l4vio_feature_by_name(VIRTIO_ID_BLOCK, "MAC"), L4VIO_ENOENT);
}

static void devices_and_status_bits_have_names(void **state)
{
    (void)state;
    assert_string_equal(l4vio_device_name(VIRTIO_ID_BLOCK), "block device");
    assert_string_equal(l4vio_device_name(9999), "unknown device");
    assert_string_equal(l4vio_status_name(VIRTIO_STATUS_NEEDS_RESET), "DEVICE_NEEDS_RESET");
    assert_null(l4vio_status_name(32));
    assert_null(l4vio_status_name(3));
}

static void bits_of_the_vhost_user_protocol_have_names(void **state)
{
    (void)state;
    assert_string_equal(l4vio_feature_name(VIRTIO_ID_ENTROPY, 30), "PROTOCOL_FEATURES");
    assert_string_equal(l4vio_protocol_feature_name(0), "MQ");
    assert_string_equal(l4vio_protocol_feature_name(15), "CONFIGURE_MEM_SLOTS");
    assert_null(l4vio_protocol_feature_name(63));
    for (unsigned bit = 0; bit <= VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT; ++bit)
        assert_non_null(l4vio_protocol_feature_name(bit));
}

static void errors_become_sentences_that_end_in_their_room(void **state)
{
    (void)state;
    char text[64];
    struct l4vio_error error = {L4VIO_ERANGE, "no such queue", 7};
    l4vio_error_format(&error, text, sizeof text);
    assert_string_equal(text, "no such queue (value 7): ERANGE");
    error.value = 0;
    l4vio_error_format(&error, text, sizeof text);
    assert_string_equal(text, "no such queue: ERANGE");
    error.text = NULL;
    l4vio_error_format(&error, text, sizeof text);
    assert_string_equal(text, "failed: ERANGE");
    l4vio_error_format(&error, text, 4);
    assert_string_equal(text, "fai");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feature_names_depend_on_the_device_class),
        cmocka_unit_test(features_are_found_by_name_or_number),
        cmocka_unit_test(devices_and_status_bits_have_names),
        cmocka_unit_test(bits_of_the_vhost_user_protocol_have_names),
        cmocka_unit_test(errors_become_sentences_that_end_in_their_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
