/* SPDX-License-Identifier: MIT */
#include "ring_choice.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned bit;
    const char *name;
} ring[] = {
    {L4VIO_F_INDIRECT_DESC, "INDIRECT_DESC"},   {L4VIO_F_EVENT_IDX, "EVENT_IDX"},
    {L4VIO_F_RING_PACKED, "RING_PACKED"},       {L4VIO_F_IN_ORDER, "IN_ORDER"},
    {L4VIO_F_ORDER_PLATFORM, "ORDER_PLATFORM"}, {L4VIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM"},
    {L4VIO_F_RING_RESET, "RING_RESET"},         {L4VIO_F_NOTIFICATION_DATA, "NOTIFICATION_DATA"},
};
enum { ring_count = sizeof(ring) / sizeof(ring[0]) };

struct l4vio_features ring_choice(unsigned number)
{
    struct l4vio_features features = {{0}};
    for (unsigned i = 0; i < ring_count; i++)
        if (number >> i & 1u)
            l4vio_features_set(&features, ring[i].bit);
    return features;
}

unsigned ring_choice_number(const struct l4vio_features *features)
{
    unsigned number = 0;
    for (unsigned i = 0; i < ring_count; i++)
        number |= (unsigned)l4vio_features_has(features, ring[i].bit) << i;
    return number;
}

const char *ring_choice_name(unsigned number, char text[RING_CHOICE_NAME_BYTES])
{
    size_t used = 0;
    snprintf(text, RING_CHOICE_NAME_BYTES, "none");
    for (unsigned i = 0; i < ring_count; i++)
        if (number >> i & 1u)
            used += (size_t)snprintf(text + used, RING_CHOICE_NAME_BYTES - used, "%s%s",
                                     used ? "+" : "", ring[i].name);
    return text;
}

void ring_choice_insist(unsigned number, struct l4vio_features *refused,
                        struct l4vio_features *required)
{
    l4vio_ring_features(refused);
    *required = ring_choice(number);
    *refused = l4vio_features_minus(refused, required);
    l4vio_features_clear(required, L4VIO_F_NOTIFICATION_DATA);
}
