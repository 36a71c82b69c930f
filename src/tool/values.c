/* SPDX-License-Identifier: MIT */
#include "tool/values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Decimal digits only: strtoull would take signs, spaces, and wrap negative numbers. */
static const char *parse_digits(const char *text, uint64_t *number, const char **rest)
{
    if (!isdigit((unsigned char)*text))
        return "is not a number";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno == ERANGE)
        return "is too large";
    *number = value;
    *rest = end;
    return NULL;
}

const char *parse_number(const char *text, uint64_t *number)
{
    const char *rest;
    const char *wrong = parse_digits(text, number, &rest);
    if (wrong)
        return wrong;
    return *rest ? "is not a whole number" : NULL;
}

const char *parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    uint64_t number;
    const char *rest;
    if (!isdigit((unsigned char)*text))
        return "is not a size; write a number, with K, M, G or T for powers of 1024";
    const char *wrong = parse_digits(text, &number, &rest);
    if (wrong)
        return wrong;
    if (*rest) {
        const char *unit = strchr(units, toupper((unsigned char)*rest));
        if (!unit || (rest[1] && strcmp(rest + 1, "iB") != 0))
            return "is not a size; write a number, with K, M, G or T for powers of 1024";
        unsigned shift = 10u * (unsigned)(unit - units + 1);
        if (number > UINT64_MAX >> shift)
            return "is too large";
        number <<= shift;
    }
    *bytes = number;
    return NULL;
}

const char *parse_span(const char *text, uint64_t unit_ns, uint64_t *ns)
{
    if (!isdigit((unsigned char)*text))
        return "is not a time";
    char *end;
    double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return "is not a time";
    /* A hundred years fit. */
    if (value * (double)unit_ns > 3e18)
        return "is too long";
    *ns = (uint64_t)(value * (double)unit_ns);
    return NULL;
}

const char *parse_poll(const char *text, struct poll_choice *choice)
{
    char *end;
    *choice = (struct poll_choice){.mode = L4VIO_SPIN_FIXED};
    if (strcmp(text, "never") == 0)
        return NULL;
    if (strcmp(text, "auto") == 0 || strcmp(text, "always") == 0) {
        choice->mode = strcmp(text, "auto") == 0 ? L4VIO_SPIN_AUTO : L4VIO_SPIN_ALWAYS;
        return NULL;
    }
    double value = isdigit((unsigned char)*text) ? strtod(text, &end) : -1;
    if (value < 0 || !isfinite(value) || strcmp(end, "us") != 0)
        return "is none of: auto, never, always, or a time such as 50us";
    if (value * 1e3 > 3e18)
        return "is too long";
    choice->spin_ns = (uint64_t)(value * 1e3);
    return NULL;
}

const char *format_size(uint64_t bytes, char text[VALUE_TEXT_BYTES])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(text, VALUE_TEXT_BYTES, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
        return text;
    }
    unsigned unit = 0;
    double value = (double)bytes;
    for (; value >= 1024.0; ++unit)
        value /= 1024.0;
    if ((double)(uint64_t)value == value)
        snprintf(text, VALUE_TEXT_BYTES, "%.0f %s", value, units[unit]);
    else
        snprintf(text, VALUE_TEXT_BYTES, "%.1f %s", value, units[unit]);
    return text;
}

const char *format_span(uint64_t ns, char text[VALUE_TEXT_BYTES])
{
    if (ns < 1000)
        snprintf(text, VALUE_TEXT_BYTES, "%u ns", (unsigned)ns);
    else if (ns < 1000000)
        snprintf(text, VALUE_TEXT_BYTES, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(text, VALUE_TEXT_BYTES, "%.2f ms", (double)ns / 1e6);
    else
        snprintf(text, VALUE_TEXT_BYTES, "%.2f s", (double)ns / 1e9);
    return text;
}
