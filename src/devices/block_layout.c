/* SPDX-License-Identifier: MIT */
/* The wire structures of the block device against the offsets of VIRTIO 1.4, section 5.2.4 and 5.2.6. */
#include <stddef.h>

#include <l4vio/device_block.h>

#define AT(field, offset) \
    _Static_assert(offsetof(struct virtio_blk_config, field) == (offset), "offset of " #field)

AT(capacity, 0);
AT(size_max, 8);
AT(seg_max, 12);
AT(cylinders, 16);
AT(heads, 18);
AT(sectors, 19);
AT(blk_size, 20);
AT(physical_block_exp, 24);
AT(alignment_offset, 25);
AT(min_io_size, 26);
AT(opt_io_size, 28);
AT(writeback, 32);
AT(unused0, 33);
AT(num_queues, 34);
AT(max_discard_sectors, 36);
AT(max_discard_seg, 40);
AT(discard_sector_alignment, 44);
AT(max_write_zeroes_sectors, 48);
AT(max_write_zeroes_seg, 52);
AT(write_zeroes_may_unmap, 56);
AT(unused1, 57);
AT(max_secure_erase_sectors, 60);
AT(max_secure_erase_seg, 64);
AT(secure_erase_sector_alignment, 68);
_Static_assert(sizeof(struct virtio_blk_config) == 72, "configuration up to SECURE_ERASE");

_Static_assert(sizeof(struct virtio_blk_req_header) == 16, "request header");
_Static_assert(offsetof(struct virtio_blk_req_header, type) == 0, "offset of type");
_Static_assert(offsetof(struct virtio_blk_req_header, reserved) == 4, "offset of reserved");
_Static_assert(offsetof(struct virtio_blk_req_header, sector) == 8, "offset of sector");

_Static_assert(sizeof(struct virtio_blk_range) == 16, "range record");
_Static_assert(offsetof(struct virtio_blk_range, sector) == 0, "offset of sector");
_Static_assert(offsetof(struct virtio_blk_range, num_sectors) == 8, "offset of num_sectors");
_Static_assert(offsetof(struct virtio_blk_range, flags) == 12, "offset of flags");
