/* SPDX-License-Identifier: MIT */
/* Sets of ring features by number, for tests that go through all of them or take one at random. */
#ifndef L4VIO_TEST_RING_CHOICE_H
#define L4VIO_TEST_RING_CHOICE_H

#include <l4vio/features.h>

/* None of the ring features depends on another, so there are so many sets of the eight. */
#define RING_CHOICES           256u
#define RING_CHOICE_NAME_BYTES 160u

/* The ring features alone, without VERSION_1. */
struct l4vio_features ring_choice(unsigned number);

/* The names with + in between, "none" for the empty set. Returns `text`. */
const char *ring_choice_name(unsigned number, char text[RING_CHOICE_NAME_BYTES]);

/*
 * For a driver over a transport that does not carry NOTIFICATION_DATA: what it refuses, and what it
 * requires of a device that offers all the others.
 */
void ring_choice_insist(unsigned number, struct l4vio_features *refused,
                        struct l4vio_features *required);

/* The number of the ring features in a set. */
unsigned ring_choice_number(const struct l4vio_features *features);

#endif
