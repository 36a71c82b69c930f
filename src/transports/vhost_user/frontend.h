/* SPDX-License-Identifier: MIT */
/* The front end from inside. */
#ifndef L4VIO_VHOST_USER_FRONTEND_H
#define L4VIO_VHOST_USER_FRONTEND_H

#include <pthread.h>
#include <stdatomic.h>

#include <l4vio/vhost_user.h>

#include "platforms/linux/local_socket.h"
#include "platforms/linux/turn.h"
#include "transports/vhost_user/message.h"

/* Notification indexes: one per queue, and one for the configuration. */
#define L4VIO_FRONTEND_INDEXES (L4VIO_VHOST_USER_QUEUES_MAX + 1u)

/* One queue, as the back end was told of it. */
struct l4vio_frontend_ring {
    struct l4vio_notification kick; /* By which the back end is notified; made when it is wanted. */
    uint16_t size;                  /* Entries. */
    uint16_t call_index;            /* Notification index of its completions. */
    bool known;                     /* Was set up on this connection, since the last reset. */
    bool started;                   /* Set up, and to be stopped before its memory is ours again. */
};

/* A region in the table of a back end without memory slots. */
struct l4vio_frontend_region {
    struct vhost_user_memory_region wire;
    int fd; /* A duplicate: the whole table is sent again and again. */
};

/* The back end's record of requests in flight: memory of its own, kept for its successor. */
struct l4vio_frontend_inflight {
    struct vhost_user_inflight wire;
    int fd;       /* -1: none. */
    bool told;    /* SET_INFLIGHT_FD was sent on this connection. */
    bool resumed; /* It is the one of the last connection. */
};

struct l4vio_vhost_user {
    struct l4vio_platform platform;
    struct l4vio_vhost_user_options options;
    struct l4vio_vhost_user_info info;
    struct sockaddr_un address;

    struct l4vio_local_listener listener; /* If the back end connects, else empty. */

    /* The connection. Messages are exchanged by whose turn it is. */
    struct l4vio_turn turn;
    atomic_int socket; /* -1: none. */
    atomic_bool dead;  /* Nothing more is to be had from this connection. */
    struct l4vio_vhost_reader reader;

    /* The device, as it was told by us and as it told us. */
    struct l4vio_features accepted;
    atomic_uint status;      /* As last set and agreed. */
    atomic_bool needs_reset; /* The back end has signalled an error. */
    atomic_uint generation;  /* Changes of the configuration. */
    atomic_uint seen_generation;
    bool touched; /* There is something to reset. */
    struct l4vio_frontend_ring rings[L4VIO_VHOST_USER_QUEUES_MAX];
    struct l4vio_frontend_inflight inflight;

    /* Memory: a table with duplicates of descriptors, or just a count where there are slots. */
    struct l4vio_frontend_region regions[VHOST_USER_REGIONS_MAX];
    uint64_t region_count;

    /* What wakes the driver: duplicates, for a thread of ours may trigger what the driver just closes. */
    pthread_mutex_t lock; /* Guards this and `needs_reset`. */
    int bound[L4VIO_FRONTEND_INDEXES];
    uint16_t config_index;
    uint32_t resets; /* How often the device was reset. */

    /* Listens to what the back end says without being asked. */
    pthread_t watcher;
    bool watching;
    int stop_fd;    /* Ends it: an eventfd. */
    int err_fd;     /* Errors of any ring: an eventfd that the back end has too. */
    int channel_fd; /* Requests of the back end, -1: there is no channel. The watcher's. */
};

extern const struct l4vio_transport_ops l4vio_frontend_ops;

/* Whether a protocol feature is in use. */
static inline bool l4vio_frontend_has(const struct l4vio_vhost_user *frontend, unsigned feature)
{
    return (frontend->info.protocol_features_used >> feature) & 1u;
}

/* frontend_calls.c: exchanging messages. All say L4VIO_EPIPE once the connection is dead. */

/* The deadline of a message that the caller set none for. */
uint64_t l4vio_frontend_deadline(const struct l4vio_vhost_user *frontend);

/* A request that is a u64, that is the state of a ring. */
struct l4vio_vhost_message l4vio_frontend_number(uint32_t request, uint64_t number);
struct l4vio_vhost_message l4vio_frontend_state(uint32_t request, uint32_t index, uint32_t num);

/* What a reply has to look like. */
struct l4vio_frontend_reply {
    uint32_t size_min;
    uint32_t size_max;
    bool may_be_empty; /* A refusal that only this request's caller understands. */
    bool with_fd;      /* One descriptor, unless it is empty. */
};

/* Sends a request that is answered with `message`; descriptors in the answer are the caller's. */
int l4vio_frontend_ask(struct l4vio_vhost_user *frontend, struct l4vio_vhost_message *message,
                       const struct l4vio_frontend_reply *expected, uint64_t deadline_ns,
                       struct l4vio_error *error);

/* The same where the answer is a number. */
int l4vio_frontend_ask_number(struct l4vio_vhost_user *frontend, uint32_t request, uint64_t *number,
                              uint64_t deadline_ns, struct l4vio_error *error);

