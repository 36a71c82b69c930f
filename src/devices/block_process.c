/* SPDX-License-Identifier: MIT */
/* Moves requests from the ring to the store and results back. */
#include "devices/block.h"

#include "core/ordering.h"

/* Results that are shown to the driver at once while more requests are being taken. */
#define PUBLISH_BATCH 32u

void l4vio_block_queue_init(struct l4vio_device_block *block, uint32_t queue)
{
    const struct l4vio_device_block_config *config = &block->config;
    struct l4vio_device_block_queue *state = &config->queues[queue];
    *state = (struct l4vio_device_block_queue){
        .requests = config->requests + (size_t)queue * config->requests_per_queue,
        .request_count = config->requests_per_queue,
    };
    state->last = &state->finished;
    for (unsigned i = 0; i < state->request_count; i++) {
        struct l4vio_device_block_request *request = &state->requests[i];
        request->block = block;
        request->queue = queue;
        request->next = state->free;
        state->free = request;
    }
}

void l4vio_device_block_set_lane(struct l4vio_device_block *block, uint32_t queue,
                                 struct l4vio_block_lane *lane)
{
    if (queue < block->config.queue_count)
        block->config.queues[queue].lane = lane;
}

unsigned l4vio_device_block_in_flight(const struct l4vio_device_block *block, uint32_t queue)
{
    return queue < block->config.queue_count ? block->config.queues[queue].in_flight : 0;
}

static void release(struct l4vio_device_block_queue *state,
                    struct l4vio_device_block_request *request)
{
    request->next = state->free;
    state->free = request;
    state->in_flight--;
}

/* The ring, if the driver may still be answered there. */
static struct l4vio_device_queue *live_ring(struct l4vio_device_block *block, uint32_t queue)
{
    if (block->config.queues[queue].stopping || !l4vio_device_live(&block->device))
        return NULL;
    return l4vio_device_queue(&block->device, queue);
}

/*
 * The result of a request. Who logs wants to see the chain as it was taken: with the status byte. Results
 * that are dropped are logged, too: data may have been written.
 */
static struct l4vio_device_used result_of(struct l4vio_device_block_request *request)
{
    struct l4vio_device_chain *chain = &request->chain;
    const struct l4vio_device_queue *queue =
        &request->block->device.config.queues[request->queue].queue;
    uint32_t written_bytes = l4vio_block_request_account(request);
    if (__builtin_expect(queue->log != NULL, 0))
        l4vio_block_request_return_status(request);
    return l4vio_device_chain_used(queue, chain, written_bytes);
}

/* Hands finished requests back in one go; returns their number. Without a ring they are dropped. */
static unsigned publish(struct l4vio_device_block *block, uint32_t queue)
{
    struct l4vio_device_block_queue *state = &block->config.queues[queue];
    struct l4vio_device_queue *ring = live_ring(block, queue);
    struct l4vio_device_used used[PUBLISH_BATCH];
    unsigned total = 0;
    while (state->finished) {
        unsigned count = 0;
        for (; state->finished && count < PUBLISH_BATCH; count++) {
            struct l4vio_device_block_request *request = state->finished;
            state->finished = request->next;
            if (ring)
                l4vio_store8(request->status_byte, request->status);
            used[count] = result_of(request);
            release(state, request);
        }
        if (ring)
            l4vio_device_queue_finish(ring, used, count);
        total += count;
    }
    state->last = &state->finished;
    return ring ? total : 0;
}

static void finish(struct l4vio_device_block_request *request)
{
    struct l4vio_device_block *block = request->block;
    struct l4vio_device_block_queue *state = &block->config.queues[request->queue];
    request->next = NULL;
    *state->last = request;
    state->last = &request->next;
    /* A lane may serve several queues: nobody may come by for this one. */
    if (!state->processing && publish(block, request->queue))
        l4vio_device_notify(&block->device, request->queue);
}

/*
 * Gives operations to the store until one stays there. A store that is done at once only leaves its
 * result, so that many records do not nest.
 */
