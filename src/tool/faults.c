/* SPDX-License-Identifier: MIT */
#include "tool/faults.h"

#include <l4vio/backends.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static const struct l4vio_block_backend *_Atomic guarded_image;
static struct l4vio_server *_Atomic guarded_server;

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct l4vio_block_backend *store = atomic_load(&guarded_image);
    struct l4vio_server *server = atomic_load(&guarded_server);
    (void)context;
    if (store && l4vio_file_backend_fault(store, info->si_addr))
        return;
    if (server && l4vio_server_memory_fault(server, info->si_addr))
        return;
    /* It happens again, and ends the process as it should. */
    signal(number, SIG_DFL);
}

static void install(void)
{
    struct sigaction action;
    if (!atomic_load(&guarded_image) && !atomic_load(&guarded_server)) {
        signal(SIGBUS, SIG_DFL);
        return;
    }
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGBUS, &action, NULL);
}

void faults_guard_image(const struct l4vio_block_backend *store)
{
    atomic_store(&guarded_image, store);
    install();
}

void faults_guard_server(struct l4vio_server *server)
{
    atomic_store(&guarded_server, server);
    install();
}
