/* SPDX-License-Identifier: MIT */
/* Places of a packed ring as the device sees them, and how it shows results. */
#ifndef L4VIO_DEVICES_PACKED_H
#define L4VIO_DEVICES_PACKED_H

#include "devices/chain.h"
#include "devices/ring.h"

#define L4VIO_PACKED_ROUND_BITS (VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED)

static inline struct virtq_packed_desc *l4vio_packed_ring(const struct l4vio_device_queue *queue)
{
    return queue->desc;
}

/* A place and the bits that belong to it: AVAIL and USED of what is available or used there. */
struct l4vio_packed_position {
    uint32_t place;
    uint32_t bits;
};

/* By at most one round. */
static inline struct l4vio_packed_position l4vio_packed_ahead(
    const struct l4vio_device_queue *queue, struct l4vio_packed_position at, uint32_t entries)
{
    at.place += entries;
    if (at.place >= queue->size) {
        at.place -= queue->size;
        at.bits ^= L4VIO_PACKED_ROUND_BITS;
    }
    return at;
}

/* Where the next used descriptor goes, and as l4vio_device_queue_position says it. */
static inline struct l4vio_packed_position l4vio_packed_used_position(
    const struct l4vio_device_queue *queue)
{
    return (struct l4vio_packed_position){queue->used_index, queue->used_bits};
}

static inline bool l4vio_packed_first_round(struct l4vio_packed_position used)
{
    return used.bits != 0;
}

static inline uint16_t l4vio_packed_number(struct l4vio_packed_position used)
{
    return (uint16_t)(used.place | (used.bits ? 1u << VIRTQ_EVENT_WRAP_SHIFT : 0));
}

/* AVAIL and USED of what is available in the round in which these are those of what is used. */
static inline uint32_t l4vio_packed_available(struct l4vio_packed_position used)
{
    return used.bits ? VIRTQ_PACKED_DESC_F_AVAIL : VIRTQ_PACKED_DESC_F_USED;
}

/* Used descriptors that are being written: the first one is shown last, and with it all of them. */
struct l4vio_packed_writer {
    struct l4vio_packed_position at;
    struct virtq_packed_desc *first;
    uint64_t first_word;
    uint32_t chains;
    uint32_t entries;
};

static inline void l4vio_packed_write_used(const struct l4vio_device_queue *queue,
                                           struct l4vio_packed_writer *writer, uint32_t id,
                                           uint32_t written_bytes, uint32_t chains,
                                           uint32_t entries)
{
    struct virtq_packed_desc *desc = &l4vio_packed_ring(queue)[writer->at.place];
    uint32_t flags = writer->at.bits | (written_bytes ? VIRTQ_DESC_F_WRITE : 0);
    uint64_t word = l4vio_packed_word(written_bytes, id, flags);
    if (writer->first) {
        l4vio_store_packed(desc, word);
    } else {
        writer->first = desc;
        writer->first_word = word;
    }
    writer->at = l4vio_packed_ahead(queue, writer->at, entries);
    writer->chains += chains;
    writer->entries += entries;
}

static inline void l4vio_packed_publish(struct l4vio_device_queue *queue,
                                        const struct l4vio_packed_writer *writer,
                                        bool order_platform)
{
    if (!writer->first)
        return;
    queue->used_index = (uint16_t)writer->at.place;
    queue->used_bits = (uint16_t)writer->at.bits;
    queue->in_flight = (uint16_t)(queue->in_flight - writer->chains);
    queue->in_flight_entries = (uint16_t)(queue->in_flight_entries - writer->entries);
    queue->unannounced += writer->entries;
    queue->counters.finished += writer->chains;
    if (order_platform)
        l4vio_store_packed_platform(writer->first, writer->first_word);
    else
        l4vio_store_packed_release(writer->first, writer->first_word);
}

/* Follows the table of an indirect descriptor: 0, or the queue is broken. */
int l4vio_packed_walk_table(struct l4vio_device_queue *queue, struct l4vio_device_walk *walk,
                            struct l4vio_device_chain *chain, struct l4vio_device_entry first);

/* What rings with a record have in common with those without: see ring.h. */
void l4vio_packed_position(const struct l4vio_device_queue *queue, uint16_t *avail, uint16_t *used);
bool l4vio_packed_wants_notification(const struct l4vio_device_queue *queue);
void l4vio_packed_set_kicks(struct l4vio_device_queue *queue, bool wanted);
void l4vio_packed_log_used(const struct l4vio_device_queue *queue, uint16_t since);
void l4vio_packed_log_kicks(const struct l4vio_device_queue *queue);
bool l4vio_packed_position_fits(const struct l4vio_device_queue *queue, uint16_t position);

#endif
