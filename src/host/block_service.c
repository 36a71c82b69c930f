/* SPDX-License-Identifier: MIT */
/* Block devices for the clients of a server. */
#include <l4vio/block_service.h>

#include <stdlib.h>
#include <string.h>

#define QUEUES_MAX          64u
#define REQUESTS_PER_CLIENT 512u
#define REQUESTS_PER_QUEUE  128u
#define CACHE_LINE_BYTES    64u

struct block_service {
    struct l4vio_block_backend backend;
    struct l4vio_device_block_config device; /* What all devices have in common. */
};

/* One client's device and what it borrows. */
struct instance {
    struct l4vio_device_block block;
    struct l4vio_device_queue_state *queue_states;
    struct l4vio_device_block_queue *queues;
    struct l4vio_device_block_request *requests;
    struct l4vio_device_queue_slot *queue_slots;
};

static void destroy(void *self, void *instance)
{
    struct instance *own = instance;

    (void)self;
    free(own->queue_states);
    free(own->queues);
    free(own->requests);
    free(own->queue_slots);
    free(own);
}

/* Zeroed. From the start of a cache line: then queues have no line in common but their room to grow. */
static void *allocate_queues(uint32_t count, size_t size)
{
    size_t bytes = (count * size + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    void *memory = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

static struct instance *allocate(const struct l4vio_device_block_config *config)
{
    struct instance *own = calloc(1, sizeof(*own));

    if (!own)
        return NULL;
    size_t requests = (size_t)config->queue_count * config->requests_per_queue;
    own->queue_states = allocate_queues(config->queue_count, sizeof(*own->queue_states));
    own->queues = allocate_queues(config->queue_count, sizeof(*own->queues));
    own->requests = calloc(requests, sizeof(*own->requests));
    own->queue_slots =
        calloc((size_t)config->queue_count * config->queue_size_max, sizeof(*own->queue_slots));
    if (own->queue_states && own->queues && own->requests && own->queue_slots)
        return own;
    destroy(NULL, own);
    return NULL;
}

static int create(void *self, const struct l4vio_service_client *client, void **instance,
                  struct l4vio_device **device, struct l4vio_error *error)
{
    const struct block_service *service = self;
    struct l4vio_device_block_config config = service->device;
    struct instance *own = allocate(&config);

    if (!own)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    config.queue_states = own->queue_states;
    config.queues = own->queues;
    config.requests = own->requests;
    config.queue_slots = own->queue_slots;
    config.regions = client->regions;
    config.region_count = client->region_count;
    config.mapped_bytes_max = client->mapped_bytes_max;
    config.release_region = client->release_region;
    config.release_self = client->release_self;
    config.trace = client->trace;
    int result = l4vio_device_block_init(&own->block, &config, error);
    if (result < 0) {
        destroy(self, own);
        return result;
    }
    *instance = own;
    *device = &own->block.device;
    return L4VIO_OK;
}

static unsigned process(void *instance, uint32_t queue, unsigned max)
{
    struct instance *own = instance;

    return l4vio_device_block_process(&own->block, queue, max);
}

static unsigned in_flight(void *instance, uint32_t queue)
{
    const struct instance *own = instance;

    return l4vio_device_block_in_flight(&own->block, queue);
}

static bool full(void *instance, uint32_t queue)
{
    const struct instance *own = instance;

    return in_flight(instance, queue) >= own->block.config.requests_per_queue;
}

static bool awaits(void *instance, uint32_t queue)
{
    return in_flight(instance, queue) != 0;
}

/* A worker's context is its lane into the store. */
static int worker_open(void *self, void **worker, struct l4vio_error *error)
{
    const struct l4vio_block_backend *store = &((struct block_service *)self)->backend;
    struct l4vio_block_lane *lane = NULL;
    int result = L4VIO_OK;

    if (store->ops->lane_open)
        result = store->ops->lane_open(store->self, &lane, error);
    *worker = lane;
    return result;
}

static void worker_close(void *self, void *worker)
{
    const struct l4vio_block_backend *store = &((struct block_service *)self)->backend;

    if (store->ops->lane_open && store->ops->lane_close)
        store->ops->lane_close(store->self, worker);
}

static intptr_t worker_handle(void *self, void *worker)
{
    const struct l4vio_block_backend *store = &((struct block_service *)self)->backend;

    if (!store->ops->lane_open || !store->ops->lane_handle)
        return -1;
    return store->ops->lane_handle(store->self, worker);
}

static void set_worker(void *instance, uint32_t queue, void *worker)
{
    struct instance *own = instance;

    l4vio_device_block_set_lane(&own->block, queue, worker);
}

static const struct l4vio_service_ops service_ops = {
    .create = create,
    .destroy = destroy,
    .process = process,
    .in_flight = in_flight,
    .full = full,
    .worker_open = worker_open,
    .worker_close = worker_close,
    .worker_handle = worker_handle,
    .awaits = awaits,
    .set_worker = set_worker,
};

/* Requests cost memory: a client gets a fixed number of them, shared out among its queues. */
static unsigned requests_per_queue(unsigned per_client, uint32_t queues, uint16_t queue_size)
{
    unsigned requests = (per_client ? per_client : REQUESTS_PER_CLIENT) / queues;

    if (requests > REQUESTS_PER_QUEUE)
        requests = REQUESTS_PER_QUEUE;
    if (requests > queue_size)
        requests = queue_size;
    return requests ? requests : 1;
}

/* What would refuse every client is told now: makes a device for nobody. */
static int try_device(struct block_service *service, struct l4vio_error *error)
{
    static const struct l4vio_service_client nobody;
    struct l4vio_device *device = NULL;
    void *instance = NULL;
    int result = create(service, &nobody, &instance, &device, error);

    if (result < 0)
        return result;
    if (l4vio_features_has(&service->device.required, L4VIO_F_NOTIFICATION_DATA))
        result = l4vio_fail(error, L4VIO_EINVAL, "NOTIFICATION_DATA is not carried by servers", 0);
    destroy(service, instance);
    return result;
}

int l4vio_block_service_open(const struct l4vio_block_service_config *config,
                             struct l4vio_service *service, struct l4vio_error *error)
{
    const char *id = config->id ? config->id : "l4vio";
    uint32_t queues = config->queue_count ? config->queue_count : 1;
    uint16_t queue_size = config->queue_size_max ? config->queue_size_max : 256;

    if (!config->backend.ops)
        return l4vio_fail(error, L4VIO_EINVAL, "no store to serve", 0);
    if (queues > QUEUES_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "too many queues", queues);
    if (!l4vio_virtqueue_size_valid(queue_size))
        return l4vio_fail(error, L4VIO_EINVAL, "queue size is not a power of two up to 32768",
                          queue_size);
    if (strlen(id) > VIRTIO_BLK_ID_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "identity text is longer than 20 bytes", strlen(id));
    struct block_service *own = calloc(1, sizeof(*own));
    if (!own)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    own->backend = config->backend;
    own->device = (struct l4vio_device_block_config){
        .backend = config->backend,
        .read_only = config->read_only,
        .queue_count = queues,
        .queue_size_max = queue_size,
        .requests_per_queue = requests_per_queue(config->requests_per_client, queues, queue_size),
        .refused = config->refused,
        .added = config->added,
        .required = config->required,
        .logical_block_bytes = config->logical_block_bytes,
    };
    for (size_t i = 0; id[i]; i++) /* Without a NUL if it is as long as it may be. */
        own->device.id[i] = id[i];
    int result = try_device(own, error);
    if (result < 0) {
        free(own);
        return result;
    }
    *service = (struct l4vio_service){.ops = &service_ops, .self = own, .queue_count = queues};
    return L4VIO_OK;
}

void l4vio_block_service_close(struct l4vio_service *service)
{
    free(service->self);
    *service = (struct l4vio_service){0};
}
