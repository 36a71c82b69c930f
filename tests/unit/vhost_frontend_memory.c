/* SPDX-License-Identifier: MIT */
/* Memory and configuration of a vhost-user front end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "usage.h"
#include "vhost_rig.h"

#define PAGE 4096u

static struct usage before;

/* Regions of a test are static: the driver has them until it disconnects, after the test. */

static int set_up(void **state)
{
    before = usage_now();
    *state = vhost_rig_new();
    return 0;
}

static int tear_down(void **state)
{
    vhost_rig_free(*state);
    struct usage after = usage_now();
    return before.descriptors == after.descriptors && before.mappings == after.mappings ? 0 : -1;
}

static void slots_get_one_region_after_the_other(void **state)
{
    struct vhost_rig *rig = *state;
    static struct l4vio_region regions[3];

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(l4vio_driver_allocate(&rig->driver, (i + 1) * PAGE, &regions[i], NULL),
                         L4VIO_OK);
        const struct raw_record *entry = raw_backend_find(rig->backend, RAW_ADD_MEM_REG, i);
        assert_int_equal(entry->size, 40);
        assert_int_equal(entry->fd_count, 1);
        assert_int_equal(entry->u.words[0], 0);
        assert_int_equal(entry->u.words[1], regions[i].device_address);
        assert_int_equal(entry->u.words[2], (i + 1) * PAGE);
        assert_int_equal(entry->u.words[3], regions[i].device_address);
        assert_int_equal(entry->u.words[4], 0);
        /* It is this memory. */
        unsigned char *theirs =
            raw_backend_memory(rig->backend, regions[i].device_address, (i + 1) * PAGE);
        memset(theirs, (int)i + 1, PAGE);
        assert_int_equal(((unsigned char *)regions[i].base)[17], i + 1);
    }
    assert_int_equal(l4vio_driver_release(&rig->driver, &regions[1], NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 2);
    assert_int_equal(raw_backend_find(rig->backend, RAW_REM_MEM_REG, 0)->fd_count, 0);
    assert_int_equal(raw_backend_count(rig->backend, RAW_SET_MEM_TABLE), 0);
}

static void a_part_of_a_dataspace_is_shared_as_such(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_dataspace dataspace;
    static struct l4vio_region region;

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(
        rig->platform.ops->dataspace_allocate(rig->platform.self, 8 * PAGE, &dataspace, NULL),
        L4VIO_OK);
    assert_int_equal(
        l4vio_driver_register_region(&rig->driver, &dataspace, 2 * PAGE, 3 * PAGE, &region, NULL),
        L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).regions[0].offset, 2 * PAGE);
    assert_int_equal(raw_backend_look(rig->backend).regions[0].bytes, 3 * PAGE);
    raw_backend_look(rig->backend).regions[0].base[1] = 0x55;
    assert_int_equal(((unsigned char *)dataspace.base)[2 * PAGE + 1], 0x55);
    assert_int_equal(l4vio_driver_release(&rig->driver, &region, NULL), L4VIO_OK);
    rig->platform.ops->dataspace_free(rig->platform.self, &dataspace);
}

static void no_more_regions_than_there_are_slots(void **state)
{
    struct vhost_rig *rig = *state;
    static struct l4vio_region regions[3];
    struct l4vio_error error = {0};

    rig->backend->memory_slots = 2;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &regions[i], NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &regions[2], &error), L4VIO_ENOMEM);
    assert_int_equal(error.value, 2);
    assert_int_equal(l4vio_driver_release(&rig->driver, &regions[0], NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &regions[2], NULL), L4VIO_OK);
}

