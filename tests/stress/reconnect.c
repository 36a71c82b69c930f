/* SPDX-License-Identifier: MIT */
/*
 * A server that is killed again and again under load, at any time, and comes back after a while, over l4 and
 * vhost-user by turns, with ring features by chance. Every block says which write it is from: nothing that completed
 * is lost, nothing is from another place or another time, and every request ends once.
 *
 * Usage: reconnect [ROUNDS [SEED]]   (8 rounds of half a second, each with features of its own)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <l4vio/session.h>

#include "block_server.h"
#include "ring_choice.h"

#define MS UINT64_C(1000000)

enum {
    block_bytes = 4096,
    block_count = 64,
    slot_count = 24,
    queue_count = 2,
    round_ms = 500,
    words = block_bytes / 8,
};

static unsigned rounds = 8;
static unsigned seed = 1;

struct slot {
    struct l4vio_block_request request;
    struct l4vio_block_segment segment;
    unsigned block;
    uint64_t number;              /* Of the write; flush: of the last that completed before it. */
    uint64_t before[block_count]; /* Flush: what was written when it was sent. */
    unsigned submitted, done;
};

static struct {
    struct l4vio_session *session;
    struct l4vio_block *block;
    struct l4vio_region data, shared;
    struct slot slots[slot_count];
    bool busy[block_count];
    uint64_t written[block_count]; /* Number of the last write that completed. */
    uint64_t flushed[block_count]; /* And is durable. */
    uint64_t number;
    char image[64];
    char uri[128];
    unsigned choice;
    bool vhost_user;
    uint64_t reconnects, submitted_again, resumed;
} t;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whether it was told to end within so many milliseconds. */
static bool told_to_end(int control, int ms)
{
    struct pollfd fd = {.fd = control, .events = POLLIN};
    return poll(&fd, 1, ms) > 0;
}

/* Keeps a server, and kills it, until told to end: a process of its own, so that it may fork. */
static void keep(int control, int ready, const struct block_server_options *options)
{
    static struct block_server server;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    block_server_start(&server, options);
    if (write(ready, server.uri, sizeof(server.uri)) != sizeof(server.uri))
        _exit(1);
    while (!told_to_end(control, rand() % 60)) {
        block_server_kill(&server);
        if (rand() % 2)
            unlink(server.path);
        bool end = told_to_end(control, rand() % 20);
        block_server_restart(&server, options);
        if (end)
            break;
    }
    char byte;
    /* Until the end of the pipe: the client has gone. */
    while (read(control, &byte, 1) == 1)
        continue;
    block_server_stop(&server);
    _exit(0);
}

static pid_t start_keeper(int *control)
{
    struct block_server_options options = {
        .vhost_user = t.vhost_user,
        .image = t.image,
        .queue_count = queue_count,
        .added = ring_choice(t.choice),
    };
    int to[2], from[2];
    l4vio_features_clear(&options.added, L4VIO_F_NOTIFICATION_DATA);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    fflush(NULL);
    unsigned chance = (unsigned)rand();
    pid_t keeper = fork();
    assert_true(keeper >= 0);
    if (keeper == 0) {
        close(to[1]);
        close(from[0]);
        srand(chance);
        keep(to[0], from[1], &options);
    }
    close(to[0]);
    close(from[1]);
    assert_int_equal(read(from[0], t.uri, sizeof(t.uri)), sizeof(((struct block_server *)0)->uri));
    close(from[0]);
    *control = to[1];
    return keeper;
}

static void end_keeper(pid_t keeper, int control)
{
    int status = 0;
    close(control);
    assert_int_equal(waitpid(keeper, &status, 0), keeper);
    assert_int_equal(status, 0);
}

static uint64_t *words_of(const struct slot *slot)
{
    return (uint64_t *)(void *)((unsigned char *)t.data.base + slot->segment.offset_bytes);
}

