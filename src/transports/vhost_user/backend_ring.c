/* SPDX-License-Identifier: MIT */
/* Rings: what is said about them, where they begin and where they stop. */
#include "core/ordering.h"
#include "transports/vhost_user/backend.h"

#define FIRST_ROUND 0x8000u /* Wrap counter of a position in a packed ring. */

bool l4vio_vhost_back_ring_runs(const struct l4vio_served_client *client, uint32_t index)
{
    return l4vio_device_queue(client->device, index) != NULL;
}

static bool is_enabled(const struct l4vio_served_client *client, uint32_t index)
{
    const struct l4vio_vhost_served *own = l4vio_vhost_served(client);

    return own->rings[index].enabled || !(own->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1u);
}

bool l4vio_vhost_back_rings_busy(const struct l4vio_served_client *client)
{
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        if (l4vio_vhost_back_ring_runs(client, i) && is_enabled(client, i))
            return true;
    }
    return false;
}

static struct l4vio_vhost_ring *find_ring(const struct l4vio_served_client *client, uint32_t index,
                                          struct l4vio_error *error)
{
    if (index < l4vio_vhost_back_queues(client))
        return &l4vio_vhost_served(client)->rings[index];
    l4vio_fail(error, L4VIO_ERANGE, "no such ring", index);
    return NULL;
}

/*
 * Front ends that know no wrap counters say 0 for a fresh packed ring, which also is a place in every second
 * round. A ring that is there has used at least one descriptor of the round before, which a fresh ring has
 * not.
 */
static bool is_fresh(const struct l4vio_device *device, uint64_t address, uint32_t size)
{
    const struct virtq_packed_desc *desc =
        l4vio_device_memory_translate(&device->memory, address, (uint64_t)size * sizeof(*desc));

    if (!desc || address % sizeof(*desc))
        return false;
    for (uint32_t i = 0; i < size; i++) {
        if (l4vio_load16(&desc[i].flags) & VIRTQ_PACKED_DESC_F_USED)
            return false;
    }
    return true;
}

static void find_place(const struct l4vio_served_client *client,
                       const struct l4vio_vhost_ring *ring, const struct l4vio_queue_setup *setup,
                       struct l4vio_device_queue_resume *resume)
{
    resume->avail = ring->avail;
    resume->used = ring->used;
    if (ring->used_known)
        return;
    if (!l4vio_vhost_back_packed(client)) {
        resume->used_in_ring = true;
        return;
    }
    /* Used like available: a ring stops with nothing in flight. */
    if (ring->avail == 0 && is_fresh(client->device, setup->desc_address, ring->size))
        resume->avail = FIRST_ROUND;
    resume->used = resume->avail;
}

/*
 * The record of the ring, if there is one. QEMU asks for records of its own queue size, and a guest may take
 * larger rings (over virtio-mmio): those have none, and neither has whoever takes over.
 */
static void find_record(const struct l4vio_served_client *client, uint32_t index,
                        struct l4vio_device_queue_resume *resume)
{
    const struct l4vio_vhost_record *record = &l4vio_vhost_served(client)->record;

    if (!record->mapping || index >= record->queues ||
        l4vio_vhost_served(client)->rings[index].size > record->queue_size)
        return;
    resume->in_flight = record->base + index * record->queue_bytes;
    resume->in_flight_bytes = record->queue_bytes;
    resume->in_flight_slots = record->slots + (size_t)index * record->queue_size;
}

static int set_up(struct l4vio_served_client *client, uint32_t index, struct l4vio_error *error)
{
    const struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    const struct l4vio_vhost_ring *ring = &own->rings[index];
    struct l4vio_queue_setup setup = {.size = (uint16_t)ring->size,
                                      .driver_notify_index = (uint16_t)index,
                                      .device_notify_index = (uint16_t)index};
    struct l4vio_device_queue_resume resume = {0};

    if (l4vio_client_lost_memory(client))
        return l4vio_fail(error, L4VIO_EFAULT, "memory was cut short and not told anew", 0);
    if (!l4vio_vhost_back_translate(client, ring->addresses.desc_user_addr, &setup.desc_address) ||
        !l4vio_vhost_back_translate(client, ring->addresses.avail_user_addr,
                                    &setup.avail_address) ||
        !l4vio_vhost_back_translate(client, ring->addresses.used_user_addr, &setup.used_address))
        return l4vio_fail(error, L4VIO_EFAULT, "an address outside the memory that was told",
                          ring->addresses.desc_user_addr);
    find_place(client, ring, &setup, &resume);
    find_record(client, index, &resume);
    int result = l4vio_device_resume_queue(client->device, index, &setup, &resume, error);
    if (result == L4VIO_OK && resume.in_flight) {
        l4vio_vhost_served(client)->record.used = true;
        l4vio_vhost_served(client)->rings[index].recorded = true;
    }
    return result;
}