static void submit(struct l4vio_device_block_request *request)
{
    const struct l4vio_block_backend *store = &request->block->config.backend;
    struct l4vio_block_lane *lane = request->block->config.queues[request->queue].lane;
    enum l4vio_block_step step = L4VIO_BLOCK_STEP_SUBMIT;
    while (step == L4VIO_BLOCK_STEP_SUBMIT) {
        request->submitting = true;
        request->completed = false;
        store->ops->submit(store->self, lane, &request->io);
        request->submitting = false;
        if (!request->completed)
            return;
        step = l4vio_block_request_continue(request, request->result);
    }
    finish(request);
}

static void done(struct l4vio_block_io *io, int result)
{
    struct l4vio_device_block_request *request = io->context;
    if (request->submitting) {
        request->result = result;
        request->completed = true;
        return;
    }
    if (l4vio_block_request_continue(request, result) == L4VIO_BLOCK_STEP_SUBMIT)
        submit(request);
    else
        finish(request);
}

/* Takes one chain and starts it; whether to go on. `work_bytes` grows by what the store has to do. */
static bool take(struct l4vio_device_block *block, struct l4vio_device_block_queue *state,
                 struct l4vio_device_queue *ring, uint64_t *work_bytes)
{
    struct l4vio_device_block_request *request = state->free;
    if (!request || l4vio_device_queue_next(ring, &request->chain, request->segments,
                                            L4VIO_DEVICE_BLOCK_CHAIN_MAX) <= 0)
        return false;
    state->free = request->next;
    state->in_flight++;
    request->io.done = done;
    request->io.context = request;
    switch (l4vio_block_request_prepare(request)) {
    case L4VIO_BLOCK_STEP_SUBMIT:
        *work_bytes += l4vio_block_request_work(request);
        submit(request);
        return true;
    case L4VIO_BLOCK_STEP_ANSWER:
        finish(request);
        return true;
    case L4VIO_BLOCK_STEP_BROKEN:
        break;
    }
    struct l4vio_error error;
    l4vio_fail(&error, L4VIO_EBADPROTO, "a block request without a status byte",
               request->chain.head);
    release(state, request);
    l4vio_device_needs_reset(&block->device, &error);
    return false;
}

static unsigned take_chains(struct l4vio_device_block *block, uint32_t queue,
                            struct l4vio_device_queue *ring, unsigned max, unsigned *published)
{
    struct l4vio_device_block_queue *state = &block->config.queues[queue];
    unsigned taken = 0;
    uint64_t work_bytes = 0;
    while (taken < max && work_bytes < L4VIO_DEVICE_BLOCK_TURN_BYTES &&
           take(block, state, ring, &work_bytes)) {
        taken++;
        /* A driver that polls need not wait for the whole batch; and requests get free. */
        if (taken % PUBLISH_BATCH == 0 || !state->free)
            *published += publish(block, queue);
    }
    return taken;
}

static void flush_submissions(const struct l4vio_block_backend *store,
                              struct l4vio_block_lane *lane)
{
    if (store->ops->flush_submissions)
        store->ops->flush_submissions(store->self, lane);
}

unsigned l4vio_device_block_process(struct l4vio_device_block *block, uint32_t queue, unsigned max)
{
    const struct l4vio_block_backend *store = &block->config.backend;
    if (queue >= block->config.queue_count)
        return 0;
    struct l4vio_device_block_queue *state = &block->config.queues[queue];
    struct l4vio_device_queue *ring = live_ring(block, queue);
    unsigned taken = 0;
    unsigned published = 0;
    state->processing = true;
    if (ring)
        taken = take_chains(block, queue, ring, max, &published);
    if (taken)
        flush_submissions(store, state->lane);
    /* What completed may have gone on (write-through, more ranges): that is sent, too. */
    if (state->in_flight && store->ops->poll && store->ops->poll(store->self, state->lane, false))
        flush_submissions(store, state->lane);
    published += publish(block, queue);
    state->processing = false;
    if (published || (ring && ring->broken))
        l4vio_device_notify(&block->device, queue);
    return taken;
}

void l4vio_block_queue_stop(struct l4vio_device_block *block, uint32_t queue)
{
    const struct l4vio_block_backend *store = &block->config.backend;
    struct l4vio_device_block_queue *state = &block->config.queues[queue];
    state->stopping = true;
    publish(block, queue);
    flush_submissions(store, state->lane);
    while (state->in_flight && store->ops->poll) {
        store->ops->poll(store->self, state->lane, true);
        flush_submissions(store, state->lane);
    }
    state->stopping = false;
}
