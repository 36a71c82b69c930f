/* SPDX-License-Identifier: MIT */
#include "raw_frontend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/ordering.h"

#define PATIENCE_MS 5000

struct raw_frontend *front_new(uint64_t features)
{
    struct raw_frontend *front = calloc(1, sizeof(*front));

    assert_non_null(front);
    socket_server_init(&front->server);
    front->server.config.protocol = l4vio_vhost_user_protocol();
    front->server.block.queue_count = FRONT_QUEUES;
    front->server.block.queue_size_max = 64;
    front->socket = -1;
    front->features = features;
    front->protocol_features = FRONT_PROTOCOL;
    front->memory_fd = memfd_create("front", MFD_CLOEXEC);
    assert_true(front->memory_fd >= 0);
    assert_int_equal(ftruncate(front->memory_fd, FRONT_MEMORY_BYTES), 0);
    front->memory =
        mmap(NULL, FRONT_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, front->memory_fd, 0);
    assert_ptr_not_equal(front->memory, MAP_FAILED);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
        front->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        front->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        front->err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        front_fresh_ring(front, i);
    }
    return front;
}

void front_start(struct raw_frontend *front)
{
    socket_server_start(&front->server);
    front_connect(front);
}

void front_free(struct raw_frontend *front)
{
    front_hang_up(front);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
        close(front->kick[i]);
        close(front->call[i]);
        close(front->err[i]);
    }
    if (front->server.server)
        socket_server_end(&front->server);
    munmap(front->memory, FRONT_MEMORY_BYTES);
    close(front->memory_fd);
    free(front);
}

static int set_up_with(void **state, uint64_t features)
{
    struct raw_frontend *front = front_new(features);

    front_start(front);
    *state = front;
    return 0;
}

int front_setup(void **state)
{
    return set_up_with(state, FRONT_SPLIT);
}

int front_setup_packed(void **state)
{
    return set_up_with(state, FRONT_PACKED);
}

int front_setup_in_order(void **state)
{
    return set_up_with(state, FRONT_SPLIT_IN_ORDER);
}

int front_setup_packed_in_order(void **state)
{
    return set_up_with(state, FRONT_PACKED_IN_ORDER);
}

int front_teardown(void **state)
{
    front_free(*state);
    return 0;
}

bool front_try_connect(struct raw_frontend *front)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    front->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(front->socket >= 0);
    memcpy(address.sun_path, front->server.path, sizeof(front->server.path));
    if (connect(front->socket, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    close(front->socket);
    front->socket = -1;
    return false;
}

void front_connect(struct raw_frontend *front)
{
    assert_true(front_try_connect(front));
}

void front_hang_up(struct raw_frontend *front)
{
    l4vio_vhost_reader_drop(&front->reader);
    if (front->socket >= 0)
        close(front->socket);
    front->socket = -1;
}

void front_expect_end(struct raw_frontend *front)
{
    struct pollfd poll_fd = {.fd = front->socket, .events = POLLIN};
    unsigned char bytes[256];
    ssize_t got;

    do {
        assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
        got = recv(front->socket, bytes, sizeof(bytes), 0);
    } while (got > 0);
    front_hang_up(front);
}

void front_expect_others_served(struct raw_frontend *front)
{
    front_hang_up(front);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++)
        front_fresh_ring(front, i);
    front_connect(front);
    front_up(front);
    front_expect_works(front, 0);
}

void front_send(struct raw_frontend *front, uint32_t request, uint32_t flags, const void *payload,
                uint32_t size, const int *fds, unsigned count)
{
    unsigned char bytes[sizeof(struct vhost_user_header) + L4VIO_VHOST_PAYLOAD_BYTES];
    struct vhost_user_header header = {request, VHOST_USER_VERSION | flags, size};

    assert_true(size <= L4VIO_VHOST_PAYLOAD_BYTES);
    memcpy(bytes, &header, sizeof(header));
    if (size)
        memcpy(bytes + sizeof(header), payload, size);
    assert_int_equal(l4vio_socket_send(front->socket, bytes, sizeof(header) + size, fds, count), 0);
}

struct l4vio_vhost_message *front_receive(struct raw_frontend *front, uint32_t request)
{
    struct pollfd poll_fd = {.fd = front->socket, .events = POLLIN};
    struct l4vio_vhost_message *message = &front->reader.message;
    int result;