static void start(struct l4vio_served_client *client, uint32_t index)
{
    struct l4vio_vhost_served *own = l4vio_vhost_served(client);
    struct l4vio_vhost_ring *ring = &own->rings[index];
    struct l4vio_error error = {0};

    if (l4vio_vhost_back_ring_runs(client, index) || ring->kick < 0 || !ring->has_addresses ||
        ring->size == 0 || ring->changing)
        return;
    ring->was_reset = false;
    int result = set_up(client, index, &error);
    if (result < 0 && !ring->told && own->rings_told++ < L4VIO_VHOST_REFUSALS_TOLD)
        l4vio_server_log(client->server, "client %u: ring %u cannot run: %s (%llu)",
                         client->generation, index, error.text ? error.text : "?",
                         (unsigned long long)error.value);
    ring->told = result < 0;
}

void l4vio_vhost_back_rings_start(struct l4vio_served_client *client)
{
    uint32_t dead = VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED;
    uint32_t status = l4vio_private_load32(&client->device->status);

    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        if ((status & VIRTIO_STATUS_FEATURES_OK) && !(status & dead))
            start(client, i);
        client->queues[i].off = !is_enabled(client, i);
    }
}

void l4vio_vhost_back_ring_stop(struct l4vio_served_client *client, uint32_t index)
{
    struct l4vio_vhost_ring *ring = &l4vio_vhost_served(client)->rings[index];
    const struct l4vio_device_queue *queue = l4vio_device_queue(client->device, index);

    if (!queue)
        return;
    l4vio_device_queue_position(queue, &ring->avail, &ring->used);
    ring->used_known = true;
    l4vio_device_reset_queue(client->device, index);
}

void l4vio_vhost_back_rings_stop(struct l4vio_served_client *client)
{
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++)
        l4vio_vhost_back_ring_stop(client, i);
}

/* What it runs with changes: it waits for SET_VRING_KICK, or to be enabled. */
static void begin_change(struct l4vio_served_client *client, uint32_t index)
{
    struct l4vio_vhost_ring *ring = &l4vio_vhost_served(client)->rings[index];

    ring->told = false;
    if (!l4vio_vhost_back_ring_runs(client, index))
        return;
    l4vio_vhost_back_ring_stop(client, index);
    ring->changing = true;
}

int l4vio_vhost_back_set_vring_num(struct l4vio_served_client *client,
                                   struct l4vio_vhost_message *message,
                                   struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_vring_state *state = &message->u.state;
    struct l4vio_vhost_ring *ring = find_ring(client, state->index, error);

    (void)reply;
    if (!ring)
        return L4VIO_ERANGE;
    if (state->num == 0 || state->num > client->device->config.queue_size_max)
        return l4vio_fail(error, L4VIO_EINVAL, "a ring of a size that the device has not",
                          state->num);
    begin_change(client, state->index);
    ring->size = state->num;
    return L4VIO_OK;
}

/* The same again, but for the log: that alone changes. Others while it runs: it goes on where it is. */
int l4vio_vhost_back_set_vring_addr(struct l4vio_served_client *client,
                                    struct l4vio_vhost_message *message,
                                    struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_vring_addr *told = &message->u.addr;
    struct l4vio_vhost_ring *ring = find_ring(client, told->index, error);

    (void)reply;
    if (!ring)
        return L4VIO_ERANGE;
    bool same = ring->has_addresses && ring->addresses.desc_user_addr == told->desc_user_addr &&
                ring->addresses.avail_user_addr == told->avail_user_addr &&
                ring->addresses.used_user_addr == told->used_user_addr;
    if (!same)
        l4vio_vhost_back_ring_stop(client, told->index);
    ring->addresses = *told;
    ring->has_addresses = true;
    ring->told = false;
    l4vio_vhost_back_apply_log(client);
    return L4VIO_OK;
}

