/* SPDX-License-Identifier: MIT */
/* What the files of the session share. */
#ifndef L4VIO_HOST_SESSION_H
#define L4VIO_HOST_SESSION_H

#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>
#include <l4vio/session.h>

struct l4vio_session {
    struct l4vio_session_options options;
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_transport transport;
    struct l4vio_l4_client *client;
    bool connected;             /* The driver is to be disconnected. */
    bool is_block;              /* `block` rather than `any` is in use. */
    struct l4vio_driver any;    /* A device of any class. */
    struct l4vio_block block;   /* A block device. */
    struct l4vio_queue *queues; /* Storage for `block`. */
    struct l4vio_queue_slot *slots;
    struct l4vio_driver_notification *notifications;
};

#endif
