/* SPDX-License-Identifier: MIT */
#include "tool/image_fault.h"

#include <l4vio/backends.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static const struct l4vio_block_backend *_Atomic guarded;

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct l4vio_block_backend *store = atomic_load(&guarded);
    (void)context;
    if (store && l4vio_file_backend_fault(store, info->si_addr))
        return;
    /* It happens again, and ends the process as it should. */
    signal(number, SIG_DFL);
}

void image_fault_guard(const struct l4vio_block_backend *store)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    atomic_store(&guarded, store);
    if (store)
        sigaction(SIGBUS, &action, NULL);
    else
        signal(SIGBUS, SIG_DFL);
}
