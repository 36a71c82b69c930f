/* SPDX-License-Identifier: MIT */
#include <l4vio/features.h>
#include <l4vio/names.h>
#include <l4vio/wire/block.h>
#include <l4vio/wire/status.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define ANY_DEVICE UINT32_MAX

struct named {
    uint32_t number;
    const char *name;
};

struct feature {
    uint32_t device_id;
    unsigned bit;
    const char *name;
};

static const struct named devices[] = {
    {1, "network card"},   {2, "block device"},   {3, "console"},        {4, "entropy source"},
    {5, "memory balloon"}, {8, "SCSI host"},      {16, "GPU"},           {17, "clock"},
    {18, "input device"},  {19, "socket device"}, {20, "crypto device"}, {23, "IOMMU"},
    {24, "memory device"}, {25, "sound device"},  {26, "file system"},   {27, "persistent memory"},
    {32, "SCMI device"},   {34, "I2C adapter"},   {36, "CAN device"},    {41, "GPIO device"},
    {45, "SPI device"},
};

static const struct named status_bits[] = {
    {VIRTIO_STATUS_ACKNOWLEDGE, "ACKNOWLEDGE"}, {VIRTIO_STATUS_DRIVER, "DRIVER"},
    {VIRTIO_STATUS_DRIVER_OK, "DRIVER_OK"},     {VIRTIO_STATUS_FEATURES_OK, "FEATURES_OK"},
    {VIRTIO_STATUS_SUSPEND, "SUSPEND"},         {VIRTIO_STATUS_NEEDS_RESET, "DEVICE_NEEDS_RESET"},
    {VIRTIO_STATUS_FAILED, "FAILED"},
};

