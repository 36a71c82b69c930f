/* SPDX-License-Identifier: MIT */
#include "block_load.h"

#include <string.h>

#include "machine.h"

struct run {
    struct rig *rig;
    const struct peer_load *load;
    uint64_t store_bytes;
    struct rig_read reads[load_depth_max];
    struct rig_read *ready[load_depth_max];
    unsigned ready_count;
    uint32_t next; /* Random state, or the next block. */
};

static void on_done(struct l4vio_block_request *request, void *context)
{
    struct run *run = context;
    struct l4vio_error error = {0, "request failed", 0};
    rig_check(request->result, "read", &error);
    run->ready[run->ready_count++] = (struct rig_read *)(void *)request;
}

static uint64_t next_sector(struct run *run)
{
    uint32_t blocks = (uint32_t)(run->store_bytes / run->load->block_bytes);
    uint32_t block = run->load->sequential ? run->next++ % blocks : rig_random(&run->next, blocks);
    return (uint64_t)block * (run->load->block_bytes / 512);
}

/* Adds what is ready in one batch, and takes what is done. */
static uint64_t turn(void *context)
{
    struct run *run = context;
    struct l4vio_error error = {0, "", 0};
    unsigned added = run->ready_count;
    while (run->ready_count) {
        struct l4vio_block_request *request = &run->ready[--run->ready_count]->request;
        request->sector = next_sector(run);
        rig_check(l4vio_block_add(run->rig->block, 0, request, &error), "add", &error);
    }
    if (added)
        rig_check(l4vio_block_kick(run->rig->block, 0), "kick", &error);
    rig_check(l4vio_session_wait(&run->rig->session, 1, L4VIO_FOREVER), "wait", &error);
    int done = l4vio_block_poll(run->rig->block, 0, load_depth_max);
    rig_check(done, "poll", &error);
    return (uint64_t)done;
}

uint64_t load_region_bytes(const struct peer_load *load)
{
    return rig_read_bytes(load->depth, load->block_bytes);
}

double load_per_s(struct rig *rig, const struct peer_load *load, uint64_t store_bytes,
                  double seconds)
{
    static struct run run;
    memset(&run, 0, sizeof(run));
    run.rig = rig;
    run.load = load;
    run.store_bytes = store_bytes;
    for (unsigned i = 0; i < load->depth; i++) {
        rig_read_init(rig, &run.reads[i], i, load->depth, load->block_bytes);
        run.reads[i].request.done = on_done;
        run.reads[i].request.context = &run;
        run.ready[run.ready_count++] = &run.reads[i];
    }
    ns_per_unit(turn, &run, seconds / 5);
    double ns = ns_per_unit(turn, &run, seconds);
    rig_check(l4vio_block_drain(rig->block, 0, L4VIO_FOREVER), "drain",
              &(struct l4vio_error){0, "", 0});
    return 1e9 / ns;
}
