/* SPDX-License-Identifier: MIT */
/* Records over vhost-user that outlive a connection or are for others: requests in flight, pages written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <l4vio/wire/vhost_user_inflight.h>

#include "core/ordering.h"
#include "raw_frontend.h"

#define BIT(number) (UINT64_C(1) << (number))
#define LOG_BYTES   (((FRONT_GUEST + FRONT_MEMORY_BYTES) / 4096 + 7) / 8)

/* Requests in flight. */

/* GET_INFLIGHT_FD: the descriptor, and what is said about it. */
static int get_record(struct raw_frontend *front, struct vhost_user_inflight *record)
{
    *record =
        (struct vhost_user_inflight){.num_queues = FRONT_QUEUES, .queue_size = FRONT_QUEUE_SIZE};
    front_send(front, VHOST_USER_GET_INFLIGHT_FD, 0, record, sizeof(*record), NULL, 0);
    struct l4vio_vhost_message *answer = front_receive(front, VHOST_USER_GET_INFLIGHT_FD);
    assert_int_equal(answer->header.size, sizeof(*record));
    *record = answer->u.inflight;
    assert_int_equal(record->num_queues, FRONT_QUEUES);
    assert_int_equal(record->queue_size, FRONT_QUEUE_SIZE);
    int fd = l4vio_socket_take_fd(&answer->fds);
    assert_true(fd >= 0);
    return fd;
}

static uint64_t ask_record(struct raw_frontend *front, const struct vhost_user_inflight *record,
                           uint32_t size, int fd)
{
    return front_ask(front, VHOST_USER_SET_INFLIGHT_FD, record, size, &fd, fd >= 0);
}

/* A device that takes everything and never finishes anything. */
struct glutton {
    struct l4vio_device device;
    struct l4vio_device_queue_state states[FRONT_QUEUES];
    struct l4vio_device_queue_slot slots[FRONT_QUEUES * 64];
};

static int glutton_create(void *self, const struct l4vio_service_client *client, void **instance,
                          struct l4vio_device **device, struct l4vio_error *error)
{
    struct glutton *glutton = self;
    struct l4vio_device_config config = {.device_id = 2,
                                         .queues = glutton->states,
                                         .queue_count = FRONT_QUEUES,
                                         .queue_size_max = 64,
                                         .queue_slots = glutton->slots,
                                         .regions = client->regions,
                                         .region_count = client->region_count,
                                         .mapped_bytes_max = client->mapped_bytes_max,
                                         .release_region = client->release_region,
                                         .release_self = client->release_self};
    l4vio_features_set(&config.offered, L4VIO_F_RING_PACKED);
    l4vio_features_set(&config.offered, L4VIO_F_IN_ORDER);
    l4vio_features_set(&config.offered, L4VIO_F_EVENT_IDX);
    *instance = glutton;
    *device = &glutton->device;
    return l4vio_device_init(&glutton->device, &config, error);
}

static void glutton_destroy(void *self, void *instance)
{
    (void)self;
    (void)instance;
}

static unsigned glutton_process(void *instance, uint32_t queue, unsigned max)
{
    struct glutton *glutton = instance;
    struct l4vio_device_queue *ring = l4vio_device_queue(&glutton->device, queue);
    struct l4vio_device_segment segments[8];
    struct l4vio_device_chain chain;
    unsigned taken = 0;

    while (taken < max && l4vio_device_queue_next(ring, &chain, segments, 8) == 1)
        taken++;
    return taken;
}

static const struct l4vio_service_ops glutton_ops = {
    .create = glutton_create, .destroy = glutton_destroy, .process = glutton_process};

/* In a process of its own, which will be killed. */
static pid_t start_glutton(struct raw_frontend *front)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct glutton *glutton = calloc(1, sizeof(*glutton));
        struct l4vio_server_config config = {.protocol = l4vio_vhost_user_protocol(),
                                             .path = front->server.path};
        struct l4vio_server *server = NULL;
        config.service = (struct l4vio_service){&glutton_ops, glutton, FRONT_QUEUES};
        if (glutton && l4vio_server_open(&config, &server, NULL) == 0)
            l4vio_server_run(server, NULL);
        _exit(1);
    }
    for (int i = 0; i < 5000 && access(front->server.path, F_OK) < 0; i++)
        usleep(1000);
    for (int i = 0; i < 5000 && !front_try_connect(front); i++)
        usleep(1000);
    return child;
}

