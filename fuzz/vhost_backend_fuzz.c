/* SPDX-License-Identifier: MIT */
/*
 * The bytes play front ends of the vhost-user server: messages, right and wrong, with descriptors of any kind;
 * rings written at any time, memory cut short; kicks; hanging up. The server's loop is played, too, so that
 * an input does the same every time. In the end nothing of the front ends is left.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ordering.h"
#include "l4vio/backends.h"
#include "l4vio/block_service.h"
#include "l4vio/wire/status.h"
#include "transports/vhost_user/backend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define PEERS        2u
#define QUEUES       2u
#define QUEUE_SIZE   16u
#define MEMORY_BYTES 0x10000u
#define QUEUE_BYTES  0x2000u
#define AVAIL_OFFSET 0x400u
#define USED_OFFSET  0x800u
#define GUEST        UINT64_C(0x40000000)
#define USER         UINT64_C(0x7f0000000000)
#define STORE_BYTES  0x40000u
#define KINDS        8u
#define PACKED       (UINT64_C(1) << 34)

struct input {
    const uint8_t *data;
    size_t left;
};

struct peer {
    int socket; /* -1: none. */
    struct l4vio_event client;
    uint16_t avail[QUEUES];
};

static struct l4vio_server *server;
static struct l4vio_block_backend store;
static struct l4vio_service service;
static int kinds[KINDS]; /* Descriptors to pass; the first one is the memory. */

static uint64_t take(struct input *input, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes && input->left; i++, input->left--)
        value |= (uint64_t)*input->data++ << (8 * i);
    return value;
}

static void check(bool good)
{
    if (!good)
        abort();
}

static void fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    check(l4vio_server_memory_fault(server, info->si_addr));
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
    kinds[0] = make_memory(0);
    kinds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(pipe2(pair, O_CLOEXEC) == 0);
    kinds[2] = pair[1];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    kinds[3] = pair[0];
    kinds[4] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kinds[5] = open("/dev/null", O_PATH | O_CLOEXEC);
    kinds[6] = make_memory(F_SEAL_WRITE);
    kinds[7] = make_memory(F_SEAL_SHRINK | F_SEAL_GROW);
}

static void make_server(void)
{
    const struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
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
        .protocol = l4vio_vhost_user_protocol(),
        .path = path,
        .service = service,
        .quotas = {.clients = PEERS, .regions = 4, .mapped_bytes = 4 * (uint64_t)MEMORY_BYTES},
    };
    check(l4vio_server_open(&config, &server, NULL) == 0);
    check(l4vio_workers_start(server, NULL) == 0);
    check(unlink(path) == 0 && rmdir(folder) == 0);
    check(sigaction(SIGBUS, &action, NULL) == 0);
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
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    struct l4vio_served_client *client = l4vio_client_new(server, pair[1]);
    check(client != NULL);
    *peer = (struct peer){.socket = pair[0]};
    peer->client = (struct l4vio_event){.generation = client->generation, .slot = client->slot};
    server->silent++;
    l4vio_client_poll(client, true);
}

/* The server's loop as far as it concerns a client. */
static void hear(const struct peer *peer)
{
    struct l4vio_served_client *client = client_of(peer);
    if (client)
        server->protocol->receive(client);
    client = client_of(peer);
    if (!client || !client->device_made)
        return;
    l4vio_control_enter(server);
    server->protocol->woken(client);
    l4vio_client_tell_failure(client);
    l4vio_control_leave(server);
}

static void leave(struct peer *peer)
{
    if (peer->socket < 0)
        return;
    close(peer->socket);
    peer->socket = -1;
    /* It may have said a lot before. */
    for (int i = 0; client_of(peer) && i < 1000; i++)
        hear(peer);
    check(client_of(peer) == NULL);
}

static void send_bytes(const struct peer *peer, const void *bytes, size_t size, const int *fds,
                       unsigned count)
{
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(2 * KINDS * sizeof(int))];
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

static void say(const struct peer *peer, uint32_t request, uint32_t flags, const void *payload,
                uint32_t size, const int *fds, unsigned count)
{
    uint8_t bytes[VHOST_USER_HEADER_BYTES + 600] = {0};
    const uint32_t header[3] = {request, flags, size};
    memcpy(bytes, header, sizeof(header));
    if (size)
        memcpy(bytes + sizeof(header), payload, size);
    send_bytes(peer, bytes, sizeof(header) + size, fds, count);
}

