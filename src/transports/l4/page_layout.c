/* SPDX-License-Identifier: MIT */
/* Checks at compile time that the config page lies as L4-VIRTIO has it. There is no code here. */
#include <stddef.h>

#include <l4vio/wire/l4_page.h>

#define HEADER(field, offset) \
    _Static_assert(offsetof(struct l4vio_page_header, field) == (offset), "config page: " #field)
#define QUEUE(field, offset) \
    _Static_assert(offsetof(struct l4vio_page_queue, field) == (offset), "queue entry: " #field)

HEADER(magic, 0x000);
HEADER(version, 0x004);
HEADER(device, 0x008);
HEADER(vendor, 0x00c);
HEADER(dev_features, 0x010);
HEADER(dev_features_sel, 0x014);
HEADER(driver_features, 0x020);
HEADER(driver_features_sel, 0x024);
HEADER(num_queues, 0x028);
HEADER(queues_offset, 0x02c);
HEADER(queue_sel, 0x030);
HEADER(queue_num_max, 0x034);
HEADER(queue_num, 0x038);
HEADER(reserved_03c, 0x03c);
HEADER(queue_ready, 0x044);
HEADER(queue_notify, 0x050);
HEADER(irq_status, 0x060);
HEADER(irq_ack, 0x064);
HEADER(status, 0x070);
HEADER(cfg_driver_notify_index, 0x074);
HEADER(cfg_device_notify_index, 0x078);
HEADER(cmd, 0x07c);
HEADER(queue_desc, 0x080);
HEADER(queue_avail, 0x090);
HEADER(queue_used, 0x0a0);
HEADER(shm_sel, 0x0ac);
HEADER(shm_len, 0x0b0);
HEADER(shm_base, 0x0b8);
HEADER(dev_features_map, 0x0c0);
HEADER(driver_features_map, 0x0e0);
HEADER(generation, 0x0fc);
_Static_assert(sizeof(struct l4vio_page_header) == L4VIO_PAGE_CONFIG_OFFSET,
               "the device configuration follows the header");

QUEUE(num_max, 0);
QUEUE(num, 2);
QUEUE(ready, 4);
QUEUE(driver_notify_index, 6);
QUEUE(desc_addr, 8);
QUEUE(avail_addr, 16);
QUEUE(used_addr, 24);
QUEUE(device_notify_index, 32);
_Static_assert(sizeof(struct l4vio_page_queue) == 40, "queue entry: 40 bytes on every machine");

_Static_assert(L4VIO_PAGE_CMD_SET_STATUS == 1 && L4VIO_PAGE_CMD_CFG_QUEUE == 2 &&
                   L4VIO_PAGE_CMD_CFG_CHANGED == 4 && L4VIO_PAGE_CMD_NOTIFY_QUEUE == 8,
               "commands");
_Static_assert(L4VIO_CALL_SET_STATUS == 0 && L4VIO_CALL_CONFIG_QUEUE == 1 &&
                   L4VIO_CALL_REGISTER_DS == 3 && L4VIO_CALL_DEVICE_CONFIG == 4 &&
                   L4VIO_CALL_DEVICE_NOTIFICATION == 5,
               "opcodes are frozen");
