/* SPDX-License-Identifier: MIT */
/* Values as people write and read them. */
#ifndef L4VIO_TOOL_VALUES_H
#define L4VIO_TOOL_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <l4vio/spin.h>

/* Room for any text that the functions below make. */
#define VALUE_TEXT_BYTES 40u

/*
 * "4096", "4K", "1M", "2G", "1T": powers of 1024. On failure returns what is wrong with it, as the rest
 * of a sentence that begins with the text.
 */
const char *parse_size(const char *text, uint64_t *bytes);

/* A whole number. Returns as parse_size. */
const char *parse_number(const char *text, uint64_t *number);

/* A number with fraction, times `unit_ns`. Returns as parse_size. */
const char *parse_span(const char *text, uint64_t unit_ns, uint64_t *ns);

/* When to stop looking at a ring and sleep. */
struct poll_choice {
    enum l4vio_spin_mode mode;
    uint64_t spin_ns;
};

/* "auto", "never", "always", "50us". Returns as parse_size. */
const char *parse_poll(const char *text, struct poll_choice *choice);

/* "256 MiB", "1000 bytes". */
const char *format_size(uint64_t bytes, char text[VALUE_TEXT_BYTES]);

/* "12.3 us", "4.56 ms". */
const char *format_span(uint64_t ns, char text[VALUE_TEXT_BYTES]);

#endif
