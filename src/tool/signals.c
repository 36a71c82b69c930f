/* SPDX-License-Identifier: MIT */
#include "tool/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tool/tool.h"

static volatile sig_atomic_t pending;
static volatile sig_atomic_t nothing_begun;
static struct l4vio_server *_Atomic server_to_stop;
static const char *_Atomic path_to_remove;

static void on_signal(int number)
{
    int saved = errno;
    if (pending || nothing_begun) {
        const char *path = atomic_load(&path_to_remove);
        if (path)
            unlink(path);
        _exit(TOOL_SIGNAL + number);
    }
    pending = number;
    struct l4vio_server *server = atomic_load(&server_to_stop);
    if (server)
        l4vio_server_stop(server);
    errno = saved;
}

void signals_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal; /* Without SA_RESTART: a blocked read or write returns. */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

int signals_pending(void)
{
    return pending;
}

void signals_stop_server(struct l4vio_server *server, const char *path)
{
    atomic_store(&path_to_remove, path);
    atomic_store(&server_to_stop, server);
    /* It may have come before there was a server to stop. */
    if (server && pending)
        l4vio_server_stop(server);
}

void signals_begin_opening(const char *path)
{
    atomic_store(&path_to_remove, path);
    nothing_begun = 1;
    if (pending) /* It came before there was anybody to end at once. */
        raise(pending);
}

void signals_end_opening(void)
{
    nothing_begun = 0;
    atomic_store(&path_to_remove, NULL);
}
