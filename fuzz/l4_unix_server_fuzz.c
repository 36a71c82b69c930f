/* SPDX-License-Identifier: MIT */
/*
 * The bytes play clients of the l4 socket server: packets, right and wrong, with descriptors of any kind;
 * rings and page written at any time; kicks; hanging up. The server's loop is played, too, so that an
 * input does the same every time. In the end nothing of the clients is left.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ordering.h"
#include "l4vio/backends.h"
#include "l4vio/block_service.h"
#include "l4vio/wire/status.h"
#include "transports/l4_unix/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define PEERS        3u
#define QUEUES       2u
#define QUEUE_SIZE   16u
#define MEMORY_BYTES 0x10000u
#define QUEUE_BYTES  0x1000u
#define AVAIL_OFFSET 0x400u
#define USED_OFFSET  0x800u
#define STORE_BYTES  0x40000u
#define KINDS        8u

struct input {
    const uint8_t *data;
    size_t left;
};

struct peer {
    int socket; /* -1: none. */
    struct l4vio_event client;
};

static struct l4vio_server *server;
static struct l4vio_block_backend store;
static struct l4vio_service service;
static int kinds[KINDS]; /* Descriptors to pass; the first two are right for something. */
static uint8_t *memory;  /* Of the first one. */

static uint32_t take(struct input *input, unsigned size_bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size_bytes && input->left; i++, input->left--)
        value |= (uint32_t)*input->data++ << (8 * i);
    return value;
}

static void check(bool good)
{
    if (!good)
        abort();
}

static int make_memory(unsigned seals)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    check(fd >= 0 && ftruncate(fd, MEMORY_BYTES) == 0);
    check(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void make_kinds(void)
{
    int pair[2];
    kinds[0] = make_memory(F_SEAL_SHRINK | F_SEAL_GROW);
    kinds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    kinds[2] = make_memory(0);
    kinds[3] = make_memory(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    kinds[4] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kinds[5] = open("/dev/null", O_PATH | O_CLOEXEC);
    check(pipe2(pair, O_CLOEXEC) == 0);
    kinds[6] = pair[0];
    kinds[7] = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, kinds[0], 0);
    check(memory != MAP_FAILED);
}

static void make_server(void)
{
    char folder[] = "/tmp/l4vio-fuzz-XXXXXX";
    char path[sizeof(folder) + 8];
    check(mkdtemp(folder) != NULL);
    memcpy(path, folder, sizeof(folder));
    memcpy(path + sizeof(folder) - 1, "/socket", 8);
    check(l4vio_memory_backend_open(STORE_BYTES, &store, NULL) == 0);
    struct l4vio_block_service_config block = {
        .backend = store, .queue_count = QUEUES, .queue_size_max = QUEUE_SIZE};
    check(l4vio_block_service_open(&block, &service, NULL) == 0);
    struct l4vio_server_config config = {
        .protocol = l4vio_l4_protocol(),
        .path = path,
        .service = service,
        .cmd_mode = true,
        .quotas = {.clients = PEERS, .regions = 4, .mapped_bytes = 4 * (uint64_t)MEMORY_BYTES},
    };
    check(l4vio_server_open(&config, &server, NULL) == 0);
    check(l4vio_workers_start(server, NULL) == 0);
    check(unlink(path) == 0 && rmdir(folder) == 0);
    make_kinds();
}

static struct l4vio_served_client *client_of(const struct peer *peer)
{
    return l4vio_client_find(server, peer->client);
}

static void come(struct peer *peer)
{
    int pair[2];
    if (peer->socket >= 0)
        return;
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    struct l4vio_served_client *client = l4vio_client_new(server, pair[1]);
    peer->socket = pair[0];
    if (!client) {
        close(pair[1]);
        return;
    }
    peer->client = (struct l4vio_event){.generation = client->generation, .slot = client->slot};
    server->silent++;
    l4vio_client_poll(client, true);
}

/* The server's loop as far as it concerns a client's socket. */
static void hear(const struct peer *peer)
{
    struct l4vio_served_client *client = client_of(peer);
    if (client)
        server->protocol->receive(client);
}

static void leave(struct peer *peer)
{
    if (peer->socket < 0)
        return;
    close(peer->socket);
    peer->socket = -1;
    hear(peer);
    check(client_of(peer) == NULL);
}

static void send_packet(const struct peer *peer, const void *bytes, size_t size, const int *fds,
                        unsigned count)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(KINDS * sizeof(int))];
    } control = {0};
    struct iovec iovec = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1};
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    (void)!sendmsg(peer->socket, &message, MSG_NOSIGNAL);
}

