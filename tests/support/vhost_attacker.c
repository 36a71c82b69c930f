/* SPDX-License-Identifier: MIT */
#include "vhost_attacker.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS  5000
#define PACKED_START 0x80008000u
#define POISON       0xee

/* The handler of a fault belongs to the program. */
static struct l4vio_server *faulty_server;

static void fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (!faulty_server || !l4vio_server_memory_fault(faulty_server, info->si_addr)) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void vhost_attacked_run(struct socket_server *server)
{
    const struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};

    server->config.protocol = l4vio_vhost_user_protocol();
    server->block.queue_count = ATTACK_QUEUES;
    server->block.queue_size_max = ATTACK_QUEUE_SIZE;
    socket_server_open(server);
    faulty_server = server->server;
    assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
    socket_server_run(server);
}

void vhost_attacked_start(struct socket_server *server)
{
    socket_server_init(server);
    vhost_attacked_run(server);
}

void vhost_attacked_check(struct socket_server *server)
{
    struct vhost_attacker client;

    vhost_attacker_open(&client, server);
    assert_int_equal(vhost_attacker_live(&client), 0);
    assert_int_equal(vhost_attacker_do(&client, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&client);
    assert_true(socket_server_has_clients(server, 0));
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void vhost_attacker_open(struct vhost_attacker *attacker, const struct socket_server *server)
{
    memset(attacker, 0, sizeof(*attacker));
    attacker->features = ATTACK_F_VERSION_1 | ATTACK_F_PROTOCOL;
    attacker->protocol_features =
        RAW_P_MQ | RAW_P_REPLY_ACK | RAW_P_CONFIG | RAW_P_RESET | RAW_P_SLOTS;
    attacker->socket = connect_to(server->path);
    attacker->memory_fd = memfd_create("attacker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(attacker->memory_fd, ATTACK_MEMORY_BYTES), 0);
    attacker->memory =
        mmap(NULL, ATTACK_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, attacker->memory_fd, 0);
    assert_true(attacker->memory != MAP_FAILED);
    attacker->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    attacker->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    attacker->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void vhost_attacker_close(struct vhost_attacker *attacker)
{
    close(attacker->socket);
    close(attacker->kick);
    close(attacker->call);
    close(attacker->err);
    munmap(attacker->memory, ATTACK_MEMORY_BYTES);
    close(attacker->memory_fd);
}

bool vhost_attacker_send(struct vhost_attacker *attacker, uint32_t request, uint32_t flags,
                         const void *payload, uint32_t size, const int *fds, unsigned fd_count)
{
    unsigned char bytes[12 + RAW_MESSAGE_BYTES] = {0};
    const uint32_t header[3] = {request, flags, size};

    memcpy(bytes, header, sizeof(header));
    if (payload)
        memcpy(bytes + sizeof(header), payload, size);
    return raw_backend_send_bytes(attacker->socket, bytes, sizeof(header) + size, fds, fd_count);
}

/* An answer of so many bytes, or none. */
static bool receive(struct vhost_attacker *attacker, uint32_t request, uint32_t size,
                    struct raw_message *reply)
{
    if (!raw_backend_receive(attacker->socket, reply))
        return false;
    raw_message_close_fds(reply);
    return reply->request == request && reply->flags == (1u | RAW_FLAG_REPLY) &&
           reply->size == size;
}

bool vhost_attacker_ask(struct vhost_attacker *attacker, uint32_t request, uint64_t *number)
{
    struct raw_message reply;

    if (!vhost_attacker_send(attacker, request, 1, NULL, 0, NULL, 0) ||
        !receive(attacker, request, 8, &reply))
        return false;
    *number = reply.u.words[0];
    return true;
}

int vhost_attacker_tell(struct vhost_attacker *attacker, uint32_t request, const void *payload,
                        uint32_t size, int fd)
{
    struct raw_message reply;

    if (!vhost_attacker_send(attacker, request, 1u | RAW_FLAG_NEED_REPLY, payload, size, &fd,
                             fd >= 0) ||
        !receive(attacker, request, 8, &reply))
        return ATTACK_HUNG_UP;
    return reply.u.words[0] != 0;
}

int vhost_attacker_tell_number(struct vhost_attacker *attacker, uint32_t request, uint64_t number,
                               int fd)
{
    return vhost_attacker_tell(attacker, request, &number, sizeof(number), fd);
}

int vhost_attacker_tell_state(struct vhost_attacker *attacker, uint32_t request, uint32_t index,
                              uint32_t num)
{
    const uint32_t state[2] = {index, num};

    return vhost_attacker_tell(attacker, request, state, sizeof(state), -1);
}

bool vhost_attacker_stop_ring(struct vhost_attacker *attacker, uint32_t index, uint32_t *base)
{
    const uint32_t state[2] = {index, 0};
    struct raw_message reply;

    if (!vhost_attacker_send(attacker, RAW_GET_VRING_BASE, 1, state, sizeof(state), NULL, 0) ||
        !receive(attacker, RAW_GET_VRING_BASE, 8, &reply) || reply.u.halves[0] != index)
        return false;
    if (base)
        *base = reply.u.halves[1];
    return true;
}

int vhost_attacker_add_region(struct vhost_attacker *attacker, uint64_t guest, uint64_t bytes,
                              uint64_t user, uint64_t offset, int fd)
{
    const uint64_t region[5] = {0, guest, bytes, user, offset};

    return vhost_attacker_tell(attacker, RAW_ADD_MEM_REG, region, sizeof(region), fd);
}

bool vhost_attacker_is_hung_up(struct vhost_attacker *attacker)
{
    struct raw_message message;
    struct pollfd poll_fd = {.fd = attacker->socket, .events = POLLRDHUP};

    while (poll(&poll_fd, 1, 0) == 0 && raw_backend_receive(attacker->socket, &message))
        raw_message_close_fds(&message);
    return poll(&poll_fd, 1, PATIENCE_MS) == 1;
}

static int first_of(const int *results, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (results[i])
            return results[i];
    }
    return 0;
}

int vhost_attacker_greet(struct vhost_attacker *attacker)
{
    const uint64_t features = attacker->protocol_features;

    if (!vhost_attacker_send(attacker, RAW_SET_PROTOCOL_FEATURES, 1, &features, sizeof(features),
                             NULL, 0))
        return ATTACK_HUNG_UP;
    return vhost_attacker_tell(attacker, RAW_SET_OWNER, NULL, 0, -1);
}

int vhost_attacker_set_features(struct vhost_attacker *attacker)
{
    int result = vhost_attacker_tell_number(attacker, RAW_SET_FEATURES, attacker->features, -1);

    if (result || !(attacker->protocol_features & RAW_P_STATUS))
        return result;
    return vhost_attacker_tell_number(attacker, RAW_SET_STATUS, 11, -1);
}

int vhost_attacker_share(struct vhost_attacker *attacker)
{
    return vhost_attacker_add_region(attacker, ATTACK_GUEST, ATTACK_MEMORY_BYTES, ATTACK_USER, 0,
                                     attacker->memory_fd);
}

int vhost_attacker_start_ring(struct vhost_attacker *attacker)
{
    const bool packed = attacker->features & ATTACK_F_PACKED;
    const uint64_t addresses[5] = {0, ATTACK_USER + ATTACK_DESC, ATTACK_USER + ATTACK_USED,
                                   ATTACK_USER + ATTACK_AVAIL, 0};
    uint64_t count;

    raw_ring_init(&attacker->ring, packed, ATTACK_QUEUE_SIZE, attacker->memory + ATTACK_DESC,
                  attacker->memory + ATTACK_AVAIL, attacker->memory + ATTACK_USED,
                  attacker->entries);
    attacker->next_id = 0;
    (void)!read(attacker->err, &count, sizeof(count));
    const int results[] = {
        vhost_attacker_tell_state(attacker, RAW_SET_VRING_NUM, 0, ATTACK_QUEUE_SIZE),
        vhost_attacker_tell_state(attacker, RAW_SET_VRING_BASE, 0, packed ? PACKED_START : 0),
        vhost_attacker_tell(attacker, RAW_SET_VRING_ADDR, addresses, sizeof(addresses), -1),
        vhost_attacker_tell_number(attacker, RAW_SET_VRING_CALL, 0, attacker->call),
        vhost_attacker_tell_number(attacker, RAW_SET_VRING_ERR, 0, attacker->err),
        vhost_attacker_tell_number(attacker, RAW_SET_VRING_KICK, 0, attacker->kick),
        vhost_attacker_tell_state(attacker, RAW_SET_VRING_ENABLE, 0, 1),
        attacker->protocol_features & RAW_P_STATUS
            ? vhost_attacker_tell_number(attacker, RAW_SET_STATUS, 15, -1)
            : 0,
    };
    return first_of(results, sizeof(results) / sizeof(results[0]));
}

int vhost_attacker_live(struct vhost_attacker *attacker)
{
    int result = vhost_attacker_greet(attacker);

    if (result == 0)
        result = vhost_attacker_set_features(attacker);
    if (result == 0)
        result = vhost_attacker_share(attacker);
    if (result == 0)
        result = vhost_attacker_start_ring(attacker);
    return result;
}

void vhost_attacker_kick(struct vhost_attacker *attacker)
{
    const uint64_t one = 1;

    (void)!write(attacker->kick, &one, sizeof(one));
}

void vhost_attacker_submit(struct vhost_attacker *attacker, uint32_t type)
{
    const bool reads = type == VIRTIO_BLK_T_IN;
    const struct raw_piece pieces[] = {
        {ATTACK_GUEST + ATTACK_HEADER, 16, RAW_READ},
        {ATTACK_GUEST + ATTACK_DATA, ATTACK_DATA_BYTES, reads ? RAW_WRITE : RAW_READ},
        {ATTACK_GUEST + ATTACK_STATUS, 1, RAW_WRITE},
    };
    const uint32_t header[4] = {type, 0, 0, 0};

    memcpy(attacker->memory + ATTACK_HEADER, header, sizeof(header));
    attacker->memory[ATTACK_STATUS] = POISON;
    raw_ring_publish(&attacker->ring, attacker->next_id, pieces, 3);
    attacker->next_id = (uint16_t)((attacker->next_id + 3u) % 12u);
    vhost_attacker_kick(attacker);
}

/* Not by one wait for the call: it may have come before, and for something else. */
int vhost_attacker_await(struct vhost_attacker *attacker)
{
    struct raw_used used;
    uint64_t count;

    for (int i = 0; i < PATIENCE_MS / 5; i++) {
        struct pollfd fds[] = {{.fd = attacker->call, .events = POLLIN},
                               {.fd = attacker->socket, .events = POLLRDHUP}};
        if (raw_ring_get_used(&attacker->ring, &used))
            return attacker->memory[ATTACK_STATUS];
        poll(fds, 2, 5);
        if (fds[1].revents)
            return ATTACK_HUNG_UP;
        (void)!read(attacker->call, &count, sizeof(count));
    }
    return ATTACK_NO_ANSWER;
}

int vhost_attacker_do(struct vhost_attacker *attacker, uint32_t type)
{
    vhost_attacker_submit(attacker, type);
    return vhost_attacker_await(attacker);
}

bool vhost_attacker_fails(struct vhost_attacker *attacker)
{
    struct pollfd poll_fd = {.fd = attacker->err, .events = POLLIN};

    return poll(&poll_fd, 1, PATIENCE_MS) == 1;
}