    do {
        if (poll(&poll_fd, 1, PATIENCE_MS) != 1)
            fail_msg("no answer to %u", request);
        result = l4vio_vhost_receive(front->socket, &front->reader);
    } while (result == L4VIO_EAGAIN);
    if (result != L4VIO_OK)
        fail_msg("the connection ends instead of an answer to %u: %d", request, result);
    assert_int_equal(message->header.request, request);
    assert_int_equal(message->header.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
    return message;
}

uint64_t front_ask(struct raw_frontend *front, uint32_t request, const void *payload, uint32_t size,
                   const int *fds, unsigned count)
{
    front_send(front, request, VHOST_USER_NEED_REPLY, payload, size, fds, count);
    const struct l4vio_vhost_message *answer = front_receive(front, request);
    assert_int_equal(answer->header.size, sizeof(uint64_t));
    return answer->u.u64;
}

uint64_t front_ask_u64(struct raw_frontend *front, uint32_t request, uint64_t value, int fd)
{
    return front_ask(front, request, &value, sizeof(value), &fd, fd >= 0);
}

uint64_t front_ask_state(struct raw_frontend *front, uint32_t request, uint32_t index, uint32_t num)
{
    struct vhost_user_vring_state state = {index, num};

    return front_ask(front, request, &state, sizeof(state), NULL, 0);
}

uint64_t front_get_u64(struct raw_frontend *front, uint32_t request)
{
    front_send(front, request, 0, NULL, 0, NULL, 0);
    const struct l4vio_vhost_message *answer = front_receive(front, request);
    assert_int_equal(answer->header.size, sizeof(uint64_t));
    return answer->u.u64;
}

void front_sync(struct raw_frontend *front)
{
    front_get_u64(front, VHOST_USER_GET_FEATURES);
}

void front_negotiate(struct raw_frontend *front)
{
    uint64_t wanted = front->features | UINT64_C(1) << L4VIO_F_VERSION_1 |
                      UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
    uint64_t protocol = front_get_u64(front, VHOST_USER_GET_PROTOCOL_FEATURES);

    front->protocol_features &= protocol;
    front_send(front, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &front->protocol_features,
               sizeof(uint64_t), NULL, 0);
    front_send(front, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
    assert_int_equal(wanted & ~front_get_u64(front, VHOST_USER_GET_FEATURES), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, wanted, -1), 0);
    if (front->protocol_features & FRONT_STATUS) {
        assert_int_equal(front_ask_u64(front, VHOST_USER_SET_STATUS, 3, -1), 0);
        assert_int_equal(front_ask_u64(front, VHOST_USER_SET_STATUS, 11, -1), 0);
    }
}

void front_share(struct raw_frontend *front)
{
    struct vhost_user_memory table = {
        .nregions = 1, .regions = {{FRONT_GUEST, FRONT_MEMORY_BYTES, FRONT_USER, 0}}};

    assert_int_equal(front_ask(front, VHOST_USER_SET_MEM_TABLE, &table, 40, &front->memory_fd, 1),
                     0);
}

uint64_t front_ask_addresses(struct raw_frontend *front, uint32_t queue, uint32_t flags,
                             uint64_t log_address)
{
    uint64_t base = FRONT_USER + queue * FRONT_QUEUE_BYTES;
    struct vhost_user_vring_addr addresses = {.index = queue,
                                              .flags = flags,
                                              .desc_user_addr = base,
                                              .avail_user_addr = base + FRONT_AVAIL,
                                              .used_user_addr = base + FRONT_USED,
                                              .log_guest_addr = log_address};

    return front_ask(front, VHOST_USER_SET_VRING_ADDR, &addresses, sizeof(addresses), NULL, 0);
}

void front_ring(struct raw_frontend *front, uint32_t queue)
{
    assert_int_equal(front_ask_state(front, VHOST_USER_SET_VRING_NUM, queue, FRONT_QUEUE_SIZE), 0);
    assert_int_equal(front_ask_state(front, VHOST_USER_SET_VRING_BASE, queue, front->bases[queue]),
                     0);
    assert_int_equal(front_ask_addresses(front, queue, 0, 0), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_CALL, queue, front->call[queue]), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_ERR, queue, front->err[queue]), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_VRING_KICK, queue, front->kick[queue]), 0);
    assert_int_equal(front_ask_state(front, VHOST_USER_SET_VRING_ENABLE, queue, 1), 0);
}

void front_fresh_ring(struct raw_frontend *front, uint32_t queue)
{
    unsigned char *at = front->memory + queue * FRONT_QUEUE_BYTES;
    bool packed = front->features & FRONT_PACKED;

    raw_ring_init(&front->rings[queue], packed, FRONT_QUEUE_SIZE, at, at + FRONT_AVAIL,
                  at + FRONT_USED, front->entries[queue]);
    front->bases[queue] = packed ? 0x80008000u : 0;
}

void front_up(struct raw_frontend *front)
{
    front_negotiate(front);
    front_share(front);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++)
        front_ring(front, i);
    if (front->protocol_features & FRONT_STATUS)
        assert_int_equal(front_ask_u64(front, VHOST_USER_SET_STATUS, 15, -1), 0);
}

