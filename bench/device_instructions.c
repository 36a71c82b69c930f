/* SPDX-License-Identifier: MIT */
/*
 * The cost of a chain in the device's ring code, in instructions: next for each chain, finish for the
 * batch, with the loop of the caller.
 *
 *   device_instructions                                          the table, as ring_instructions
 *   device_instructions FORMAT FEATURES BATCH BUFFERS ROUNDS     one run
 *
 * FORMAT is split or packed, FEATURES none or in_order. The driver is the library's; it and its memory
 * are not counted. All chains but every fourth are written completely, so that in order some results
 * go together and some do not.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <l4vio/device_queue.h>
#include <l4vio/queue.h>

#define SIZE         256
#define BATCH_MAX    64
#define BUFFERS_MAX  4
#define BUFFER_BYTES 512u

struct rig {
    _Alignas(64) unsigned char rings[32 * SIZE + 256];
    unsigned char data[BUFFERS_MAX * BUFFER_BYTES];
    struct l4vio_queue driver;
    struct l4vio_queue_slot driver_slots[SIZE];
    struct l4vio_device_queue device;
    struct l4vio_device_queue_slot device_slots[SIZE];
    struct l4vio_device_memory memory;
    struct l4vio_device_region regions[1];
};

static struct rig rig;

struct shape {
    const char *format;
    const char *features;
    unsigned batch;
    unsigned buffers;
};

/* Device addresses are offsets from the beginning of `rig`. */
static uint64_t address_of(const void *at)
{
    return (uint64_t)((const unsigned char *)at - (const unsigned char *)&rig);
}

static void set_up(const struct shape *shape)
{
    struct l4vio_virtqueue_layout layout;
    struct l4vio_queue_config driver = {.size = SIZE, .slots = rig.driver_slots};
    struct l4vio_device_queue_config device = {.size = SIZE, .slots = rig.device_slots};
    struct l4vio_device_region region = {.size_bytes = sizeof(rig), .base = &rig};

    if (strcmp(shape->format, "packed") == 0)
        l4vio_features_set(&driver.features, L4VIO_F_RING_PACKED);
    if (strcmp(shape->features, "in_order") == 0)
        l4vio_features_set(&driver.features, L4VIO_F_IN_ORDER);
    device.features = driver.features;
    if (l4vio_virtqueue_layout_for(SIZE, &driver.features, &layout) ||
        layout.size_bytes > sizeof(rig.rings))
        abort();
    driver.desc = rig.rings + layout.desc_offset;
    driver.avail = rig.rings + layout.avail_offset;
    driver.used = rig.rings + layout.used_offset;
    device.desc_address = address_of(driver.desc);
    device.avail_address = address_of(driver.avail);
    device.used_address = address_of(driver.used);
    l4vio_device_memory_init(&rig.memory, rig.regions, 1, 0);
    if (l4vio_device_memory_add(&rig.memory, &region, NULL) ||
        l4vio_queue_init(&rig.driver, &driver, NULL) ||
        l4vio_device_queue_init(&rig.device, &device, &rig.memory, NULL))
        abort();
}

/* What is counted. */
__attribute__((noinline)) static void device_side(unsigned batch)
{
    struct l4vio_device_used used[BATCH_MAX];
    struct l4vio_device_segment segments[BUFFERS_MAX];
    struct l4vio_device_chain chain;

    for (unsigned i = 0; i < batch; i++) {
        if (l4vio_device_queue_next(&rig.device, &chain, segments, BUFFERS_MAX) != 1)
            abort();
        used[i] = l4vio_device_chain_used(&rig.device, &chain,
                                          (uint32_t)chain.writable_bytes - (i % 4 == 3));
    }
    l4vio_device_queue_finish(&rig.device, used, batch);
}

static void run(const struct shape *shape, unsigned rounds)
{
    struct l4vio_completion done[BATCH_MAX];
    struct l4vio_buffer list[BUFFERS_MAX];
    struct l4vio_request requests[BATCH_MAX];

    for (unsigned i = 0; i < shape->buffers; i++)
        list[i] = (struct l4vio_buffer){.address = address_of(rig.data + i * BUFFER_BYTES),
                                        .length_bytes = BUFFER_BYTES};
    for (unsigned i = 0; i < shape->batch; i++)
        requests[i] = (struct l4vio_request){.buffers = list,
                                             .readable = (uint16_t)(shape->buffers - 1u),
                                             .writable = 1,
                                             .cookie = &requests[i]};
    set_up(shape);
    for (unsigned i = 0; i < rounds; i++) {
        if (l4vio_queue_add(&rig.driver, requests, shape->batch) != (int)shape->batch)
            abort();
        l4vio_queue_publish(&rig.driver);
        device_side(shape->batch);
        if (l4vio_queue_get_used(&rig.driver, done, shape->batch) != (int)shape->batch)
            abort();
    }
}

/* Instructions of one run under callgrind, or less than 0. */
static long long count(const char *self, const struct shape *shape, unsigned rounds)
{
    char command[1024];
    char line[256];
    long long total = -1;
    snprintf(command, sizeof(command),
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
             "--toggle-collect=device_side %s %s %s %u %u %u 2>&1",
             self, shape->format, shape->features, shape->batch, shape->buffers, rounds);
    FILE *output = popen(command, "r");
    if (!output)
        return -1;
    while (fgets(line, sizeof(line), output)) {
        char *collected = strstr(line, "Collected :");
        if (collected)
            total = strtoll(collected + strlen("Collected :"), NULL, 10);
    }
    return pclose(output) == 0 ? total : -1;
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

/* The columns are those of ring_instructions; a chain is taken by a call. */
static int print_table(const char *self)
{
    static const char *const formats[] = {"split", "packed"};
    static const char *const features[] = {"none", "in_order"};
    static const unsigned batches[] = {1, 32};
    static const unsigned buffers[] = {1, 3};
    const unsigned rounds = 256;

    print_compiler();
    printf("ring\tfeatures\tbatch\tcalls\tinstructions_per_request\tbuffers\n");
    for (unsigned i = 0; i < 16; i++) {
        struct shape shape = {formats[i / 8], features[i / 4 % 2], batches[i % 2],
                              buffers[i / 2 % 2]};
        /* The difference of two runs: what is done once does not count. */
        long long less = count(self, &shape, rounds);
        long long more = count(self, &shape, 2 * rounds);
        if (less < 0 || more < 0) {
            fprintf(stderr, "valgrind is missing or failed\n");
            return 77;
        }
        printf("%s\t%s\t%u\t%u\t%.1f\t%u\n", shape.format, shape.features, shape.batch, shape.batch,
               (double)(more - less) / rounds / shape.batch, shape.buffers);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return print_table(argv[0]);

    struct shape shape = {argv[1], argv[2], (unsigned)strtoul(argv[3], NULL, 0),
                          (unsigned)strtoul(argv[4], NULL, 0)};
    if (shape.batch < 1 || shape.batch > BATCH_MAX || shape.buffers < 1 ||
        shape.buffers > BUFFERS_MAX || shape.batch * shape.buffers > SIZE)
        return 2;
    run(&shape, (unsigned)strtoul(argv[5], NULL, 0));
    return 0;
}
