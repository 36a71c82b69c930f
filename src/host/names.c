/* SPDX-License-Identifier: MIT */
#include <l4vio/features.h>
#include <l4vio/names.h>
#include <l4vio/wire/status.h>
#include <l4vio/wire/vhost_user.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/class.h"

static const struct l4vio_name status_bits[] = {
    {VIRTIO_STATUS_ACKNOWLEDGE, "ACKNOWLEDGE"}, {VIRTIO_STATUS_DRIVER, "DRIVER"},
    {VIRTIO_STATUS_DRIVER_OK, "DRIVER_OK"},     {VIRTIO_STATUS_FEATURES_OK, "FEATURES_OK"},
    {VIRTIO_STATUS_SUSPEND, "SUSPEND"},         {VIRTIO_STATUS_NEEDS_RESET, "DEVICE_NEEDS_RESET"},
    {VIRTIO_STATUS_FAILED, "FAILED"},
};

/* Bits that are not of a class: VIRTIO's, L4-VIRTIO's, those of the vhost-user protocol. */
static const struct l4vio_name common_features[] = {
    {24, "NOTIFY_ON_EMPTY"},
    {VHOST_F_LOG_ALL, "LOG_ALL"},
    {27, "ANY_LAYOUT"},
    {L4VIO_F_INDIRECT_DESC, "INDIRECT_DESC"},
    {L4VIO_F_EVENT_IDX, "EVENT_IDX"},
    {VHOST_USER_F_PROTOCOL_FEATURES, "PROTOCOL_FEATURES"},
    {L4VIO_F_VERSION_1, "VERSION_1"},
    {L4VIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM"},
    {L4VIO_F_RING_PACKED, "RING_PACKED"},
    {L4VIO_F_IN_ORDER, "IN_ORDER"},
    {L4VIO_F_ORDER_PLATFORM, "ORDER_PLATFORM"},
    {37, "SR_IOV"},
    {L4VIO_F_NOTIFICATION_DATA, "NOTIFICATION_DATA"},
    {39, "NOTIF_CONFIG_DATA"},
    {L4VIO_F_RING_RESET, "RING_RESET"},
    {41, "ADMIN_VQ"},
    {43, "SUSPEND"},
    {L4VIO_F_L4_CMD_CONFIG, "L4_CMD_CONFIG"},
};

static const struct l4vio_name protocol_features[] = {
    {VHOST_USER_PROTOCOL_F_MQ, "MQ"},
    {VHOST_USER_PROTOCOL_F_LOG_SHMFD, "LOG_SHMFD"},
    {VHOST_USER_PROTOCOL_F_RARP, "RARP"},
    {VHOST_USER_PROTOCOL_F_REPLY_ACK, "REPLY_ACK"},
    {VHOST_USER_PROTOCOL_F_NET_MTU, "NET_MTU"},
    {VHOST_USER_PROTOCOL_F_BACKEND_REQ, "BACKEND_REQ"},
    {VHOST_USER_PROTOCOL_F_CROSS_ENDIAN, "CROSS_ENDIAN"},
    {VHOST_USER_PROTOCOL_F_CRYPTO_SESSION, "CRYPTO_SESSION"},
    {VHOST_USER_PROTOCOL_F_PAGEFAULT, "PAGEFAULT"},
    {VHOST_USER_PROTOCOL_F_CONFIG, "CONFIG"},
    {VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD, "BACKEND_SEND_FD"},
    {VHOST_USER_PROTOCOL_F_HOST_NOTIFIER, "HOST_NOTIFIER"},
    {VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD, "INFLIGHT_SHMFD"},
    {VHOST_USER_PROTOCOL_F_RESET_DEVICE, "RESET_DEVICE"},
    {VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS, "INBAND_NOTIFICATIONS"},
    {VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS, "CONFIGURE_MEM_SLOTS"},
    {VHOST_USER_PROTOCOL_F_STATUS, "STATUS"},
    {VHOST_USER_PROTOCOL_F_XEN_MMAP, "XEN_MMAP"},
    {VHOST_USER_PROTOCOL_F_SHARED_OBJECT, "SHARED_OBJECT"},
    {VHOST_USER_PROTOCOL_F_DEVICE_STATE, "DEVICE_STATE"},
    {VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT, "GET_VRING_BASE_INFLIGHT"},
};

static const char *find_name(const struct l4vio_name *table, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; ++i)
        if (table[i].number == number)
            return table[i].name;
    return NULL;
}

static int find_number(const struct l4vio_name *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; ++i)
        if (l4vio_same_name(table[i].name, name))
            return (int)table[i].number;
    return L4VIO_ENOENT;
}

const char *l4vio_device_name(uint32_t device_id)
{
    const struct l4vio_class_entry *entry = l4vio_class_find(device_id);
    return entry ? entry->name : "unknown device";
}

const char *l4vio_status_name(uint32_t bit)
{
    return find_name(CLASS_TABLE(status_bits), bit);
}

const char *l4vio_protocol_feature_name(unsigned bit)
{
    return find_name(CLASS_TABLE(protocol_features), bit);
}

const char *l4vio_feature_name(uint32_t device_id, unsigned bit)
{
    const struct l4vio_class *class = l4vio_class_describe(device_id);
    const char *name = find_name(CLASS_TABLE(common_features), bit);
    return name ? name : find_name(class->features, class->feature_count, bit);
}

int l4vio_feature_by_name(uint32_t device_id, const char *name)
{
    const struct l4vio_class *class = l4vio_class_describe(device_id);
    int found = find_number(CLASS_TABLE(common_features), name);
    if (found < 0)
        found = find_number(class->features, class->feature_count, name);
    if (found >= 0)
        return found;
    if (!isdigit((unsigned char)*name))
        return L4VIO_ENOENT;
    char *end;
    const unsigned bits = L4VIO_FEATURE_BITS;
    unsigned long bit = strtoul(name, &end, 10);
    return *end || bit >= bits ? L4VIO_ENOENT : (int)bit;
}

void l4vio_error_format(const struct l4vio_error *error, char *text, size_t text_bytes)
{
    const char *what = error->text ? error->text : "failed";
    const char *name = l4vio_error_name(error->code);
    if (error->value)
        snprintf(text, text_bytes, "%s (value %llu): %s", what, (unsigned long long)error->value,
                 name);
    else
        snprintf(text, text_bytes, "%s: %s", what, name);
}
