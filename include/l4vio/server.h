/* SPDX-License-Identifier: MIT */
/**
 * @file server.h
 * A server of clients: brings what they say over a Unix socket to devices that a service (service.h)
 * makes, one for each client, and has their queues worked on. What clients speak is a protocol, which the
 * program names, so that it links only what it uses.
 *
 * Everything that clients send is taken as hostile. Threads: a server runs in the thread that calls
 * l4vio_server_run.
 */
#ifndef L4VIO_SERVER_H
#define L4VIO_SERVER_H

#include "service.h"
#include "spin.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Quotas of a server; 0 means the default in brackets. */
struct l4vio_server_quotas {
    unsigned clients;          /**< Clients at once [l4: 64, vhost-user: 1]. */
    unsigned regions;          /**< Memory regions per client [64]. */
    uint64_t mapped_bytes;     /**< Mapped bytes per client [16 GiB]. */
    unsigned calls_per_turn;   /**< Calls served per client before others get their turn [32]. */
    unsigned hello_timeout_ms; /**< Time to say anything [l4: 2000, vhost-user: 10000]. */
};

/** What clients speak. Opaque: l4vio_l4_protocol, l4vio_vhost_user_protocol. */
struct l4vio_server_protocol;

/**
 * vhost-user, the protocol's back end: docs/vhost-user.md says what is supported. One client is served after
 * the other; who finds no room waits until it is accepted.
 * @return to put into struct l4vio_server_config
 */
const struct l4vio_server_protocol *l4vio_vhost_user_protocol(void);

/** How to serve. Zero what is not used. */
struct l4vio_server_config {
    const struct l4vio_server_protocol *protocol; /**< What clients speak. */
    const char *path;                             /**< Socket path; created with mode 0600. */
    /** vhost-user: do not listen there, but connect to a client that does; again and again when there is
     *  none, or the one that there was has gone. */
    bool connect;
    struct l4vio_service service;      /**< What to serve; at most 64 queues. */
    bool thread_per_queue;             /**< Serve each queue from a thread of its own. */
    bool cmd_mode;                     /**< L4-VIRTIO: offer feature 160. */
    uint64_t spin_ns;                  /**< Time to look at a ring before sleeping; see spin.h. */
    enum l4vio_spin_mode spin_mode;    /**< How to use it; 0 and 0: sleep at once. */
    const uint32_t *allowed_uids;      /**< NULL: only the server's own uid (and root). */
    unsigned allowed_uid_count;        /**< Number of them. */
    struct l4vio_server_quotas quotas; /**< Limits. */
    const struct l4vio_trace *trace;   /**< Hook or NULL; may be called from several threads. */
    /** Optional: one line per event worth telling (client came, went, was refused, and why). */
    void (*log)(void *self, const char *line);
    void *log_self;       /**< First argument. */
    uint64_t reserved[4]; /**< 0. */
};

/** A server. Opaque. */
struct l4vio_server;

/** Counters of a server. */
struct l4vio_server_counters {
    uint64_t clients_accepted; /**< Hellos answered. */
    uint64_t clients_refused;  /**< By uid, quota, bad hello. */
    uint64_t clients_gone;     /**< Ended. */
    uint64_t protocol_errors;  /**< Connections closed because of what they sent. */
    uint64_t device_failures;  /**< DEVICE_NEEDS_RESET set. */
    uint32_t clients;          /**< Now. */
};

/**
 * Creates the socket and listens.
 * @param config copied; what it points to is borrowed, the service until l4vio_server_close
 * @param out    filled; end it with l4vio_server_close
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     listening
 * @retval L4VIO_EEXIST the path is in use by a live server, or is not a socket (a stale socket is
 *                      replaced)
 * @retval L4VIO_EINVAL no protocol, path too long, counts out of range, the service lacks what it must
 *                      have
 * @retval L4VIO_EACCES the path cannot be created
 */
int l4vio_server_open(const struct l4vio_server_config *config, struct l4vio_server **out,
                      struct l4vio_error *error);

/**
 * Serves until l4vio_server_stop.
 * @param server the server
 * @param error  filled on failure, may be NULL
 * @return 0 after stop, or a negative code
 */
int l4vio_server_run(struct l4vio_server *server, struct l4vio_error *error);

/**
 * Makes l4vio_server_run return. Safe from any thread and from a signal handler.
 * @param server the server
 */
void l4vio_server_stop(struct l4vio_server *server);

/**
 * Reads the counters. Safe from any thread.
 * @param server   the server
 * @param counters filled
 */
void l4vio_server_counters_read(const struct l4vio_server *server,
                                struct l4vio_server_counters *counters);

/**
 * For the SIGBUS handler of a program: whether the fault was in memory that a client shares, which has cut its
 * file short (vhost-user allows files of any kind). If so, zeroes lie there when it returns, the client's device
 * needs a reset, and the handler returns to go on. Safe in a signal handler, and from any thread.
 * @param server  the server
 * @param address `si_addr`
 * @return whether it was so
 */
bool l4vio_server_memory_fault(struct l4vio_server *server, const void *address);

/**
 * Disconnects all clients, removes the socket (if it is still ours) and frees the server.
 * @param server may be NULL; not running
 */
void l4vio_server_close(struct l4vio_server *server);

#ifdef __cplusplus
}
#endif
#endif