/* How many entries of a queue's record say that they are in flight. */
static unsigned recorded(struct raw_frontend *front, const unsigned char *record, uint32_t queue)
{
    bool packed = front->features & FRONT_PACKED;
    uint64_t bytes = l4vio_device_inflight_bytes(FRONT_QUEUE_SIZE, packed);
    const unsigned char *region = record + queue * bytes;
    unsigned count = 0;

    const struct vhost_user_inflight_split_desc *split =
        (const void *)(region + sizeof(struct vhost_user_inflight_split));
    const struct vhost_user_inflight_packed_desc *list =
        (const void *)(region + sizeof(struct vhost_user_inflight_packed));

    for (unsigned i = 0; i < FRONT_QUEUE_SIZE; i++)
        count += l4vio_load8(packed ? &list[i].inflight : &split[i].inflight);
    return count;
}

static void up_with_record(struct raw_frontend *front, const struct vhost_user_inflight *record,
                           int fd)
{
    front_negotiate(front);
    assert_int_equal(ask_record(front, record, sizeof(*record), fd), 0);
    front_share(front);
    for (uint32_t i = 0; i < FRONT_QUEUES; i++)
        front_ring(front, i);
}

/* All that it had taken is done by its successor, and nothing twice. */
static void what_a_killed_device_had_taken_is_done(struct raw_frontend *front)
{
    struct vhost_user_inflight record;
    pid_t child = start_glutton(front);

    front_negotiate(front);
    int fd = get_record(front, &record);
    unsigned char *memory = mmap(NULL, record.mmap_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    front_hang_up(front);
    front_connect(front);
    up_with_record(front, &record, fd);
    for (uint16_t id = 0; id < 12; id += 3) {
        memset(front_data(front, 0, id), 0x40 + id, FRONT_DATA_BYTES);
        front_publish(front, 0, id, VIRTIO_BLK_T_OUT, 8u * id);
    }
    front_kick(front, 0);
    for (int i = 0; i < 5000 && recorded(front, memory, 0) < 4; i++)
        usleep(1000);
    assert_int_equal(recorded(front, memory, 0), 4);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    front_hang_up(front);

    /* Its successor is told the first position, and knows better. */
    front_start(front);
    up_with_record(front, &record, fd);
    unsigned done = 0;
    struct raw_used used;
    for (int i = 0; i < 5000 && done < 4; i++) {
        while (raw_ring_get_used(&front->rings[0], &used)) {
            unsigned chains = front->features & FRONT_SPLIT_IN_ORDER ? used.id / 3 + 1u - done : 1u;
            if (chains > 1)
                raw_ring_skip_used(&front->rings[0], chains - 1, 3 * (chains - 1));
            done += chains;
        }
        usleep(1000);
    }
    assert_int_equal(done, 4);
    for (uint16_t id = 0; id < 12; id += 3)
        assert_int_equal(front_status_byte(front, 0, id), VIRTIO_BLK_S_OK);
    front_sync(front);
    assert_int_equal(recorded(front, memory, 0), 0);
    front_expect_works(front, 0);
    front_expect_works(front, 1);
    munmap(memory, record.mmap_size);
    close(fd);
}

static void with_a_killed_device(void **state, uint64_t features)
{
    struct raw_frontend *front = front_new(features);

    (void)state;
    what_a_killed_device_had_taken_is_done(front);
    front_free(front);
}

static void split_requests_of_a_killed_device_are_done(void **state)
{
    with_a_killed_device(state, FRONT_SPLIT);
}

static void packed_requests_of_a_killed_device_are_done(void **state)
{
    with_a_killed_device(state, FRONT_PACKED);
}

static void in_order_requests_of_a_killed_device_are_done(void **state)
{
    with_a_killed_device(state, FRONT_SPLIT_IN_ORDER);
}

static void packed_in_order_requests_of_a_killed_device_are_done(void **state)
{
    with_a_killed_device(state, FRONT_PACKED_IN_ORDER);
}

static void a_record_is_kept_while_rings_stop_and_go(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_inflight record;

    front_negotiate(front);
    int fd = get_record(front, &record);
    assert_int_equal(ask_record(front, &record, VHOST_USER_INFLIGHT_BYTES, fd), 0);
    front_share(front);
    for (int i = 0; i < 5; i++) {
        front_ring(front, 0);
        front_expect_works(front, 0);
        front_stop_ring(front, 0);
    }
    close(fd);
}

/* QEMU makes records of its own queue size; over virtio-mmio guests take larger rings. */
static void a_ring_larger_than_its_record_runs_without_one(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_inflight record = {.num_queues = FRONT_QUEUES,
                                         .queue_size = FRONT_QUEUE_SIZE / 2};

    front_negotiate(front);
    front_send(front, VHOST_USER_GET_INFLIGHT_FD, 0, &record, sizeof(record), NULL, 0);
    struct l4vio_vhost_message *answer = front_receive(front, VHOST_USER_GET_INFLIGHT_FD);
    record = answer->u.inflight;
    int fd = l4vio_socket_take_fd(&answer->fds);
    assert_int_equal(ask_record(front, &record, sizeof(record), fd), 0);
    front_share(front);
    front_ring(front, 0);
    front_expect_works(front, 0);
    close(fd);
}

static void records_that_are_wrong_are_refused(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_inflight record, other;

    front_negotiate(front);
    int fd = get_record(front, &record);
    const struct vhost_user_inflight wrong[] = {
        {record.mmap_size, 0, FRONT_QUEUES + 1, FRONT_QUEUE_SIZE, 0},
        {record.mmap_size, 0, 0, FRONT_QUEUE_SIZE, 0},
        {record.mmap_size, 0, FRONT_QUEUES, 0, 0},
        {record.mmap_size, 0, FRONT_QUEUES, 128, 0},
        {record.mmap_size, 0, FRONT_QUEUES, FRONT_QUEUE_SIZE * 2, 0},
        {record.mmap_size - 1, 0, FRONT_QUEUES, FRONT_QUEUE_SIZE, 0},
        {record.mmap_size, 4, FRONT_QUEUES, FRONT_QUEUE_SIZE, 0},
        {record.mmap_size, 4096, FRONT_QUEUES, FRONT_QUEUE_SIZE, 0},
        {UINT64_MAX, UINT64_MAX - 63, FRONT_QUEUES, FRONT_QUEUE_SIZE, 0},
    };
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(ask_record(front, &wrong[i], sizeof(wrong[i]), fd), 1);
    assert_int_equal(ask_record(front, &record, sizeof(record), -1), 1);
    other = wrong[0];
    front_send(front, VHOST_USER_GET_INFLIGHT_FD, 0, &other, sizeof(other), NULL, 0);
    assert_int_equal(front_receive(front, VHOST_USER_GET_INFLIGHT_FD)->header.size, 0);
    /* Not while rings run. */
    front_share(front);
    front_ring(front, 0);
    assert_int_equal(ask_record(front, &record, sizeof(record), fd), 1);
    front_expect_works(front, 0);
    close(fd);
}

/* Pages written. */

static unsigned char *share_log(struct raw_frontend *front, uint64_t result)
{
    struct vhost_user_log log = {.mmap_size = LOG_BYTES};
    int fd = memfd_create("log", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, LOG_BYTES), 0);
    unsigned char *bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(bits, MAP_FAILED);
    front_send(front, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1);
    assert_int_equal(front_receive(front, VHOST_USER_SET_LOG_BASE)->u.u64, result);
    close(fd);
    return bits;
}