static void check_block(const uint64_t *block, unsigned index)
{
    uint64_t number = block[0];
    if (number < t.written[index] || number < t.flushed[index] || number > t.number)
        fail_msg("block %u is from write %llu, not %llu (flushed: %llu), seed %u", index,
                 (unsigned long long)number, (unsigned long long)t.written[index],
                 (unsigned long long)t.flushed[index], seed);
    for (unsigned i = 1; i < words; i++)
        if (block[i] != (number ? number * block_count + index : 0))
            fail_msg("block %u, write %llu: word %u is of another, seed %u", index,
                     (unsigned long long)number, i, seed);
}

static void slot_done(struct l4vio_block_request *request, void *context)
{
    struct slot *slot = context;
    slot->done++;
    assert_int_equal(slot->done, slot->submitted);
    assert_int_equal(request->result, 0);
    if (request->type == L4VIO_BLOCK_FLUSH) {
        for (unsigned i = 0; i < block_count; i++)
            if (t.flushed[i] < slot->before[i])
                t.flushed[i] = slot->before[i];
        return;
    }
    t.busy[slot->block] = false;
    if (request->type == L4VIO_BLOCK_WRITE)
        t.written[slot->block] = slot->number;
    else
        check_block(words_of(slot), slot->block);
}

static void prepare(struct slot *slot)
{
    struct l4vio_block_request *request = &slot->request;
    unsigned kind = (unsigned)rand() % 16;
    request->type = kind < 7 ? L4VIO_BLOCK_WRITE : kind < 15 ? L4VIO_BLOCK_READ : L4VIO_BLOCK_FLUSH;
    request->segments = &slot->segment;
    request->segment_count = 1;
    request->done = slot_done;
    request->context = slot;
    if (request->type == L4VIO_BLOCK_FLUSH) {
        request->sector = 0;
        request->segment_count = 0;
        memcpy(slot->before, t.written, sizeof(slot->before));
        return;
    }
    do
        slot->block = (unsigned)rand() % block_count;
    while (t.busy[slot->block]);
    request->sector = (uint64_t)slot->block * (block_bytes / 512);
    if (request->type != L4VIO_BLOCK_WRITE) {
        memset(words_of(slot), 0xa5, block_bytes);
        return;
    }
    slot->number = ++t.number;
    words_of(slot)[0] = slot->number;
    for (unsigned i = 1; i < words; i++)
        words_of(slot)[i] = slot->number * block_count + slot->block;
}

static void submit(struct slot *slot)
{
    struct l4vio_error error = {0};
    prepare(slot);
    int result = l4vio_block_submit(t.block, (uint32_t)(slot - t.slots) % queue_count,
                                    &slot->request, &error);
    if (result == L4VIO_EAGAIN)
        return;
    if (result)
        fail_msg("submit: %d %s", result, error.text);
    slot->submitted++;
    if (slot->request.type != L4VIO_BLOCK_FLUSH)
        t.busy[slot->block] = true;
}

static void open_session(void)
{
    struct l4vio_error error = {0};
    struct l4vio_session_options options = {.queue_count = queue_count, .queue_size = 32};
    options.reconnect_ns = 60000 * MS;
    ring_choice_insist(t.choice, &options.refused, &options.required);
    /* The very first server may be a dead one. */
    uint64_t end_ns = clock_ns() + 60000 * MS;
    int result;
    do
        result = l4vio_session_open_block(t.uri, &options, &t.session, &error);
    while ((result == L4VIO_ENOENT || result == L4VIO_EPIPE) && clock_ns() < end_ns);
    if (result)
        fail_msg("open: %d %s", result, error.text);
    t.block = l4vio_session_block(t.session);
}

