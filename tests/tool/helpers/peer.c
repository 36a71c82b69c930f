/* SPDX-License-Identifier: MIT */
/*
 * peer MODE PATH: listens at PATH, prints "ready", and misbehaves until it is killed.
 *   stream    a stream socket of something else
 *   garbage   answers the hello with garbage
 *   silent    takes connections and says nothing
 *   console   an L4-VIRTIO server of a console (device class 3)
 */
#include <l4vio/features.h>
#include <l4vio/wire/l4_page.h>
#include <l4vio/wire/l4_unix.h>
#include <l4vio/wire/status.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUES        2u
#define QUEUES_OFFSET 0x200u

/* Everything on this wire is little-endian; so is the machine that this helper is for. */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_at(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(address.sun_path, path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0)
        die(path);
    puts("ready");
    fflush(stdout);
    return fd;
}

static int make_page(volatile struct l4vio_page_header **header)
{
    int fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, L4VIO_PAGE_BYTES) < 0)
        die("memfd");
    void *page = mmap(NULL, L4VIO_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        die("page");
    *header = page;
    (*header)->magic = L4VIO_PAGE_MAGIC;
    (*header)->version = L4VIO_PAGE_VERSION;
    (*header)->device = VIRTIO_ID_CONSOLE;
    (*header)->vendor = L4VIO_VENDOR_L4RE;
    (*header)->num_queues = QUEUES;
    (*header)->queues_offset = QUEUES_OFFSET;
    (*header)->dev_features_map[0] = 1u; /* SIZE */
    (*header)->dev_features_map[1] = 1u; /* VERSION_1 */
    struct l4vio_page_queue *queues = (void *)((char *)page + QUEUES_OFFSET);
    for (unsigned i = 0; i < QUEUES; ++i)
        queues[i].num_max = 64;
    return fd;
}

static void reply(int client, const struct l4vio_unix_call *call, uint32_t value, int passed)
{
    struct l4vio_unix_reply answer = {
        .opcode = call->opcode, .sequence = call->sequence, .value = value};
    struct iovec data = {&answer, sizeof answer};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (passed >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    }
    sendmsg(client, &message, MSG_NOSIGNAL);
}

static void serve_console(int client)
{
    volatile struct l4vio_page_header *header;
    struct l4vio_unix_hello hello = {.magic = L4VIO_UNIX_MAGIC, .version = L4VIO_UNIX_VERSION};
    struct l4vio_unix_call call;
    int page = make_page(&header);
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char in[256];
    if (recv(client, in, sizeof in, 0) <= 0 || send(client, &hello, sizeof hello, MSG_NOSIGNAL) < 0)
        return;
    /* What the client binds is dropped: this device never notifies. */
    while (recv(client, &call, sizeof call, 0) == (ssize_t)sizeof call) {
        switch (call.opcode) {
        case L4VIO_CALL_SET_STATUS:
            header->status = call.argument;
            reply(client, &call, 0, -1);
            break;
        case L4VIO_CALL_DEVICE_CONFIG:
            reply(client, &call, 0, page);
            break;
        case L4VIO_CALL_DEVICE_NOTIFICATION:
            reply(client, &call, 0, event);
            break;
        case L4VIO_UNIX_ICU_INFO:
            reply(client, &call, 1, -1);
            break;
        default:
            reply(client, &call, 0, -1);
            break;
        }
    }
    close(page);
    close(event);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const char *mode = argv[1];
    int listener = listen_at(argv[2], strcmp(mode, "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET);
    for (;;) {
        char in[256];
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            die("accept");
        if (strcmp(mode, "console") == 0)
            serve_console(client);
        else if (strcmp(mode, "garbage") == 0 && recv(client, in, sizeof in, 0) > 0)
            send(client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
        if (strcmp(mode, "silent") != 0)
            close(client);
    }
}