static const struct feature features[] = {
    {ANY_DEVICE, 24, "NOTIFY_ON_EMPTY"},
    {ANY_DEVICE, 27, "ANY_LAYOUT"},
    {ANY_DEVICE, L4VIO_F_INDIRECT_DESC, "INDIRECT_DESC"},
    {ANY_DEVICE, L4VIO_F_EVENT_IDX, "EVENT_IDX"},
    {ANY_DEVICE, L4VIO_F_VERSION_1, "VERSION_1"},
    {ANY_DEVICE, L4VIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM"},
    {ANY_DEVICE, L4VIO_F_RING_PACKED, "RING_PACKED"},
    {ANY_DEVICE, L4VIO_F_IN_ORDER, "IN_ORDER"},
    {ANY_DEVICE, L4VIO_F_ORDER_PLATFORM, "ORDER_PLATFORM"},
    {ANY_DEVICE, 37, "SR_IOV"},
    {ANY_DEVICE, L4VIO_F_NOTIFICATION_DATA, "NOTIFICATION_DATA"},
    {ANY_DEVICE, 39, "NOTIF_CONFIG_DATA"},
    {ANY_DEVICE, L4VIO_F_RING_RESET, "RING_RESET"},
    {ANY_DEVICE, 41, "ADMIN_VQ"},
    {ANY_DEVICE, 43, "SUSPEND"},
    {ANY_DEVICE, L4VIO_F_L4_CMD_CONFIG, "L4_CMD_CONFIG"},
    {VIRTIO_ID_BLOCK, 0, "BARRIER"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_SIZE_MAX, "SIZE_MAX"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_SEG_MAX, "SEG_MAX"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_GEOMETRY, "GEOMETRY"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_RO, "RO"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_BLK_SIZE, "BLK_SIZE"},
    {VIRTIO_ID_BLOCK, 7, "SCSI"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_FLUSH, "FLUSH"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_TOPOLOGY, "TOPOLOGY"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_CONFIG_WCE, "CONFIG_WCE"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_MQ, "MQ"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_DISCARD, "DISCARD"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_WRITE_ZEROES, "WRITE_ZEROES"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_LIFETIME, "LIFETIME"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_SECURE_ERASE, "SECURE_ERASE"},
    {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_ZONED, "ZONED"},
    {VIRTIO_ID_CONSOLE, 0, "SIZE"},
    {VIRTIO_ID_CONSOLE, 1, "MULTIPORT"},
    {VIRTIO_ID_CONSOLE, 2, "EMERG_WRITE"},
    {VIRTIO_ID_NET, 0, "CSUM"},
    {VIRTIO_ID_NET, 1, "GUEST_CSUM"},
    {VIRTIO_ID_NET, 2, "CTRL_GUEST_OFFLOADS"},
    {VIRTIO_ID_NET, 3, "MTU"},
    {VIRTIO_ID_NET, 5, "MAC"},
    {VIRTIO_ID_NET, 6, "GSO"},
    {VIRTIO_ID_NET, 7, "GUEST_TSO4"},
    {VIRTIO_ID_NET, 8, "GUEST_TSO6"},
    {VIRTIO_ID_NET, 9, "GUEST_ECN"},
    {VIRTIO_ID_NET, 10, "GUEST_UFO"},
    {VIRTIO_ID_NET, 11, "HOST_TSO4"},
    {VIRTIO_ID_NET, 12, "HOST_TSO6"},
    {VIRTIO_ID_NET, 13, "HOST_ECN"},
    {VIRTIO_ID_NET, 14, "HOST_UFO"},
    {VIRTIO_ID_NET, 15, "MRG_RXBUF"},
    {VIRTIO_ID_NET, 16, "STATUS"},
    {VIRTIO_ID_NET, 17, "CTRL_VQ"},
    {VIRTIO_ID_NET, 18, "CTRL_RX"},
    {VIRTIO_ID_NET, 19, "CTRL_VLAN"},
    {VIRTIO_ID_NET, 20, "CTRL_RX_EXTRA"},
    {VIRTIO_ID_NET, 21, "GUEST_ANNOUNCE"},
    {VIRTIO_ID_NET, 22, "MQ"},
    {VIRTIO_ID_NET, 23, "CTRL_MAC_ADDR"},
    {VIRTIO_ID_NET, 50, "DEVICE_STATS"},
    {VIRTIO_ID_NET, 51, "HASH_TUNNEL"},
    {VIRTIO_ID_NET, 52, "VQ_NOTF_COAL"},
    {VIRTIO_ID_NET, 53, "NOTF_COAL"},
    {VIRTIO_ID_NET, 54, "GUEST_USO4"},
    {VIRTIO_ID_NET, 55, "GUEST_USO6"},
    {VIRTIO_ID_NET, 56, "HOST_USO"},
    {VIRTIO_ID_NET, 57, "HASH_REPORT"},
    {VIRTIO_ID_NET, 59, "GUEST_HDRLEN"},
    {VIRTIO_ID_NET, 60, "RSS"},
    {VIRTIO_ID_NET, 61, "RSC_EXT"},
    {VIRTIO_ID_NET, 62, "STANDBY"},
    {VIRTIO_ID_NET, 63, "SPEED_DUPLEX"},
};

static const char *find_name(const struct named *table, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; ++i)
        if (table[i].number == number)
            return table[i].name;
    return NULL;
}

const char *l4vio_device_name(uint32_t device_id)
{
    const char *name = find_name(devices, sizeof devices / sizeof *devices, device_id);
    return name ? name : "unknown device";
}

const char *l4vio_status_name(uint32_t bit)
{
    return find_name(status_bits, sizeof status_bits / sizeof *status_bits, bit);
}

static bool feature_applies(const struct feature *feature, uint32_t device_id)
{
    return feature->device_id == ANY_DEVICE || feature->device_id == device_id;
}

const char *l4vio_feature_name(uint32_t device_id, unsigned bit)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; ++i)
        if (features[i].bit == bit && feature_applies(&features[i], device_id))
            return features[i].name;
    return NULL;
}

static bool same_name(const char *a, const char *b)
{
    for (;; ++a, ++b) {
        int left = *a == '-' ? '_' : toupper((unsigned char)*a);
        int right = *b == '-' ? '_' : toupper((unsigned char)*b);
        if (left != right)
            return false;
        if (!left)
            return true;
    }
}

int l4vio_feature_by_name(uint32_t device_id, const char *name)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; ++i)
        if (feature_applies(&features[i], device_id) && same_name(features[i].name, name))
            return (int)features[i].bit;
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
