/* SPDX-License-Identifier: MIT */
#include "host/session.h"

#include <stdlib.h>
#include <string.h>

#include <l4vio/wire/status.h>

/* A device that stopped answering gets this long to confirm its reset. */
#define ABANDON_TIMEOUT_NS UINT64_C(10000000)

static void session_free(struct l4vio_session *session)
{
    l4vio_l4_client_free(session->client);
    l4vio_vhost_user_free(session->vhost_user);
    l4vio_linux_close(session->linux_platform);
    free(session->notifications);
    free(session->slots);
    free(session->queues);
    free(session);
}

/* Platform and transport; what is class-independent, but for the class of a device that does not say it. */
static int session_connect(const char *uri, const struct l4vio_session_options *options,
                           uint32_t device_id, struct l4vio_session **out,
                           struct l4vio_error *error)
{
    struct l4vio_session *session = calloc(1, sizeof *session);
    if (!session)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory for the session", sizeof *session);
    if (options)
        session->options = *options;
    if (!session->options.queue_count)
        session->options.queue_count = 1;

    int result = l4vio_linux_open(&session->linux_platform, &session->platform, error);
    if (result == 0)
        result = l4vio_session_connect_uri(session, uri, device_id, error);
    if (result < 0) {
        session_free(session);
        return result;
    }
    *out = session;
    return 0;
}

/*
 * QEMU's devices take in all requests that they find before they answer the first: the first answer to a
 * batch takes as long as the batch, and who falls asleep meanwhile finds a device that sleeps as well.
 */
#define VHOST_USER_SPIN_MAX_NS (UINT64_C(3) * L4VIO_SPIN_MAX_NS)

static uint64_t spin_ns(const struct l4vio_session *session)
{
    const struct l4vio_session_options *options = &session->options;
    if (session->vhost_user && options->spin_mode == L4VIO_SPIN_AUTO && !options->spin_ns)
        return VHOST_USER_SPIN_MAX_NS;
    return options->spin_ns;
}

static void fill_driver_config(const struct l4vio_session *session,
                               struct l4vio_driver_config *config)
{
    config->transport = session->transport;
    config->platform = session->platform;
    config->refused = session->options.refused;
    config->required = session->options.required;
    config->control_timeout_ns = session->options.timeout_ns;
    config->spin_ns = spin_ns(session);
    config->spin_mode = session->options.spin_mode;
    config->trace = session->options.trace;
}

static int allocate_block_storage(struct l4vio_session *session, struct l4vio_block_config *config,
                                  struct l4vio_error *error)
{
    unsigned queues = session->options.queue_count;
    unsigned size = session->options.queue_size ? session->options.queue_size : 128;
    session->queues = calloc(queues, sizeof *session->queues);
    session->slots = calloc((size_t)queues * size, sizeof *session->slots);
    session->notifications = calloc(queues + 1u, sizeof *session->notifications);
    if (!session->queues || !session->slots || !session->notifications)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory for the queues", queues);

    config->queue_count = (uint16_t)queues;
    config->queue_size = (uint16_t)size;
    config->queues = session->queues;
    config->slots = session->slots;
    config->driver.notifications = session->notifications;
    config->driver.notification_count = queues + 1u;
    return 0;
}

int l4vio_session_open_block(const char *uri, const struct l4vio_session_options *options,
                             struct l4vio_session **out, struct l4vio_error *error)
{
    if (options && options->queue_count > L4VIO_BLOCK_QUEUES_MAX)
        return l4vio_fail(error, L4VIO_EINVAL, "more queues than the block driver can use",
                          options->queue_count);
    struct l4vio_session *session;
    int result = session_connect(uri, options, VIRTIO_ID_BLOCK, &session, error);
    if (result < 0)
        return result;

    struct l4vio_block_config config;
    memset(&config, 0, sizeof config);
    fill_driver_config(session, &config.driver);
    config.reconnect_ns = session->options.reconnect_ns;
    result = allocate_block_storage(session, &config, error);
    if (result == 0)
        result = l4vio_block_setup(&session->block, &config, error);
    if (result < 0) {
        session_free(session);
        return result;
    }
    session->connected = true;
    session->is_block = true;
    *out = session;
    return 0;
}

int l4vio_session_open_any(const char *uri, const struct l4vio_session_options *options,
                           struct l4vio_session **out, struct l4vio_error *error)
{
    struct l4vio_session *session;
    int result = session_connect(uri, options, options ? options->device_id : 0, &session, error);
    if (result < 0)
        return result;

    struct l4vio_driver_config config;
    memset(&config, 0, sizeof config);
    fill_driver_config(session, &config);
    result = l4vio_driver_connect(&session->any, &config, error);
    if (result < 0) {
        session_free(session);
        return result;
    }
    session->connected = true;
    *out = session;
    return 0;
}

struct l4vio_block *l4vio_session_block(struct l4vio_session *session)
{
    return session->is_block ? &session->block : NULL;
}

struct l4vio_driver *l4vio_session_driver(struct l4vio_session *session)
{
    return session->is_block ? &session->block.driver : &session->any;
}

const struct l4vio_vhost_user *l4vio_session_vhost_user(const struct l4vio_session *session)
{
    return session->vhost_user;
}

const struct l4vio_platform *l4vio_session_platform(const struct l4vio_session *session)
{
    return &session->platform;
}

void l4vio_session_close(struct l4vio_session *session)
{
    if (!session)
        return;
    if (session->connected && session->is_block)
        l4vio_block_close(&session->block);
    else if (session->connected)
        l4vio_driver_disconnect(&session->any);
    session_free(session);
}

void l4vio_session_abandon(struct l4vio_session *session)
{
    if (!session)
        return;
    l4vio_session_driver(session)->control_timeout_ns = ABANDON_TIMEOUT_NS;
    l4vio_session_close(session);
}
