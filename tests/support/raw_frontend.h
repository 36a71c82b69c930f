/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end written from the protocol, with a block driver by hand behind it: it sends messages
 * and descriptors as bytes, and may say what no front end may. The device's side is a server of its own
 * (socket_server).
 *
 * Its memory is one memfd. The rings of queue n lie at FRONT_QUEUE_BYTES * n, requests from FRONT_REQUESTS on,
 * FRONT_REQUEST_BYTES for each id of each queue.
 */
#ifndef RAW_FRONTEND_H
#define RAW_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>

#include <l4vio/wire/block.h>
#include <l4vio/wire/vhost_user.h>

#include "raw_ring.h"
#include "socket_server.h"
#include "transports/vhost_user/message.h"

#define FRONT_GUEST         UINT64_C(0x10000000)     /* Guest address of the memory. */
#define FRONT_USER          UINT64_C(0x7f0000000000) /* User address. */
#define FRONT_MEMORY_BYTES  0x100000u
#define FRONT_QUEUES        2u
#define FRONT_QUEUE_SIZE    16u
#define FRONT_QUEUE_BYTES   0x2000u
#define FRONT_AVAIL         0x1000u /* From the beginning of a queue's memory. */
#define FRONT_USED          0x1800u
#define FRONT_REQUESTS      0x10000u
#define FRONT_REQUEST_BYTES 0x2000u
#define FRONT_DATA_BYTES    4096u /* Of each request. */

/* Every combination: features of the rings. */
#define FRONT_SPLIT           0u
#define FRONT_PACKED          (UINT64_C(1) << L4VIO_F_RING_PACKED)
#define FRONT_SPLIT_IN_ORDER  (UINT64_C(1) << L4VIO_F_IN_ORDER | UINT64_C(1) << L4VIO_F_EVENT_IDX)
#define FRONT_PACKED_IN_ORDER (FRONT_PACKED | FRONT_SPLIT_IN_ORDER)

/* Every protocol feature of the back end but STATUS. */
#define FRONT_PROTOCOL                                                                 \
    (1u << VHOST_USER_PROTOCOL_F_MQ | 1u << VHOST_USER_PROTOCOL_F_LOG_SHMFD |          \
     1u << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ | \
     1u << VHOST_USER_PROTOCOL_F_CONFIG | 1u << VHOST_USER_PROTOCOL_F_RESET_DEVICE |   \
     1u << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | 1u << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)
#define FRONT_STATUS (1u << VHOST_USER_PROTOCOL_F_STATUS)

struct raw_frontend {
    struct socket_server server;
    int socket;
    uint64_t features; /* What front_negotiate accepts, besides VERSION_1 and PROTOCOL_FEATURES. */
    uint64_t protocol_features; /* Likewise. */
    int memory_fd;
    unsigned char *memory; /* FRONT_MEMORY_BYTES. */
    struct raw_ring rings[FRONT_QUEUES];
    uint16_t entries[FRONT_QUEUES][FRONT_QUEUE_SIZE];
    uint32_t bases[FRONT_QUEUES]; /* For front_ring: where it begins. */
    int kick[FRONT_QUEUES], call[FRONT_QUEUES], err[FRONT_QUEUES];
    struct l4vio_vhost_reader reader;
};

/* For cmocka: a server and a front end that is connected; `*state` is it. By ring features. */
int front_setup(void **state);
int front_setup_packed(void **state);
int front_setup_in_order(void **state);
int front_setup_packed_in_order(void **state);
int front_teardown(void **state);

/* A test by itself, and in every format. */
#define FRONT_WITH(prefix, name, setup)                 \
    {                                                   \
        prefix #name, name, setup, front_teardown, NULL \
    }
