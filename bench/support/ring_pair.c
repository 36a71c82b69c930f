/* SPDX-License-Identifier: MIT */
#include "ring_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <l4vio/virtqueue.h>

#include "machine.h"

enum { line_bytes = 64, desc_bytes = 16, data_bytes = 4096 };

static const struct {
    const char *name;
    unsigned bit;
} feature_names[] = {
    {"packed", L4VIO_F_RING_PACKED},
    {"in_order", L4VIO_F_IN_ORDER},
    {"event_idx", L4VIO_F_EVENT_IDX},
    {"indirect", L4VIO_F_INDIRECT_DESC},
};
enum { feature_names_count = sizeof(feature_names) / sizeof(feature_names[0]) };

bool ring_features_parse(const char *names, struct l4vio_features *features)
{
    char text[256];
    char *rest = text;
    memset(features, 0, sizeof(*features));
    if (strlen(names) >= sizeof(text))
        return false;
    memcpy(text, names, strlen(names) + 1);
    for (char *name; (name = strsep(&rest, ","));) {
        bool known = !*name || strcmp(name, "split") == 0;
        for (unsigned i = 0; i < feature_names_count; i++) {
            if (strcmp(name, feature_names[i].name) != 0)
                continue;
            l4vio_features_set(features, feature_names[i].bit);
            known = true;
        }
        if (!known)
            return false;
    }
    return true;
}

void ring_features_name(const struct l4vio_features *features, char name[ring_name_bytes])
{
    bool packed = l4vio_features_has(features, L4VIO_F_RING_PACKED);
    size_t used = (size_t)snprintf(name, ring_name_bytes, packed ? "packed" : "split");
    for (unsigned i = 1; i < feature_names_count; i++)
        if (l4vio_features_has(features, feature_names[i].bit))
            used +=
                (size_t)snprintf(name + used, ring_name_bytes - used, ",%s", feature_names[i].name);
}

static bool uses_tables(const struct ring_shape *shape)
{
    return shape->buffers > 1 && l4vio_features_has(&shape->features, L4VIO_F_INDIRECT_DESC);
}

static unsigned entries_of(const struct ring_shape *shape)
{
    return uses_tables(shape) ? 1 : shape->buffers;
}

/* By pages, as a driver's and a device's memory is; touched, so that no page fault is measured. */
static void *pages(uint64_t size_bytes)
{
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    memset(memory, 0, size_bytes);
    return memory;
}

static uint64_t driver_slot_bytes(unsigned size)
{
    return size * sizeof(struct l4vio_queue_slot);
}

static uint64_t device_slot_bytes(unsigned size)
{
    return size * sizeof(struct l4vio_device_queue_slot);
}

static int open_driver(struct ring_pair *pair, const struct ring_shape *shape,
                       const struct l4vio_virtqueue_layout *layout, struct l4vio_error *error)
{
    struct ring_driver *driver = &pair->driver;
    unsigned char *memory = pair->memory;
    uint64_t tables = layout->size_bytes + data_bytes;
    struct l4vio_queue_config config = {
        .size = (uint16_t)shape->size,
        .desc = memory + layout->desc_offset,
        .avail = memory + layout->avail_offset,
        .used = memory + layout->used_offset,
        .desc_address = pair->device.region.device_address + layout->desc_offset,
        .avail_address = pair->device.region.device_address + layout->avail_offset,
        .used_address = pair->device.region.device_address + layout->used_offset,
        .slots = driver->slots,
        .features = shape->features,
    };
    if (uses_tables(shape))
        config.indirect = (struct l4vio_indirect_tables){
            .memory = memory + tables,
            .device_address = pair->device.region.device_address + tables,
            .entries = (uint16_t)shape->buffers,
        };
    for (unsigned i = 0; i < shape->buffers; i++)
        driver->buffers[i] = (struct l4vio_buffer){
            .address = pair->device.region.device_address + layout->size_bytes + i * line_bytes,
            .length_bytes = line_bytes,
        };
    for (unsigned i = 0; i < shape->batch; i++)
        driver->requests[i] = (struct l4vio_request){
            .buffers = driver->buffers,
            .readable = (uint16_t)(shape->buffers - 1),
            .writable = 1,
            .cookie = &driver->requests[i],
        };
    driver->batch = shape->batch;
    driver->batch_entries = shape->batch * entries_of(shape);
    driver->kicks = shape->kicks;
    return l4vio_queue_init(&driver->queue, &config, error);
}