/* Sends a request that may be refused: it was carried out if this returns 0, as far as can be known. */
int l4vio_frontend_tell(struct l4vio_vhost_user *frontend,
                        const struct l4vio_vhost_message *message, uint64_t deadline_ns,
                        struct l4vio_error *error);

/*
 * The same for one of several in a row: without REPLY_ACK the answer to the last one, which is to be told
 * by l4vio_frontend_tell, will do.
 */
int l4vio_frontend_tell_more(struct l4vio_vhost_user *frontend,
                             const struct l4vio_vhost_message *message, uint64_t deadline_ns,
                             struct l4vio_error *error);

/* Gives the connection up: wakes everybody, fills the error. */
int l4vio_frontend_give_up(struct l4vio_vhost_user *frontend, int code, const char *text,
                           uint64_t value, struct l4vio_error *error);

/*
 * The same without waiting, for the thread that listens. L4VIO_EAGAIN: somebody else has his turn. Once the
 * request is out, l4vio_frontend_try_reply is to be called until it says something else than L4VIO_EAGAIN.
 */
int l4vio_frontend_try_request(struct l4vio_vhost_user *frontend, uint32_t request);
int l4vio_frontend_try_reply(struct l4vio_vhost_user *frontend, uint32_t request, uint64_t *number);

/* frontend_connect.c: the beginning and the end of a connection. */

int l4vio_frontend_reconnect(void *self, struct l4vio_transport_properties *properties,
                             struct l4vio_identity *identity, uint64_t deadline_ns,
                             struct l4vio_error *error);
int l4vio_frontend_peer_alive(void *self);
intptr_t l4vio_frontend_peer_handle(void *self);
void l4vio_frontend_close(void *self);

/* frontend_negotiate.c: what is settled at the beginning. */

int l4vio_frontend_negotiate(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                             struct l4vio_error *error);
int l4vio_frontend_identify(void *self, struct l4vio_transport_properties *properties,
                            struct l4vio_identity *identity, uint64_t deadline_ns,
                            struct l4vio_error *error);

/* frontend_status.c */

int l4vio_frontend_get_status(void *self, uint32_t *status);
int l4vio_frontend_set_status(void *self, uint32_t status, uint64_t deadline_ns,
                              struct l4vio_error *error);

/* frontend_queue.c */

int l4vio_frontend_config_queue(void *self, uint32_t queue, const struct l4vio_queue_setup *setup,
                                uint64_t deadline_ns, struct l4vio_error *error);
int l4vio_frontend_reset_queue(void *self, uint32_t queue, uint64_t deadline_ns,
                               struct l4vio_error *error);
int l4vio_frontend_enable_ring(struct l4vio_vhost_user *frontend, uint32_t queue,
                               uint64_t deadline_ns, struct l4vio_error *error);
/* Stops a ring and waits for the answer. */
int l4vio_frontend_stop_ring(struct l4vio_vhost_user *frontend, uint32_t queue,
                             uint64_t deadline_ns, struct l4vio_error *error);
/* The kick of a queue, made if there is none yet. */
int l4vio_frontend_make_kick(struct l4vio_vhost_user *frontend, uint32_t queue,
                             struct l4vio_error *error);
/* SET_VRING_CALL with the object that is bound to the ring's index. */
int l4vio_frontend_send_call(struct l4vio_vhost_user *frontend, uint32_t queue,
                             uint64_t deadline_ns, struct l4vio_error *error);

/* frontend_inflight.c */

/* Before a queue is started: sees to it that the back end has a record that this queue fits into. */
int l4vio_frontend_prepare_inflight(struct l4vio_vhost_user *frontend, uint32_t queue,
                                    const struct l4vio_queue_setup *setup, uint64_t deadline_ns,
                                    struct l4vio_error *error);
void l4vio_frontend_drop_inflight(struct l4vio_vhost_user *frontend);

/* frontend_memory.c */

int l4vio_frontend_map(void *self, const struct l4vio_dataspace *dataspace, uint64_t offset_bytes,
                       uint64_t size_bytes, uint64_t *device_address, uint64_t deadline_ns,
                       struct l4vio_error *error);
int l4vio_frontend_unmap(void *self, uint64_t device_address, uint64_t size_bytes,
                         uint64_t deadline_ns, struct l4vio_error *error);
void l4vio_frontend_forget_memory(struct l4vio_vhost_user *frontend);

/* frontend_config.c */

/* Finds out how many bytes of configuration the back end gives away. */
int l4vio_frontend_measure_config(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                                  struct l4vio_error *error);
int l4vio_frontend_read_config(void *self, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                               uint32_t width_bytes, struct l4vio_error *error);
int l4vio_frontend_write_config(void *self, uint32_t offset_bytes, const void *data,
                                uint32_t width_bytes, uint64_t deadline_ns,
                                struct l4vio_error *error);

/* frontend_watch.c */

/* Starts to listen; `channel`, if not NULL, is the back end's end of the channel, to be sent and closed. */
int l4vio_frontend_start_watching(struct l4vio_vhost_user *frontend, int *channel,
                                  struct l4vio_error *error);
void l4vio_frontend_stop_watching(struct l4vio_vhost_user *frontend);

#endif