static unsigned take_fds(struct input *input, int *fds)
{
    unsigned count = take(input, 1) % (KINDS + 1);
    for (unsigned i = 0; i < count; i++)
        fds[i] = kinds[take(input, 1) % KINDS];
    return count;
}

static void any_packet(const struct peer *peer, struct input *input)
{
    uint8_t bytes[80];
    int fds[KINDS];
    size_t size = take(input, 1) % sizeof(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)take(input, 1);
    send_packet(peer, bytes, size, fds, take_fds(input, fds));
}

static void hello(const struct peer *peer)
{
    struct l4vio_unix_hello packet = {.magic = l4vio_swap32(L4VIO_UNIX_MAGIC),
                                      .version = l4vio_swap32(L4VIO_UNIX_VERSION)};
    send_packet(peer, &packet, sizeof(packet), NULL, 0);
}

static void send_call(const struct peer *peer, uint32_t opcode, uint32_t argument, uint64_t base,
                      uint64_t size, int fd)
{
    struct l4vio_unix_call call = {.opcode = l4vio_swap32(opcode),
                                   .argument = l4vio_swap32(argument),
                                   .base = l4vio_swap64(base),
                                   .size = l4vio_swap64(size)};
    send_packet(peer, &call, sizeof(call), &fd, fd >= 0);
}

/* Nearly right. */
static void some_call(const struct peer *peer, struct input *input)
{
    static const uint32_t opcodes[] = {
        L4VIO_CALL_SET_STATUS,          L4VIO_CALL_CONFIG_QUEUE, L4VIO_CALL_REGISTER_DS,
        L4VIO_CALL_DEVICE_CONFIG,       L4VIO_UNIX_ICU_BIND,     L4VIO_UNIX_UNREGISTER_DS,
        L4VIO_CALL_DEVICE_NOTIFICATION, L4VIO_UNIX_RESET_QUEUE,  L4VIO_UNIX_ICU_INFO,
    };
    uint32_t opcode = opcodes[take(input, 1) % (sizeof(opcodes) / sizeof(opcodes[0]))];
    bool ranged = opcode == L4VIO_CALL_REGISTER_DS || opcode == L4VIO_UNIX_UNREGISTER_DS;
    uint64_t base = ranged ? (uint64_t)take(input, 1) << 12 : 0;
    uint64_t size = ranged ? (uint64_t)take(input, 1) << 12 : 0;
    int fd = -1;
    if (opcode == L4VIO_CALL_REGISTER_DS)
        fd = kinds[take(input, 1) % 4];
    if (opcode == L4VIO_UNIX_ICU_BIND)
        fd = kinds[1];
    send_call(peer, opcode, ranged ? 0 : take(input, 1), base, size, fd);
}

static struct l4vio_page_queue *entry(const struct l4vio_served_client *client, uint32_t queue)
{
    uint8_t *page = l4vio_l4_served(client)->page_memory.base;
    return (struct l4vio_page_queue *)(void *)(page + l4vio_l4_served(client)->page.queues_offset) +
           queue;
}

static void fill_entry(const struct l4vio_served_client *client, uint32_t queue)
{
    struct l4vio_page_queue *to = entry(client, queue);
    uint64_t at = (uint64_t)queue * QUEUE_BYTES;
    l4vio_store16(&to->num, QUEUE_SIZE);
    l4vio_store64(&to->desc_addr, at);
    l4vio_store64(&to->avail_addr, at + AVAIL_OFFSET);
    l4vio_store64(&to->used_addr, at + USED_OFFSET);
    l4vio_store16(&to->driver_notify_index, (uint16_t)queue);
    l4vio_store16(&to->ready, 1);
}

static void bring_up(const struct peer *peer)
{
    const struct l4vio_served_client *client = client_of(peer);
    uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
    if (!client || client->state != L4VIO_CLIENT_READY)
        return;
    struct l4vio_page_header *header = l4vio_l4_served(client)->page_memory.base;
    send_call(peer, L4VIO_CALL_SET_STATUS, 0, 0, 0, -1);
    hear(peer);
    if (client_of(peer) != client || client->state != L4VIO_CLIENT_READY)
        return;
    for (unsigned i = 0; i < L4VIO_FEATURE_WORDS; i++)
        l4vio_store32(&header->driver_features_map[i], client->device->config.offered.word[i]);
    memset(memory, 0, QUEUES * QUEUE_BYTES);
    send_call(peer, L4VIO_CALL_REGISTER_DS, 0, 0, MEMORY_BYTES, kinds[0]);
    send_call(peer, L4VIO_UNIX_ICU_BIND, 0, 0, 0, kinds[1]);
    send_call(peer, L4VIO_CALL_SET_STATUS, status, 0, 0, -1);
    status |= VIRTIO_STATUS_FEATURES_OK;
    send_call(peer, L4VIO_CALL_SET_STATUS, status, 0, 0, -1);
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        fill_entry(client, queue);
        send_call(peer, L4VIO_CALL_CONFIG_QUEUE, queue, 0, 0, -1);
    }
    send_call(peer, L4VIO_CALL_SET_STATUS, status | VIRTIO_STATUS_DRIVER_OK, 0, 0, -1);
}

