/* SPDX-License-Identifier: MIT */
/*
 * The cost of a block request: driver and device in one thread over the loopback transport, a store in
 * memory, 4 KiB random reads. Prints the thread's own time for adding, serving and taking a request;
 * for instructions, by function:
 *
 *   valgrind --tool=callgrind --toggle-collect=add_batch --toggle-collect=process \
 *            --toggle-collect=take_batch block_instructions 32 500
 *
 * Usage: block_instructions [BATCH [ROUNDS [STORE_MIB [FEATURE...]]]]   (32, 1000, 64)
 * With FEATUREs, or "none", the ring features are these alone.
 */
#include <l4vio/backends.h>
#include <l4vio/block.h>
#include <l4vio/device_block.h>
#include <l4vio/loopback.h>
#include <l4vio/names.h>
#include <l4vio/wire/status.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    queue_size = 512,
    batch_max = 128,
    read_bytes = 4096,
    arena_bytes = 8 << 20,
};

static struct {
    struct l4vio_loopback_platform loopback_platform;
    struct l4vio_platform platform;
    struct l4vio_loopback loopback;
    struct l4vio_device_page page;
    struct l4vio_dataspace page_memory;
    struct l4vio_device_block device;
    struct l4vio_device_queue_state states[1];
    struct l4vio_device_block_queue device_queues[1];
    struct l4vio_device_block_request device_requests[batch_max];
    struct l4vio_device_region regions[8];
    struct l4vio_block_backend store;

    struct l4vio_block block;
    struct l4vio_queue queues[1];
    struct l4vio_queue_slot slots[queue_size];
    struct l4vio_driver_notification notifications[2];
    struct l4vio_region data;
    struct l4vio_block_request requests[batch_max];
    struct l4vio_block_segment segments[batch_max];
    struct l4vio_device_queue_slot device_slots[queue_size];
    bool choose;
    struct l4vio_features chosen;
    uint64_t store_bytes;
    unsigned finished;
} rig;

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "block_instructions: %s: %s\n", what, l4vio_error_name(result));
    exit(1);
}

static void start_device(struct l4vio_transport *transport)
{
    struct l4vio_block_lane *lane = NULL;
    void *arena = aligned_alloc(4096, arena_bytes);
    rig.platform = l4vio_loopback_platform_init(&rig.loopback_platform, arena, arena_bytes);
    check(l4vio_memory_backend_open(rig.store_bytes, &rig.store, NULL), "store");
    struct l4vio_device_block_config config = {
        .backend = rig.store,
        .queue_states = rig.states,
        .queues = rig.device_queues,
        .queue_count = 1,
        .queue_size_max = queue_size,
        .requests = rig.device_requests,
        .requests_per_queue = batch_max,
        .regions = rig.regions,
        .region_count = sizeof(rig.regions) / sizeof(rig.regions[0]),
        .queue_slots = rig.device_slots,
        .added = rig.chosen,
    };
    check(l4vio_device_block_init(&rig.device, &config, NULL), "device");
    check(rig.store.ops->lane_open(rig.store.self, &lane, NULL), "lane");
    l4vio_device_block_set_lane(&rig.device, 0, lane);
    check(rig.platform.ops->dataspace_allocate(rig.platform.self, L4VIO_PAGE_BYTES,
                                               &rig.page_memory, NULL),
          "page");
    struct l4vio_device_page_config page = {
        .device = &rig.device.device,
        .page = rig.page_memory.base,
        .notification_count = 2,
        .kick_per_queue = true,
        .carries_kick_data = true,
        .trigger = l4vio_loopback_trigger,
        .trigger_self = &rig.loopback,
    };
    check(l4vio_device_page_init(&rig.page, &page, NULL), "page");
    check(l4vio_loopback_init(&rig.loopback, &rig.page, &rig.page_memory, 2, &rig.platform,
                              transport, NULL),
          "loopback");
}

static void done(struct l4vio_block_request *request, void *context)
{
    (void)context;
    check(request->result, "request");
    rig.finished++;
}

