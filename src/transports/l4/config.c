/* SPDX-License-Identifier: MIT */
/* Device configuration: the bytes between the header and the queue array. */
#include "core/bytes.h"
#include "core/ordering.h"
#include "transports/l4/page.h"

uint32_t l4vio_l4_config_size(void *self)
{
    const struct l4vio_l4 *l4 = self;
    return l4->queues_offset - L4VIO_PAGE_CONFIG_OFFSET;
}

static int check(struct l4vio_l4 *l4, uint32_t offset_bytes, uint32_t size_bytes,
                 uint32_t width_bytes, struct l4vio_error *error)
{
    if (!l4->open)
        return l4vio_fail(error, L4VIO_EPIPE, "not connected", 0);
    uint32_t limit = l4vio_l4_config_size(l4);
    if (offset_bytes > limit || size_bytes > limit - offset_bytes)
        return l4vio_fail(error, L4VIO_ERANGE, "past the end of the device configuration", limit);
    if (width_bytes == 0 || width_bytes > 8 || (width_bytes & (width_bytes - 1)) ||
        ((offset_bytes | size_bytes) & (width_bytes - 1)))
        return l4vio_fail(error, L4VIO_EINVAL, "not a field of this width", width_bytes);
    return L4VIO_OK;
}

/* One field, in wire order: the accessor's conversion is undone, which costs nothing. */
static void read_field(const void *from, void *to, uint32_t width_bytes)
{
    uint8_t byte;
    uint16_t half;
    uint32_t word;
    uint64_t wide;
    switch (width_bytes) {
    case 1:
        byte = l4vio_load8(from);
        memcpy(to, &byte, sizeof(byte));
        break;
    case 2:
        half = l4vio_swap16(l4vio_load16(from));
        memcpy(to, &half, sizeof(half));
        break;
    case 4:
        word = l4vio_swap32(l4vio_load32(from));
        memcpy(to, &word, sizeof(word));
        break;
    default:
        wide = l4vio_swap64(l4vio_load64(from));
        memcpy(to, &wide, sizeof(wide));
        break;
    }
}

static void write_field(void *to, const void *from, uint32_t width_bytes)
{
    uint8_t byte;
    uint16_t half;
    uint32_t word;
    uint64_t wide;
    switch (width_bytes) {
    case 1:
        memcpy(&byte, from, sizeof(byte));
        l4vio_store8(to, byte);
        break;
    case 2:
        memcpy(&half, from, sizeof(half));
        l4vio_store16(to, l4vio_swap16(half));
        break;
    case 4:
        memcpy(&word, from, sizeof(word));
        l4vio_store32(to, l4vio_swap32(word));
        break;
    default:
        memcpy(&wide, from, sizeof(wide));
        l4vio_store64(to, l4vio_swap64(wide));
        break;
    }
}

int l4vio_l4_read_config(void *self, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                         uint32_t width_bytes, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    int result = check(l4, offset_bytes, size_bytes, width_bytes, error);
    if (result)
        return result;
    const unsigned char *from =
        (const unsigned char *)l4->page + L4VIO_PAGE_CONFIG_OFFSET + offset_bytes;
    for (uint32_t done = 0; done < size_bytes; done += width_bytes)
        read_field(from + done, (unsigned char *)out + done, width_bytes);
    return L4VIO_OK;
}

int l4vio_l4_write_config(void *self, uint32_t offset_bytes, const void *data, uint32_t width_bytes,
                          uint64_t deadline_ns, struct l4vio_error *error)
{
    struct l4vio_l4 *l4 = self;
    int result = check(l4, offset_bytes, width_bytes, width_bytes, error);
    if (result)
        return result;
    write_field((unsigned char *)l4->page + L4VIO_PAGE_CONFIG_OFFSET + offset_bytes, data,
                width_bytes);
    if (l4->cmd_mode)
        return l4vio_l4_command(l4, L4VIO_PAGE_CMD_CFG_CHANGED, 0, deadline_ns, error);
    /* The field is visible before the device is woken. */
    l4vio_full_barrier();
    return l4vio_l4_kick_config(l4, deadline_ns, error);
}
