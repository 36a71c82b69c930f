/* SPDX-License-Identifier: MIT */
/*
 * vhost-user messages over a stream socket, for both ends: cutting the stream into messages, and the
 * checks that depend on no message's meaning. Nothing here waits, and no descriptor of a refused message
 * stays open.
 */
#ifndef L4VIO_VHOST_USER_MESSAGE_H
#define L4VIO_VHOST_USER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <l4vio/wire/vhost_user.h>

#include "platforms/linux/socket.h"

/* A payload that is kept: longer than any that has a meaning here. */
#define L4VIO_VHOST_PAYLOAD_BYTES 512u

/* A longer one, of a request that we do not know, is read and thrown away up to this length. */
#define L4VIO_VHOST_SKIPPED_BYTES 65536u

/* A message. To send one, fill it in; the descriptors stay the sender's. */
struct l4vio_vhost_message {
    struct vhost_user_header header;
    union {
        uint64_t u64;
        struct vhost_user_vring_state state;
        struct vhost_user_vring_addr addr;
        struct vhost_user_memory memory;
        struct vhost_user_single_memory_region single;
        struct vhost_user_log log;
        struct vhost_user_config config;
        struct vhost_user_inflight inflight;
        unsigned char bytes[L4VIO_VHOST_PAYLOAD_BYTES];
    } u; /* Beyond header.size: 0. */
    struct l4vio_socket_fds fds;
};

/* A message on its way in. Zeroed to begin with. */
struct l4vio_vhost_reader {
    struct l4vio_vhost_message message;
    size_t got; /* Bytes of header and payload that are here. */
};

/* A message to be sent: version, no flags, no payload. */
struct l4vio_vhost_message l4vio_vhost_request(uint32_t request);

/* Sends it whole or not at all. 0, L4VIO_EAGAIN the socket is full, or L4VIO_EPIPE. */
int l4vio_vhost_send(int socket, const struct l4vio_vhost_message *message);

/*
 * Goes on reading. L4VIO_OK: `reader->message` is whole, its descriptors are the caller's (or closed by the
 * next call). L4VIO_EAGAIN: more is to come. L4VIO_EPIPE: the end. L4VIO_EBADPROTO: another version, or
 * too long; the stream is of no more use.
 */
int l4vio_vhost_receive(int socket, struct l4vio_vhost_reader *reader);

/* Closes what is left of the last message. */
void l4vio_vhost_reader_drop(struct l4vio_vhost_reader *reader);

#endif
