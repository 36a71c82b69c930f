/* SPDX-License-Identifier: MIT */
/* --reconnect: what becomes of a device that goes away. */
#include <inttypes.h>
#include <stdio.h>

#include "tool/client.h"
#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

/* The library does not look at signals, so it waits in slices, of which later ones are longer: a device that is
 * slow to set up must find the time for it. */
#define FIRST_SLICE_NS UINT64_C(250000000)
#define LAST_SLICE_NS  UINT64_C(4000000000)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void tell_return(struct client *client, uint64_t gone_ns)
{
    const struct l4vio_block_reconnects *now = &client->block->reconnects;
    uint64_t resumed = now->resumed - client->reconnects.resumed;
    uint64_t failed = now->failed - client->reconnects.failed;
    char span[VALUE_TEXT_BYTES], left[80] = "", impossible[80] = "";
    client->back_ns = clock_ns();
    if (resumed)
        snprintf(left, sizeof left, ", %" PRIu64 " left to its own record", resumed);
    if (failed)
        snprintf(impossible, sizeof impossible, ", %" PRIu64 " not possible any more", failed);
    notice("%s is back after %s: %" PRIu64 " requests sent again%s%s", client->uri,
           format_span(client->back_ns - gone_ns, span),
           now->submitted_again - client->reconnects.submitted_again, left, impossible);
    client->reconnects = *now;
    client->not_back = (struct l4vio_error){0};
}

static int look_for(struct client *client)
{
    char span[VALUE_TEXT_BYTES];
    uint64_t start_ns = clock_ns();
    uint64_t end_ns = start_ns + client_settings.reconnect_ns;
    uint64_t slice_ns = FIRST_SLICE_NS;
    int result = L4VIO_ETIMEDOUT;
    notice("%s is gone, waiting up to %s for its return", client->uri,
           format_span(client_settings.reconnect_ns, span));
    while (result == L4VIO_ETIMEDOUT && !signals_pending() && clock_ns() < end_ns) {
        result = l4vio_block_reconnect(client->block, least(clock_ns() + slice_ns, end_ns),
                                       &client->not_back);
        slice_ns = least(slice_ns * 2, LAST_SLICE_NS);
    }
    if (result == L4VIO_OK)
        tell_return(client, start_ns);
    if (result == L4VIO_OK || signals_pending())
        return L4VIO_OK;
    return L4VIO_EPIPE;
}

/* With the lock: all who are at work stand still. */
static void look_for_all(struct client *client)
{
    struct client_crew *crew = &client->crew;
    crew->result = look_for(client);
    crew->missing = 0;
    crew->turn++;
    pthread_cond_broadcast(&crew->over);
}

int client_come_back(struct client *client)
{
    struct client_crew *crew = &client->crew;
    if (!client_settings.reconnect_ns)
        return L4VIO_EPIPE;
    if (!crew->members)
        return look_for(client);
    pthread_mutex_lock(&crew->lock);
    const unsigned turn = crew->turn;
    if (++crew->missing == crew->members)
        look_for_all(client);
    while (crew->turn == turn)
        pthread_cond_wait(&crew->over, &crew->lock);
    int result = crew->result;
    pthread_mutex_unlock(&crew->lock);
    return result;
}

void client_crew_begin(struct client *client, unsigned members)
{
    struct client_crew *crew = &client->crew;
    *crew = (struct client_crew){.members = members};
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->over, NULL);
}

void client_crew_leave(struct client *client)
{
    struct client_crew *crew = &client->crew;
    pthread_mutex_lock(&crew->lock);
    /* Whoever stays may have waited for us alone. */
    if (--crew->members && crew->missing == crew->members)
        look_for_all(client);
    pthread_mutex_unlock(&crew->lock);
}

uint64_t client_extend(const struct client *client, uint64_t deadline_ns)
{
    uint64_t end_ns = client->back_ns + client_settings.timeout_ns;
    return client->back_ns && end_ns > deadline_ns ? end_ns : deadline_ns;
}

/* What a device says of its own cache mode does not count: some say write-through and keep a cache. */
bool client_has_cache(const struct client *client)
{
    const struct l4vio_block_info *info = &client->block->info;
    return info->flush && !info->read_only && !client->through;
}

int client_write_through(struct client *client, struct l4vio_error *error)
{
    int result = l4vio_block_set_writeback(client->block, false, error);
    client->through = result == L4VIO_OK;
    return result;
}

uint64_t client_returns(const struct client *client)
{
    return client->block->reconnects.count;
}

void client_reconnects_json(const struct client *const *clients, unsigned count, json_t *root)
{
    struct l4vio_block_reconnects sum = {0};
    if (!client_settings.reconnect_ns || !root)
        return;
    for (unsigned i = 0; i < count; ++i) {
        if (!clients[i])
            continue;
        sum.count += clients[i]->reconnects.count;
        sum.submitted_again += clients[i]->reconnects.submitted_again;
        sum.resumed += clients[i]->reconnects.resumed;
        sum.failed += clients[i]->reconnects.failed;
    }
    json_object_set_new(root, "reconnects",
                        json_pack("{s:I, s:I, s:I, s:I}", "count", (json_int_t)sum.count,
                                  "submitted_again", (json_int_t)sum.submitted_again, "resumed",
                                  (json_int_t)sum.resumed, "failed", (json_int_t)sum.failed));
}
