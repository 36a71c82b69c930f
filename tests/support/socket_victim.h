/* SPDX-License-Identifier: MIT */
/* A client that is connected to a server played by a test: the transport's calls are made by hand. */
#ifndef SOCKET_VICTIM_H
#define SOCKET_VICTIM_H

#include <l4vio/l4_unix.h>

#include "socket_peer.h"

/* A deadline for what never comes. */
#define SHORT_NS UINT64_C(30000000)

struct victim {
    struct peer_server server;
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_l4_client *client;
    struct l4vio_transport transport;
};

/* Starts the server and connects to it; the code of the connect. */
int victim_open(struct victim *victim, int (*script)(int socket), uint64_t timeout_ns);
/* Hangs up; the script must have returned 0. */
void victim_close(struct victim *victim);
/* A deadline so far from now. */
uint64_t victim_in(const struct victim *victim, uint64_t span_ns);

#endif
