/* SPDX-License-Identifier: MIT */
/*
 * The device dies after any store that it does to a packed ring or to its record: whoever comes afterwards carries
 * out all that was not shown as used, and nothing else. The code under test is compiled here, with every store followed
 * by a look at what a successor would make of it.
 */
#include "inflight_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/ordering.h"

#define l4vio_store16(to, value)               (l4vio_store16(to, value), world_cut())
#define l4vio_store16_release(to, value)       (l4vio_store16_release(to, value), world_cut())
#define l4vio_store32(to, value)               (l4vio_store32(to, value), world_cut())
#define l4vio_store_packed(to, value)          (l4vio_store_packed(to, value), world_cut())
#define l4vio_store_packed_release(to, value)  (l4vio_store_packed_release(to, value), world_cut())
#define l4vio_store_packed_platform(to, value) (l4vio_store_packed_platform(to, value), world_cut())
#define l4vio_record_store8(to, value)         (l4vio_record_store8(to, value), world_cut())
#define l4vio_record_store16(to, value)        (l4vio_record_store16(to, value), world_cut())
#define l4vio_record_store32(to, value)        (l4vio_record_store32(to, value), world_cut())
#define l4vio_record_store64(to, value)        (l4vio_record_store64(to, value), world_cut())

#include "devices/inflight_packed.c"
#include "devices/packed_recorded.c"

static void run(unsigned options, unsigned steps)
{
    static const uint16_t sizes[] = {1, 2, 3, 5, 8, 16};
    unsigned long deaths = 0;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        deaths += world_run(sizes[i], WORLD_PACKED | options, 1 + i, steps, 37);
    printf("%lu deaths\n", deaths);
    assert_true(deaths > steps);
}

static void any_order(void **state)
{
    (void)state;
    run(0, 800);
}

static void any_order_with_event_indexes(void **state)
{
    (void)state;
    run(WORLD_EVENT_IDX, 400);
}

static void in_order(void **state)
{
    (void)state;
    run(WORLD_IN_ORDER, 800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),
        cmocka_unit_test(any_order_with_event_indexes),
        cmocka_unit_test(in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
