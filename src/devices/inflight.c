/* SPDX-License-Identifier: MIT */
#include <l4vio/device_inflight.h>

#include <l4vio/wire/vhost_user_inflight.h>

uint64_t l4vio_device_inflight_bytes(uint16_t size, bool packed)
{
    uint64_t head_bytes = packed ? sizeof(struct vhost_user_inflight_packed)
                                 : sizeof(struct vhost_user_inflight_split);
    uint64_t entry_bytes = packed ? sizeof(struct vhost_user_inflight_packed_desc)
                                  : sizeof(struct vhost_user_inflight_split_desc);
    uint64_t bytes = head_bytes + size * entry_bytes;
    return (bytes + L4VIO_DEVICE_INFLIGHT_ALIGN - 1) & ~(uint64_t)(L4VIO_DEVICE_INFLIGHT_ALIGN - 1);
}
