/* SPDX-License-Identifier: MIT */
/**
 * @file features.h
 * Feature sets: 192 bits, as L4-VIRTIO's config page has them.
 *
 * VIRTIO 1.4 defines bits 0 to 127; L4-VIRTIO adds 160 (L4VIRTIO_FEATURE_CMD_CONFIG). Bits from 192
 * on do not exist: setting one is refused and asking for one answers no.
 */
#ifndef L4VIO_FEATURES_H
#define L4VIO_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Number of 32-bit words in a feature set. */
#define L4VIO_FEATURE_WORDS 6u
/** Number of bits in a feature set. */
#define L4VIO_FEATURE_BITS (32u * L4VIO_FEATURE_WORDS)

/** Feature bits that are not specific to a device class (VIRTIO 1.4, chapter 6; 160 is L4's). */
enum l4vio_feature_bit {
    L4VIO_F_INDIRECT_DESC = 28,     /**< Tables of descriptors outside the ring. */
    L4VIO_F_EVENT_IDX = 29,         /**< Notification suppression by index. */
    L4VIO_F_VERSION_1 = 32,         /**< Not a legacy device. Always required. */
    L4VIO_F_ACCESS_PLATFORM = 33,   /**< Device addresses are translated. */
    L4VIO_F_RING_PACKED = 34,       /**< Packed virtqueue layout. */
    L4VIO_F_IN_ORDER = 35,          /**< Buffers are used in the order they were made available. */
    L4VIO_F_ORDER_PLATFORM = 36,    /**< Barriers as for devices that are not CPUs. */
    L4VIO_F_NOTIFICATION_DATA = 38, /**< Kicks carry the queue position. */
    L4VIO_F_RING_RESET = 40,        /**< One queue can be reset. */
    L4VIO_F_L4_CMD_CONFIG = 160,    /**< Status and queue set-up go through the `cmd` register. */
};

/** A set of feature bits. Bit n is bit n % 32 of word n / 32. Plain data, copied by assignment. */
struct l4vio_features {
    uint32_t word[L4VIO_FEATURE_WORDS]; /**< The bits. */
};

/**
 * Adds a bit.
 * @param features the set
 * @param bit      0 to 191
 * @return 0, or L4VIO_EINVAL for a bit above 191 (the set is then unchanged)
 */
static inline int l4vio_features_set(struct l4vio_features *features, unsigned bit)
{
    if (bit >= L4VIO_FEATURE_BITS)
        return L4VIO_EINVAL;
    features->word[bit / 32u] |= UINT32_C(1) << (bit % 32u);
    return L4VIO_OK;
}

/**
 * Removes a bit.
 * @param features the set
 * @param bit      0 to 191
 * @return 0, or L4VIO_EINVAL for a bit above 191
 */
static inline int l4vio_features_clear(struct l4vio_features *features, unsigned bit)
{
    if (bit >= L4VIO_FEATURE_BITS)
        return L4VIO_EINVAL;
    features->word[bit / 32u] &= ~(UINT32_C(1) << (bit % 32u));
    return L4VIO_OK;
}

/**
 * Tests a bit.
 * @param features the set
 * @param bit      any number
 * @return whether the bit is in the set; false above 191
 */
static inline bool l4vio_features_has(const struct l4vio_features *features, unsigned bit)
{
    if (bit >= L4VIO_FEATURE_BITS)
        return false;
    return (features->word[bit / 32u] >> (bit % 32u)) & 1u;
}

/**
 * The ring features that the queues of this library implement, on both sides: INDIRECT_DESC, EVENT_IDX,
 * ACCESS_PLATFORM, RING_PACKED, IN_ORDER, ORDER_PLATFORM, NOTIFICATION_DATA, RING_RESET. None depends on
 * another: every combination is valid.
 * @param features filled
 */
void l4vio_ring_features(struct l4vio_features *features);

/**
 * Intersection.
 * @param a one set
 * @param b another set
 * @return the bits that are in both
 */
struct l4vio_features l4vio_features_and(const struct l4vio_features *a,
                                         const struct l4vio_features *b);

/**
 * Union.
 * @param a one set
 * @param b another set
 * @return the bits that are in one of them or in both
 */
struct l4vio_features l4vio_features_or(const struct l4vio_features *a,
                                        const struct l4vio_features *b);

/**
 * Difference.
 * @param a one set
 * @param b another set
 * @return the bits of `a` that are not in `b`
 */
struct l4vio_features l4vio_features_minus(const struct l4vio_features *a,
                                           const struct l4vio_features *b);

/**
 * Tests for the empty set.
 * @param features the set
 * @return whether no bit is set
 */
bool l4vio_features_empty(const struct l4vio_features *features);

/** A rule of the specification: a bit may be accepted only together with others. */
struct l4vio_feature_dependency {
    uint8_t bit;      /**< The dependent bit. */
    uint8_t needs;    /**< A bit that must be there too. */
    uint8_t or_needs; /**< Or this one; equal to `needs` if there is no alternative. */
};

/**
 * Chooses what a driver accepts: the offered bits that are on the driver's list and whose
 * dependencies are accepted too (clauses D-2.2.1-1a, -1b, -3a, -3b). Bits are dropped until nothing
 * changes, so chains of dependencies settle.
 *
 * @param offered      what the device offers
 * @param allowed      what this driver implements for this device class and transport
 * @param dependencies table of rules, may be NULL if `count` is 0
 * @param count        number of rules
 * @return the set to accept
 */
struct l4vio_features l4vio_features_choose(const struct l4vio_features *offered,
                                            const struct l4vio_features *allowed,
                                            const struct l4vio_feature_dependency *dependencies,
                                            unsigned count);

/**
 * Finds a broken dependency rule in a set.
 * @param features     the set
 * @param dependencies table of rules, may be NULL if `count` is 0
 * @param count        number of rules
 * @return the index of the first rule that the set breaks, or -1
 */
int l4vio_features_broken_dependency(const struct l4vio_features *features,
                                     const struct l4vio_feature_dependency *dependencies,
                                     unsigned count);

#ifdef __cplusplus
}
#endif
#endif
