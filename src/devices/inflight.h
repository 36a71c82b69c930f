/* SPDX-License-Identifier: MIT */
/*
 * The record of what is in flight. Everything that this process decides by is private (the slots, and
 * struct l4vio_device_inflight); the shared region is written along, and read only when a queue is set up.
 */
#ifndef L4VIO_DEVICES_INFLIGHT_H
#define L4VIO_DEVICES_INFLIGHT_H

#include <l4vio/device_queue.h>
#include <l4vio/wire/vhost_user_inflight.h>

#include "core/ordering.h"
#include "devices/packed.h"

/* No entry, no head. */
#define L4VIO_INFLIGHT_NONE UINT16_MAX

/* `order` of a chain that does not wait to be given out: none of them is a head. */
enum {
    L4VIO_INFLIGHT_TAKEN = 0xfffe,     /* From the ring. */
    L4VIO_INFLIGHT_AGAIN = 0xfffd,     /* From the record of a predecessor. */
    L4VIO_INFLIGHT_FREE = 0xfffc,      /* While a record is checked: a free entry. */
    L4VIO_INFLIGHT_CONTINUED = 0xfffb, /* An entry of a chain that is not its first. */
};

/* Checks where the record is to be and puts the private part to its first state. */
int l4vio_inflight_begin(struct l4vio_device_queue *queue,
                         const struct l4vio_device_queue_resume *resume, bool packed,
                         struct l4vio_error *error);

/* Checks what both formats begin with. 1: a predecessor's, 0: new, or a negative code. */
int l4vio_inflight_check(const struct l4vio_device_queue *queue, struct l4vio_error *error);

/*
 * Sorts the chains of a predecessor, a list along `order` from `resubmit` on, by counter. L4VIO_EINVAL
 * if two have the same, or none is left for the next one.
 */
int l4vio_inflight_sort(struct l4vio_device_queue *queue, struct l4vio_error *error);

/* Whether a head or id, any number, is that of a chain that was given out. */
static inline bool l4vio_inflight_has(const struct l4vio_device_queue *queue, uint32_t head)
{
    const struct l4vio_device_inflight_slot *slots = queue->inflight.slots;
    if (head >= queue->size || slots[head].first == L4VIO_INFLIGHT_NONE)
        return false;
    uint16_t order = slots[slots[head].first].order;
    return order == L4VIO_INFLIGHT_TAKEN || order == L4VIO_INFLIGHT_AGAIN;
}

/* Puts a chain that was given out from the record of a predecessor back to the front. */
static inline void l4vio_inflight_wait_again(struct l4vio_device_queue *queue, uint16_t first)
{
    queue->inflight.slots[first].order = queue->inflight.resubmit;
    queue->inflight.resubmit = first;
}

/* The chain that waits in front is given out. */
static inline void l4vio_inflight_give_out(struct l4vio_device_queue *queue)
{
    struct l4vio_device_inflight_slot *slot = &queue->inflight.slots[queue->inflight.resubmit];
    queue->inflight.resubmit = slot->order;
    slot->order = L4VIO_INFLIGHT_AGAIN;
}

/*
 * Split: finds out where to go on by a record that is there, and completes what its writer was doing;
 * or begins one at these positions. Fills `at`. 0, or a negative code: then nothing was written.
 */
int l4vio_inflight_split_resume(struct l4vio_device_queue *queue,
                                struct l4vio_device_queue_resume *at, struct l4vio_error *error);
void l4vio_inflight_split_new(const struct l4vio_device_queue *queue);

/* A chain is taken: false if its head is in flight already. */
bool l4vio_inflight_split_take(struct l4vio_device_queue *queue, uint16_t head);
/* The chain that was taken last is put back. */
void l4vio_inflight_split_rewind(struct l4vio_device_queue *queue, uint16_t head);
/* A chain becomes one of the batch that is to be shown as used: it is not in flight any more. */
void l4vio_inflight_split_batch(struct l4vio_device_queue *queue, uint16_t head);
/* The batch was shown: one of its chains; then, all of them. */
void l4vio_inflight_split_clear(const struct l4vio_device_queue *queue, uint16_t head);
void l4vio_inflight_split_cleared(const struct l4vio_device_queue *queue);

/* The same for a packed ring. Positions are those of l4vio_device_queue_position. */
int l4vio_inflight_packed_resume(struct l4vio_device_queue *queue,
                                 struct l4vio_device_queue_resume *at, struct l4vio_error *error);
void l4vio_inflight_packed_new(struct l4vio_device_queue *queue);
/* `place` is where its first descriptor lies. */
bool l4vio_inflight_packed_take(struct l4vio_device_queue *queue,
                                const struct l4vio_device_chain *chain, uint32_t place);
void l4vio_inflight_packed_rewind(struct l4vio_device_queue *queue, uint16_t id);
void l4vio_inflight_packed_batch(struct l4vio_device_queue *queue, uint16_t id);
/* The batch, which ends at `used`, is about to be shown; it was shown, that many chains. */
void l4vio_inflight_packed_moving(const struct l4vio_device_queue *queue,
                                  struct l4vio_packed_position used);
void l4vio_inflight_packed_moved(const struct l4vio_device_queue *queue, uint32_t chains);

#endif
