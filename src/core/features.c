/* SPDX-License-Identifier: MIT */
#include <l4vio/features.h>

struct l4vio_features l4vio_features_and(const struct l4vio_features *a,
                                         const struct l4vio_features *b)
{
    struct l4vio_features result;
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        result.word[i] = a->word[i] & b->word[i];
    return result;
}

struct l4vio_features l4vio_features_minus(const struct l4vio_features *a,
                                           const struct l4vio_features *b)
{
    struct l4vio_features result;
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        result.word[i] = a->word[i] & ~b->word[i];
    return result;
}

struct l4vio_features l4vio_features_or(const struct l4vio_features *a,
                                        const struct l4vio_features *b)
{
    struct l4vio_features result;
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        result.word[i] = a->word[i] | b->word[i];
    return result;
}

void l4vio_ring_features(struct l4vio_features *features)
{
    static const uint8_t bits[] = {
        L4VIO_F_INDIRECT_DESC, L4VIO_F_EVENT_IDX,         L4VIO_F_ACCESS_PLATFORM,
        L4VIO_F_RING_PACKED,   L4VIO_F_IN_ORDER,          L4VIO_F_ORDER_PLATFORM,
        L4VIO_F_RING_RESET,    L4VIO_F_NOTIFICATION_DATA,
    };
    *features = (struct l4vio_features){{0}};
    for (unsigned i = 0; i < sizeof(bits); i++)
        (void)l4vio_features_set(features, bits[i]);
}

bool l4vio_features_empty(const struct l4vio_features *features)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        bits |= features->word[i];
    return bits == 0;
}

struct l4vio_features l4vio_features_choose(const struct l4vio_features *offered,
                                            const struct l4vio_features *allowed,
                                            const struct l4vio_feature_dependency *dependencies,
                                            unsigned count)
{
    struct l4vio_features chosen = l4vio_features_and(offered, allowed);

    /* Every round drops one bit, so this ends after at most 192. */
    for (;;) {
        int broken = l4vio_features_broken_dependency(&chosen, dependencies, count);
        if (broken < 0)
            return chosen;
        (void)l4vio_features_clear(&chosen, dependencies[broken].bit);
    }
}

int l4vio_features_broken_dependency(const struct l4vio_features *features,
                                     const struct l4vio_feature_dependency *dependencies,
                                     unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct l4vio_feature_dependency *rule = &dependencies[i];
        if (l4vio_features_has(features, rule->bit) && !l4vio_features_has(features, rule->needs) &&
            !l4vio_features_has(features, rule->or_needs))
            return (int)i;
    }
    return -1;
}
