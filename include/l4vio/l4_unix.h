/* SPDX-License-Identifier: MIT */
/**
 * @file l4_unix.h
 * L4-VIRTIO over a Unix SOCK_SEQPACKET socket (URI `l4:PATH`), both ends. The protocol is written down in
 * docs/l4-unix.md, its messages in wire/l4_unix.h.
 *
 * Both ends take what they receive as hostile. Threads: a connection's calls are serialised inside; a
 * server runs in the thread that calls l4vio_l4_server_run.
 */
#ifndef L4VIO_L4_UNIX_H
#define L4VIO_L4_UNIX_H

#include "l4.h"
#include "linux.h"
#include "service.h"
#include "spin.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A client connection. Opaque. */
struct l4vio_l4_client;

/**
 * Connects to a server and exchanges hellos.
 *
 * @param path        socket path
 * @param platform    from l4vio_linux_open, copied
 * @param timeout_ns  for connecting and the hello; 0: 5 s
 * @param out         filled; l4vio_l4_client_free after the driver has disconnected
 * @param transport   filled, to put into struct l4vio_driver_config
 * @param error       filled on failure, may be NULL
 * @retval L4VIO_OK        connected
 * @retval L4VIO_ENOENT    no socket at that path, or nobody listens
 * @retval L4VIO_EACCES    not allowed to connect
 * @retval L4VIO_EPERM     the server refuses this user
 * @retval L4VIO_EBADPROTO the socket is of something else
 * @retval L4VIO_EPIPE     the server hung up without a hello: it has just ended, or is something else
 * @retval L4VIO_ENOSYS    the server speaks another version
 * @retval L4VIO_EBUSY     the server has as many clients as it takes
 * @retval L4VIO_ETIMEDOUT no answer
 */
int l4vio_l4_client_connect(const char *path, const struct l4vio_platform *platform,
                            uint64_t timeout_ns, struct l4vio_l4_client **out,
                            struct l4vio_transport *transport, struct l4vio_error *error);

/**
 * Frees a client connection (closing it first if need be).
 * @param client may be NULL
 */
void l4vio_l4_client_free(struct l4vio_l4_client *client);

/** Quotas of a server; 0 means the default in brackets. */
struct l4vio_l4_quotas {
    unsigned clients;          /**< Clients at once [64]. */
    unsigned regions;          /**< Memory regions per client [64]. */
    uint64_t mapped_bytes;     /**< Mapped bytes per client [16 GiB]. */
    unsigned calls_per_turn;   /**< Calls served per client before others get their turn [32]. */
    unsigned hello_timeout_ms; /**< Time for the hello [2000]. */
};

/** How to serve. Zero what is not used. */
struct l4vio_l4_server_config {
    const char *path;                /**< Socket path; created with mode 0600. */
    struct l4vio_service service;    /**< What to serve; at most 64 queues. */
    bool thread_per_queue;           /**< Serve each queue from a thread of its own. */
    bool cmd_mode;                   /**< Offer feature 160. */
    uint64_t spin_ns;                /**< Time to look at a ring before sleeping; see spin.h. */
    enum l4vio_spin_mode spin_mode;  /**< How to use it; 0 and 0: sleep at once. */
    const uint32_t *allowed_uids;    /**< NULL: only the server's own uid (and root). */
    unsigned allowed_uid_count;      /**< Number of them. */
    struct l4vio_l4_quotas quotas;   /**< Limits. */
    const struct l4vio_trace *trace; /**< Hook or NULL; may be called from several threads. */
    /** Optional: one line per event worth telling (client came, went, was refused, and why). */
    void (*log)(void *self, const char *line);
    void *log_self;       /**< First argument. */
    uint64_t reserved[4]; /**< 0. */
};

/** A server. Opaque. */
struct l4vio_l4_server;

/** Counters of a server. */
struct l4vio_l4_server_counters {
    uint64_t clients_accepted; /**< Hellos answered. */
    uint64_t clients_refused;  /**< By uid, quota, bad hello. */
    uint64_t clients_gone;     /**< Ended. */
    uint64_t protocol_errors;  /**< Connections closed because of what they sent. */
    uint64_t device_failures;  /**< DEVICE_NEEDS_RESET set. */
    uint32_t clients;          /**< Now. */
};

/**
 * Creates the socket and listens.
 * @param config copied; what it points to is borrowed, the service until l4vio_l4_server_close
 * @param out    filled; end it with l4vio_l4_server_close
 * @param error  filled on failure, may be NULL
 * @retval L4VIO_OK     listening
 * @retval L4VIO_EEXIST the path is in use by a live server, or is not a socket (a stale socket is
 *                      replaced)
 * @retval L4VIO_EINVAL path too long, counts out of range, the service lacks what it must have
 * @retval L4VIO_EACCES the path cannot be created
 */
int l4vio_l4_server_open(const struct l4vio_l4_server_config *config, struct l4vio_l4_server **out,
                         struct l4vio_error *error);

/**
 * Serves until l4vio_l4_server_stop.
 * @param server the server
 * @param error  filled on failure, may be NULL
 * @return 0 after stop, or a negative code
 */
int l4vio_l4_server_run(struct l4vio_l4_server *server, struct l4vio_error *error);

/**
 * Makes l4vio_l4_server_run return. Safe from any thread and from a signal handler.
 * @param server the server
 */
void l4vio_l4_server_stop(struct l4vio_l4_server *server);

/**
 * Reads the counters. Safe from any thread.
 * @param server   the server
 * @param counters filled
 */
void l4vio_l4_server_counters_read(const struct l4vio_l4_server *server,
                                   struct l4vio_l4_server_counters *counters);

/**
 * Disconnects all clients, removes the socket (if it is still ours) and frees the server.
 * @param server may be NULL; not running
 */
void l4vio_l4_server_close(struct l4vio_l4_server *server);

#ifdef __cplusplus
}
#endif
#endif
