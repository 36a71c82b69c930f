/* SPDX-License-Identifier: MIT */
/* A new connection in the place of one that has ended, or is to end. */
#include "core/driver_private.h"

static uint64_t time_left(const struct l4vio_driver *driver, uint64_t deadline_ns)
{
    uint64_t now = l4vio_driver_now(driver);
    return deadline_ns > now ? deadline_ns - now : 0;
}

/*
 * Who still answers lets go of our memory. Half of the time at most goes into that: a peer that hangs must
 * not keep us from whoever comes after it.
 */
static void part_friendly(struct l4vio_driver *driver, uint64_t deadline_ns)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (driver->state == L4VIO_DRIVER_RESET || driver->state == L4VIO_DRIVER_LOST ||
        transport->ops->peer_alive(transport->self))
        return;
    uint64_t timeout_ns = driver->control_timeout_ns;
    uint64_t half_ns = time_left(driver, deadline_ns) / 2u;
    if (half_ns < timeout_ns)
        driver->control_timeout_ns = half_ns;
    (void)l4vio_driver_reset_status(driver, NULL);
    driver->control_timeout_ns = timeout_ns;
}

/* Queues and class drivers are made for what was accepted: from now on it is that, or nothing. */
static void insist_on_accepted(struct l4vio_driver *driver)
{
    if (l4vio_features_empty(&driver->accepted))
        return;
    driver->allowed = driver->accepted;
    driver->required = l4vio_features_minus(&driver->accepted, &driver->may_lack);
}

/* Nothing of the old connection is left, whatever becomes of the new one. */
static void drop_connection(struct l4vio_driver *driver)
{
    driver->state = L4VIO_DRIVER_LOST;
    driver->status = 0;
    l4vio_driver_close_waiters(driver);
    l4vio_driver_forget_queues(driver);
    l4vio_driver_unmap_regions(driver);
    l4vio_driver_free_quarantine(driver);
}

static int check_features(const struct l4vio_driver *driver, const struct l4vio_identity *identity,
                          struct l4vio_error *error)
{
    struct l4vio_features missing = l4vio_features_minus(&driver->required, &identity->offered);
    unsigned bit = 0;
    if (l4vio_features_empty(&missing))
        return L4VIO_OK;
    while (!l4vio_features_has(&missing, bit))
        bit++;
    return l4vio_fail(error, L4VIO_ENODEV,
                      "the device that came back lacks a feature that is in use", bit);
}

static int check_same(const struct l4vio_driver *driver,
                      const struct l4vio_transport_properties *properties,
                      const struct l4vio_identity *identity, struct l4vio_error *error)
{
    if (identity->device_id != driver->identity.device_id)
        return l4vio_fail(error, L4VIO_ENODEV, "the device that came back is of another class",
                          identity->device_id);
    if (identity->queue_count < driver->queue_end)
        return l4vio_fail(error, L4VIO_ENODEV,
                          "the device that came back has fewer queues than are in use",
                          identity->queue_count);
    if (identity->notification_count < driver->notification_count)
        return l4vio_fail(
            error, L4VIO_ENODEV,
            "the device that came back has fewer notification indexes than are in use",
            identity->notification_count);
    if (properties->driver_chooses_addresses != driver->properties.driver_chooses_addresses)
        return l4vio_fail(error, L4VIO_ENODEV,
                          "the device that came back has other device addresses", 0);
    return check_features(driver, identity, error);
}

static int reconnect(struct l4vio_driver *driver, uint64_t deadline_ns, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    struct l4vio_transport_properties properties;
    struct l4vio_identity identity;
    if (driver->state == L4VIO_DRIVER_CLOSED)
        return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
    if (!transport->ops->reconnect)
        return l4vio_fail(error, L4VIO_ENOSYS, "this transport cannot reconnect", 0);

    part_friendly(driver, deadline_ns);
    insist_on_accepted(driver);
    /* What the device handed out may be lent by the transport: back before it closes. */
    l4vio_driver_drop_fetched(driver);
    l4vio_driver_drop_kicks(driver);
    int result =
        l4vio_driver_outcome(driver, transport->ops->reconnect(transport->self, &properties,
                                                               &identity, deadline_ns, error));
    drop_connection(driver);
    if (result)
        return result;

    if (identity.notification_count == 0)
        identity.notification_count = 1;
    result = check_same(driver, &properties, &identity, error);
    if (result)
        return result;
    driver->properties = properties;
    driver->identity = identity;
    /* Whatever the caller has seen, it was of the last one. */
    driver->seen_generation = transport->ops->generation(transport->self) - 1u;
    result = l4vio_driver_reset_status(driver, error);
    if (result == L4VIO_OK)
        driver->state = L4VIO_DRIVER_RESET;
    return result;
}

int l4vio_driver_reconnect(struct l4vio_driver *driver, uint64_t deadline_ns,
                           struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = reconnect(driver, deadline_ns, error);
    l4vio_driver_unlock(driver);
    return result;
}
