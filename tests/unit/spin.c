/* SPDX-License-Identifier: MIT */
/* How long to spin: the policy alone, against peers that are played by arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <l4vio/spin.h>

enum { us = 1000, most_ns = 100 * us, probes_apart = 2047, waits = 1000000 };

static struct l4vio_spin automatic(void)
{
    struct l4vio_spin spin;
    l4vio_spin_init(&spin, L4VIO_SPIN_AUTO, 0);
    return spin;
}

/* One wait for something that comes after `comes_ns`. Returns the time spent spinning. */
static uint64_t wait_for(struct l4vio_spin *spin, uint64_t comes_ns, bool *found)
{
    uint64_t span_ns = l4vio_spin_begin(spin);
    assert_true(span_ns <= spin->max_ns);
    *found = span_ns && comes_ns <= span_ns;
    if (span_ns == 0)
        return 0;
    if (*found)
        l4vio_spin_found(spin, comes_ns);
    else
        l4vio_spin_failed(spin);
    return *found ? comes_ns : span_ns;
}

static uint64_t wait_often(struct l4vio_spin *spin, uint64_t comes_ns, unsigned count,
                           unsigned *found_count)
{
    uint64_t spun_ns = 0;
    *found_count = 0;
    for (unsigned i = 0; i < count; i++) {
        bool found;
        spun_ns += wait_for(spin, comes_ns, &found);
        *found_count += found;
    }
    return spun_ns;
}

static void other_modes_learn_nothing(void **state)
{
    static const struct {
        enum l4vio_spin_mode mode;
        uint64_t spin_ns;
        uint64_t expected;
    } rows[] = {{L4VIO_SPIN_FIXED, 0, 0},
                {L4VIO_SPIN_FIXED, UINT64_C(5000000000), UINT64_C(5000000000)},
                {L4VIO_SPIN_ALWAYS, 0, L4VIO_FOREVER},
                {(enum l4vio_spin_mode)77, 30, 30}};
    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct l4vio_spin spin;
        l4vio_spin_init(&spin, rows[i].mode, rows[i].spin_ns);
        for (unsigned j = 0; j < 100; j++) {
            assert_true(l4vio_spin_begin(&spin) == rows[i].expected);
            if (j % 3)
                l4vio_spin_found(&spin, j);
            else
                l4vio_spin_failed(&spin);
        }
    }
}

static void auto_begins_with_the_most(void **state)
{
    struct l4vio_spin spin = automatic();
    (void)state;
    assert_true(l4vio_spin_begin(&spin) == L4VIO_SPIN_MAX_NS);
    l4vio_spin_init(&spin, L4VIO_SPIN_AUTO, 7 * us);
    assert_true(l4vio_spin_begin(&spin) == 7 * us);
    l4vio_spin_init(&spin, L4VIO_SPIN_AUTO, UINT64_MAX);
    assert_true(l4vio_spin_begin(&spin) == UINT32_MAX);
}

static void span_shrinks_to_twice_what_it_takes(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    wait_often(&spin, 20 * us, 100, &found);
    assert_int_equal(found, 100);
    assert_in_range(l4vio_spin_begin(&spin), 40 * us, 41 * us);
}

static void span_keeps_a_floor(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    wait_often(&spin, 0, 100, &found);
    assert_int_equal(l4vio_spin_begin(&spin), most_ns / 8);
    l4vio_spin_init(&spin, L4VIO_SPIN_AUTO, 3);
    wait_often(&spin, 0, 100, &found);
    assert_true(l4vio_spin_begin(&spin) <= 3);
}

static void one_late_find_makes_patient_at_once(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    wait_often(&spin, 1 * us, 100, &found);
    l4vio_spin_found(&spin, 45 * us);
    assert_int_equal(l4vio_spin_begin(&spin), 90 * us);
    /* And impatient again by and by. */
    wait_often(&spin, 1 * us, 1000, &found);
    assert_int_equal(l4vio_spin_begin(&spin), most_ns / 8);
}

/* A device that takes in a batch of 64 before it answers the first. */
static void batches_are_waited_for(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    wait_often(&spin, 45 * us, 1, &found);
    for (unsigned batch = 0; batch < 100; batch++) {
        wait_often(&spin, 1 * us, 63, &found);
        assert_int_equal(found, 63);
        wait_often(&spin, 45 * us, 1, &found);
        assert_int_equal(found, 1);
    }
}

static void times_beyond_the_most_count_as_the_most(void **state)
{
    struct l4vio_spin spin = automatic();
    (void)state;
    l4vio_spin_found(&spin, UINT64_C(1) << 32);
    assert_int_equal(l4vio_spin_begin(&spin), most_ns);
    l4vio_spin_found(&spin, UINT64_MAX);
    assert_int_equal(l4vio_spin_begin(&spin), most_ns);
}

static void failure_doubles_before_it_counts(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    bool last;
    (void)state;
    wait_often(&spin, 1 * us, 100, &found);
    uint64_t before = l4vio_spin_begin(&spin);
    while (before < most_ns) {
        assert_true(wait_for(&spin, UINT64_MAX, &last) == before);
        uint64_t after = l4vio_spin_begin(&spin);
        assert_true(after == most_ns ? 2 * before + 1 >= most_ns : after / 2 == before);
        before = after;
    }
    assert_true(wait_for(&spin, UINT64_MAX, &last) == most_ns);
    assert_int_equal(l4vio_spin_begin(&spin), 0);
}

static void probes_become_rare(void **state)
{
    struct l4vio_spin spin = automatic();
    bool found;
    (void)state;
    for (unsigned apart = 1; apart < 5000; apart = 2 * apart + 1) {
        assert_true(wait_for(&spin, UINT64_MAX, &found) == most_ns);
        unsigned skipped = apart < probes_apart ? apart : probes_apart;
        for (unsigned i = 0; i < skipped; i++)
            assert_int_equal(wait_for(&spin, 1, &found), 0);
    }
}

