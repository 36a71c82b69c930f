/* SPDX-License-Identifier: MIT */
/* Either end of the l4 socket, by hand: sends and receives what a test says, right or wrong. */
#ifndef SOCKET_PEER_H
#define SOCKET_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <l4vio/wire/l4_unix.h>

/* What a receive says besides a size. */
#define PEER_CLOSED  (-1)
#define PEER_SILENCE (-2)

/* A connected socket without hello. */
int peer_connect(const char *path);
/* The same with a hello that was answered well. */
int peer_connect_hello(const char *path);
/* A correct hello. */
struct l4vio_unix_hello peer_hello(void);
/* Sends one packet with descriptors; false if the other side is gone. */
bool peer_send(int socket, const void *bytes, size_t size, const int *fds, unsigned count);
/* Receives one packet, its first descriptor in `fd` (-1: none), the rest closed; waits 5 s. */
int peer_receive(int socket, void *bytes, size_t size, int *fd);
/* A call and its answer; returns the result. Fails the test if there is no proper answer. */
int peer_call(int socket, const struct l4vio_unix_call *call, int fd, int *fd_out);
/* The same with opcode and argument only. */
int peer_simple(int socket, uint32_t opcode, uint32_t argument);
/* Whether the other side hangs up within 5 s; packets before that are thrown away. */
bool peer_hangs_up(int socket);
/* A sealed memfd. */
int peer_memory(uint64_t bytes);

/* A server played by a function in a thread of its own. */
struct peer_server {
    int listener;
    int (*script)(int socket); /* Called once with the first connection, which it need not close. */
    int result;                /* What it returned. */
    pthread_t thread;
    char folder[64];
    char path[80];
};

void peer_server_start(struct peer_server *server, int (*script)(int socket));
/* Waits for the script to end; returns its result. */
int peer_server_end(struct peer_server *server);
/* For scripts: receives the hello and answers it. */
bool peer_answer_hello(int socket);
/* For scripts: receives a call; closes what came with it. False at the end. */
bool peer_receive_call(int socket, struct l4vio_unix_call *call);
/* For scripts: a proper answer. */
bool peer_reply(int socket, const struct l4vio_unix_call *call, int result, int fd);

#endif
