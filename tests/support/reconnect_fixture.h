/* SPDX-License-Identifier: MIT */
/* Writes of a block driver whose server dies (reconnect_rig.h), and what became of them. */
#ifndef L4VIO_TEST_RECONNECT_FIXTURE_H
#define L4VIO_TEST_RECONNECT_FIXTURE_H

#include "reconnect_rig.h"

#define RECONNECT_REQUESTS 16u
#define RECONNECT_PIECE    4096u
#define RECONNECT_LONG_MS  20000u

struct reconnect_fixture {
    struct reconnect_rig rig;
    struct l4vio_region data, shared;
    /* Request i writes the byte i + 1 to piece i of the device. */
    struct l4vio_block_segment segments[RECONNECT_REQUESTS];
    struct l4vio_block_request requests[RECONNECT_REQUESTS];
    unsigned done[RECONNECT_REQUESTS]; /* Times that `done` was called. */
    unsigned order[RECONNECT_REQUESTS];
    unsigned all_done;
};

/* The server; the driver is opened by reconnect_rig_open, and then there are requests to be made. */
struct reconnect_fixture *reconnect_fixture_new(uint32_t queues);
void reconnect_fixture_make_requests(struct reconnect_fixture *f);
/* All of that. */
struct reconnect_fixture *reconnect_fixture_open(uint32_t queues);
void reconnect_fixture_free(struct reconnect_fixture *f);

/* `done` of the requests: counts. */
void reconnect_fixture_done(struct l4vio_block_request *request, void *context);
/* All requests, the queues in turn. */
void reconnect_fixture_submit(struct reconnect_fixture *f);
/* The same, and the server dies with all of them in flight. */
void reconnect_fixture_die(struct reconnect_fixture *f);
int reconnect_fixture_come_back(struct reconnect_fixture *f, struct l4vio_error *error);
void reconnect_fixture_drain(struct reconnect_fixture *f);
/* All were carried out, and `done` was called once for each. */
void reconnect_fixture_check(struct reconnect_fixture *f);
/* Both. */
void reconnect_fixture_finish(struct reconnect_fixture *f);

#endif
