/* SPDX-License-Identifier: MIT */
/* What `info` finds out about a device, and the two ways to show it. */
#ifndef L4VIO_TOOL_INFO_H
#define L4VIO_TOOL_INFO_H

#include <l4vio/session.h>

#define INFO_QUEUES_MAX 64u

struct info {
    const char *uri;
    struct l4vio_driver *driver;
    const struct l4vio_block *block; /* NULL: not a block device. */
    uint32_t status;
    bool settled; /* Features are. */
    char id[VIRTIO_BLK_ID_BYTES + 1];
    bool has_id;
    bool has_writeback;
    bool writeback;
    uint32_t queues_shown;
    int queue_size_max[INFO_QUEUES_MAX];
};

void info_print(const struct info *info);
/* Returns whether standard output took it. */
bool info_print_json(const struct info *info);

#endif
