/* SPDX-License-Identifier: MIT */
#include "core/bytes.h"
#include "core/driver_private.h"

uint64_t l4vio_driver_deadline(const struct l4vio_driver *driver, uint64_t span_ns)
{
    uint64_t now = l4vio_driver_now(driver);
    return span_ns > L4VIO_FOREVER - now ? L4VIO_FOREVER : now + span_ns;
}

int l4vio_driver_check_usable(const struct l4vio_driver *driver, struct l4vio_error *error)
{
    switch (driver->state) {
    case L4VIO_DRIVER_CONNECTED:
    case L4VIO_DRIVER_NEGOTIATED:
    case L4VIO_DRIVER_LIVE:
        return L4VIO_OK;
    case L4VIO_DRIVER_RESET:
        return l4vio_fail(error, L4VIO_EINVAL, "the device was reset: restart it first", 0);
    case L4VIO_DRIVER_FAILED:
        return l4vio_fail(error, L4VIO_EIO, "the driver gave up: reset the device first",
                          driver->status);
    case L4VIO_DRIVER_LOST:
        return l4vio_fail(error, L4VIO_EPIPE, "the connection is lost: reconnect first", 0);
    case L4VIO_DRIVER_CLOSED:
        break;
    }
    return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
}

int l4vio_driver_outcome(struct l4vio_driver *driver, int result)
{
    if (result >= 0)
        return result;
    l4vio_driver_count(&driver->counters.control_errors);
    if (result == L4VIO_ETIMEDOUT)
        l4vio_driver_count(&driver->counters.timeouts);
    if (result == L4VIO_EPIPE)
        l4vio_driver_trace(driver, L4VIO_TRACE_PEER_GONE, UINT32_MAX, 0, 0);
    return result;
}

int l4vio_driver_pause(struct l4vio_driver *driver, uint64_t deadline_ns)
{
    const struct l4vio_transport *transport = &driver->transport;
    if (transport->ops->peer_alive(transport->self))
        return L4VIO_EPIPE;
    uint64_t now = l4vio_driver_now(driver);
    if (now >= deadline_ns)
        return L4VIO_ETIMEDOUT;
    uint64_t until = deadline_ns;
    if (deadline_ns - now > L4VIO_DRIVER_PAUSE_NS)
        until = now + L4VIO_DRIVER_PAUSE_NS;
    driver->platform.ops->wait(driver->platform.self, NULL, 0,
                               transport->ops->peer_handle(transport->self), until);
    return L4VIO_OK;
}

static int write_status(struct l4vio_driver *driver, uint32_t status, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    l4vio_driver_count(&driver->counters.status_writes);
    l4vio_driver_trace(driver, L4VIO_TRACE_STATUS, UINT32_MAX, driver->status, status);
    int result = transport->ops->set_status(transport->self, status,
                                            l4vio_driver_control_deadline(driver), error);
    return l4vio_driver_outcome(driver, result);
}

static int read_status(struct l4vio_driver *driver, uint32_t *status, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = l4vio_driver_outcome(driver, transport->ops->get_status(transport->self, status));
    return result ? l4vio_fail(error, result, "the device status cannot be read", 0) : L4VIO_OK;
}

int l4vio_driver_add_status(struct l4vio_driver *driver, uint32_t bit, uint32_t *outcome,
                            struct l4vio_error *error)
{
    int result = write_status(driver, driver->status | bit, error);
    if (result)
        return result;
    driver->status |= bit;
    result = read_status(driver, outcome, error);
    if (result)
        return result;
    if (*outcome & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_NEEDS_RESET))
        return l4vio_fail(error, L4VIO_EIO, "the device failed during initialisation", *outcome);
    return L4VIO_OK;
}

int l4vio_driver_reset_status(struct l4vio_driver *driver, struct l4vio_error *error)
{
    uint64_t deadline = l4vio_driver_control_deadline(driver);
    l4vio_driver_trace(driver, L4VIO_TRACE_RESET, UINT32_MAX, 0, 0);
    l4vio_driver_count(&driver->counters.resets);
    /* A device that is reset has no record of what it had taken any more, even if we do not hear of it. */
    for (struct l4vio_queue *queue = driver->queues; queue; queue = queue->next)
        queue->recorded = false;
    int result = write_status(driver, 0, error);
    if (result)
        return result;
    for (;;) {
        uint32_t status = 0;
        result = read_status(driver, &status, error);
        if (result)
            return result;
        if (status == 0) {
            driver->status = 0;
            return L4VIO_OK;
        }
        result = l4vio_driver_outcome(driver, l4vio_driver_pause(driver, deadline));
        if (result)
            return l4vio_fail(error, result, "the device does not finish its reset", status);
    }
}

int l4vio_driver_give_up(struct l4vio_driver *driver, int code)
{
    driver->state = L4VIO_DRIVER_FAILED;
    /* A peer that is gone or does not answer cannot be told; trying would only double the wait. */
    if (code == L4VIO_EPIPE || code == L4VIO_ETIMEDOUT)
        return code;
    if (write_status(driver, driver->status | VIRTIO_STATUS_FAILED, NULL) == L4VIO_OK)
        driver->status |= VIRTIO_STATUS_FAILED;
    return code;
}

