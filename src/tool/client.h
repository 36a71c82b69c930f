/* SPDX-License-Identifier: MIT */
/*
 * A block device as the commands use it: options, opening with a sentence for every failure, waits that
 * notice signals. A client must stay where it is while it is open.
 */
#ifndef L4VIO_TOOL_CLIENT_H
#define L4VIO_TOOL_CLIENT_H

#include <jansson.h>
#include <pthread.h>

#include <l4vio/session.h>

#include "tool/features.h"
#include "tool/options.h"
#include "tool/values.h"

/* Threads that share a device, each with queues of its own. */
struct client_crew {
    pthread_mutex_t lock;
    pthread_cond_t over;
    unsigned members; /* Threads at work; 0: it is not shared. */
    unsigned missing; /* Of these, who has found the device gone, and stands still. */
    unsigned turn;    /* Times that it was looked for. */
    int result;       /* Of the last time. */
};

struct client {
    const char *uri;
    struct l4vio_session *session;
    struct l4vio_block *block;
    struct l4vio_region region;         /* For `request`. */
    struct l4vio_block_request request; /* What needs no data: see client_request. */
    bool lost;    /* It is gone or has stopped answering: do not wait for it any more. */
    bool through; /* It was told to write through. */
    struct client_crew crew;
    struct l4vio_block_reconnects reconnects; /* So far; stays after client_close. */
    uint64_t back_ns;                         /* When it came back last. */
    struct l4vio_error not_back;              /* Why it did not. */
};

/* Set by client_options. */
struct client_settings {
    uint64_t queues;
    uint64_t queue_size;
    uint64_t timeout_ns;
    bool write_through;
    uint64_t reconnect_ns; /* 0: a device that is gone is gone. */
    struct poll_choice poll;
    struct feature_choice features;
};
extern struct client_settings client_settings;
extern const struct option client_options[]; /* Of all who talk to a device. */
extern const struct option
    client_block_options[]; /* Of those who work with one, client_options too. */

/* The session options that the settings ask for. */
struct l4vio_session_options client_session_options(void);

/* Opens a block device. Complains and returns an exit code on failure. */
int client_open(struct client *client, const char *uri);

/* Ends it; safe on a client that was never opened (all zero). */
void client_close(struct client *client);

/* From here to signals_end_opening a signal ends the process at once. */
void client_begin_opening(const char *uri);

/* Complains that a device cannot be opened. Returns an exit code. */
int client_open_failed(const char *uri, int code, const struct l4vio_error *error);

/*
 * Sleeps until one of the devices completes something, a signal comes, or 100 ms pass. Returns 0, or
 * the library's error: L4VIO_ETIMEDOUT once the deadline has passed. With --reconnect a device that is gone
 * is waited for; its requests may have finished meanwhile, and the deadline is at least --timeout
 * from its return.
 */
int client_wait(struct client *const *clients, unsigned count, uint64_t deadline_ns);

/* The same for one queue of a device whose other queues are used by other threads. */
int client_wait_queue(struct client *client, uint32_t queue, uint64_t deadline_ns);

/* Shows what was added to a queue. That the device is gone is no failure if it is to be waited for. */
int client_kick(struct client *client, uint32_t queue);

/*
 * Around the work of several threads: before the first begins, and at the end of each. A device that is
 * gone is looked for when all have noticed, by the last one, while the others stand still.
 */
void client_crew_begin(struct client *client, unsigned members);
void client_crew_leave(struct client *client);

/* How often the device has gone and come back. */
uint64_t client_returns(const struct client *client);
/* Whether a device that dies may take writes with it that it has completed, up to the last flush. */
bool client_has_cache(const struct client *client);
/* Ends that, if the device has CONFIG_WCE. 0 or as the library says. */
int client_write_through(struct client *client, struct l4vio_error *error);

/* Waits for a device that is gone. 0: it is back, or a signal came; else as the library says. */
int client_come_back(struct client *client);
/* Not before so long after its return is it said to do nothing. */
uint64_t client_extend(const struct client *client, uint64_t deadline_ns);
/* Adds what reconnecting did to a result in JSON, if that was asked for; NULL clients are left out. */
void client_reconnects_json(const struct client *const *clients, unsigned count, json_t *root);

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
