/* SPDX-License-Identifier: MIT */
#include "transports/vhost_user/message.h"

#include <string.h>

#include <l4vio/error.h>

struct l4vio_vhost_message l4vio_vhost_request(uint32_t request)
{
    struct l4vio_vhost_message message;

    memset(&message, 0, sizeof(message));
    message.header.request = request;
    message.header.flags = VHOST_USER_VERSION;
    return message;
}

int l4vio_vhost_send(int socket, const struct l4vio_vhost_message *message)
{
    unsigned char bytes[sizeof(message->header) + sizeof(message->u)];
    size_t size = message->header.size;

    if (size > sizeof(message->u))
        return L4VIO_EBADPROTO;
    memcpy(bytes, &message->header, sizeof(message->header));
    memcpy(bytes + sizeof(message->header), message->u.bytes, size);
    return l4vio_socket_send(socket, bytes, sizeof(message->header) + size, message->fds.fd,
                             message->fds.count);
}

void l4vio_vhost_reader_drop(struct l4vio_vhost_reader *reader)
{
    l4vio_socket_close_fds(&reader->message.fds);
    memset(reader, 0, sizeof(*reader));
}

/* How many bytes the message has, as far as we know: the header's until it is whole. */
static size_t expected(const struct l4vio_vhost_reader *reader)
{
    size_t header = sizeof(reader->message.header);

    return reader->got < header ? header : header + reader->message.header.size;
}

static bool acceptable(const struct vhost_user_header *header)
{
    return (header->flags & VHOST_USER_VERSION_MASK) == VHOST_USER_VERSION &&
           header->size <= L4VIO_VHOST_SKIPPED_BYTES;
}

/* Where the next bytes go; what is beyond the room for a payload goes nowhere. */
static int read_some(int socket, struct l4vio_vhost_reader *reader)
{
    struct l4vio_vhost_message *message = &reader->message;
    size_t header = sizeof(message->header);
    size_t wanted = expected(reader) - reader->got;
    unsigned char skipped[256];
    unsigned char *to = skipped;
    size_t room = sizeof(skipped);
    size_t got = 0;

    if (reader->got < header) {
        to = (unsigned char *)&message->header + reader->got;
        room = header - reader->got;
    } else if (reader->got - header < sizeof(message->u)) {
        to = message->u.bytes + (reader->got - header);
        room = sizeof(message->u) - (reader->got - header);
    }
    int result =
        l4vio_socket_receive(socket, to, wanted < room ? wanted : room, &got, NULL, &message->fds);
    reader->got += got;
    return result;
}

int l4vio_vhost_receive(int socket, struct l4vio_vhost_reader *reader)
{
    size_t header = sizeof(reader->message.header);

    /* The last message was whole: this is about the next one. */
    if (reader->got >= header && reader->got == expected(reader))
        l4vio_vhost_reader_drop(reader);
    do {
        int result = read_some(socket, reader);
        if (result == L4VIO_OK && reader->got == header && !acceptable(&reader->message.header))
            result = L4VIO_EBADPROTO;
        if (result == L4VIO_EAGAIN)
            return result;
        if (result < 0) {
            l4vio_vhost_reader_drop(reader);
            return result;
        }
    } while (reader->got < header || reader->got < expected(reader));
    return L4VIO_OK;
}
