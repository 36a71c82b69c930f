/* SPDX-License-Identifier: MIT */
/**
 * @file l4_unix.h
 * L4-VIRTIO over a Unix SOCK_SEQPACKET socket (URI `l4:PATH`), both ends; a server of it is made with
 * server.h. The protocol is written down in docs/l4-unix.md, its messages in wire/l4_unix.h.
 *
 * Both ends take what they receive as hostile. Threads: a connection's calls are serialised inside.
 */
#ifndef L4VIO_L4_UNIX_H
#define L4VIO_L4_UNIX_H

#include "l4.h"
#include "linux.h"
#include "server.h"

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

/**
 * The server's end: L4-VIRTIO for the clients of a server (server.h).
 * @return to put into struct l4vio_server_config
 */
const struct l4vio_server_protocol *l4vio_l4_protocol(void);

#ifdef __cplusplus
}
#endif
#endif