static bool page_marked(const unsigned char *bits, uint64_t address)
{
    uint64_t page = address / 4096;

    return (l4vio_load8(&bits[page / 8]) & 1u << page % 8) != 0;
}

static unsigned pages_marked(const unsigned char *bits)
{
    unsigned count = 0;

    for (uint64_t i = 0; i < LOG_BYTES; i++)
        count += (unsigned)__builtin_popcount(l4vio_load8(&bits[i]));
    return count;
}

static uint64_t features_of(const struct raw_frontend *front, bool log)
{
    return front->features | BIT(L4VIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
           (log ? BIT(VHOST_F_LOG_ALL) : 0);
}

static void exactly_the_pages_that_are_written_are_logged(void **state)
{
    struct raw_frontend *front = *state;

    front_up(front);
    unsigned char *bits = share_log(front, 0);
    front_expect_works(front, 0); /* Not yet: LOG_ALL is not set. */
    assert_int_equal(pages_marked(bits), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features_of(front, true), -1),
                     0);
    front_publish(front, 0, 6, VIRTIO_BLK_T_IN, 0);
    front_kick(front, 0);
    front_complete(front, 0);
    assert_true(page_marked(bits, front_data_address(0, 6)));        /* The data... */
    assert_true(page_marked(bits, front_data_address(0, 6) - 4096)); /* ...and the status. */
    assert_int_equal(pages_marked(bits), 2);

    /* The used ring, where it is said to lie; a packed one where it lies. */
    const uint64_t told = 0x5000;
    const uint64_t ring = front->features & FRONT_PACKED ? FRONT_GUEST : told;
    assert_int_equal(front_ask_addresses(front, 0, VHOST_VRING_F_LOG, told), 0);
    memset(bits, 0, LOG_BYTES);
    front_publish(front, 0, 6, VIRTIO_BLK_T_OUT, 0);
    front_kick(front, 0);
    front_complete(front, 0);
    front_sync(front);
    assert_true(page_marked(bits, ring));
    assert_true(page_marked(bits, front_data_address(0, 6) - 4096));
    assert_false(page_marked(bits, front_data_address(0, 6)));

    /* Off again, while the rings run. */
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features_of(front, false), -1),
                     0);
    memset(bits, 0, LOG_BYTES);
    front_expect_works(front, 0);
    front_expect_works(front, 1);
    front_sync(front);
    assert_int_equal(pages_marked(bits), 0);
    munmap(bits, LOG_BYTES);
}