/* Memory is shared while nobody dies: what set-up does in the face of death is another test's business. */
static bool share_memory(void)
{
    struct l4vio_driver *driver = &t.block->driver;
    if (l4vio_driver_allocate(driver, slot_count * block_bytes, &t.data, NULL) ||
        l4vio_driver_allocate(driver, slot_count * L4VIO_BLOCK_SHARED_BYTES, &t.shared, NULL))
        return false;
    for (unsigned i = 0; i < slot_count; i++) {
        struct slot *slot = &t.slots[i];
        memset(slot, 0, sizeof(*slot));
        assert_int_equal(l4vio_block_request_init(&slot->request, &t.shared,
                                                  (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES),
                         0);
        slot->segment =
            (struct l4vio_block_segment){&t.data, (uint64_t)i * block_bytes, block_bytes};
    }
    return true;
}

static void wait_for_some(void)
{
    uint64_t deadline_ns = clock_ns() + 60000 * MS;
    int result;
    if (rand() % 2) {
        result = l4vio_session_wait(&t.session, 1, deadline_ns);
    } else {
        uint32_t queue = (uint32_t)rand() % queue_count;
        if (!l4vio_queue_in_flight(&t.block->queues[queue]))
            return;
        result = l4vio_block_wait_room(t.block, queue, deadline_ns);
    }
    if (result < 0)
        fail_msg("wait: %d", result);
}

static void load(uint64_t end_ns)
{
    while (clock_ns() < end_ns) {
        for (unsigned i = 0; i < slot_count; i++)
            if (!t.slots[i].request.in_flight && rand() % 2)
                submit(&t.slots[i]);
        for (uint32_t q = 0; q < queue_count; q++)
            assert_true(l4vio_block_poll(t.block, q, 1 + (unsigned)rand() % 32) >= 0);
        if (rand() % 4 == 0)
            wait_for_some();
    }
    for (uint32_t q = 0; q < queue_count; q++)
        assert_int_equal(l4vio_block_drain(t.block, q, clock_ns() + 60000 * MS), 0);
    for (unsigned i = 0; i < slot_count; i++)
        assert_int_equal(t.slots[i].done, t.slots[i].submitted);
}

static void check_image(void)
{
    static uint64_t block[words];
    int fd = open(t.image, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < block_count; i++) {
        assert_int_equal(pread(fd, block, block_bytes, (off_t)i * block_bytes), block_bytes);
        check_block(block, i);
        assert_int_equal(block[0], t.written[i]);
    }
    close(fd);
}

static void round_of(unsigned choice)
{
    int control;
    char text[RING_CHOICE_NAME_BYTES];
    struct l4vio_features features = ring_choice(choice);
    /* Not carried by vhost-user here. */
    if (t.vhost_user)
        l4vio_features_clear(&features, L4VIO_F_ACCESS_PLATFORM);
    t.choice = ring_choice_number(&features);
    pid_t keeper = start_keeper(&control);
    open_session();
    while (!share_memory()) {
        l4vio_session_close(t.session);
        open_session();
    }
    load(clock_ns() + round_ms * MS);
    check_image();
    t.reconnects += t.block->reconnects.count;
    t.submitted_again += t.block->reconnects.submitted_again;
    t.resumed += t.block->reconnects.resumed;
    printf("%s %s: %llu reconnects, %llu requests sent again, %llu left to a record\n",
           t.vhost_user ? "vhost-user" : "l4", ring_choice_name(t.choice, text),
           (unsigned long long)t.block->reconnects.count,
           (unsigned long long)t.block->reconnects.submitted_again,
           (unsigned long long)t.block->reconnects.resumed);
    l4vio_session_close(t.session);
    end_keeper(keeper, control);
}

static void nothing_that_completed_is_lost(void **state)
{
    (void)state;
    snprintf(t.image, sizeof(t.image), "/tmp/l4vio-test-image-XXXXXX");
    int fd = mkstemp(t.image);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)block_bytes * block_count), 0);
    close(fd);
    srand(seed);
    for (unsigned i = 0; i < rounds; i++) {
        t.vhost_user = i % 2;
        round_of((unsigned)rand() % (RING_CHOICES / 2));
    }
    unlink(t.image);
    assert_true(t.reconnects >= rounds);
    assert_true(t.submitted_again + t.resumed > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_that_completed_is_lost)};
    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seed = (unsigned)strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
