/* SPDX-License-Identifier: MIT */
#include "core/driver_private.h"

static int reset(struct l4vio_driver *driver, struct l4vio_error *error)
{
    if (l4vio_driver_unconnected(driver))
        return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
    int result = l4vio_driver_reset_status(driver, error);
    if (result) {
        /* The device may still be at work on our memory: nothing is given back. */
        driver->state = L4VIO_DRIVER_FAILED;
        return result;
    }
    driver->state = L4VIO_DRIVER_RESET;
    l4vio_driver_drop_fetched(driver);
    if (!driver->properties.memory_survives_reset)
        l4vio_driver_unmap_regions(driver);
    if (!driver->properties.stops_on_reset)
        return l4vio_fail(error, L4VIO_EBUSY,
                          "reset, but the device may go on until the connection is closed", 0);
    l4vio_driver_forget_queues(driver);
    if (!driver->properties.memory_survives_reset)
        l4vio_driver_free_quarantine(driver);
    return L4VIO_OK;
}

int l4vio_driver_reset(struct l4vio_driver *driver, struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = reset(driver, error);
    l4vio_driver_unlock(driver);
    return result;
}

static int restart(struct l4vio_driver *driver, struct l4vio_error *error)
{
    if (driver->state != L4VIO_DRIVER_RESET)
        return l4vio_fail(error, L4VIO_EINVAL, "only a device that was reset can be restarted", 0);
    int result = l4vio_driver_begin(driver, error);
    if (result == L4VIO_OK)
        result = l4vio_driver_remap_regions(driver, error);
    return result ? l4vio_driver_give_up(driver, result) : L4VIO_OK;
}

int l4vio_driver_restart(struct l4vio_driver *driver, struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = restart(driver, error);
    l4vio_driver_unlock(driver);
    return result;
}

void l4vio_driver_disconnect(struct l4vio_driver *driver)
{
    if (driver->state == L4VIO_DRIVER_CLOSED)
        return;
    l4vio_driver_lock(driver);
    const struct l4vio_transport *transport = &driver->transport;
    /* A friendly end, so that the device drops what it has; the close below does not depend on it. */
    if (transport->ops->peer_alive(transport->self) == L4VIO_OK &&
        driver->state != L4VIO_DRIVER_RESET && driver->state != L4VIO_DRIVER_LOST)
        (void)l4vio_driver_reset_status(driver, NULL);
    /* What the device handed out may be lent by the transport: back before it closes. */
    l4vio_driver_drop_fetched(driver);
    l4vio_driver_drop_kicks(driver);
    transport->ops->close(transport->self);
    driver->state = L4VIO_DRIVER_CLOSED;
    driver->status = 0;
    l4vio_driver_close_notifications(driver);
    /* Not before: until the close the device could still be at work on them. */
    l4vio_driver_forget_queues(driver);
    l4vio_driver_forget_regions(driver);
    l4vio_driver_unlock(driver);
}
