/* SPDX-License-Identifier: MIT */
/*
 * A server of the l4 socket transport for tests: block devices over a memory store, or any other service,
 * a thread, a socket in a folder of its own.
 */
#ifndef SOCKET_SERVER_H
#define SOCKET_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <l4vio/backends.h>
#include <l4vio/block_service.h>
#include <l4vio/l4_unix.h>

#define SOCKET_STORE_BYTES (UINT64_C(4) << 20)

struct socket_server {
    struct l4vio_server_config config;       /* Filled by the test before start; zeroed by init. */
    struct l4vio_block_service_config block; /* Likewise; for a server without another service. */
    struct l4vio_service block_service;
    struct l4vio_block_backend store;
    struct l4vio_server *server;
    pthread_t thread;
    bool running;
    int run_result;
    char folder[64];
    char path[80];
    pthread_mutex_t log_lock;
    char log[8192];
};

/* Makes folder and store. */
void socket_server_init(struct socket_server *server);
/* Opens it; socket_server_run and socket_server_stop follow. Fails the test if that does not work. */
void socket_server_open(struct socket_server *server);
/* Opens and runs it; fails the test if that does not work. */
void socket_server_start(struct socket_server *server);
/* Runs a server that the test has opened itself. */
void socket_server_run(struct socket_server *server);
/* Stops, closes, removes everything. */
void socket_server_end(struct socket_server *server);
/* Stops and closes the server; folder and store stay. */
void socket_server_stop(struct socket_server *server);
/* Whether the log has a line with this in it. */
bool socket_server_logged(struct socket_server *server, const char *text);
/* Waits until the server has that many clients; false after 5 s. */
bool socket_server_has_clients(struct socket_server *server, unsigned count);

#endif
