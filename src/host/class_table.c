/* SPDX-License-Identifier: MIT */
/* All device ids (VIRTIO 1.4, chapter 5), by number. */
#include "host/class.h"

static const struct l4vio_class_entry classes[] = {
    {1, "net", "network card", &l4vio_class_net},
    {2, "block", "block device", &l4vio_class_block},
    {3, "console", "console", &l4vio_class_console},
    {4, "entropy", "entropy source", &l4vio_class_entropy},
    {5, "balloon", "memory balloon", &l4vio_class_balloon},
    {6, "iomem", "ioMemory", NULL},
    {7, "rpmsg", "rpmsg", NULL},
    {8, "scsi", "SCSI host", &l4vio_class_scsi},
    {9, "9p", "9P transport", NULL},
    {10, "mac80211_wlan", "mac80211 wlan", NULL},
    {11, "rproc_serial", "rproc serial", NULL},
    {12, "caif", "CAIF", NULL},
    {13, "new_balloon", "memory balloon of the second kind", NULL},
    {16, "gpu", "GPU", &l4vio_class_gpu},
    {17, "rtc", "clock", &l4vio_class_rtc},
    {18, "input", "input device", &l4vio_class_input},
    {19, "vsock", "socket device", &l4vio_class_vsock},
    {20, "crypto", "crypto device", &l4vio_class_crypto},
    {21, "signal", "signal distribution module", NULL},
    {22, "pstore", "pstore device", NULL},
    {23, "iommu", "IOMMU", &l4vio_class_iommu},
    {24, "mem", "memory device", &l4vio_class_mem},
    {25, "sound", "sound device", &l4vio_class_sound},
    {26, "fs", "file system", &l4vio_class_fs},
    {27, "pmem", "persistent memory", &l4vio_class_pmem},
    {28, "rpmb", "replay protected memory", &l4vio_class_rpmb},
    {29, "mac80211_hwsim", "mac80211 hwsim", NULL},
    {30, "video_encoder", "video encoder", NULL},
    {31, "video_decoder", "video decoder", NULL},
    {32, "scmi", "SCMI device", &l4vio_class_scmi},
    {33, "nitro_sec_mod", "NitroSecureModule", NULL},
    {34, "i2c", "I2C adapter", &l4vio_class_i2c},
    {35, "watchdog", "watchdog", NULL},
    {36, "can", "CAN device", &l4vio_class_can},
    {38, "parameter_server", "parameter server", NULL},
    {39, "audio_policy", "audio policy device", NULL},
    {40, "bluetooth", "Bluetooth device", NULL},
    {41, "gpio", "GPIO device", &l4vio_class_gpio},
    {42, "rdma", "RDMA device", NULL},
    {43, "camera", "camera device", NULL},
    {44, "ism", "ISM device", NULL},
    {45, "spi", "SPI device", &l4vio_class_spi},
    {46, "tee", "TEE device", NULL},
    {47, "cpu_balloon", "CPU balloon", NULL},
    {48, "media", "media device", &l4vio_class_media},
    {49, "usb", "USB controller", NULL},
};

#define CLASS_COUNT (sizeof classes / sizeof *classes)

static const struct l4vio_class nothing;

const struct l4vio_class_entry *l4vio_class_find(uint32_t device_id)
{
    for (size_t i = 0; i < CLASS_COUNT; ++i)
        if (classes[i].device_id == device_id)
            return &classes[i];
    return NULL;
}

const struct l4vio_class *l4vio_class_describe(uint32_t device_id)
{
    const struct l4vio_class_entry *entry = l4vio_class_find(device_id);
    return entry && entry->description ? entry->description : &nothing;
}

uint32_t l4vio_class_next(uint32_t device_id)
{
    for (size_t i = 0; i < CLASS_COUNT; ++i)
        if (classes[i].device_id > device_id)
            return classes[i].device_id;
    return 0;
}