uint32_t front_stop_ring(struct raw_frontend *front, uint32_t queue)
{
    struct vhost_user_vring_state state = {queue, 0};

    front_send(front, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
    const struct l4vio_vhost_message *answer = front_receive(front, VHOST_USER_GET_VRING_BASE);
    assert_int_equal(answer->header.size, sizeof(state));
    assert_int_equal(answer->u.state.index, queue);
    front->bases[queue] = answer->u.state.num;
    return answer->u.state.num;
}

static uint32_t request_offset(uint32_t queue, uint16_t id)
{
    return FRONT_REQUESTS + (queue * FRONT_QUEUE_SIZE + id) * FRONT_REQUEST_BYTES;
}

unsigned char *front_data(struct raw_frontend *front, uint32_t queue, uint16_t id)
{
    return front->memory + request_offset(queue, id) + FRONT_DATA_BYTES;
}

uint64_t front_data_address(uint32_t queue, uint16_t id)
{
    return FRONT_GUEST + request_offset(queue, id) + FRONT_DATA_BYTES;
}

/* The header at the beginning, the status 64 bytes behind. */
void front_publish(struct raw_frontend *front, uint32_t queue, uint16_t id, uint32_t type,
                   uint64_t sector)
{
    uint32_t offset = request_offset(queue, id);
    struct virtio_blk_req_header *header = (void *)(front->memory + offset);
    struct raw_piece pieces[] = {
        {FRONT_GUEST + offset, sizeof(*header), RAW_READ},
        {front_data_address(queue, id), FRONT_DATA_BYTES,
         type == VIRTIO_BLK_T_IN ? RAW_WRITE : RAW_READ},
        {FRONT_GUEST + offset + 64, 1, RAW_WRITE},
    };

    l4vio_store32(&header->type, type);
    l4vio_store32(&header->reserved, 0);
    l4vio_store64(&header->sector, sector);
    l4vio_store8(front->memory + offset + 64, 0xff);
    raw_ring_publish(&front->rings[queue], id, pieces, 3);
}

uint8_t front_status_byte(struct raw_frontend *front, uint32_t queue, uint16_t id)
{
    return l4vio_load8(front->memory + request_offset(queue, id) + 64);
}

void front_kick(struct raw_frontend *front, uint32_t queue)
{
    uint64_t one = 1;

    assert_int_equal(write(front->kick[queue], &one, sizeof(one)), sizeof(one));
}

/* The ring itself, not the notification, which it may not want. */
static bool look_for_used(struct raw_frontend *front, uint32_t queue, struct raw_used *used,
                          int timeout_ms)
{
    for (int waited = 0; waited <= timeout_ms; waited++) {
        if (raw_ring_get_used(&front->rings[queue], used))
            return true;
        poll(NULL, 0, 1);
    }
    return false;
}

uint16_t front_complete(struct raw_frontend *front, uint32_t queue)
{
    struct raw_used used = {0};

    if (!look_for_used(front, queue, &used, PATIENCE_MS))
        fail_msg("nothing is used in queue %u", queue);
    return (uint16_t)used.id;
}

bool front_completes(struct raw_frontend *front, uint32_t queue)
{
    struct raw_used used;

    return look_for_used(front, queue, &used, 100);
}

bool front_triggered(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint64_t count;

    return poll(&poll_fd, 1, timeout_ms) == 1 && read(fd, &count, sizeof(count)) > 0;
}

/* Other bytes each time, so that nothing old is taken for them. */
void front_expect_works(struct raw_frontend *front, uint32_t queue)
{
    static unsigned times;
    unsigned char expected[FRONT_DATA_BYTES];

    memset(expected, (int)(++times % 251 + 1), sizeof(expected));
    memcpy(front_data(front, queue, 0), expected, sizeof(expected));
    front_publish(front, queue, 0, VIRTIO_BLK_T_OUT, 8 + queue * 8);
    front_kick(front, queue);
    assert_int_equal(front_complete(front, queue), 0);
    assert_int_equal(front_status_byte(front, queue, 0), VIRTIO_BLK_S_OK);
    memset(front_data(front, queue, 3), 0, FRONT_DATA_BYTES);
    front_publish(front, queue, 3, VIRTIO_BLK_T_IN, 8 + queue * 8);
    front_kick(front, queue);
    assert_int_equal(front_complete(front, queue), 3);
    assert_int_equal(front_status_byte(front, queue, 3), VIRTIO_BLK_S_OK);
    assert_memory_equal(front_data(front, queue, 3), expected, sizeof(expected));
}

void front_break(struct raw_frontend *front, uint32_t queue)
{
    struct raw_piece piece = {FRONT_GUEST + FRONT_MEMORY_BYTES, 16, RAW_READ};

    raw_ring_publish(&front->rings[queue], 0, &piece, 1);
    front_kick(front, queue);
}
