/* SPDX-License-Identifier: MIT */
/* What the files of the session share. */
#ifndef L4VIO_HOST_SESSION_H
#define L4VIO_HOST_SESSION_H

#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>
#include <l4vio/session.h>
#include <l4vio/vhost_user.h>

struct l4vio_session {
    struct l4vio_session_options options;
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_transport transport;
    struct l4vio_l4_client *client;
    struct l4vio_vhost_user *vhost_user;
    bool connected;             /* The driver is to be disconnected. */
    bool is_block;              /* `block` rather than `any` is in use. */
    uint64_t reconnect_end_ns;  /* A wait found the device gone: it has to be back then. 0: not. */
    struct l4vio_driver any;    /* A device of any class. */
    struct l4vio_block block;   /* A block device. */
    struct l4vio_queue *queues; /* Storage for `block`. */
    struct l4vio_queue_slot *slots;
    struct l4vio_driver_notification *notifications;
};

/* Makes the transport that a URI names; `device_id` is what the caller takes the device for, or 0. */
int l4vio_session_connect_uri(struct l4vio_session *session, const char *uri, uint32_t device_id,
                              struct l4vio_error *error);

#endif