bool l4vio_driver_fail_state(const struct l4vio_driver *driver)
{
    const struct l4vio_transport *transport = &driver->transport;
    uint32_t status = 0;
    if (l4vio_driver_unconnected(driver))
        return true;
    if (transport->ops->peer_alive(transport->self))
        return true;
    if (transport->ops->get_status(transport->self, &status))
        return true;
    return (status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_NEEDS_RESET)) != 0;
}

bool l4vio_driver_feature_negotiated(const struct l4vio_driver *driver, unsigned bit)
{
    return l4vio_features_has(&driver->accepted, bit);
}

struct l4vio_features l4vio_driver_features(const struct l4vio_driver *driver)
{
    return driver->accepted;
}

/* What the driver insists on has to be there (clause D-2.2.1-4b). */
static int check_required(const struct l4vio_driver *driver, const struct l4vio_features *accepted,
                          struct l4vio_error *error)
{
    struct l4vio_features missing = l4vio_features_minus(&driver->required, accepted);
    unsigned bit = 0;
    if (l4vio_features_empty(&missing))
        return L4VIO_OK;
    while (!l4vio_features_has(&missing, bit))
        bit++;
    if (l4vio_features_has(&driver->properties.not_carried, bit))
        return l4vio_fail(error, L4VIO_ENOSYS, "the transport does not carry a required feature",
                          bit);
    if (!l4vio_features_has(&driver->identity.offered, bit))
        return l4vio_fail(error, L4VIO_ENOSYS, "the device does not offer a required feature", bit);
    if (!l4vio_features_has(&driver->allowed, bit))
        return l4vio_fail(error, L4VIO_ENOSYS, "the driver does not have a required feature", bit);
    return l4vio_fail(error, L4VIO_ENOSYS, "a required feature lacks one that it depends on", bit);
}

static int settle(struct l4vio_driver *driver, struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    const struct l4vio_features *offered = &driver->identity.offered;
    if (!l4vio_features_has(offered, L4VIO_F_VERSION_1))
        return l4vio_fail(error, L4VIO_ENODEV, "a legacy device: it does not offer VERSION_1", 0);

    struct l4vio_features accepted = l4vio_features_choose(
        offered, &driver->allowed, driver->dependencies, driver->dependency_count);
    int result = check_required(driver, &accepted, error);
    if (result)
        return result;
    result = l4vio_driver_outcome(driver,
                                  transport->ops->set_features(transport->self, &accepted, error));
    if (result)
        return result;

    uint32_t status = 0;
    result = l4vio_driver_add_status(driver, VIRTIO_STATUS_FEATURES_OK, &status, error);
    if (result)
        return result;
    if (!(status & VIRTIO_STATUS_FEATURES_OK))
        return l4vio_fail(error, L4VIO_EINVAL, "the device refused the features", accepted.word[0]);

    driver->accepted = accepted;
    driver->state = L4VIO_DRIVER_NEGOTIATED;
    l4vio_driver_trace(driver, L4VIO_TRACE_FEATURES, UINT32_MAX,
                       accepted.word[0] | (uint64_t)accepted.word[1] << 32,
                       accepted.word[2] | (uint64_t)accepted.word[3] << 32);
    return L4VIO_OK;
}

int l4vio_driver_settle(struct l4vio_driver *driver, struct l4vio_error *error)
{
    int result = l4vio_driver_check_usable(driver, error);
    if (result || driver->state != L4VIO_DRIVER_CONNECTED)
        return result;
    result = settle(driver, error);
    return result ? l4vio_driver_give_up(driver, result) : L4VIO_OK;
}

int l4vio_driver_negotiate(struct l4vio_driver *driver, struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = l4vio_driver_settle(driver, error);
    l4vio_driver_unlock(driver);
    return result;
}

static int go_live(struct l4vio_driver *driver, struct l4vio_error *error)
{
    uint32_t status = 0;
    int result = l4vio_driver_add_status(driver, VIRTIO_STATUS_DRIVER_OK, &status, error);
    if (result == L4VIO_OK && !(status & VIRTIO_STATUS_DRIVER_OK))
        result = l4vio_fail(error, L4VIO_EIO, "the device did not take DRIVER_OK", status);
    if (result)
        return l4vio_driver_give_up(driver, result);
    driver->state = L4VIO_DRIVER_LIVE;
    return L4VIO_OK;
}

int l4vio_driver_acknowledge(struct l4vio_driver *driver, struct l4vio_error *error)
{
    l4vio_driver_lock(driver);
    int result = l4vio_driver_settle(driver, error);
    if (result == L4VIO_OK && driver->state == L4VIO_DRIVER_LIVE && l4vio_driver_fail_state(driver))
        result = l4vio_fail(error, L4VIO_EIO, "the device has failed", driver->status);
    else if (result == L4VIO_OK && driver->state == L4VIO_DRIVER_NEGOTIATED)
        result = go_live(driver, error);
    l4vio_driver_unlock(driver);
    if (result)
        return result;
    result = l4vio_driver_send_kicks(driver);
    return result ? l4vio_fail(error, result, "the device cannot be notified", 0) : L4VIO_OK;
}
