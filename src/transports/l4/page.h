/* SPDX-License-Identifier: MIT */
/* The driver's view of the config page: what the files of this transport share. */
#ifndef L4VIO_TRANSPORTS_L4_PAGE_H
#define L4VIO_TRANSPORTS_L4_PAGE_H

#include <l4vio/l4.h>

static inline struct l4vio_page_header *l4vio_l4_header(const struct l4vio_l4 *l4)
{
    return l4->page;
}

/* `queue` is below queue_count, which was checked against the page. */
static inline struct l4vio_page_queue *l4vio_l4_entry(const struct l4vio_l4 *l4, uint32_t queue)
{
    unsigned char *first = (unsigned char *)l4->page + l4->queues_offset;
    return (struct l4vio_page_queue *)(void *)first + queue;
}

/* Maps the page, checks it and takes what the transport decides by. Undone by _close_page. */
int l4vio_l4_open_page(struct l4vio_l4 *l4, uint64_t deadline_ns, struct l4vio_error *error);
void l4vio_l4_close_page(struct l4vio_l4 *l4);

/* Tells the device through the `cmd` register, and waits until it has looked. */
int l4vio_l4_command(struct l4vio_l4 *l4, enum l4vio_page_cmd command, uint32_t argument,
                     uint64_t deadline_ns, struct l4vio_error *error);
/* Triggers the device's object for configuration changes; gets it first if need be. */
int l4vio_l4_kick_config(struct l4vio_l4 *l4, uint64_t deadline_ns, struct l4vio_error *error);
/* Gives that object back. */
void l4vio_l4_drop_config_kick(struct l4vio_l4 *l4);

/* Operations on device configuration (transport.h). */
int l4vio_l4_read_config(void *self, uint32_t offset_bytes, void *out, uint32_t size_bytes,
                         uint32_t width_bytes, struct l4vio_error *error);
int l4vio_l4_write_config(void *self, uint32_t offset_bytes, const void *data, uint32_t width_bytes,
                          uint64_t deadline_ns, struct l4vio_error *error);
uint32_t l4vio_l4_config_size(void *self);

#endif
