/* SPDX-License-Identifier: MIT */
#include "socket_victim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

int victim_open(struct victim *victim, int (*script)(int socket), uint64_t timeout_ns)
{
    assert_int_equal(l4vio_linux_open(&victim->linux_platform, &victim->platform, NULL), 0);
    victim->client = NULL;
    peer_server_start(&victim->server, script);
    return l4vio_l4_client_connect(victim->server.path, &victim->platform, timeout_ns,
                                   &victim->client, &victim->transport, NULL);
}

void victim_close(struct victim *victim)
{
    l4vio_l4_client_free(victim->client);
    assert_int_equal(peer_server_end(&victim->server), 0);
    l4vio_linux_close(victim->linux_platform);
}

uint64_t victim_in(const struct victim *victim, uint64_t span_ns)
{
    return victim->platform.ops->now_ns(victim->platform.self) + span_ns;
}
