/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end by hand, for tests that do what no front end may: single messages with anything in
 * them, one block request at a time over a ring of either format, and a server to send them to. Numbers and
 * messages are those of raw_backend.h.
 */
#ifndef VHOST_ATTACKER_H
#define VHOST_ATTACKER_H

#include "raw_backend.h"
#include "raw_ring.h"
#include "socket_server.h"

#include <l4vio/wire/block.h>

enum attacker_request {
    ATTACK_RESET_OWNER = 4,
    ATTACK_SET_LOG_BASE = 6,
    ATTACK_SET_LOG_FD = 7,
};

#define ATTACK_P_LOG        (UINT64_C(1) << 1)
#define ATTACK_F_VERSION_1  (UINT64_C(1) << 32)
#define ATTACK_F_PACKED     (UINT64_C(1) << 34)
#define ATTACK_F_PROTOCOL   (UINT64_C(1) << 30)
#define ATTACK_F_LOG        (UINT64_C(1) << 26)
#define ATTACK_F_INDIRECT   (UINT64_C(1) << 28)
#define ATTACK_QUEUES       2u
#define ATTACK_QUEUE_SIZE   16u
#define ATTACK_MEMORY_BYTES 0x100000u
/* Where the memory lies, for descriptors and for rings. */
#define ATTACK_GUEST UINT64_C(0x80000000)
#define ATTACK_USER  UINT64_C(0x7f0000000000)
/* What lies in it. */
#define ATTACK_DESC       0x0u
#define ATTACK_AVAIL      0x1000u
#define ATTACK_USED       0x2000u
#define ATTACK_HEADER     0x10000u
#define ATTACK_DATA       0x11000u
#define ATTACK_DATA_BYTES 4096u
#define ATTACK_STATUS     0x13000u

/* Outcomes of a request besides the device's status byte. */
#define ATTACK_NO_ANSWER (-1)
#define ATTACK_HUNG_UP   (-2)

struct vhost_attacker {
    int socket;
    uint64_t features; /* To accept; before vhost_attacker_live. */
    uint64_t protocol_features;
    int memory_fd;
    unsigned char *memory; /* ATTACK_MEMORY_BYTES of it. */
    int kick, call, err;
    struct raw_ring ring; /* Of queue 0. */
    uint16_t entries[ATTACK_QUEUE_SIZE];
    uint16_t next_id;
};

/* A server with one memory-backed block device for one client at a time; faults are handled. */
void vhost_attacked_start(struct socket_server *server);
/* Likewise, for a server that the test has changed since socket_server_init. */
void vhost_attacked_run(struct socket_server *server);
/* Another client comes and does what it wants: the server is as good as before. */
void vhost_attacked_check(struct socket_server *server);

/* Connects, and makes memory; nothing is said. */
void vhost_attacker_open(struct vhost_attacker *attacker, const struct socket_server *server);
void vhost_attacker_close(struct vhost_attacker *attacker);

/* Sends a message; false if the connection is gone. */
bool vhost_attacker_send(struct vhost_attacker *attacker, uint32_t request, uint32_t flags,
                         const void *payload, uint32_t size, const int *fds, unsigned fd_count);
/* Asks for a number; false if there is no answer. */
bool vhost_attacker_ask(struct vhost_attacker *attacker, uint32_t request, uint64_t *number);
/* Sends a message with NEED_REPLY: 0 done, 1 refused, ATTACK_HUNG_UP. */
int vhost_attacker_tell(struct vhost_attacker *attacker, uint32_t request, const void *payload,
                        uint32_t size, int fd);
int vhost_attacker_tell_number(struct vhost_attacker *attacker, uint32_t request, uint64_t number,
                               int fd);
int vhost_attacker_tell_state(struct vhost_attacker *attacker, uint32_t request, uint32_t index,
                              uint32_t num);
/* GET_VRING_BASE; false if there is no answer. */
bool vhost_attacker_stop_ring(struct vhost_attacker *attacker, uint32_t index, uint32_t *base);
/* ADD_MEM_REG. */
int vhost_attacker_add_region(struct vhost_attacker *attacker, uint64_t guest, uint64_t bytes,
                              uint64_t user, uint64_t offset, int fd);
/* Whether the server has hung up; waits up to 5 s. */
bool vhost_attacker_is_hung_up(struct vhost_attacker *attacker);

/* Owner, protocol features; then features; then memory; then ring 0 from the beginning; the first refusal. */
int vhost_attacker_greet(struct vhost_attacker *attacker);
int vhost_attacker_set_features(struct vhost_attacker *attacker);
int vhost_attacker_share(struct vhost_attacker *attacker);
int vhost_attacker_start_ring(struct vhost_attacker *attacker);
/* All of it. */
int vhost_attacker_live(struct vhost_attacker *attacker);

/* Makes a read or write of one block at sector 0 available and kicks; waits for the outcome. */
void vhost_attacker_submit(struct vhost_attacker *attacker, uint32_t type);
int vhost_attacker_await(struct vhost_attacker *attacker);
int vhost_attacker_do(struct vhost_attacker *attacker, uint32_t type);
void vhost_attacker_kick(struct vhost_attacker *attacker);
/* Waits until err is triggered; false after 5 s. */
bool vhost_attacker_fails(struct vhost_attacker *attacker);

#endif
