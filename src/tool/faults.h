/* SPDX-License-Identifier: MIT */
/*
 * Files that are mapped and cut short while they are served, images as well as the memory of vhost-user clients:
 * requests fail, the server lives.
 */
#ifndef L4VIO_TOOL_FAULTS_H
#define L4VIO_TOOL_FAULTS_H

#include <l4vio/block_backend.h>
#include <l4vio/server.h>

/* Handles SIGBUS in the image's mapping from here on. `store` stays; NULL: no longer. */
void faults_guard_image(const struct l4vio_block_backend *store);

/* Likewise in the memory of a server's clients. */
void faults_guard_server(struct l4vio_server *server);

#endif
