/* SPDX-License-Identifier: MIT */
#include "block_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what, const struct l4vio_error *error)
{
    fprintf(stderr, "block_server: %s: %s (%llu): %d\n", what, error->text,
            (unsigned long long)error->value, error->code);
    _exit(1);
}

static void open_server(struct block_server *server, const struct block_server_options *options)
{
    struct l4vio_error error = {0, "", 0};
    server->has_image = options->image != NULL;
    int result = options->image
                     ? l4vio_file_backend_open(options->image, false, L4VIO_FILE_ENGINE_AUTO,
                                               &server->backend, &error)
                     : l4vio_memory_backend_open(options->size_bytes, &server->backend, &error);
    if (result)
        fail("store", &error);
    struct l4vio_block_service_config block = {
        .backend = server->backend,
        .id = "test",
        .read_only = options->read_only,
        .queue_count = options->queue_count,
        .queue_size_max = options->queue_size_max,
        .added = options->added,
        .refused = options->refused,
    };
    if (l4vio_block_service_open(&block, &server->service, &error))
        fail("service", &error);
    struct l4vio_server_config config = {
        .protocol = options->vhost_user ? l4vio_vhost_user_protocol() : l4vio_l4_protocol(),
        .path = server->path,
        .service = server->service,
        .thread_per_queue = options->thread_per_queue,
        .cmd_mode = options->cmd_mode,
        .spin_ns = options->spin_ns,
        .quotas.clients = options->clients_max,
    };
    if (l4vio_server_open(&config, &server->server, &error))
        fail("open", &error);
}

static void close_server(struct block_server *server)
{
    l4vio_server_close(server->server);
    l4vio_block_service_close(&server->service);
    if (server->has_image)
        l4vio_file_backend_close(&server->backend);
    else
        l4vio_memory_backend_close(&server->backend);
}

static void run_server(struct block_server *server)
{
    struct l4vio_error error = {0, "", 0};
    if (l4vio_server_run(server->server, &error))
        fail("run", &error);
}

static void *thread_main(void *self)
{
    run_server(self);
    return NULL;
}

static struct l4vio_server *server_to_stop;

static void stop_on_signal(int signal_number)
{
    (void)signal_number;
    l4vio_server_stop(server_to_stop);
}

static void process_main(struct block_server *server, const struct block_server_options *options,
                         int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    open_server(server, options);
    server_to_stop = server->server;
    struct sigaction action = {.sa_handler = stop_on_signal};
    sigaction(SIGTERM, &action, NULL);
    if (write(ready, "r", 1) != 1)
        _exit(1);
    close(ready);
    run_server(server);
    close_server(server);
    /* Not _exit: the sanitizers look for leaks at exit. */
    exit(0);
}

void block_server_restart(struct block_server *server, const struct block_server_options *options)
{
    server->in_thread = options->thread;
    if (options->thread) {
        open_server(server, options);
        if (pthread_create(&server->thread, NULL, thread_main, server))
            abort();
        return;
    }
    int ready[2];
    char byte;
    fflush(NULL);
    if (pipe(ready))
        abort();
    server->process = fork();
    if (server->process < 0)
        abort();
    if (server->process == 0) {
        close(ready[0]);
        process_main(server, options, ready[1]);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        fprintf(stderr, "block_server: did not start\n");
        abort();
    }
    close(ready[0]);
}

void block_server_start(struct block_server *server, const struct block_server_options *options)
{
    memset(server, 0, sizeof(*server));
    snprintf(server->folder, sizeof(server->folder), "/tmp/l4vio-test-XXXXXX");
    if (!mkdtemp(server->folder))
        abort();
    snprintf(server->path, sizeof(server->path), "%s/sock", server->folder);
    snprintf(server->uri, sizeof(server->uri), "%s:%s", options->vhost_user ? "vhost-user" : "l4",
             server->path);
    block_server_restart(server, options);
}

void block_server_kill(struct block_server *server)
{
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
    server->process = 0;
}

void block_server_stop(struct block_server *server)
{
    if (server->in_thread) {
        l4vio_server_stop(server->server);
        pthread_join(server->thread, NULL);
        close_server(server);
    } else if (server->process) {
        int status = 0;
        kill(server->process, SIGTERM);
        waitpid(server->process, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            fprintf(stderr, "block_server: ended with status %#x\n", (unsigned)status);
            abort();
        }
    }
    unlink(server->path);
    if (rmdir(server->folder)) {
        perror(server->folder);
        abort();
    }
}
