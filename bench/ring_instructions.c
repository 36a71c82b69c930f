/* SPDX-License-Identifier: MIT */
/*
 * The cost of a request in the driver's ring code, in instructions: add, publish and get_used, with
 * the loop of the caller.
 *
 *   ring_instructions                    the table; scripts/bench-instructions keeps it
 *   ring_instructions ROW ROUNDS         one row, counted from 0, to be counted by something else
 *
 * A batch is published once; it is added by one call or by one per request, and taken by as many.
 * Counting is done by valgrind (callgrind), so the figures are the same on every run. The device side
 * (support/ring_device.h) is not counted; it completes in order, one used entry for each request, or
 * with "batched" one for all that it finds.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <l4vio/queue.h>

#include "support/ring_device.h"

#define SIZE          256
#define BATCH_MAX     64
#define BUFFERS_MAX   8
#define TABLE_ENTRIES 4
#define ROUNDS        300u

struct ring {
    struct l4vio_queue queue;
    struct l4vio_queue_slot slots[SIZE];
    _Alignas(64) unsigned char memory[16 * SIZE + 2 * SIZE + 8 * SIZE + 256];
    _Alignas(64) unsigned char tables[16 * SIZE * TABLE_ENTRIES];
    struct ring_device device;
};

static struct ring ring;

/* What the columns `ring` and `features` say. */
struct variant {
    const char *ring;
    const char *features;
    int bits[3]; /* L4VIO_F_ numbers; 0 (NOTIFY_ON_EMPTY of devices, not ours) ends them. */
    bool batched;
};

struct row {
    const struct variant *variant;
    unsigned batch;
    unsigned calls;
    unsigned buffers;
};

static const struct variant split = {"split", "none", {0}, false};
static const struct variant split_in_order = {"split", "in_order", {L4VIO_F_IN_ORDER}, false};
static const struct variant split_batched = {"split", "in_order batched", {L4VIO_F_IN_ORDER}, true};
static const struct variant split_event_idx = {"split", "event_idx", {L4VIO_F_EVENT_IDX}, false};
static const struct variant split_indirect = {"split", "indirect", {L4VIO_F_INDIRECT_DESC}, false};
static const struct variant split_platform = {
    "split", "order_platform", {L4VIO_F_ORDER_PLATFORM}, false};
static const struct variant packed = {"packed", "none", {L4VIO_F_RING_PACKED}, false};
static const struct variant packed_in_order = {
    "packed", "in_order", {L4VIO_F_RING_PACKED, L4VIO_F_IN_ORDER}, false};
static const struct variant packed_batched = {
    "packed", "in_order batched", {L4VIO_F_RING_PACKED, L4VIO_F_IN_ORDER}, true};
static const struct variant packed_event_idx = {
    "packed", "event_idx", {L4VIO_F_RING_PACKED, L4VIO_F_EVENT_IDX}, false};
static const struct variant packed_indirect = {
    "packed", "indirect", {L4VIO_F_RING_PACKED, L4VIO_F_INDIRECT_DESC}, false};

static const struct row rows[] = {
    {&split, 1, 1, 1},
    {&split, 8, 1, 1},
    {&split, 32, 1, 1},
    {&split, 32, 32, 1},
    {&split, 1, 1, 3},
    {&split, 8, 1, 3},
    {&split, 32, 1, 3},
    {&split, 32, 32, 3},
    {&split_in_order, 1, 1, 1},
    {&split_in_order, 8, 1, 1},
    {&split_in_order, 32, 1, 1},
    {&split_in_order, 32, 32, 1},
    {&split_in_order, 32, 1, 3},
    {&split_batched, 8, 1, 1},
    {&split_batched, 32, 1, 1},
    {&split_event_idx, 32, 1, 1},
    {&split_indirect, 1, 1, 3},
    {&split_indirect, 32, 1, 1},
    {&split_indirect, 32, 1, 3},
    {&split_platform, 32, 1, 1},
    {&packed, 1, 1, 1},
    {&packed, 8, 1, 1},
    {&packed, 32, 1, 1},
    {&packed, 32, 32, 1},
    {&packed, 1, 1, 3},
    {&packed, 8, 1, 3},
    {&packed, 32, 1, 3},
    {&packed, 32, 32, 3},
    {&packed_in_order, 1, 1, 1},
    {&packed_in_order, 8, 1, 1},
    {&packed_in_order, 32, 1, 1},
    {&packed_in_order, 32, 32, 1},
    {&packed_in_order, 32, 1, 3},
    {&packed_batched, 8, 1, 1},
    {&packed_batched, 32, 1, 1},
    {&packed_event_idx, 32, 1, 1},
    {&packed_indirect, 1, 1, 3},
    {&packed_indirect, 32, 1, 1},
    {&packed_indirect, 32, 1, 3},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void set_up(const struct variant *variant)
{
    struct l4vio_virtqueue_layout layout;
    struct l4vio_queue_config config = {.size = SIZE, .slots = ring.slots};

    for (const int *bit = variant->bits; *bit; bit++)
        l4vio_features_set(&config.features, (unsigned)*bit);
    if (l4vio_virtqueue_layout_for(SIZE, &config.features, &layout) < 0 ||
        layout.size_bytes > sizeof(ring.memory))
        abort();
    config.desc = ring.memory + layout.desc_offset;
    config.avail = ring.memory + layout.avail_offset;
    config.used = ring.memory + layout.used_offset;
    config.indirect =
        (struct l4vio_indirect_tables){.memory = ring.tables, .entries = TABLE_ENTRIES};
    if (l4vio_queue_init(&ring.queue, &config, NULL) < 0)
        abort();
    ring.device = (struct ring_device){
        .size = SIZE,
        .batched = variant->batched,
        .packed = l4vio_features_has(&config.features, L4VIO_F_RING_PACKED),
        .desc = config.desc,
        .avail = config.avail,
        .used = config.used,
    };
}

__attribute__((noinline)) static void device_side(void)
{
    ring_device_complete(&ring.device);
}

/* A batch by one call. */
__attribute__((noinline)) static void rounds_of_batches(const struct l4vio_request *requests,
                                                        unsigned batch, unsigned rounds)
{
    struct l4vio_completion done[BATCH_MAX];

    for (unsigned i = 0; i < rounds; i++) {
        if (l4vio_queue_add(&ring.queue, requests, batch) != (int)batch)
            abort();
        l4vio_queue_publish(&ring.queue);
        device_side();
        if (l4vio_queue_get_used(&ring.queue, done, batch) != (int)batch)
            abort();
    }
}

/* One call per request. */
__attribute__((noinline)) static void rounds_of_singles(const struct l4vio_request *requests,
                                                        unsigned batch, unsigned rounds)
{
    struct l4vio_completion done;

    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned at = 0; at < batch; at++)
            if (l4vio_queue_add(&ring.queue, &requests[at], 1) != 1)
                abort();
        l4vio_queue_publish(&ring.queue);
        device_side();
        for (unsigned at = 0; at < batch; at++)
            if (l4vio_queue_get_used(&ring.queue, &done, 1) != 1)
                abort();
    }
}

