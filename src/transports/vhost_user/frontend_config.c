/* SPDX-License-Identifier: MIT */
/*
 * Device configuration by GET_CONFIG and SET_CONFIG. It is read from its beginning, because there are back
 * ends that do not look at the offset, and never kept, because not all of them tell of changes.
 */
#include "core/bytes.h"
#include "transports/vhost_user/frontend.h"

/* Reads the first `size_bytes`. `refused`: the back end has not that many. */
static int get_config(struct l4vio_vhost_user *frontend, uint32_t size_bytes,
                      struct l4vio_vhost_message *message, bool *refused, uint64_t deadline_ns,
                      struct l4vio_error *error)
{
    const struct l4vio_frontend_reply expected = {
        .size_min = VHOST_USER_CONFIG_HEADER_BYTES,
        .size_max = VHOST_USER_CONFIG_HEADER_BYTES + size_bytes,
        .may_be_empty = true,
    };
    const struct vhost_user_config *config = &message->u.config;

    *message = l4vio_vhost_request(VHOST_USER_GET_CONFIG);
    message->header.size = expected.size_max;
    message->u.config.size = size_bytes;
    int result = l4vio_frontend_ask(frontend, message, &expected, deadline_ns, error);
    if (result < 0)
        return result;
    /* Two ways of saying no: without any payload, and with one that has no content. */
    *refused = message->header.size == 0 || config->size == 0;
    if (*refused)
        return L4VIO_OK;
    if (message->header.size != expected.size_max || config->size != size_bytes ||
        config->offset != 0)
        return l4vio_frontend_give_up(frontend, L4VIO_EBADPROTO,
                                      "the back end's configuration is not what was asked for",
                                      config->size, error);
    return L4VIO_OK;
}

/* Most back ends refuse more than they have, and do not say how much that is: found by halving. */
int l4vio_frontend_measure_config(struct l4vio_vhost_user *frontend, uint64_t deadline_ns,
                                  struct l4vio_error *error)
{
    uint32_t most = 0;
    uint32_t tried = VHOST_USER_CONFIG_BYTES;
    uint32_t too_many = tried + 1;

    if (!l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_CONFIG))
        return L4VIO_OK;
    while (too_many - most > 1) {
        struct l4vio_vhost_message message;
        bool refused = false;
        int result = get_config(frontend, tried, &message, &refused, deadline_ns, error);
        if (result < 0)
            return result;
        if (refused)
            too_many = tried;
        else
            most = tried;
        tried = most + (too_many - most) / 2;
    }
    frontend->info.config_bytes = most;
    return L4VIO_OK;
}

int l4vio_frontend_read_config(void *self, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                               uint32_t width_bytes, struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    const uint32_t limit = frontend->info.config_bytes;
    struct l4vio_vhost_message message;
    bool refused = false;
    (void)width_bytes; /* One message: all of it is of one moment. */

    if (offset_bytes > limit || size_bytes > limit - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device configuration", limit);
    if (size_bytes == 0)
        return L4VIO_OK;
    int result =
        get_config(frontend, limit, &message, &refused, l4vio_frontend_deadline(frontend), error);
    if (result < 0)
        return result;
    if (refused)
        return l4vio_fail(error, L4VIO_EIO, "the back end no longer gives its configuration",
                          limit);
    memcpy(out, message.u.config.payload + offset_bytes, size_bytes);
    return L4VIO_OK;
}

int l4vio_frontend_write_config(void *self, uint32_t offset_bytes, const void *data,
                                uint32_t width_bytes, uint64_t deadline_ns,
                                struct l4vio_error *error)
{
    struct l4vio_vhost_user *frontend = self;
    const uint32_t limit = frontend->info.config_bytes;
    struct l4vio_vhost_message message = l4vio_vhost_request(VHOST_USER_SET_CONFIG);

    if (offset_bytes > limit || width_bytes > limit - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device configuration", limit);
    message.header.size = VHOST_USER_CONFIG_HEADER_BYTES + width_bytes;
    message.u.config.offset = offset_bytes;
    message.u.config.size = width_bytes;
    memcpy(message.u.config.payload, data, width_bytes);
    frontend->touched = true;
    return l4vio_frontend_tell(frontend, &message, deadline_ns, error);
}
