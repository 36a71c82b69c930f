/* SPDX-License-Identifier: MIT */
#include "transports/l4_unix/message.h"

#include <string.h>

#include <l4vio/error.h>

int l4vio_unix_send(int socket, const void *bytes, size_t size, int fd)
{
    return l4vio_socket_send(socket, bytes, size, &fd, fd >= 0);
}

int l4vio_unix_receive(int socket, struct l4vio_unix_packet *packet)
{
    bool cut;

    memset(packet, 0, sizeof(*packet));
    int result = l4vio_socket_receive(socket, packet->u.bytes, sizeof(packet->u.bytes),
                                      &packet->size, &cut, &packet->fds);
    if (result < 0)
        return result;
    if (!cut && packet->fds.count <= L4VIO_UNIX_PACKET_FDS && !packet->fds.surplus)
        return L4VIO_OK;
    l4vio_socket_close_fds(&packet->fds);
    return L4VIO_EBADPROTO;
}

bool l4vio_unix_all_zero(const void *bytes, size_t count)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < count; i++) {
        if (byte[i])
            return false;
    }
    return true;
}
