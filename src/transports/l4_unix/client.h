/* SPDX-License-Identifier: MIT */
/* The client's end from inside. */
#ifndef L4VIO_L4_UNIX_CLIENT_H
#define L4VIO_L4_UNIX_CLIENT_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <l4vio/l4_unix.h>

#include "platforms/linux/turn.h"
#include "transports/l4_unix/message.h"

struct l4vio_l4_client {
    struct l4vio_l4 l4;
    struct l4vio_platform platform;
    struct l4vio_turn turn; /* One call at a time. */
    int socket;             /* -1: closed. */
    atomic_bool dead;       /* Nothing more is to be had from this connection. */
    uint32_t next_sequence; /* Of the next call. */
    uint32_t next_reply;    /* Sequence of the next answer: they come in order. */
    uint32_t extensions;    /* From the hello. */
    struct sockaddr_un address;
};

extern const struct l4vio_l4_calls l4vio_l4_client_calls;

/* As `reconnect` of struct l4vio_l4_calls. */
int l4vio_l4_client_reconnect(void *self, uint64_t deadline_ns, struct l4vio_error *error);

#endif
