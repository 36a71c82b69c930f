/* SPDX-License-Identifier: MIT */
#include <l4vio/spin.h>

/* The span is at least the most divided by this: a hiccup of the peer is no reason to sleep. */
#define FLOOR_DIVISOR 8u
/* Level of failure at which waits between two probes do not become more. */
#define FAILURES_MAX 11u
/* What is found soon brings the typical time down by one of so many parts of the difference. */
#define PATIENCE 256u
/* Levels that one success takes back. */
#define FORGIVEN 3u

static uint32_t smaller(uint32_t a, uint64_t b)
{
    return b < a ? (uint32_t)b : a;
}

void l4vio_spin_init(struct l4vio_spin *spin, enum l4vio_spin_mode mode, uint64_t spin_ns)
{
    *spin = (struct l4vio_spin){.max_ns = spin_ns, .mode = (uint16_t)mode};
    if (mode != L4VIO_SPIN_AUTO)
        return;
    spin->max_ns = smaller(UINT32_MAX, spin_ns ? spin_ns : L4VIO_SPIN_MAX_NS);
    spin->span_ns = (uint32_t)spin->max_ns;
}

uint64_t l4vio_spin_begin(struct l4vio_spin *spin)
{
    if (spin->mode == L4VIO_SPIN_ALWAYS)
        return L4VIO_FOREVER;
    if (spin->mode != L4VIO_SPIN_AUTO)
        return spin->max_ns;
    if (spin->skip == 0)
        return spin->span_ns;
    spin->skip--;
    return 0;
}

void l4vio_spin_found(struct l4vio_spin *spin, uint64_t after_ns)
{
    if (spin->mode != L4VIO_SPIN_AUTO)
        return;
    uint32_t most = (uint32_t)spin->max_ns;
    uint32_t after = smaller(most, after_ns);
    /*
     * Up at once, down slowly: one that came late may well be followed by another. A device that takes in
     * a whole batch before it answers the first request makes one wait of a hundred long.
     */
    if (after >= spin->typical_ns)
        spin->typical_ns = after;
    else
        spin->typical_ns -= (spin->typical_ns - after + PATIENCE - 1) / PATIENCE;
    uint32_t floor = most / FLOOR_DIVISOR;
    uint32_t span = smaller(most, UINT64_C(2) * spin->typical_ns);
    spin->span_ns = span < floor ? floor : span;
    /* Not all is forgotten: the peer may have had its turn by accident. */
    spin->failures = spin->failures > FORGIVEN ? (uint16_t)(spin->failures - FORGIVEN) : 0;
}

void l4vio_spin_failed(struct l4vio_spin *spin)
{
    if (spin->mode != L4VIO_SPIN_AUTO)
        return;
    uint32_t most = (uint32_t)spin->max_ns;
    if (spin->span_ns < most) {
        spin->span_ns = smaller(most, UINT64_C(2) * spin->span_ns + 1);
        return;
    }
    if (spin->failures < FAILURES_MAX)
        spin->failures++;
    spin->skip = (UINT32_C(1) << spin->failures) - 1;
}