static void without_slots_the_whole_table_goes_each_time(void **state)
{
    struct vhost_rig *rig = *state;
    static struct l4vio_region regions[9];
    struct l4vio_error error = {0};

    rig->backend->protocol_features &= ~RAW_P_SLOTS;
    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &regions[i], NULL), L4VIO_OK);
        const struct raw_record *entry = raw_backend_find(rig->backend, RAW_SET_MEM_TABLE, i);
        assert_int_equal(entry->size, 8 + 32 * (i + 1));
        assert_int_equal(entry->fd_count, i + 1);
        assert_int_equal(entry->u.halves[0], i + 1);
        assert_int_equal(raw_backend_look(rig->backend).region_count, i + 1);
    }
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &regions[8], &error), L4VIO_ENOMEM);
    assert_int_equal(error.value, 8);
    assert_int_equal(l4vio_driver_release(&rig->driver, &regions[3], NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 7);
    assert_null(raw_backend_memory(rig->backend, regions[3].device_address, PAGE));
    for (unsigned i = 0; i < 8; i++) {
        if (i == 3)
            continue;
        unsigned char *theirs = raw_backend_memory(rig->backend, regions[i].device_address, PAGE);
        theirs[5] = (unsigned char)(i + 1);
        assert_int_equal(((unsigned char *)regions[i].base)[5], i + 1);
    }
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &regions[8], NULL), L4VIO_OK);
    assert_int_equal(raw_backend_count(rig->backend, RAW_ADD_MEM_REG), 0);
}

static enum raw_verdict refuse(struct raw_backend *backend, struct raw_message *message)
{
    return message->request == *(const uint32_t *)backend->script_self ? RAW_REFUSE : RAW_DEFAULT;
}

/* What it refused to add can be freed, what it refused to remove cannot. */
static void refusals_leave_memory_where_it_was(struct vhost_rig *rig, uint32_t add, uint32_t remove)
{
    static struct l4vio_region region, other;
    uint32_t refused = add;

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &region, NULL), L4VIO_OK);
    raw_backend_lock(rig->backend);
    rig->backend->script_self = &refused;
    rig->backend->script = refuse;
    raw_backend_unlock(rig->backend);
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &other, NULL), L4VIO_EINVAL);
    raw_backend_lock(rig->backend);
    refused = remove;
    raw_backend_unlock(rig->backend);
    assert_int_equal(l4vio_driver_release(&rig->driver, &region, NULL), L4VIO_EINVAL);
    assert_true(region.mapped);
    raw_backend_lock(rig->backend);
    rig->backend->script = NULL;
    raw_backend_unlock(rig->backend);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 1);
    assert_int_equal(l4vio_driver_allocate(&rig->driver, PAGE, &other, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 2);
    assert_int_equal(l4vio_driver_release(&rig->driver, &region, NULL), L4VIO_OK);
    assert_int_equal(raw_backend_look(rig->backend).region_count, 1);
}

static void refused_slots(void **state)
{
    refusals_leave_memory_where_it_was(*state, RAW_ADD_MEM_REG, RAW_REM_MEM_REG);
}

static void refused_tables(void **state)
{
    struct vhost_rig *rig = *state;

    rig->backend->protocol_features &= ~RAW_P_SLOTS;
    refusals_leave_memory_where_it_was(rig, RAW_SET_MEM_TABLE, RAW_SET_MEM_TABLE);
}

static void memory_without_a_descriptor_cannot_be_shared(void **state)
{
    struct vhost_rig *rig = *state;
    unsigned char bytes[16];
    const struct l4vio_dataspace dataspace = {
        .base = bytes, .size_bytes = sizeof(bytes), .handle = L4VIO_NO_HANDLE};
    uint64_t address = 0;

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    assert_int_equal(
        l4vio_driver_register_dataspace(&rig->driver, &dataspace, 0, 16, &address, NULL),
        L4VIO_EINVAL);
}

static void any_size_of_configuration_is_found(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2, 8, 16, 36, 60, 100, 255, 256};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vhost_rig *rig = i ? vhost_rig_new_beside(*state) : *state;
        struct l4vio_vhost_user_info info;
        rig->backend->config_bytes = sizes[i];
        assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
        l4vio_vhost_user_describe(rig->connection, &info);
        assert_int_equal(info.config_bytes, sizes[i]);
        assert_true(raw_backend_count(rig->backend, RAW_GET_CONFIG) <= 10);
        if (i)
            vhost_rig_free(rig);
    }
}

/* There are back ends that look only at the size. */
static enum raw_verdict ignore_offset(struct raw_backend *backend, struct raw_message *message)
{
    (void)backend;
    if (message->request == RAW_GET_CONFIG)
        message->u.halves[0] = 0;
    return RAW_DEFAULT;
}