static int open_device(struct ring_pair *pair, const struct ring_shape *shape,
                       const struct l4vio_virtqueue_layout *layout, struct l4vio_error *error)
{
    struct ring_device *device = &pair->device;
    struct l4vio_device_queue_config config = {
        .size = (uint16_t)shape->size,
        .desc_address = device->region.device_address + layout->desc_offset,
        .avail_address = device->region.device_address + layout->avail_offset,
        .used_address = device->region.device_address + layout->used_offset,
        .features = shape->features,
        .slots = device->slots,
    };
    device->batch = shape->batch;
    device->kicks = shape->kicks;
    return l4vio_device_queue_init(&device->queue, &config, &device->memory, error);
}

static void set_up_memory(struct ring_pair *pair, const struct ring_shape *shape,
                          const struct l4vio_virtqueue_layout *layout)
{
    pair->memory_bytes = layout->size_bytes + data_bytes;
    if (uses_tables(shape))
        pair->memory_bytes += (uint64_t)shape->size * shape->buffers * desc_bytes;
    pair->memory = pages(pair->memory_bytes);
    pair->private_bytes = driver_slot_bytes(shape->size) + device_slot_bytes(shape->size);
    pair->driver.slots = pages(driver_slot_bytes(shape->size));
    pair->device.slots = pages(device_slot_bytes(shape->size));
    pair->device.region = (struct l4vio_device_region){
        .device_address = 1 << 20, .size_bytes = pair->memory_bytes, .base = pair->memory};
    struct l4vio_device_region region = pair->device.region;
    l4vio_device_memory_init(&pair->device.memory, &pair->device.region, 1, 0);
    if (l4vio_device_memory_add(&pair->device.memory, &region, NULL) < 0)
        abort();
}

/* A driver's queue that has no code for tables yet takes the request as a chain. */
static bool takes_as_many_entries(struct ring_pair *pair, const struct ring_shape *shape)
{
    struct ring_driver *driver = &pair->driver;
    unsigned room = l4vio_queue_room(&driver->queue);
    if (l4vio_queue_add(&driver->queue, driver->requests, 1) != 1)
        return false;
    bool result = l4vio_queue_room(&driver->queue) + entries_of(shape) == room;
    l4vio_queue_publish(&driver->queue);
    return result && ring_device_turn(&pair->device) == 1 && ring_driver_take(driver) == 1;
}

int ring_pair_open(const struct ring_shape *shape, struct ring_pair **out,
                   struct l4vio_error *error)
{
    struct l4vio_virtqueue_layout layout;
    if (shape->batch < 1 || shape->batch > ring_batch_max || shape->buffers < 1 ||
        shape->buffers > ring_buffers_max || shape->batch * entries_of(shape) > shape->size)
        return L4VIO_EINVAL;
    int result = l4vio_virtqueue_layout_for(shape->size, &shape->features, &layout);
    if (result < 0)
        return result;
    struct ring_pair *pair = aligned_alloc(_Alignof(struct ring_pair), sizeof(*pair));
    if (!pair)
        return L4VIO_ENOMEM;
    memset(pair, 0, sizeof(*pair));
    set_up_memory(pair, shape, &layout);
    result = open_driver(pair, shape, &layout, error);
    if (result == 0)
        result = open_device(pair, shape, &layout, error);
    if (result < 0) {
        ring_pair_close(pair);
        return result;
    }
    if (!takes_as_many_entries(pair, shape)) {
        ring_pair_close(pair);
        if (error)
            *error = (struct l4vio_error){L4VIO_ENOSYS, "the driver's queue makes no tables", 0};
        return L4VIO_ENOSYS;
    }
    /* Both sides poll. */
    l4vio_queue_disarm(&pair->driver.queue);
    l4vio_device_queue_disarm(&pair->device.queue);
    *out = pair;
    return 0;
}

void ring_pair_close(struct ring_pair *pair)
{
    unsigned slots = (unsigned)(pair->private_bytes / (sizeof(struct l4vio_queue_slot) +
                                                       sizeof(struct l4vio_device_queue_slot)));
    munmap(pair->driver.slots, driver_slot_bytes(slots));
    munmap(pair->device.slots, device_slot_bytes(slots));
    munmap(pair->memory, pair->memory_bytes);
    free(pair);
}

