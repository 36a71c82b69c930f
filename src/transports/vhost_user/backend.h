/* SPDX-License-Identifier: MIT */
/*
 * vhost-user for the clients of a server (the protocol's back end): the port between the messages of a front
 * end and a device.
 *
 * Every message is carried out with control, so the device is at rest. What a ring runs with is collected
 * message by message; whenever something has changed, rings that can run are set up
 * (l4vio_vhost_back_rings_start). A ring that is set up has a queue in the device; it is worked on if it
 * is enabled, too.
 */
#ifndef L4VIO_VHOST_USER_BACKEND_H
#define L4VIO_VHOST_USER_BACKEND_H

#include <l4vio/wire/vhost_user.h>

#include "transports/server/server.h"
#include "transports/vhost_user/message.h"

/* The channel of SET_BACKEND_REQ_FD, among the sources of a client. */
#define L4VIO_VHOST_SOURCE_CHANNEL 0xfffeu

/* Refused messages that are logged of one client. */
#define L4VIO_VHOST_REFUSALS_TOLD 32u

/* How a front end is told of something: an eventfd; a pipe; a socket, which is what user-mode-linux calls a
 * pipe. */
enum l4vio_vhost_trigger_kind { L4VIO_VHOST_EVENTFD, L4VIO_VHOST_PIPE, L4VIO_VHOST_SOCKET };

struct l4vio_vhost_trigger {
    int fd; /* -1: not at all. */
    enum l4vio_vhost_trigger_kind kind;
};

/* What the front end has said about a ring. */
struct l4vio_vhost_ring {
    uint32_t size; /* 0: not said. */
    bool has_addresses;
    struct vhost_user_vring_addr addresses;
    uint16_t avail; /* Where it begins, or has stopped. */
    uint16_t used;
    bool used_known; /* Else the ring says, or the record. */
    bool was_reset;  /* It ran until a reset, and GET_VRING_BASE still tells where. */
    uint32_t reset_at;
    int kick; /* -1: the ring is stopped. */
    bool enabled;
    bool changing; /* More is to be said before it runs again. */
    bool recorded; /* It has run with the record of requests in flight that is there. */
    bool told;     /* Why it cannot run was logged. */
    struct l4vio_vhost_trigger call, err;
};

/* A region of the front end's memory. */
struct l4vio_vhost_region {
    bool used;
    struct vhost_user_memory_region told;
    dev_t device; /* Which file it is. */
    ino_t inode;
    struct l4vio_mapping *mapping;
    void *base;
};

/* The record of requests in flight. */
struct l4vio_vhost_record {
    struct l4vio_mapping *mapping; /* NULL: none. */
    unsigned char *base;
    uint16_t queues;
    uint16_t queue_size;
    uint64_t queue_bytes;
    struct l4vio_device_inflight_slot *slots; /* `queue_size` for each queue. */
    bool used;                                /* A ring has run with it. */
};

struct l4vio_vhost_served {
    struct l4vio_vhost_reader reader;
    bool waits; /* Its message is to run once nothing is in flight. */
    unsigned refusals;
    unsigned rings_told;        /* Times that it was logged that one cannot run. */
    uint64_t protocol_features; /* Accepted. */
    uint64_t features;          /* As set, with those of the protocol. */
    bool features_set;
    struct l4vio_vhost_ring *rings;     /* Per queue. */
    struct l4vio_vhost_region *regions; /* As many as the quota says. */
    struct l4vio_vhost_record record;
    struct l4vio_mapping *log_mapping;
    struct l4vio_dirty_log log;
    int channel;                /* -1: none. */
    bool channel_full;          /* A message waits for room. */
    atomic_bool config_changed; /* To be told. */
    uint64_t failures_seen;     /* Device failures that err descriptors were triggered for. */
    bool lost_seen;             /* The device failed because memory was lost. */
    uint8_t config[VHOST_USER_CONFIG_BYTES]; /* As the driver sees it. */
};

static inline struct l4vio_vhost_served *l4vio_vhost_served(
    const struct l4vio_served_client *client)
{
    return client->own;
}

static inline bool l4vio_vhost_back_has(const struct l4vio_served_client *client, unsigned bit)
{
    return l4vio_vhost_served(client)->protocol_features >> bit & 1u;
}

static inline uint32_t l4vio_vhost_back_queues(const struct l4vio_served_client *client)
{
    return client->server->config.service.queue_count;
}

/*
 * A message is carried out by a function of this form, with control. Descriptors that it takes are its own.
 * L4VIO_OK, a negative code, or L4VIO_VHOST_REPLY: `reply` has payload and descriptors (which are closed once
 * sent).
 */