static void write_descriptor(struct input *input)
{
    uint32_t place = take(input, 1);
    uint8_t *at = memory + (place >> 7) * QUEUE_BYTES + (place % QUEUE_SIZE) * 16u;
    uint64_t address = 0x2000u + take(input, 2) % 0xe000u;
    struct virtq_desc desc = {.addr = l4vio_swap64(address),
                              .len = l4vio_swap32(take(input, 1) * (place & 64 ? 512 : 1)),
                              .flags = l4vio_swap16((uint16_t)(take(input, 1) & 7u)),
                              .next = l4vio_swap16((uint16_t)(take(input, 1) % QUEUE_SIZE))};
    memcpy(at, &desc, sizeof(desc));
}

/* Makes the chain at a head available. */
static void publish(struct input *input)
{
    uint32_t what = take(input, 1);
    struct virtq_avail *avail = (void *)(memory + (what >> 7) * QUEUE_BYTES + AVAIL_OFFSET);
    uint16_t index = l4vio_load16(&avail->idx);
    l4vio_le16 *ring = (l4vio_le16 *)(avail + 1);
    l4vio_store16(&ring[index % QUEUE_SIZE], (uint16_t)(what & 31u));
    l4vio_store16_release(&avail->idx, (uint16_t)(index + 1));
}

static void kick(const struct peer *peer, uint32_t index)
{
    struct l4vio_event event = peer->client;
    event.source = (uint16_t)index;
    l4vio_worker_event(&server->workers[0], event);
    struct l4vio_served_client *client = client_of(peer);
    if (client)
        server->protocol->look(client);
    l4vio_worker_turn(&server->workers[0]);
}

static void scribble(const struct peer *peer, struct input *input)
{
    const struct l4vio_served_client *client = client_of(peer);
    uint32_t place = take(input, 2);
    uint8_t byte = (uint8_t)take(input, 1);
    if (byte & 1u || !client || client->state != L4VIO_CLIENT_READY)
        l4vio_store8(memory + place % MEMORY_BYTES, byte);
    else
        l4vio_store8(
            (uint8_t *)l4vio_l4_served(client)->page_memory.base + place % L4VIO_PAGE_BYTES, byte);
}

static void step(struct peer *peers, struct input *input)
{
    uint32_t what = take(input, 1);
    struct peer *peer = &peers[(what >> 4) % PEERS];
    uint8_t reply[64];
    come(peer);
    switch (what % 16) {
    case 0:
        any_packet(peer, input);
        break;
    case 1:
        hello(peer);
        hear(peer);
        break;
    case 2:
    case 3:
        some_call(peer, input);
        break;
    case 4:
        bring_up(peer);
        hear(peer);
        break;
    case 5:
    case 6:
        write_descriptor(input);
        break;
    case 7:
    case 8:
        publish(input);
        break;
    case 9:
    case 10:
        kick(peer, take(input, 1) % (QUEUES + 1));
        break;
    case 11:
        scribble(peer, input);
        break;
    case 12:
        while (recv(peer->socket, reply, sizeof(reply), 0) > 0)
            ;
        break;
    case 13:
        leave(peer);
        break;
    default:
        hear(peer);
        break;
    }
}

/* The lowest number that is free: if one were left open, it would be another one. */
static int lowest_descriptor(void)
{
    int fd = dup(kinds[1]);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct input input = {.data = data, .left = size_bytes};
    struct peer peers[PEERS] = {{.socket = -1}, {.socket = -1}, {.socket = -1}};
    unsigned dataspaces;
    unsigned notifications;
    if (!server)
        make_server();
    memset(memory, 0, MEMORY_BYTES);
    int lowest = lowest_descriptor();
    while (input.left)
        step(peers, &input);
    for (unsigned i = 0; i < PEERS; i++)
        leave(&peers[i]);
    l4vio_linux_usage(server->linux_platform, &dataspaces, &notifications);
    check(atomic_load(&server->client_count) == 0 && server->silent == 0);
    check(dataspaces == 0 && notifications == 0);
    check(lowest_descriptor() == lowest);
    return 0;
}
