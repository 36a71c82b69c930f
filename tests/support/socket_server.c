/* SPDX-License-Identifier: MIT */
#include "socket_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void take_line(void *self, const char *line)
{
    struct socket_server *server = self;

    pthread_mutex_lock(&server->log_lock);
    size_t used = strlen(server->log);
    snprintf(server->log + used, sizeof(server->log) - used, "%s\n", line);
    pthread_mutex_unlock(&server->log_lock);
}

void socket_server_init(struct socket_server *server)
{
    memset(server, 0, sizeof(*server));
    pthread_mutex_init(&server->log_lock, NULL);
    strcpy(server->folder, "/tmp/l4vio-test-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->path, sizeof(server->path), "%s/socket", server->folder);
    assert_int_equal(l4vio_memory_backend_open(SOCKET_STORE_BYTES, &server->store, NULL), 0);
    server->config.protocol = l4vio_l4_protocol();
    server->config.path = server->path;
    server->block.backend = server->store;
    server->config.log = take_line;
    server->config.log_self = server;
}

static void *run(void *argument)
{
    struct socket_server *server = argument;

    server->run_result = l4vio_server_run(server->server, NULL);
    return NULL;
}

void socket_server_open(struct socket_server *server)
{
    struct l4vio_error error = {0};

    if (!server->config.service.ops) {
        if (l4vio_block_service_open(&server->block, &server->block_service, &error) != 0)
            fail_msg("service: %s (%llu)", error.text, (unsigned long long)error.value);
        server->config.service = server->block_service;
    }
    if (l4vio_server_open(&server->config, &server->server, &error) != 0)
        fail_msg("server: %s (%llu)", error.text, (unsigned long long)error.value);
}

void socket_server_start(struct socket_server *server)
{
    socket_server_open(server);
    socket_server_run(server);
}

void socket_server_run(struct socket_server *server)
{
    assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
    server->running = true;
}

void socket_server_stop(struct socket_server *server)
{
    if (server->running) {
        l4vio_server_stop(server->server);
        pthread_join(server->thread, NULL);
        server->running = false;
        assert_int_equal(server->run_result, 0);
    }
    l4vio_server_close(server->server);
    server->server = NULL;
    if (server->block_service.ops) {
        l4vio_block_service_close(&server->block_service);
        server->config.service = server->block_service;
    }
}

void socket_server_end(struct socket_server *server)
{
    socket_server_stop(server);
    l4vio_memory_backend_close(&server->store);
    assert_int_equal(access(server->path, F_OK), -1);
    assert_int_equal(rmdir(server->folder), 0);
    pthread_mutex_destroy(&server->log_lock);
}

bool socket_server_logged(struct socket_server *server, const char *text)
{
    pthread_mutex_lock(&server->log_lock);
    bool found = strstr(server->log, text) != NULL;
    pthread_mutex_unlock(&server->log_lock);
    return found;
}

bool socket_server_has_clients(struct socket_server *server, unsigned count)
{
    const struct timespec pause = {0, 1000000};
    struct l4vio_server_counters counters;

    for (int i = 0; i < 5000; i++) {
        l4vio_server_counters_read(server->server, &counters);
        if (counters.clients == count)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}