static uint32_t base_of(const struct l4vio_served_client *client,
                        const struct l4vio_vhost_ring *ring)
{
    return ring->avail | (l4vio_vhost_back_packed(client) ? (uint32_t)ring->used << 16 : 0u);
}

/* Whether a ring that has stopped is to go on somewhere else: a driver has begun it anew. */
static bool begins_elsewhere(const struct l4vio_served_client *client,
                             const struct l4vio_vhost_ring *ring, uint32_t position)
{
    uint32_t stopped_at = base_of(client, ring);

    return position > UINT16_MAX ? position != stopped_at : position != (stopped_at & UINT16_MAX);
}

/*
 * A packed ring's word has both positions; who knows of one only leaves the upper half 0. What is recorded of a
 * ring that begins somewhere else is of the ring that was there before.
 */
int l4vio_vhost_back_set_vring_base(struct l4vio_served_client *client,
                                    struct l4vio_vhost_message *message,
                                    struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_vring_state *state = &message->u.state;
    struct l4vio_vhost_ring *ring = find_ring(client, state->index, error);
    bool packed = l4vio_vhost_back_packed(client);

    (void)reply;
    if (!ring)
        return L4VIO_ERANGE;
    if (!packed && state->num > UINT16_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "a position outside the ring", state->num);
    begin_change(client, state->index);
    if (begins_elsewhere(client, ring, state->num))
        l4vio_vhost_back_forget_ring_inflight(client, state->index);
    ring->was_reset = false;
    ring->avail = (uint16_t)state->num;
    ring->used = (uint16_t)(state->num >> 16);
    ring->used_known = packed && ring->used != 0;
    return L4VIO_OK;
}

/*
 * All that was said about a ring is forgotten. QEMU 7.2 resets the status when its machine halts or moves, asks for
 * the positions only then, and goes on from there.
 */
void l4vio_vhost_back_ring_reset(struct l4vio_served_client *client, uint32_t index)
{
    struct l4vio_vhost_ring *ring = &l4vio_vhost_served(client)->rings[index];

    if (l4vio_vhost_back_ring_runs(client, index)) {
        l4vio_vhost_back_ring_stop(client, index);
        ring->reset_at = base_of(client, ring);
        ring->was_reset = true;
    }
    l4vio_vhost_back_drop_kick(client, index);
    ring->enabled = ring->has_addresses = ring->used_known = ring->changing = false;
    ring->size = 0;
    ring->avail = ring->used = 0;
}

int l4vio_vhost_back_get_vring_base(struct l4vio_served_client *client,
                                    struct l4vio_vhost_message *message,
                                    struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_vring_state *state = &message->u.state;
    struct l4vio_vhost_ring *ring = find_ring(client, state->index, error);

    if (!ring)
        return L4VIO_ERANGE;
    l4vio_vhost_back_ring_stop(client, state->index);
    l4vio_vhost_back_drop_kick(client, state->index);
    ring->changing = false;
    reply->u.state.index = state->index;
    reply->u.state.num = ring->was_reset ? ring->reset_at : base_of(client, ring);
    reply->header.size = sizeof(reply->u.state);
    return L4VIO_VHOST_REPLY;
}

int l4vio_vhost_back_set_vring_enable(struct l4vio_served_client *client,
                                      struct l4vio_vhost_message *message,
                                      struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    const struct vhost_user_vring_state *state = &message->u.state;
    struct l4vio_vhost_ring *ring = find_ring(client, state->index, error);

    (void)reply;
    if (!ring)
        return L4VIO_ERANGE;
    if (state->num > 1)
        return l4vio_fail(error, L4VIO_EINVAL, "neither enabled nor disabled", state->num);
    ring->enabled = state->num;
    ring->changing = ring->changing && !ring->enabled;
    return L4VIO_OK;
}

/* An old message, which some took for a reset: what all agree about is that no ring is worked on. */
int l4vio_vhost_back_reset_owner(struct l4vio_served_client *client,
                                 struct l4vio_vhost_message *message,
                                 struct l4vio_vhost_message *reply, struct l4vio_error *error)
{
    (void)message;
    (void)reply;
    (void)error;
    for (uint32_t i = 0; i < l4vio_vhost_back_queues(client); i++) {
        begin_change(client, i);
        l4vio_vhost_served(client)->rings[i].enabled = false;
    }
    return L4VIO_OK;
}