static unsigned take_fds(struct input *input, int *fds)
{
    unsigned count = (unsigned)take(input, 1) % (2 * KINDS + 1);
    for (unsigned i = 0; i < count; i++)
        fds[i] = kinds[take(input, 1) % KINDS];
    return count;
}

static void any_bytes(const struct peer *peer, struct input *input)
{
    uint8_t bytes[64];
    int fds[2 * KINDS];
    size_t size = take(input, 1) % sizeof(bytes) + 1;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)take(input, 1);
    send_bytes(peer, bytes, size, fds, take_fds(input, fds));
}

static void any_message(const struct peer *peer, struct input *input)
{
    uint8_t payload[600];
    int fds[2 * KINDS];
    uint32_t request = (uint32_t)take(input, 1) % 48;
    uint32_t size = (uint32_t)take(input, 2) % sizeof(payload);
    for (uint32_t i = 0; i < size; i++)
        payload[i] = (uint8_t)take(input, 1);
    say(peer, request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, payload, size, fds,
        take_fds(input, fds));
}

static void say_number(const struct peer *peer, uint32_t request, uint64_t number, int fd)
{
    say(peer, request, VHOST_USER_VERSION, &number, sizeof(number), &fd, fd >= 0);
}

static void say_state(const struct peer *peer, uint32_t request, uint32_t index, uint32_t num)
{
    const struct vhost_user_vring_state state = {index, num};
    say(peer, request, VHOST_USER_VERSION, &state, sizeof(state), NULL, 0);
}

static void say_region(const struct peer *peer, uint32_t request, uint64_t at, uint64_t bytes,
                       uint64_t offset, int fd)
{
    const struct vhost_user_single_memory_region region = {
        .region = {GUEST + at, bytes, USER + at, offset}};
    say(peer, request, VHOST_USER_VERSION, &region, sizeof(region), &fd, fd >= 0);
}

static void say_addresses(const struct peer *peer, uint32_t queue, uint64_t at, uint32_t flags)
{
    const struct vhost_user_vring_addr addresses = {
        .index = queue,
        .flags = flags,
        .desc_user_addr = USER + at,
        .avail_user_addr = USER + at + AVAIL_OFFSET,
        .used_user_addr = USER + at + USED_OFFSET,
        .log_guest_addr = GUEST + at,
    };
    say(peer, VHOST_USER_SET_VRING_ADDR, VHOST_USER_VERSION, &addresses, sizeof(addresses), NULL,
        0);
}

/* Nearly right. */
static void some_message(const struct peer *peer, struct input *input)
{
    const uint32_t what = (uint32_t)take(input, 1);
    const uint32_t value = (uint32_t)take(input, 2);
    const uint32_t queue = value % (QUEUES + 1);
    struct vhost_user_inflight record = {.mmap_size = 4096 * (value % 4),
                                         .mmap_offset = 64 * (value >> 8),
                                         .num_queues = (uint16_t)queue,
                                         .queue_size = QUEUE_SIZE};
    const struct vhost_user_log log = {.mmap_size = 16 * (value % 256), .mmap_offset = value >> 8};
    struct vhost_user_config config = {.offset = value & 63, .size = value >> 8};
    switch (what % 20) {
    case 0:
        say_number(peer, VHOST_USER_SET_FEATURES, take(input, 6), -1);
        break;
    case 1:
        say_number(peer, VHOST_USER_SET_PROTOCOL_FEATURES, take(input, 3), -1);
        break;
    case 2:
        say_number(peer, VHOST_USER_SET_STATUS, value, -1);
        break;
    case 3:
    case 4:
        say_region(peer, what & 32 ? VHOST_USER_REM_MEM_REG : VHOST_USER_ADD_MEM_REG,
                   (uint64_t)(value & 15) << 12, (uint64_t)(value >> 4 & 31) << 11,
                   (uint64_t)(value >> 9) << 10, what & 32 ? -1 : kinds[what & 64 ? 7 : 0]);
        break;
    case 5:
        say_addresses(peer, queue, value & 0xff0, what >> 5);
        break;
    case 6:
        say_state(peer, VHOST_USER_SET_VRING_NUM, queue, value >> 8);
        break;
    case 7:
        say_state(peer, VHOST_USER_SET_VRING_BASE, queue, (uint32_t)take(input, 4));
        break;
    case 8:
        say_state(peer, VHOST_USER_GET_VRING_BASE, queue, 0);
        break;
    case 9:
        say_state(peer, VHOST_USER_SET_VRING_ENABLE, queue, value >> 8 & 3);
        break;
    case 10:
    case 11:
        say_number(peer, VHOST_USER_SET_VRING_KICK + value % 3, queue, kinds[1 + (what >> 5) % 2]);
        break;
    case 12:
        say(peer, VHOST_USER_RESET_DEVICE, VHOST_USER_VERSION, NULL, 0, NULL, 0);
        break;
    case 13:
        say(peer, VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_VERSION, &record, sizeof(record), NULL, 0);
        break;
    case 14:
        say(peer, VHOST_USER_SET_INFLIGHT_FD, VHOST_USER_VERSION, &record, sizeof(record), kinds,
            1);
        break;
    case 15:
        say(peer, VHOST_USER_SET_LOG_BASE, VHOST_USER_VERSION, &log, sizeof(log), kinds, 1);
        break;
    case 16:
        say(peer, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, NULL, 0, &kinds[3], 1);
        break;
    case 17:
        say(peer, VHOST_USER_GET_CONFIG, VHOST_USER_VERSION, &config,
            VHOST_USER_CONFIG_HEADER_BYTES + config.size, NULL, 0);
        break;
    case 18:
        say(peer, VHOST_USER_SET_CONFIG, VHOST_USER_VERSION, &config,
            VHOST_USER_CONFIG_HEADER_BYTES + config.size, NULL, 0);
        break;
    default:
        say(peer, VHOST_USER_RESET_OWNER, VHOST_USER_VERSION, NULL, 0, NULL, 0);
        break;
    }
}