#define FRONT_ONE(name) FRONT_WITH("", name, front_setup)
#define FRONT_EVERY(name)                                                                       \
    FRONT_WITH("split: ", name, front_setup), FRONT_WITH("packed: ", name, front_setup_packed), \
        FRONT_WITH("split in order: ", name, front_setup_in_order),                             \
        FRONT_WITH("packed in order: ", name, front_setup_packed_in_order)

/* Without setup: a server that the test changes before front_start. */
struct raw_frontend *front_new(uint64_t features);
void front_start(struct raw_frontend *front);
void front_free(struct raw_frontend *front);

/* The connection. */
void front_connect(struct raw_frontend *front);
bool front_try_connect(struct raw_frontend *front);
void front_hang_up(struct raw_frontend *front);
/* Waits until the server has hung up; fails after 5 s. */
void front_expect_end(struct raw_frontend *front);
/* The server is there for somebody who comes now, in the format of this one. */
void front_expect_others_served(struct raw_frontend *front);

/* Sends a message as it is. `fds` may be NULL. */
void front_send(struct raw_frontend *front, uint32_t request, uint32_t flags, const void *payload,
                uint32_t size, const int *fds, unsigned count);
/* The next message of the back end, in front->reader.message; fails after 5 s. Of this request, an answer. */
struct l4vio_vhost_message *front_receive(struct raw_frontend *front, uint32_t request);
/* Sends with NEED_REPLY (REPLY_ACK is negotiated) and returns the answer: 0 is success. */
uint64_t front_ask(struct raw_frontend *front, uint32_t request, const void *payload, uint32_t size,
                   const int *fds, unsigned count);
/* The same for payloads of one form. */
uint64_t front_ask_u64(struct raw_frontend *front, uint32_t request, uint64_t value, int fd);
uint64_t front_ask_state(struct raw_frontend *front, uint32_t request, uint32_t index,
                         uint32_t num);
/* Requests that are answered by a number. */
uint64_t front_get_u64(struct raw_frontend *front, uint32_t request);
/* Goes there and back, so that everything before has been carried out. */
void front_sync(struct raw_frontend *front);

/* Steps of a set-up; each fails the test if it is refused. */
void front_negotiate(struct raw_frontend *front);
void front_share(struct raw_frontend *front);
uint64_t front_ask_addresses(struct raw_frontend *front, uint32_t queue, uint32_t flags,
                             uint64_t log_address);
void front_ring(struct raw_frontend *front, uint32_t queue);
/* New, empty rings, to begin at the beginning. */
void front_fresh_ring(struct raw_frontend *front, uint32_t queue);
/* All of them. */
void front_up(struct raw_frontend *front);
/* GET_VRING_BASE: where it has stopped, also kept in `bases`. */
uint32_t front_stop_ring(struct raw_frontend *front, uint32_t queue);

/* Block requests, by id. */
unsigned char *front_data(struct raw_frontend *front, uint32_t queue, uint16_t id);
uint64_t front_data_address(uint32_t queue, uint16_t id);
/* Makes one available, without a kick: a read or a write of FRONT_DATA_BYTES. The id is the head, so split ids
 * are 3 apart. */
void front_publish(struct raw_frontend *front, uint32_t queue, uint16_t id, uint32_t type,
                   uint64_t sector);
void front_kick(struct raw_frontend *front, uint32_t queue);
/* Waits for a used element; fails after 5 s. */
uint16_t front_complete(struct raw_frontend *front, uint32_t queue);
/* Whether one comes within a tenth of a second. */
bool front_completes(struct raw_frontend *front, uint32_t queue);
uint8_t front_status_byte(struct raw_frontend *front, uint32_t queue, uint16_t id);
/* Whether a descriptor was triggered, waiting up to that long; takes the events. */
bool front_triggered(int fd, int timeout_ms);
/* A write and a read back through a queue. */
void front_expect_works(struct raw_frontend *front, uint32_t queue);
/* Split: a head that is none, so that the device needs a reset. */
void front_break(struct raw_frontend *front, uint32_t queue);

#endif
