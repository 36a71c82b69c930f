/* SPDX-License-Identifier: MIT */
/* A driver whose packed ring is not possible: rounds, flags and descriptors that are not its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "raw_driver.h"

#include "core/ordering.h"

static const struct raw_piece good = {RAW_BASE + RAW_DATA, 16, RAW_WRITE};

static void make_available(struct raw_driver *driver, unsigned place, uint16_t id, unsigned flags)
{
    struct raw_ring *ring = &driver->rings[0];
    raw_packed_desc(ring, place, good, id, raw_packed_bits(ring, place) | flags);
}

/* The first descriptor of a chain is the last to be made available (clause D-2.8.17-6). */
static void first_descriptor_before_the_rest_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    make_available(driver, 0, 1, RAW_NEXT);
    raw_expect_broken(driver);
}

static void last_descriptor_that_is_missing_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    make_available(driver, 0, 1, RAW_NEXT);
    make_available(driver, 1, 1, RAW_NEXT);
    raw_expect_broken(driver);
}

static void rest_of_a_chain_of_the_wrong_round_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    make_available(driver, 0, 1, RAW_NEXT);
    raw_packed_desc(&driver->rings[0], 1, good, 1, VIRTQ_PACKED_DESC_F_USED);
    raw_expect_broken(driver);
}

static void chain_that_goes_round_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned i = 0; i < RAW_QUEUE_SIZE; i++)
        make_available(driver, i, 1, RAW_NEXT);
    raw_expect_broken(driver);
}

/* Round the end, over descriptors that are in flight, with flags as if they were not. */
static void chain_into_what_is_in_flight_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    struct raw_ring *ring = &driver->rings[0];
    raw_publish_one(driver, 0, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    for (unsigned i = 1; i < RAW_QUEUE_SIZE; i++)
        make_available(driver, i, 1, RAW_NEXT);
    raw_packed_desc(ring, 0, good, 1, raw_packed_bits(ring, 0));
    raw_expect_broken(driver);
}

static void descriptor_of_the_next_round_while_all_is_in_flight_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    for (uint16_t i = 0; i < RAW_QUEUE_SIZE; i++) {
        raw_publish_one(driver, 0, i);
        assert_int_equal(raw_take(driver, 0), 1);
    }
    assert_int_equal(raw_take(driver, 0), 0);
    raw_publish_one(driver, 0, 0);
    raw_expect_broken(driver);
}

/* Clause V-2.8.15-2. */
static void descriptors_of_another_round_are_nothing(void **state)
{
    static const unsigned others[] = {0, VIRTQ_PACKED_DESC_F_USED,
                                      VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED};
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    for (unsigned i = 0; i < 3; i++) {
        raw_packed_desc(&driver->rings[0], 0, good, 3, others[i]);
        assert_int_equal(raw_take(driver, 0), 0);
        assert_false(l4vio_device_queue_has_avail(queue));
    }
    raw_expect_works(driver);
}

static void id_of_a_later_descriptor_out_of_range_breaks_queue(void **state)
{
    struct raw_driver *driver = *state;
    make_available(driver, 1, RAW_QUEUE_SIZE, 0);
    make_available(driver, 0, 1, RAW_NEXT);
    raw_expect_broken(driver);
}

static void id_of_a_first_descriptor_is_not_looked_at(void **state)
{
    struct raw_driver *driver = *state;
    make_available(driver, 1, 2, 0);
    make_available(driver, 0, UINT16_MAX, RAW_NEXT);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(driver->chain.head, 2);
    assert_int_equal(driver->chain.entries, 2);
}

/* What is used lies where the device says, whatever the driver has made of it meanwhile. */
static void scribbled_ring_does_not_move_what_is_used(void **state)
{
    struct raw_driver *driver = *state;
    struct raw_used used;
    raw_publish_one(driver, 0, 6);
    raw_publish_one(driver, 0, 7);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(raw_take(driver, 0), 1);
    memset(raw_table(driver, 0), 0xff, RAW_QUEUE_SIZE * 16u);
    memset(raw_avail(driver, 0), 0xff, 4);
    memset(raw_used(driver, 0), 0xff, 4);
    raw_finish(driver, 0, 6, 1);
    raw_finish(driver, 0, 7, 1);
    assert_true(raw_ring_get_used(&driver->rings[0], &used));
    assert_int_equal(used.id, 6);
    assert_true(raw_ring_get_used(&driver->rings[0], &used));
    assert_int_equal(used.id, 7);
    memset(raw_table(driver, 0), 0, RAW_QUEUE_SIZE * 16u);
    raw_expect_works(driver);
}

/* Taken once, so the next look is at the next place: the same chain does not come twice. */
static void flags_that_flicker_are_read_once(void **state)
{
    struct raw_driver *driver = *state;
    for (unsigned i = 0; i < RAW_QUEUE_SIZE; i++) {
        make_available(driver, 0, 3, 0);
        assert_int_equal(raw_take(driver, 0), i == 0);
        raw_packed_desc(&driver->rings[0], 0, good, 3, i % 2 ? 0 : VIRTQ_PACKED_DESC_F_USED);
        assert_int_equal(raw_take(driver, 0), 0);
    }
    raw_finish(driver, 0, 3, 16);
    driver->rings[0].entries[3] = 1;
    raw_packed_advance(&driver->rings[0], 1);
    raw_expect_works(driver);
}

static void chain_put_back_and_taken_away_is_gone(void **state)
{
    struct raw_driver *driver = *state;
    struct l4vio_device_queue *queue = l4vio_device_queue(&driver->device, 0);
    make_available(driver, 0, 3, 0);
    assert_int_equal(raw_take(driver, 0), 1);
    assert_int_equal(l4vio_device_queue_rewind(queue, &driver->chain), 0);
    raw_packed_desc(&driver->rings[0], 0, good, 3, 0);
    assert_int_equal(raw_take(driver, 0), 0);
    raw_expect_works(driver);
}

#define CASE(name) RAW_PACKED_RING(name), RAW_WITH("in order: ", name, raw_setup_packed_in_order)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(first_descriptor_before_the_rest_breaks_queue),
        CASE(last_descriptor_that_is_missing_breaks_queue),
        CASE(rest_of_a_chain_of_the_wrong_round_breaks_queue),
        CASE(chain_that_goes_round_breaks_queue),
        CASE(chain_into_what_is_in_flight_breaks_queue),
        CASE(descriptor_of_the_next_round_while_all_is_in_flight_breaks_queue),
        CASE(descriptors_of_another_round_are_nothing),
        CASE(id_of_a_later_descriptor_out_of_range_breaks_queue),
        CASE(id_of_a_first_descriptor_is_not_looked_at),
        CASE(scribbled_ring_does_not_move_what_is_used),
        CASE(flags_that_flicker_are_read_once),
        CASE(chain_put_back_and_taken_away_is_gone),
    };
    return cmocka_run_group_tests_name("driver_packed_ring", tests, NULL, NULL);
}
