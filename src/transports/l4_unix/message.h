/* SPDX-License-Identifier: MIT */
/*
 * Packets of l4 over a Unix socket, for both ends: fixed-size messages with a few descriptors. Nothing
 * here blocks, and no descriptor of a refused packet stays open.
 */
#ifndef L4VIO_L4_UNIX_MESSAGE_H
#define L4VIO_L4_UNIX_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <l4vio/wire/l4_unix.h>

#include "core/ordering.h"
#include "platforms/linux/socket.h"

/* Larger than any message, so that a longer one is noticed. */
#define L4VIO_UNIX_PACKET_BYTES 64u

/* One descriptor is the most that a message carries; room for a few more to notice surplus ones. */
#define L4VIO_UNIX_PACKET_FDS 4u

/* Calls that a client may leave unanswered; the server's answers to them fit into the socket buffer. */
#define L4VIO_UNIX_UNANSWERED_MAX 32u

/* Extension bits of the hello. */
#define L4VIO_UNIX_EXTENSION_UNREGISTER  1u
#define L4VIO_UNIX_EXTENSION_RESET_QUEUE 2u

/* A packet as it arrived. */
struct l4vio_unix_packet {
    union {
        struct l4vio_unix_hello hello;
        struct l4vio_unix_call call;
        struct l4vio_unix_reply reply;
        unsigned char bytes[L4VIO_UNIX_PACKET_BYTES];
    } u;
    size_t size;
    struct l4vio_socket_fds fds;
};

/* Sends one packet. 0, L4VIO_EAGAIN the socket is full, or L4VIO_EPIPE. `fd` may be -1. */
int l4vio_unix_send(int socket, const void *bytes, size_t size, int fd);

/*
 * Receives one packet; its descriptors are close-on-exec and the caller's.
 * 0, L4VIO_EAGAIN there is none, L4VIO_EPIPE the end, L4VIO_EBADPROTO too long or too many descriptors
 * (all closed).
 */
int l4vio_unix_receive(int socket, struct l4vio_unix_packet *packet);

/* A result as it travels, and back: 0 or a negative code is valid, else `valid` is false. */
static inline uint32_t l4vio_unix_encode_result(int result)
{
    return (uint32_t)result;
}
static inline int l4vio_unix_decode_result(uint32_t wire, bool *valid)
{
    *valid = wire == 0 || wire >= UINT32_C(0xfffff001);
    return *valid && wire ? -(int)(~wire) - 1 : 0;
}

/* Whether `count` bytes are all 0: reserved fields. */
bool l4vio_unix_all_zero(const void *bytes, size_t count);

#endif