static void say_table(const struct peer *peer, struct input *input)
{
    struct vhost_user_memory table = {.nregions = (uint32_t)take(input, 1) % 5};
    int fds[8];
    for (unsigned i = 0; i < table.nregions; i++) {
        uint64_t at = take(input, 1) << 12;
        table.regions[i] = (struct vhost_user_memory_region){GUEST + at, take(input, 1) << 10,
                                                             USER + at, take(input, 1) << 9};
        fds[i] = kinds[at & 0x10000 ? 7 : 0];
    }
    say(peer, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
        8 + table.nregions * (uint32_t)sizeof(table.regions[0]), fds, table.nregions);
}

static void bring_up(struct peer *peer, uint64_t features)
{
    const bool packed = features & PACKED;
    memset(peer->avail, 0, sizeof(peer->avail));
    say_number(peer, VHOST_USER_SET_PROTOCOL_FEATURES, 0x1b22b, -1);
    say(peer, VHOST_USER_RESET_DEVICE, VHOST_USER_VERSION, NULL, 0, NULL, 0);
    hear(peer);
    say_number(peer, VHOST_USER_SET_FEATURES, features, -1);
    say_region(peer, VHOST_USER_ADD_MEM_REG, 0, MEMORY_BYTES, 0, kinds[0]);
    say_number(peer, VHOST_USER_SET_STATUS, 11, -1);
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        say_state(peer, VHOST_USER_SET_VRING_NUM, queue, QUEUE_SIZE);
        say_state(peer, VHOST_USER_SET_VRING_BASE, queue, packed ? 0x80008000 : 0);
        say_addresses(peer, queue, queue * (uint64_t)QUEUE_BYTES, 1);
        say_number(peer, VHOST_USER_SET_VRING_CALL, queue, kinds[1]);
        say_number(peer, VHOST_USER_SET_VRING_KICK, queue, kinds[1]);
        say_state(peer, VHOST_USER_SET_VRING_ENABLE, queue, 1);
    }
    say_number(peer, VHOST_USER_SET_STATUS, 15, -1);
    hear(peer);
}

/* Not through a mapping: the file may be cut short. */
static void put(uint64_t at, const void *bytes, size_t size)
{
    (void)!pwrite(kinds[0], bytes, size, (off_t)at);
}

static void write_descriptor(struct input *input)
{
    uint32_t place = (uint32_t)take(input, 1);
    uint64_t address = GUEST + 0x4000u + take(input, 2) % 0xc100u;
    uint32_t length = (uint32_t)take(input, 1) * (place & 64 ? 512 : 1);
    uint16_t flags = (uint16_t)take(input, 2);
    uint16_t next = (uint16_t)(take(input, 1) % (QUEUE_SIZE + 1));
    const struct virtq_desc split = {l4vio_swap64(address), l4vio_swap32(length),
                                     l4vio_swap16(flags & 7u), l4vio_swap16(next)};
    const struct virtq_packed_desc packed = {l4vio_swap64(address), l4vio_swap32(length),
                                             l4vio_swap16(next), l4vio_swap16(flags)};
    put((place >> 7) * QUEUE_BYTES + (place % QUEUE_SIZE) * 16u,
        place & 32 ? (const void *)&packed : (const void *)&split, 16);
}