static void run(const struct row *row, unsigned rounds)
{
    struct l4vio_buffer list[BUFFERS_MAX];
    struct l4vio_request requests[BATCH_MAX];

    for (unsigned i = 0; i < row->buffers; i++)
        list[i] = (struct l4vio_buffer){.address = 4096u * i, .length_bytes = 512};
    for (unsigned i = 0; i < row->batch; i++)
        requests[i] = (struct l4vio_request){
            .buffers = list,
            .readable = (uint16_t)(row->buffers - 1u),
            .writable = 1,
            .cookie = &requests[i],
        };
    set_up(row->variant);
    if (row->calls == 1)
        rounds_of_batches(requests, row->batch, rounds);
    else
        rounds_of_singles(requests, row->batch, rounds);
}

/* callgrind writes what it has counted, and starts anew, when this returns. */
__attribute__((noinline)) static void counted(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Every row twice: of the difference nothing is left that is done once. */
static void run_all(void)
{
    for (unsigned i = 0; i < ROWS; i++) {
        run(&rows[i], ROUNDS);
        counted();
        run(&rows[i], 2 * ROUNDS);
        counted();
    }
}

/* Instructions in one file of callgrind, or less than 0. */
static long long total_of(const char *directory, unsigned number)
{
    char path[256];
    char line[256];
    long long total = -1;
    snprintf(path, sizeof(path), "%s/out.%u", directory, number);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, "summary:", 8) == 0 || strncmp(line, "totals:", 7) == 0)
            total = strtoll(strchr(line, ':') + 1, NULL, 10);
    fclose(file);
    return total;
}

static int count_all(const char *self, const char *directory)
{
    char command[1024];
    snprintf(
        command, sizeof(command),
        "valgrind --tool=callgrind '--callgrind-out-file=%s/out' --dump-after=counted "
        "'--toggle-collect=rounds_of*' --toggle-collect=device_side '%s' all 0 >/dev/null 2>&1",
        directory, self);
    return system(command);
}

static void remove_all(const char *directory)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;
    char path[512];
    while (entries && (entry = readdir(entries))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    if (entries)
        closedir(entries);
    rmdir(directory);
}

/* Figures of another machine or compiler cannot be compared. */
static void print_compiler(void)
{
    struct utsname name;
    if (uname(&name) < 0)
        abort();
#if defined(__clang__)
    printf("# %s clang %d\n", name.machine, __clang_major__);
#else
    printf("# %s gcc %d\n", name.machine, __GNUC__);
#endif
}

static int print_table(const char *self)
{
    char directory[] = "/tmp/l4vio-instructions-XXXXXX";
    int status = 0;
    if (!mkdtemp(directory))
        return 2;
    if (count_all(self, directory) != 0)
        status = 77;

    if (status == 0) {
        print_compiler();
        printf("ring\tfeatures\tbatch\tcalls\tinstructions_per_request\tbuffers\n");
    }
    for (unsigned i = 0; i < ROWS && status == 0; i++) {
        long long less = total_of(directory, 2 * i + 1);
        long long more = total_of(directory, 2 * i + 2);
        if (less < 0 || more < 0)
            status = 77;
        else
            printf("%s\t%s\t%u\t%u\t%.1f\t%u\n", rows[i].variant->ring, rows[i].variant->features,
                   rows[i].batch, rows[i].calls, (double)(more - less) / ROUNDS / rows[i].batch,
                   rows[i].buffers);
    }
    if (status)
        fprintf(stderr, "valgrind is missing or failed\n");
    remove_all(directory);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return print_table(argv[0]);
    if (strcmp(argv[1], "all") == 0) {
        run_all();
        return 0;
    }
    unsigned long row = strtoul(argv[1], NULL, 0);
    if (row >= ROWS)
        return 2;
    run(&rows[row], (unsigned)strtoul(argv[2], NULL, 0));
    return 0;
}