static void start_driver(const struct l4vio_transport *transport)
{
    struct l4vio_block_config config = {
        .driver.transport = *transport,
        .driver.platform = rig.platform,
        .driver.notifications = rig.notifications,
        .driver.notification_count = 2,
        .queue_count = 1,
        .queue_size = queue_size,
        .queues = rig.queues,
        .slots = rig.slots,
    };
    if (rig.choose) {
        l4vio_ring_features(&config.driver.refused);
        config.driver.refused = l4vio_features_minus(&config.driver.refused, &rig.chosen);
        config.driver.required = rig.chosen;
    }
    check(l4vio_block_setup(&rig.block, &config, NULL), "driver");
    check(l4vio_driver_allocate(&rig.block.driver,
                                batch_max * (L4VIO_BLOCK_SHARED_BYTES + read_bytes), &rig.data,
                                NULL),
          "memory");
    for (unsigned i = 0; i < batch_max; i++) {
        struct l4vio_block_request *request = &rig.requests[i];
        check(l4vio_block_request_init(request, &rig.data, (uint64_t)i * L4VIO_BLOCK_SHARED_BYTES),
              "request");
        rig.segments[i] = (struct l4vio_block_segment){
            .region = &rig.data,
            .offset_bytes = batch_max * L4VIO_BLOCK_SHARED_BYTES + (uint64_t)i * read_bytes,
            .length_bytes = read_bytes,
        };
        request->segments = &rig.segments[i];
        request->segment_count = 1;
        request->done = done;
    }
}

/* What is counted on the driver's side: the batch goes in. */
__attribute__((noinline)) static void add_batch(unsigned batch, uint64_t *random)
{
    for (unsigned i = 0; i < batch; i++) {
        *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        rig.requests[i].sector =
            (*random >> 33) % (rig.store_bytes / read_bytes) * (read_bytes / 512);
        check(l4vio_block_add(&rig.block, 0, &rig.requests[i], NULL), "add");
    }
    check(l4vio_block_kick(&rig.block, 0), "kick");
}

/* On the device's side. */
__attribute__((noinline)) static void process(unsigned batch)
{
    for (unsigned taken = 0; taken < batch;)
        taken += l4vio_device_block_process(&rig.device, 0, 32);
}

/* And the driver's again. */
__attribute__((noinline)) static void take_batch(unsigned batch)
{
    for (rig.finished = 0; rig.finished < batch;)
        check(l4vio_block_poll(&rig.block, 0, 256), "poll");
}

/* Thread time: what other programs take is not in it. */
static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    unsigned batch = argc > 1 ? (unsigned)atoi(argv[1]) : 32;
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
    rig.store_bytes = (argc > 3 ? strtoull(argv[3], NULL, 10) : 64) << 20;
    uint64_t random = 1;
    double spent[3] = {0};
    struct l4vio_transport transport;
    if (batch < 1 || batch > batch_max) {
        fprintf(stderr, "block_instructions: BATCH is 1 to %d\n", batch_max);
        return 2;
    }
    for (int i = 4; i < argc; i++) {
        int bit = l4vio_feature_by_name(VIRTIO_ID_BLOCK, argv[i]);
        rig.choose = true;
        if (bit >= 0)
            l4vio_features_set(&rig.chosen, (unsigned)bit);
        else if (strcmp(argv[i], "none") != 0)
            check(bit, argv[i]);
    }
    start_device(&transport);
    start_driver(&transport);
    if (argc > 3)
        memset(l4vio_memory_backend_bytes(&rig.store), 0x5a, rig.store_bytes);
    for (unsigned i = 0; i < rounds; i++) {
        double a = cpu_ns();
        add_batch(batch, &random);
        double b = cpu_ns();
        process(batch);
        double c = cpu_ns();
        take_batch(batch);
        spent[0] += b - a;
        spent[1] += c - b;
        spent[2] += cpu_ns() - c;
    }
    for (unsigned i = 0; i < 3; i++)
        spent[i] /= (double)batch * rounds;
    printf("%u requests; ns each: add %.0f, device %.0f, take %.0f\n", batch * rounds, spent[0],
           spent[1], spent[2]);
    return 0;
}
