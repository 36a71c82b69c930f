/* SPDX-License-Identifier: MIT */
/* --features and --no-FEATURE: which features to switch on and off. */
#ifndef L4VIO_TOOL_FEATURES_H
#define L4VIO_TOOL_FEATURES_H

#include <l4vio/features.h>

struct feature_choice {
    struct l4vio_features on;  /* +NAME */
    struct l4vio_features off; /* -NAME, and all of the rings' after `none`. */
};

/*
 * Takes a list such as "none,+RING_PACKED,-MQ"; the last word on a feature counts. Complains and returns
 * an exit code if something is wrong.
 */
int features_take_list(struct feature_choice *choice, const char *list);

/* The same for the name in --no-NAME. */
int features_take_no(struct feature_choice *choice, const char *name);

/* Names of the features in a set, with commas in between. Returns `text`. */
#define FEATURES_TEXT_BYTES 400u
const char *features_text(const struct l4vio_features *features, char text[FEATURES_TEXT_BYTES]);

#endif
