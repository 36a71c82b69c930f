/* SPDX-License-Identifier: MIT */
/* Where clients are: at our socket, or at one of theirs. */
#include "transports/server/server.h"

#define BACKLOG 64

int l4vio_server_listen(struct l4vio_server *server, struct l4vio_error *error)
{
    struct sockaddr_un address;
    int result = l4vio_local_address(server->path, &address, error);

    if (result == L4VIO_OK)
        result = l4vio_local_listen(&address, server->protocol->socket_type, BACKLOG,
                                    &server->listener, error);
    return result;
}

/* One try, without any waiting: the deadline has passed. */
int l4vio_server_connect(const struct l4vio_server *server)
{
    struct sockaddr_un address;
    int fd = -1;

    if (l4vio_local_address(server->path, &address, NULL) == L4VIO_OK)
        l4vio_local_connect(&address, server->protocol->socket_type, 0, &fd, NULL);
    return fd;
}