/* The peer needs this CPU, so it never comes while we look; a round trip takes 4.4 us. */
static void one_core_costs_about_a_per_cent(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    uint64_t spun_ns = wait_often(&spin, UINT64_MAX, waits, &found);
    assert_int_equal(found, 0);
    assert_true(spun_ns * 100 < UINT64_C(4400) * waits * 13 / 10);
}

static void change_for_the_better_is_found_out(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    wait_often(&spin, UINT64_MAX, waits, &found);
    wait_often(&spin, 60 * us, probes_apart + 1, &found);
    assert_true(found >= 1);
    wait_often(&spin, 60 * us, 1000, &found);
    assert_int_equal(found, 1000);
}

/* On one core the peer may run just while we spin; that must not start all over. */
static void accident_costs_few_probes(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    wait_often(&spin, UINT64_MAX, waits, &found);
    spin.skip = 0;
    wait_often(&spin, 60 * us, 1, &found);
    assert_int_equal(found, 1);
    uint64_t spun_ns = wait_often(&spin, UINT64_MAX, probes_apart, &found);
    assert_true(spun_ns <= 3 * (uint64_t)most_ns);
}

/* Two sides, one request at a time. Whoever does not spin takes `wake_ns` to come. */
struct pair {
    struct l4vio_spin driver, device;
    bool device_spins;
    uint64_t wake_ns;
};

static bool round_trip(struct pair *pair, uint64_t serve_ns, uint64_t think_ns)
{
    bool driver_spins;
    uint64_t comes_ns = serve_ns + (pair->device_spins ? 0 : pair->wake_ns);
    wait_for(&pair->driver, comes_ns, &driver_spins);
    comes_ns = think_ns + (driver_spins ? 0 : pair->wake_ns);
    wait_for(&pair->device, comes_ns, &pair->device_spins);
    return driver_spins && pair->device_spins;
}

static unsigned round_trips_spinning(struct pair *pair, unsigned count)
{
    unsigned spinning = 0;
    for (unsigned i = 0; i < count; i++)
        spinning += round_trip(pair, 1 * us, 1 * us);
    return spinning;
}

static void both_sides_meet_across_cores(void **state)
{
    struct pair pair = {automatic(), automatic(), false, 45 * us};
    (void)state;
    assert_true(round_trips_spinning(&pair, 1000) >= 999);
}

/* A device that was interrupted for long finds a driver that went to sleep, and so on. */
static void hiccup_is_overcome(void **state)
{
    struct pair pair = {automatic(), automatic(), false, 45 * us};
    (void)state;
    round_trips_spinning(&pair, 1000);
    for (unsigned i = 0; i < 100; i++) {
        round_trip(&pair, 1000 * us, 1 * us);
        assert_true(round_trips_spinning(&pair, 1000) >= 980);
    }
}

static void both_sides_come_back_from_one_core(void **state)
{
    struct pair pair = {automatic(), automatic(), false, 45 * us};
    unsigned found;
    (void)state;
    wait_often(&pair.driver, UINT64_MAX, waits, &found);
    wait_often(&pair.device, UINT64_MAX, waits / 2 + 77, &found);
    round_trips_spinning(&pair, 2 * (probes_apart + 1));
    assert_true(round_trips_spinning(&pair, 10000) >= 9990);
}

static void slow_device_is_left_alone(void **state)
{
    struct l4vio_spin spin = automatic();
    unsigned found;
    (void)state;
    uint64_t spun_ns = wait_often(&spin, 2000 * us, 10000, &found);
    assert_int_equal(found, 0);
    assert_true(spun_ns < 20 * (uint64_t)most_ns);
}

/* Whatever comes: no span above the most, no row of waits without a probe longer than 2047. */
static void any_history_stays_within_bounds(void **state)
{
    struct l4vio_spin spin;
    uint32_t random = 1;
    unsigned without = 0;
    bool found;
    (void)state;
    l4vio_spin_init(&spin, L4VIO_SPIN_AUTO, 30 * us);
    for (unsigned i = 0; i < waits; i++) {
        random = random * 1664525u + 1013904223u;
        bool lucky = random >> 30 == 0 && i / 5000 % 2;
        uint64_t comes_ns = lucky ? (random >> 8) % (60 * us) : UINT64_MAX;
        without = wait_for(&spin, comes_ns, &found) ? 0 : without + (comes_ns != 0);
        assert_in_range(without, 0, probes_apart);
        assert_in_range(spin.span_ns, 30 * us / 8, 30 * us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_modes_learn_nothing),
        cmocka_unit_test(auto_begins_with_the_most),
        cmocka_unit_test(span_shrinks_to_twice_what_it_takes),
        cmocka_unit_test(span_keeps_a_floor),
        cmocka_unit_test(one_late_find_makes_patient_at_once),
        cmocka_unit_test(batches_are_waited_for),
        cmocka_unit_test(times_beyond_the_most_count_as_the_most),
        cmocka_unit_test(failure_doubles_before_it_counts),
        cmocka_unit_test(probes_become_rare),
        cmocka_unit_test(one_core_costs_about_a_per_cent),
        cmocka_unit_test(change_for_the_better_is_found_out),
        cmocka_unit_test(accident_costs_few_probes),
        cmocka_unit_test(both_sides_meet_across_cores),
        cmocka_unit_test(hiccup_is_overcome),
        cmocka_unit_test(both_sides_come_back_from_one_core),
        cmocka_unit_test(slow_device_is_left_alone),
        cmocka_unit_test(any_history_stays_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
