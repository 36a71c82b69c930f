/* SPDX-License-Identifier: MIT */
/*
 * A block device as the commands use it: options, opening with a sentence for every failure, waits that
 * notice signals. A client must stay where it is while it is open.
 */
#ifndef L4VIO_TOOL_CLIENT_H
#define L4VIO_TOOL_CLIENT_H

#include <l4vio/session.h>

#include "tool/features.h"
#include "tool/options.h"
#include "tool/values.h"

struct client {
    const char *uri;
    struct l4vio_session *session;
    struct l4vio_block *block;
    struct l4vio_region region;         /* For `request`. */
    struct l4vio_block_request request; /* What needs no data: see client_request. */
    bool lost; /* It is gone or has stopped answering: do not wait for it any more. */
};

/* Set by client_options. */
struct client_settings {
    uint64_t queues;
    uint64_t queue_size;
    uint64_t timeout_ns;
    struct poll_choice poll;
    struct feature_choice features;
};
extern struct client_settings client_settings;
extern const struct option client_options[];

/* The session options that the settings ask for. */
struct l4vio_session_options client_session_options(void);

/* Opens a block device. Complains and returns an exit code on failure. */
int client_open(struct client *client, const char *uri);

/* Ends it; safe on a client that was never opened (all zero). */
void client_close(struct client *client);

/* Complains that a device cannot be opened. Returns an exit code. */
int client_open_failed(const char *uri, int code, const struct l4vio_error *error);

/*
 * Sleeps until one of the devices completes something, a signal comes, or 100 ms pass. Returns 0, or
 * the library's error: L4VIO_ETIMEDOUT once the deadline has passed.
 */
int client_wait(struct client *const *clients, unsigned count, uint64_t deadline_ns);

/* Now plus --timeout. */
uint64_t client_deadline(void);

/* Size of the device in bytes. */
uint64_t client_size(const struct client *client);

/*
 * Checks a range on the device: multiples of 512, inside the device. *length 0: up to the end of the
 * device. Complains and returns an exit code.
 */
int client_check_range(const struct client *client, uint64_t offset, uint64_t *length);

/* Prepares the client's own request, for what needs no data; the caller sets range and flags. */
struct l4vio_block_request *client_request(struct client *client, enum l4vio_block_type type);

/*
 * Sends it on queue 0 and waits. `what` goes into the complaint: "flush"; `so_far` to its end: "; 512 of
 * 1024 bytes were zeroed", or "". Returns an exit code.
 */
int client_run(struct client *client, const char *what, const char *so_far);

/*
 * The reason for a failure of the library's, as the end of a sentence; and the exit code that it
 * deserves. Marks the client lost if it is.
 */
const char *client_reason(struct client *client, int code, int *exit_code);

/* Makes earlier writes durable. Returns an exit code. */
int client_flush(struct client *client);

#endif
