/* SPDX-License-Identifier: MIT */
#include "tool/features.h"

#include <l4vio/block.h>
#include <l4vio/names.h>
#include <l4vio/wire/status.h>

#include <stdio.h>
#include <string.h>

#include "tool/report.h"
#include "tool/tool.h"

#define NAME_BYTES 64u

const char *features_text(const struct l4vio_features *features, char text[FEATURES_TEXT_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned bit = 0; bit < L4VIO_FEATURE_BITS && used < FEATURES_TEXT_BYTES; ++bit) {
        const char *name = l4vio_feature_name(VIRTIO_ID_BLOCK, bit);
        const char *comma = used ? ", " : "";
        if (!l4vio_features_has(features, bit))
            continue;
        if (name)
            used += (size_t)snprintf(text + used, FEATURES_TEXT_BYTES - used, "%s%s", comma, name);
        else
            used += (size_t)snprintf(text + used, FEATURES_TEXT_BYTES - used, "%s%u", comma, bit);
    }
    return text;
}

/* What is worth naming to somebody who does not know the names. */
static const char *known_names(char text[FEATURES_TEXT_BYTES])
{
    struct l4vio_features known, ring;
    l4vio_block_features(&known);
    l4vio_ring_features(&ring);
    known = l4vio_features_or(&known, &ring);
    return features_text(&known, text);
}

static int switch_feature(struct feature_choice *choice, unsigned bit, bool on)
{
    if (bit == L4VIO_F_VERSION_1 && !on)
        return complain(TOOL_USAGE, "VERSION_1 cannot be switched off: every device of version 1 "
                                    "and every driver of one has it");
    struct l4vio_features *to = on ? &choice->on : &choice->off;
    struct l4vio_features *from = on ? &choice->off : &choice->on;
    l4vio_features_set(to, bit);
    l4vio_features_clear(from, bit);
    return TOOL_OK;
}

/* One word of a list, without the commas. */
static int take_word(struct feature_choice *choice, const char *word)
{
    char names[FEATURES_TEXT_BYTES];
    if (strcmp(word, "none") == 0) {
        struct l4vio_features ring;
        l4vio_ring_features(&ring);
        choice->off = l4vio_features_or(&choice->off, &ring);
        choice->on = l4vio_features_minus(&choice->on, &ring);
        return TOOL_OK;
    }
    if (word[0] != '+' && word[0] != '-')
        return complain(TOOL_USAGE, "--features: '%s' is neither +NAME nor -NAME nor none", word);
    int bit = l4vio_feature_by_name(VIRTIO_ID_BLOCK, word + 1);
    if (bit < 0)
        return complain(TOOL_USAGE, "--features: there is no feature '%s'; these are known: %s",
                        word + 1, known_names(names));
    return switch_feature(choice, (unsigned)bit, word[0] == '+');
}

int features_take_list(struct feature_choice *choice, const char *list)
{
    for (const char *at = list;; ++at) {
        char word[NAME_BYTES];
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        int result = take_word(choice, word);
        if (result != TOOL_OK)
            return result;
        at += length;
        if (!*at)
            return TOOL_OK;
    }
}

int features_take_no(struct feature_choice *choice, const char *name)
{
    int bit = l4vio_feature_by_name(VIRTIO_ID_BLOCK, name);
    if (bit < 0)
        return complain(TOOL_USAGE, "there is no option '--no-%s', and no feature of that name",
                        name);
    return switch_feature(choice, (unsigned)bit, false);
}