/* Makes the chain at a head available. */
static void publish(struct peer *peer, struct input *input)
{
    uint32_t what = (uint32_t)take(input, 1);
    uint32_t queue = what >> 7;
    const uint16_t head = l4vio_swap16((uint16_t)(what & 31u));
    uint16_t index = peer->avail[queue]++;
    put(queue * QUEUE_BYTES + AVAIL_OFFSET + 4u + 2u * (index % QUEUE_SIZE), &head, 2);
    index = l4vio_swap16((uint16_t)(index + 1));
    put(queue * QUEUE_BYTES + AVAIL_OFFSET + 2u, &index, 2);
}

static void kick(const struct peer *peer, uint32_t index)
{
    struct l4vio_event event = peer->client;
    event.source = (uint16_t)(index < QUEUES ? index : L4VIO_VHOST_SOURCE_CHANNEL);
    l4vio_worker_event(&server->workers[0], event);
    struct l4vio_served_client *client = client_of(peer);
    if (client && client->device_made)
        server->protocol->heard(client, event.source);
    for (int i = 0; i < 4; i++)
        l4vio_worker_turn(&server->workers[0]);
    hear(peer);
}

static void scribble(struct input *input)
{
    uint64_t place = take(input, 2);
    uint8_t byte = (uint8_t)take(input, 1);
    put(place % MEMORY_BYTES, &byte, 1);
}

static void drain(const struct peer *peer)
{
    uint8_t bytes[512];
    struct l4vio_socket_fds fds = {0};
    size_t got;
    while (l4vio_socket_receive(peer->socket, bytes, sizeof(bytes), &got, NULL, &fds) == 0)
        l4vio_socket_close_fds(&fds);
}

static void step(struct peer *peers, struct input *input)
{
    static const uint64_t base = UINT64_C(1) << 32 | UINT64_C(1) << 30;
    uint32_t what = (uint32_t)take(input, 1);
    struct peer *peer = &peers[(what >> 4) % PEERS];
    come(peer);
    switch (what % 16) {
    case 0:
        any_bytes(peer, input);
        break;
    case 1:
        any_message(peer, input);
        break;
    case 2:
    case 3:
        some_message(peer, input);
        break;
    case 4:
        bring_up(peer, base | (what & 64 ? PACKED : 0) | (what & 128 ? UINT64_C(0x34000000) : 0));
        break;
    case 5:
    case 6:
        write_descriptor(input);
        break;
    case 7:
    case 8:
        publish(peer, input);
        break;
    case 9:
    case 10:
        kick(peer, (uint32_t)take(input, 1) % (QUEUES + 1));
        break;
    case 11:
        scribble(input);
        break;
    case 12:
        drain(peer);
        break;
    case 13:
        if (what & 128)
            leave(peer);
        else
            (void)!ftruncate(kinds[0], what & 64 ? MEMORY_BYTES : (off_t)take(input, 1) << 8);
        break;
    case 14:
        say_table(peer, input);
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

static void check_nothing_left(int lowest)
{
    unsigned dataspaces;
    unsigned notifications;
    l4vio_linux_usage(server->linux_platform, &dataspaces, &notifications);
    check(atomic_load(&server->client_count) == 0 && server->silent == 0);
    check(dataspaces == 0 && notifications == 0);
    for (unsigned i = 0; i < server->mapping_count; i++)
        check(atomic_load(&server->mappings[i].base) == 0);
    check(lowest_descriptor() == lowest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct input input = {.data = data, .left = size_bytes};
    struct peer peers[PEERS] = {{.socket = -1}, {.socket = -1}};
    if (!server)
        make_server();
    check(ftruncate(kinds[0], 0) == 0 && ftruncate(kinds[0], MEMORY_BYTES) == 0);
    int lowest = lowest_descriptor();
    while (input.left)
        step(peers, &input);
    for (unsigned i = 0; i < PEERS; i++)
        leave(&peers[i]);
    check_nothing_left(lowest);
    return 0;
}
