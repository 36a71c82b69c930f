/* SPDX-License-Identifier: MIT */
/* What this process holds: for tests that count leaks. */
#ifndef L4VIO_TEST_USAGE_H
#define L4VIO_TEST_USAGE_H

struct usage {
    unsigned descriptors; /* open file descriptors */
    unsigned mappings;    /* mappings of memfds */
};

struct usage usage_now(void);

#endif
