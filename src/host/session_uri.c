/* SPDX-License-Identifier: MIT */
/* From a URI to a transport. */
#include <stddef.h>
#include <string.h>

#include "host/session.h"

static int connect_l4(struct l4vio_session *session, const char *path, uint32_t device_id,
                      struct l4vio_error *error)
{
    (void)device_id; /* The device says it. */
    return l4vio_l4_client_connect(path, &session->platform, session->options.timeout_ns,
                                   &session->client, &session->transport, error);
}

static int open_vhost_user(struct l4vio_session *session, const char *path, uint32_t device_id,
                           bool listen, struct l4vio_error *error)
{
    const struct l4vio_vhost_user_options options = {
        .timeout_ns = session->options.timeout_ns,
        .device_id = device_id,
        .queue_count = session->options.queue_count,
        .queue_size_max = session->options.queue_size,
        .listen = listen,
    };

    return l4vio_vhost_user_connect(path, &session->platform, &options, &session->vhost_user,
                                    &session->transport, error);
}

static int connect_vhost_user(struct l4vio_session *session, const char *path, uint32_t device_id,
                              struct l4vio_error *error)
{
    return open_vhost_user(session, path, device_id, false, error);
}

static int listen_vhost_user(struct l4vio_session *session, const char *path, uint32_t device_id,
                             struct l4vio_error *error)
{
    return open_vhost_user(session, path, device_id, true, error);
}

static const struct {
    const char *prefix;
    int (*connect)(struct l4vio_session *session, const char *path, uint32_t device_id,
                   struct l4vio_error *error);
} schemes[] = {
    {"l4:", connect_l4},
    {"vhost-user:", connect_vhost_user},
    {"vhost-user-listen:", listen_vhost_user},
};

#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

static size_t find_scheme(const char *text)
{
    size_t i = 0;

    while (i < SCHEMES && strncmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) != 0)
        i++;
    return i;
}

bool l4vio_session_is_uri(const char *text)
{
    return find_scheme(text) < SCHEMES;
}

int l4vio_session_connect_uri(struct l4vio_session *session, const char *uri, uint32_t device_id,
                              struct l4vio_error *error)
{
    size_t scheme = find_scheme(uri);

    if (scheme == SCHEMES || !uri[strlen(schemes[scheme].prefix)])
        return l4vio_fail(error, L4VIO_EINVAL,
                          "not a device URI (l4:PATH, vhost-user:PATH, vhost-user-listen:PATH)", 0);
    return schemes[scheme].connect(session, uri + strlen(schemes[scheme].prefix), device_id, error);
}