static _Noreturn void broken(const char *side, int result)
{
    fprintf(stderr, "the %s's queue broke: %s\n", side, l4vio_error_name(result));
    exit(1);
}

bool ring_driver_add(struct ring_driver *driver)
{
    if (l4vio_queue_room(&driver->queue) < driver->batch_entries)
        return false;
    int added = l4vio_queue_add(&driver->queue, driver->requests, driver->batch);
    if (added != (int)driver->batch)
        broken("driver", added);
    l4vio_queue_publish(&driver->queue);
    /* Nobody sleeps: what is asked is what it costs to ask. */
    if (driver->kicks)
        driver->kicks_wanted += l4vio_queue_needs_kick(&driver->queue);
    return true;
}

unsigned ring_driver_take(struct ring_driver *driver)
{
    int count = l4vio_queue_get_used(&driver->queue, driver->done, driver->batch);
    if (count < 0)
        broken("driver", count);
    return (unsigned)count;
}

unsigned ring_device_turn(struct ring_device *device)
{
    struct l4vio_device_chain chain;
    unsigned count = 0;
    while (count < device->batch) {
        int result =
            l4vio_device_queue_next(&device->queue, &chain, device->segments, ring_buffers_max);
        if (result < 0)
            broken("device", result);
        if (result == 0)
            break;
        device->used[count++] = (struct l4vio_device_used){
            .head = chain.head, .entries = chain.entries, .written_bytes = 4};
    }
    if (count == 0)
        return 0;
    l4vio_device_queue_finish(&device->queue, device->used, count);
    if (device->kicks)
        device->kicks_wanted += l4vio_device_queue_needs_notify(&device->queue);
    return count;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

struct ring_alone ring_pair_alone(struct ring_pair *pair, double seconds)
{
    enum { turns_max = 2048 };
    static double driver_ns[turns_max];
    static double device_ns[turns_max];
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    uint64_t now = 0;
    unsigned turns = 0;
    for (; now < end && turns < turns_max; turns++) {
        double requests = 0;
        uint64_t start = now_ns();
        while (ring_driver_add(&pair->driver))
            requests += pair->driver.batch;
        uint64_t added = now_ns();
        while (ring_device_turn(&pair->device))
            ;
        uint64_t turned = now_ns();
        while (ring_driver_take(&pair->driver))
            ;
        now = now_ns();
        driver_ns[turns] = (double)(added - start + now - turned) / requests;
        device_ns[turns] = (double)(turned - added) / requests;
    }
    qsort(driver_ns, turns, sizeof(driver_ns[0]), compare_doubles);
    qsort(device_ns, turns, sizeof(device_ns[0]), compare_doubles);
    return (struct ring_alone){driver_ns[turns / 2], device_ns[turns / 2]};
}

static double less(double a, double b)
{
    return a < b ? a : b;
}

/*
 * A byte that one side writes and the other reads moves with its line, so a format cannot do with
 * fewer lines than its bytes fill, if both sides walk through them in order and look rarely:
 *
 * split   to the device: 16 bytes per descriptor (indirect: one, and the table) and 2 of the available
 *         ring; back: 8 of the used ring, in order once per batch. Two index fields are left out: they
 *         move whenever someone looks, and someone may look rarely.
 * packed  to the device: 16 bytes per descriptor (indirect: one, and the table); back: the line of
 *         each used descriptor, which lies where the first of the request lay: all lines of the ring
 *         if each request gets one, in order one line per batch.
 *
 * Lines that a side writes again without having read them in between need leave to do so from the
 * other one, but do not move. Suppression fields do not move while both sides poll.
 */
double ring_least_lines(const struct ring_shape *shape)
{
    double ring_bytes = desc_bytes * entries_of(shape);
    double table_bytes = uses_tables(shape) ? desc_bytes * shape->buffers : 0;
    bool in_order = l4vio_features_has(&shape->features, L4VIO_F_IN_ORDER);
    double used_per_request = in_order ? 1.0 / shape->batch : 1.0;
    if (!l4vio_features_has(&shape->features, L4VIO_F_RING_PACKED))
        return (ring_bytes + table_bytes + 2 + 8 * used_per_request) / line_bytes;
    return (ring_bytes + table_bytes) / line_bytes +
           less(used_per_request, ring_bytes / line_bytes);
}