static void configuration_is_read_and_written(void **state)
{
    struct vhost_rig *rig = *state;
    unsigned char bytes[8] = {0};
    const uint16_t value = 0xbeef;

    for (unsigned i = 0; i < 24; i++)
        rig->backend->config[i] = (unsigned char)i;
    rig->backend->script = ignore_offset;
    assert_int_equal(vhost_rig_bring_up(rig, 0, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_read_config(&rig->driver, 16, bytes, 8, 4, NULL), L4VIO_OK);
    assert_memory_equal(bytes, rig->backend->config + 16, 8);
    assert_int_equal(l4vio_driver_read_config(&rig->driver, 24, bytes, 1, 1, NULL), L4VIO_ERANGE);
    assert_int_equal(l4vio_driver_write_config(&rig->driver, 6, &value, 2, NULL), L4VIO_OK);
    assert_memory_equal(rig->backend->config + 6, &value, 2);
    const struct raw_record *entry = raw_backend_find(rig->backend, RAW_SET_CONFIG, 0);
    assert_int_equal(entry->size, 14);
    assert_int_equal(entry->u.halves[0], 6);
    assert_int_equal(entry->u.halves[1], 2);
    assert_int_equal(entry->u.halves[2], 0);
    assert_int_equal(l4vio_driver_read_config(&rig->driver, 6, bytes, 2, 2, NULL), L4VIO_OK);
    assert_memory_equal(bytes, &value, 2);
}

static void a_refused_field_is_reported(void **state)
{
    struct vhost_rig *rig = *state;
    static uint32_t refused = RAW_SET_CONFIG;
    const uint8_t value = 1;

    rig->backend->script = refuse;
    rig->backend->script_self = &refused;
    assert_int_equal(vhost_rig_bring_up(rig, 0, NULL), L4VIO_OK);
    assert_int_equal(l4vio_driver_write_config(&rig->driver, 6, &value, 1, NULL), L4VIO_EINVAL);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_OK);
}

/* The other way of saying no: a payload without content. */
static enum raw_verdict say_nothing_politely(struct raw_backend *backend,
                                             struct raw_message *message)
{
    const uint32_t nothing[3] = {0, 0, 0};

    if (message->request != RAW_GET_CONFIG || message->u.halves[1] <= 10)
        return RAW_DEFAULT;
    raw_backend_reply(backend, message, nothing, sizeof(nothing));
    return RAW_DONE;
}

static void both_ways_of_refusing_are_understood(void **state)
{
    struct vhost_rig *rig = *state;
    struct l4vio_vhost_user_info info;

    rig->backend->script = say_nothing_politely;
    assert_int_equal(vhost_rig_connect(rig, NULL), L4VIO_OK);
    l4vio_vhost_user_describe(rig->connection, &info);
    assert_int_equal(info.config_bytes, 10);
}

static void configuration_that_vanishes_is_an_error(void **state)
{
    struct vhost_rig *rig = *state;
    uint32_t value;

    assert_int_equal(vhost_rig_drive(rig, NULL), L4VIO_OK);
    raw_backend_lock(rig->backend);
    rig->backend->config_bytes = 0;
    raw_backend_unlock(rig->backend);
    assert_int_equal(l4vio_driver_read_config(&rig->driver, 0, &value, 4, 4, NULL), L4VIO_EIO);
    assert_int_equal(rig->transport.ops->peer_alive(rig->transport.self), L4VIO_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots_get_one_region_after_the_other),
        TEST(a_part_of_a_dataspace_is_shared_as_such),
        TEST(no_more_regions_than_there_are_slots),
        TEST(without_slots_the_whole_table_goes_each_time),
        TEST(refused_slots),
        TEST(refused_tables),
        TEST(memory_without_a_descriptor_cannot_be_shared),
        TEST(any_size_of_configuration_is_found),
        TEST(configuration_is_read_and_written),
        TEST(a_refused_field_is_reported),
        TEST(both_ways_of_refusing_are_understood),
        TEST(configuration_that_vanishes_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
