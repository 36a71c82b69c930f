/* SPDX-License-Identifier: MIT */
/* What `info` finds out about a device, and the two ways to show it. */
#ifndef L4VIO_TOOL_INFO_H
#define L4VIO_TOOL_INFO_H

#include <jansson.h>
#include <l4vio/classes.h>
#include <l4vio/session.h>
#include <l4vio/vhost_user.h>

#define INFO_QUEUES_MAX   256u
#define INFO_CONFIG_BYTES 4096u

/* From whom the class of the device is known. */
enum info_source {
    INFO_UNKNOWN,
    INFO_FROM_DEVICE,
    INFO_FROM_OPTION,
    INFO_GUESSED,
};

struct info {
    const char *uri;
    struct l4vio_identity identity; /* Its device_id is 0 if the class is not known. */
    enum info_source class_source;
    bool has_status;
    uint32_t status;
    bool settled; /* Features are: those in `accepted`. */
    struct l4vio_features accepted;
    bool has_queue_sizes;
    int queue_size_max[INFO_QUEUES_MAX];
    /* Device configuration from its start, wire order. */
    uint32_t config_bytes;
    unsigned char config[INFO_CONFIG_BYTES];
    /* Of a block device. */
    bool has_id;
    char id[VIRTIO_BLK_ID_BYTES + 1];
    /* Of a vhost-user back end. */
    bool is_vhost_user;
    bool tracks_in_flight;
    struct l4vio_vhost_user_info vhost_user;
};

/* Fills it from a vhost-user back end, without a word to the device itself. Returns an exit code. */
int info_ask_vhost_user(struct info *info, uint64_t timeout_ns);
/* Whether that is what a URI means. */
bool info_is_vhost_user(const char *uri);

/* Queues to show. */
uint32_t info_queues_shown(const struct info *info);

void info_print(const struct info *info);
/* Returns whether standard output took it. */
bool info_print_json(const struct info *info);

/* info_fields.c: the configuration. */

/* The next field that is there and valid, from *index on, which is moved behind it; or NULL. */
const struct l4vio_config_field *info_next_field(const struct info *info, unsigned *index);
/* Bytes behind what the class knows, up to the last one that is not 0; *from is where they begin. */
uint32_t info_more_bytes(const struct info *info, uint32_t *from);
void info_print_config(const struct info *info);
json_t *info_config_json(const struct info *info);

#endif