static void logs_that_are_wrong_are_refused(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_log log = {.mmap_size = FRONT_MEMORY_BYTES, .mmap_offset = 4096};

    front_up(front);
    front_send(front, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &front->memory_fd, 1);
    assert_int_equal(front_receive(front, VHOST_USER_SET_LOG_BASE)->u.u64, 1);
    log.mmap_size = UINT64_MAX;
    front_send(front, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &front->memory_fd, 1);
    assert_int_equal(front_receive(front, VHOST_USER_SET_LOG_BASE)->u.u64, 1);
    front_send(front, VHOST_USER_SET_LOG_BASE, 0, &log, 8, NULL, 0);
    assert_int_equal(front_receive(front, VHOST_USER_SET_LOG_BASE)->u.u64, 1);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features_of(front, true), -1),
                     0);
    front_expect_works(front, 0);
}

/* Addresses that the log has no bit for are not its business. */
static void a_short_log_is_not_left(void **state)
{
    struct raw_frontend *front = *state;
    struct vhost_user_log log = {.mmap_size = 1};
    int fd = memfd_create("log", MFD_CLOEXEC);

    front_up(front);
    assert_int_equal(ftruncate(fd, 4096), 0);
    unsigned char *bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    front_send(front, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1);
    assert_int_equal(front_receive(front, VHOST_USER_SET_LOG_BASE)->u.u64, 0);
    assert_int_equal(front_ask_addresses(front, 0, VHOST_VRING_F_LOG, UINT64_MAX - 4095), 0);
    assert_int_equal(front_ask_u64(front, VHOST_USER_SET_FEATURES, features_of(front, true), -1),
                     0);
    front_expect_works(front, 0);
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(bits[i], 0);
    munmap(bits, 4096);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_requests_of_a_killed_device_are_done),
        cmocka_unit_test(packed_requests_of_a_killed_device_are_done),
        cmocka_unit_test(in_order_requests_of_a_killed_device_are_done),
        cmocka_unit_test(packed_in_order_requests_of_a_killed_device_are_done),
        FRONT_EVERY(a_record_is_kept_while_rings_stop_and_go),
        FRONT_EVERY(a_ring_larger_than_its_record_runs_without_one),
        FRONT_EVERY(records_that_are_wrong_are_refused),
        FRONT_EVERY(exactly_the_pages_that_are_written_are_logged),
        FRONT_ONE(logs_that_are_wrong_are_refused),
        FRONT_ONE(a_short_log_is_not_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