#define L4VIO_VHOST_REPLY 1
typedef int l4vio_vhost_handler(struct l4vio_served_client *client,
                                struct l4vio_vhost_message *message,
                                struct l4vio_vhost_message *reply, struct l4vio_error *error);

/* backend.c */
l4vio_vhost_handler l4vio_vhost_back_get_queue_num;

/* backend_feature.c */
l4vio_vhost_handler l4vio_vhost_back_get_features, l4vio_vhost_back_set_features,
    l4vio_vhost_back_get_protocol_features, l4vio_vhost_back_set_protocol_features,
    l4vio_vhost_back_reset_device, l4vio_vhost_back_set_status, l4vio_vhost_back_get_status;
/* Whether SET_FEATURES begins anew. */
bool l4vio_vhost_back_unsettles(const struct l4vio_served_client *client, uint64_t features);
/* Without STATUS: the device is live once a ring runs, and begins anew once all are stopped. */
void l4vio_vhost_back_mind_status(struct l4vio_served_client *client);
bool l4vio_vhost_back_packed(const struct l4vio_served_client *client);

/* backend_memory.c */
l4vio_vhost_handler l4vio_vhost_back_set_mem_table, l4vio_vhost_back_max_mem_slots,
    l4vio_vhost_back_add_mem_reg, l4vio_vhost_back_rem_mem_reg;
void l4vio_vhost_back_release(void *client, const struct l4vio_device_region *region);
/* Device address of a user address; false: there is none. */
bool l4vio_vhost_back_translate(const struct l4vio_served_client *client, uint64_t user_address,
                                uint64_t *device_address);

/* backend_ring.c */
l4vio_vhost_handler l4vio_vhost_back_set_vring_num, l4vio_vhost_back_set_vring_addr,
    l4vio_vhost_back_set_vring_base, l4vio_vhost_back_get_vring_base,
    l4vio_vhost_back_set_vring_enable, l4vio_vhost_back_reset_owner;
/* Sets up what can run. */
void l4vio_vhost_back_rings_start(struct l4vio_served_client *client);
/* The device works on it no more, the place is remembered. Nothing of it is in flight. */
void l4vio_vhost_back_ring_stop(struct l4vio_served_client *client, uint32_t index);
void l4vio_vhost_back_rings_stop(struct l4vio_served_client *client);
void l4vio_vhost_back_ring_reset(struct l4vio_served_client *client, uint32_t index);
bool l4vio_vhost_back_ring_runs(const struct l4vio_served_client *client, uint32_t index);
/* Whether a ring is worked on. */
bool l4vio_vhost_back_rings_busy(const struct l4vio_served_client *client);

/* backend_notify.c */
l4vio_vhost_handler l4vio_vhost_back_set_vring_kick, l4vio_vhost_back_set_vring_call,
    l4vio_vhost_back_set_vring_err, l4vio_vhost_back_set_backend_req_fd,
    l4vio_vhost_back_set_log_fd;
void l4vio_vhost_back_trigger(const struct l4vio_served_client *client,
                              const struct l4vio_vhost_trigger *trigger);
void l4vio_vhost_back_drop_kick(struct l4vio_served_client *client, uint32_t index);
void l4vio_vhost_back_drop_triggers(struct l4vio_served_client *client);
/* Triggers the err descriptors of broken rings, or of all if none is. */
void l4vio_vhost_back_tell_rings(const struct l4vio_served_client *client);
/* Says that the configuration has changed, or tries again when there is room. */
void l4vio_vhost_back_tell_config(struct l4vio_served_client *client);
void l4vio_vhost_back_drop_channel(struct l4vio_served_client *client);

/* backend_config.c */
l4vio_vhost_handler l4vio_vhost_back_get_config, l4vio_vhost_back_set_config;
extern const struct l4vio_device_port_ops l4vio_vhost_back_port;

/* backend_record.c */
l4vio_vhost_handler l4vio_vhost_back_get_inflight_fd, l4vio_vhost_back_set_inflight_fd,
    l4vio_vhost_back_set_log_base;
/* Logs or does not, as the features say. */
void l4vio_vhost_back_apply_log(struct l4vio_served_client *client);
/* The device is reset: what was in flight is not any more, and rings begin anew. */
void l4vio_vhost_back_forget_inflight(struct l4vio_served_client *client);
/* The same for a ring that begins anew alone. */
void l4vio_vhost_back_forget_ring_inflight(struct l4vio_served_client *client, uint32_t index);
void l4vio_vhost_back_drop_records(struct l4vio_served_client *client);

#endif
