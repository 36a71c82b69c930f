/* SPDX-License-Identifier: MIT */
#include "core/bytes.h"
#include "core/driver_private.h"

/* Feature bits of queues and transports; the others are the device class's. */
#define FIRST_COMMON_BIT 24u
#define LAST_COMMON_BIT  49u

static int check_config(const struct l4vio_driver_config *config, struct l4vio_error *error)
{
    if (!config->transport.ops || !config->platform.ops)
        return l4vio_fail(error, L4VIO_EINVAL, "no transport or no platform", 0);
    if (config->notifications && config->notification_count == 0)
        return l4vio_fail(error, L4VIO_EINVAL, "an array of notifications without length", 0);
    if (l4vio_features_has(&config->refused, L4VIO_F_VERSION_1))
        return l4vio_fail(error, L4VIO_EINVAL, "VERSION_1 cannot be refused", 0);
    if (config->first_device_address % L4VIO_DEVICE_PAGE_BYTES)
        return l4vio_fail(error, L4VIO_EINVAL, "first device address not on a page",
                          config->first_device_address);
    return L4VIO_OK;
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value ? value : otherwise;
}

static void take_config(struct l4vio_driver *driver, const struct l4vio_driver_config *config)
{
    driver->transport = config->transport;
    driver->platform = config->platform;
    driver->dependencies = config->dependencies;
    driver->dependency_count = config->dependency_count;
    driver->manage = !config->unmanaged_notifications;
    driver->notifications = config->notifications;
    driver->notification_count = config->notification_count;
    if (!driver->notifications) {
        driver->notifications = &driver->own_notification;
        driver->notification_count = 1;
    }
    driver->config_notify_index = config->config_notify_index;
    driver->control_timeout_ns = or_default(config->control_timeout_ns, L4VIO_CONTROL_TIMEOUT_NS);
    driver->next_device_address =
        or_default(config->first_device_address, L4VIO_FIRST_DEVICE_ADDRESS);
    driver->last_device_address = or_default(config->last_device_address, UINT64_MAX);
    driver->trace = config->trace;
    driver->may_lack = config->may_lack;
}

/* The list of bits that may be accepted: of the class, of this library, of the transport. */
static void choose_allowed(struct l4vio_driver *driver, const struct l4vio_driver_config *config)
{
    struct l4vio_features allowed = config->allowed;
    struct l4vio_features ring;
    l4vio_ring_features(&ring);
    /* Of queues and transport (VIRTIO 1.4, section 2.2) a class can allow only what there is. */
    for (unsigned bit = FIRST_COMMON_BIT; bit <= LAST_COMMON_BIT; bit++) {
        if (!l4vio_features_has(&ring, bit))
            l4vio_features_clear(&allowed, bit);
    }
    if (!driver->transport.ops->reset_queue)
        l4vio_features_clear(&allowed, L4VIO_F_RING_RESET);
    allowed = l4vio_features_or(&allowed, &driver->properties.own_features);
    allowed = l4vio_features_minus(&allowed, &driver->properties.not_carried);
    l4vio_features_set(&allowed, L4VIO_F_VERSION_1);
    driver->allowed = l4vio_features_minus(&allowed, &config->refused);
    driver->required = config->required;
}

static int identify(struct l4vio_driver *driver, const struct l4vio_driver_config *config,
                    struct l4vio_error *error)
{
    const struct l4vio_transport *transport = &driver->transport;
    int result = transport->ops->identify(transport->self, &driver->properties, &driver->identity,
                                          l4vio_driver_control_deadline(driver), error);
    if (l4vio_driver_outcome(driver, result))
        return result;
    if (config->device_id && config->device_id != driver->identity.device_id)
        return l4vio_fail(error, L4VIO_ENODEV, "a device of another class",
                          driver->identity.device_id);
    if (driver->identity.notification_count == 0)
        driver->identity.notification_count = 1;
    if (driver->notification_count > driver->identity.notification_count)
        driver->notification_count = driver->identity.notification_count;
    for (unsigned i = 0; i < driver->notification_count; i++) {
        struct l4vio_driver_notification *notification = &driver->notifications[i];
        memset(notification, 0, sizeof(*notification));
        notification->from_device.handle = L4VIO_NO_HANDLE;
        notification->to_device.handle = L4VIO_NO_HANDLE;
        notification->waiter.handle = L4VIO_NO_HANDLE;
        l4vio_spin_init(&notification->spin, config->spin_mode, config->spin_ns);
    }
    choose_allowed(driver, config);
    return L4VIO_OK;
}

int l4vio_driver_begin(struct l4vio_driver *driver, struct l4vio_error *error)
{
    uint32_t status = 0;
    memset(&driver->accepted, 0, sizeof(driver->accepted));
    int result = l4vio_driver_add_status(driver, VIRTIO_STATUS_ACKNOWLEDGE, &status, error);
    if (result)
        return result;
    result = l4vio_driver_add_status(driver, VIRTIO_STATUS_DRIVER, &status, error);
    if (result)
        return result;
    result = l4vio_driver_open_notifications(driver, error);
    if (result)
        return result;
    driver->state = L4VIO_DRIVER_CONNECTED;
    return L4VIO_OK;
}

int l4vio_driver_connect(struct l4vio_driver *driver, const struct l4vio_driver_config *config,
                         struct l4vio_error *error)
{
    memset(driver, 0, sizeof(*driver));
    int result = check_config(config, error);
    if (result) {
        if (config->transport.ops)
            config->transport.ops->close(config->transport.self);
        return result;
    }
    take_config(driver, config);

    result = identify(driver, config, error);
    if (result == L4VIO_OK) {
        result = l4vio_driver_reset_status(driver, error);
        if (result == L4VIO_OK)
            result = l4vio_driver_begin(driver, error);
        if (result == L4VIO_OK) {
            driver->seen_generation = driver->transport.ops->generation(driver->transport.self);
            return L4VIO_OK;
        }
        l4vio_driver_give_up(driver, result);
        l4vio_driver_close_notifications(driver);
    }
    driver->transport.ops->close(driver->transport.self);
    driver->state = L4VIO_DRIVER_CLOSED;
    return result;
}
