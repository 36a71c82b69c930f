/* SPDX-License-Identifier: MIT */
/*
 * Eventfds that a hostile peer holds too. Its end is the same open file description, so it may clear
 * O_NONBLOCK and fill or empty the counter at any moment: neither triggering nor draining may block.
 */
#ifndef L4VIO_LINUX_EVENTFD_H
#define L4VIO_LINUX_EVENTFD_H

#include <linux/aio_abi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A way to make the kernel signal an eventfd. Safe from any thread. */
struct l4vio_eventfd_signaller {
    aio_context_t context; /* Asynchronous I/O context, 0: none. */
    uint16_t operation;    /* What to have completed: IOCB_CMD_PREAD or _POLL. */
    int ready_fd;          /* On what: an eventfd of ours, empty and non-blocking. */
    atomic_bool usable;    /* The context works. */
};

void l4vio_eventfd_signaller_open(struct l4vio_eventfd_signaller *signaller);
void l4vio_eventfd_signaller_close(struct l4vio_eventfd_signaller *signaller);

/* A new eventfd, or -1 with errno. */
int l4vio_eventfd_create(void);

/* Adds one event. Returns 0 or a negative code; never blocks. */
int l4vio_eventfd_trigger(struct l4vio_eventfd_signaller *signaller, int fd);

/* Takes what is pending: 1 if there was something, else 0; never blocks. */
int l4vio_eventfd_drain(int fd);

#endif
