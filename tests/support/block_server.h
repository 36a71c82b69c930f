/* SPDX-License-Identifier: MIT */
/*
 * A block server on a scratch path, by either protocol, in a process or a thread of its own. It listens when the start
 * call returns; stopping removes everything it made.
 */
#ifndef L4VIO_TEST_BLOCK_SERVER_H
#define L4VIO_TEST_BLOCK_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include <l4vio/backends.h>
#include <l4vio/block_service.h>
#include <l4vio/l4_unix.h>

struct block_server_options {
    bool vhost_user;               /* a vhost-user back end rather than an l4 server */
    const char *image;             /* file to serve; NULL: memory of size_bytes */
    uint64_t size_bytes;           /* of the memory */
    bool read_only;                /* offer RO */
    uint32_t queue_count;          /* 0: 1 */
    uint16_t queue_size_max;       /* 0: default */
    bool thread_per_queue;         /* see l4_unix.h */
    bool thread;                   /* in a thread of this process instead of a process */
    bool cmd_mode;                 /* see l4_unix.h */
    uint64_t spin_ns;              /* see l4_unix.h */
    unsigned clients_max;          /* 0: default */
    struct l4vio_features added;   /* ring features to offer besides the usual ones */
    struct l4vio_features refused; /* features not to offer */
};

struct block_server {
    char folder[64];
    char path[96];
    char uri[112];
    pid_t process;
    pthread_t thread;
    bool in_thread;
    struct l4vio_server *server;
    struct l4vio_block_backend backend;
    struct l4vio_service service;
    bool has_image;
};

/* Makes the scratch path and starts the server; aborts the test with a sentence on failure. */
void block_server_start(struct block_server *server, const struct block_server_options *options);

/* Starts again on the same path, after block_server_kill. */
void block_server_restart(struct block_server *server, const struct block_server_options *options);

/* Ends the server process without warning. */
void block_server_kill(struct block_server *server);

/* Ends the server cleanly and removes the scratch path. */
void block_server_stop(struct block_server *server);

#endif
