/* SPDX-License-Identifier: MIT */
#include "core/driver_private.h"
#include "core/ordering.h"

/* Repetitions without a pause: a change in the middle of a read is over by then. */
#define QUICK_RETRIES 16u

static int check_window(const struct l4vio_driver *driver, uint32_t offset_bytes,
                        uint32_t size_bytes, uint32_t width_bytes, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (width_bytes != 1 && width_bytes != 2 && width_bytes != 4 && width_bytes != 8)
        return l4vio_fail(error, L4VIO_EINVAL, "no such width of a field", width_bytes);
    if ((offset_bytes | size_bytes) & (width_bytes - 1))
        return l4vio_fail(error, L4VIO_EINVAL, "not a multiple of the field's width", offset_bytes);
    uint32_t limit = transport->ops->config_size(transport->self);
    if (offset_bytes > limit || size_bytes > limit - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device configuration", limit);
    return L4VIO_OK;
}

static int read_settled(struct l4vio_driver *driver, uint32_t offset_bytes, void *out,
                        uint32_t size_bytes, uint32_t width_bytes, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    uint64_t deadline = l4vio_driver_control_deadline(driver);
    for (unsigned tries = 0;; tries++) {
        uint32_t before = transport->ops->generation(transport->self);
        int result = transport->ops->read_config(transport->self, offset_bytes, out, size_bytes,
                                                 width_bytes, error);
        if (l4vio_driver_outcome(driver, result))
            return result;
        /* The second look at the generation must not happen before the reads. */
        l4vio_full_barrier();
        if (before == transport->ops->generation(transport->self))
            return L4VIO_OK;
        l4vio_driver_count(&driver->counters.config_retries);
        if (tries < QUICK_RETRIES)
            continue;
        result = l4vio_driver_outcome(driver, l4vio_driver_pause(driver, deadline));
        if (result)
            return l4vio_fail(error, result, "the device configuration does not settle", tries);
    }
}

int l4vio_driver_read_config(struct l4vio_driver *driver, uint32_t offset_bytes, void *out,
                             uint32_t size_bytes, uint32_t width_bytes, struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = l4vio_driver_check_usable(driver, error);
    if (result == L4VIO_OK)
        result = check_window(driver, offset_bytes, size_bytes, width_bytes, error);
    if (result == L4VIO_OK)
        result = read_settled(driver, offset_bytes, out, size_bytes, width_bytes, error);
    l4vio_driver_unlock(driver);
    return result;
}

static int write_config(struct l4vio_driver *driver, uint32_t offset_bytes, const void *data,
                        uint32_t width_bytes, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = l4vio_driver_check_usable(driver, error);
    if (result)
        return result;
    if (driver->state == L4VIO_DRIVER_CONNECTED)
        return l4vio_fail(error, L4VIO_EINVAL, "features are not settled yet", offset_bytes);
    result = check_window(driver, offset_bytes, width_bytes, width_bytes, error);
    if (result)
        return result;
    result = transport->ops->write_config(transport->self, offset_bytes, data, width_bytes,
                                          l4vio_driver_control_deadline(driver), error);
    return l4vio_driver_outcome(driver, result);
}

int l4vio_driver_write_config(struct l4vio_driver *driver, uint32_t offset_bytes, const void *data,
                              uint32_t width_bytes, struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = write_config(driver, offset_bytes, data, width_bytes, error);
    l4vio_driver_unlock(driver);
    return result;
}

bool l4vio_driver_config_changed(struct l4vio_driver *driver)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (l4vio_driver_unconnected(driver))
        return false;
    uint32_t generation = transport->ops->generation(transport->self);
    return __atomic_exchange_n(&driver->seen_generation, generation, __ATOMIC_RELAXED) !=
           generation;
}
