/* SPDX-License-Identifier: MIT */
/*
 * A driver that breaks the rules of the rings over vhost-user: the device tells that it has failed, and is
 * usable again on the same connection, whichever way the driver begins anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vhost_attacker.h"

enum crime {
    BAD_HEAD,
    RUNS_AHEAD,
    LOOP,
    NEXT_OUT_OF_RANGE,
    OUTSIDE_MEMORY,
    WRAPS_AROUND,
    STRADDLES_THE_END,
    NO_BYTES,
    WRITABLE_FIRST,
    TABLE_NOT_NEGOTIATED,
    CRIMES
};

enum way { BY_RESET_DEVICE, BY_STATUS, BY_VRING_BASE, WAYS };

static void commit_split(struct vhost_attacker *attacker, enum crime crime)
{
    struct raw_piece piece = {ATTACK_GUEST + ATTACK_HEADER, 16, RAW_READ};
    struct virtq_desc *desc = attacker->ring.desc;
    struct virtq_avail *avail = attacker->ring.avail;
    uint16_t *heads = (uint16_t *)(void *)(avail + 1);

    if (crime == OUTSIDE_MEMORY)
        piece.address = ATTACK_GUEST + ATTACK_MEMORY_BYTES;
    if (crime == WRAPS_AROUND)
        piece = (struct raw_piece){UINT64_MAX - 7, 16, RAW_READ};
    if (crime == STRADDLES_THE_END)
        piece.address = ATTACK_GUEST + ATTACK_MEMORY_BYTES - 8;
    if (crime == NO_BYTES)
        piece.length_bytes = 0;
    if (crime == TABLE_NOT_NEGOTIATED)
        piece.flags = VIRTQ_DESC_F_INDIRECT;
    if (crime == WRITABLE_FIRST) {
        const struct raw_piece pieces[] = {{ATTACK_GUEST + ATTACK_DATA, 512, RAW_WRITE}, piece};
        raw_ring_publish(&attacker->ring, 0, pieces, 2);
        return;
    }
    raw_ring_publish(&attacker->ring, 0, &piece, 1);
    if (crime == BAD_HEAD)
        heads[0] = ATTACK_QUEUE_SIZE;
    if (crime == RUNS_AHEAD)
        avail->idx = ATTACK_QUEUE_SIZE + 1;
    if (crime == LOOP || crime == NEXT_OUT_OF_RANGE) {
        desc[0].flags = VIRTQ_DESC_F_NEXT;
        desc[0].next = crime == LOOP ? 0 : ATTACK_QUEUE_SIZE;
    }
}

/* Those that a packed ring has not are replaced by one that it has. */
static void commit_packed(struct vhost_attacker *attacker, enum crime crime)
{
    struct raw_piece piece = {ATTACK_GUEST + ATTACK_MEMORY_BYTES, 16, RAW_READ};
    uint16_t id = 0;

    if (crime == BAD_HEAD) {
        piece.address = ATTACK_GUEST + ATTACK_HEADER;
        id = ATTACK_QUEUE_SIZE;
    }
    if (crime == WRAPS_AROUND)
        piece = (struct raw_piece){UINT64_MAX - 7, 16, RAW_READ};
    if (crime == STRADDLES_THE_END)
        piece.address = ATTACK_GUEST + ATTACK_MEMORY_BYTES - 8;
    if (crime == TABLE_NOT_NEGOTIATED)
        piece = (struct raw_piece){ATTACK_GUEST + ATTACK_HEADER, 16, VIRTQ_DESC_F_INDIRECT};
    if (crime == LOOP) {
        /* All descriptors of the ring have NEXT. */
        piece.address = ATTACK_GUEST + ATTACK_HEADER;
        for (unsigned i = ATTACK_QUEUE_SIZE; i-- > 0;)
            raw_packed_desc(&attacker->ring, i, piece, 0,
                            VIRTQ_DESC_F_NEXT | raw_packed_bits(&attacker->ring, i));
        return;
    }
    raw_packed_desc(&attacker->ring, 0, piece, id,
                    piece.flags | raw_packed_bits(&attacker->ring, 0));
}

/* A malformed request in a chain that is none of the ring's business gets its status, or nothing. */
static bool breaks_the_ring(enum crime crime, bool packed)
{
    return packed || crime != NO_BYTES;
}

static void begin_anew(struct vhost_attacker *attacker, enum way way)
{
    const uint64_t nothing = 0;

    if (way == BY_RESET_DEVICE)
        assert_int_equal(vhost_attacker_tell(attacker, RAW_RESET_DEVICE, NULL, 0, -1), 0);
    if (way == BY_STATUS)
        assert_int_equal(
            vhost_attacker_tell(attacker, RAW_SET_STATUS, &nothing, sizeof(nothing), -1), 0);
    if (way == BY_VRING_BASE)
        assert_true(vhost_attacker_stop_ring(attacker, 0, NULL));
    if (way != BY_VRING_BASE)
        assert_int_equal(vhost_attacker_set_features(attacker), 0);
    assert_int_equal(vhost_attacker_start_ring(attacker), 0);
}

static void break_and_mend(struct socket_server *server, bool packed, enum way way)
{
    struct vhost_attacker attacker;

    vhost_attacker_open(&attacker, server);
    attacker.features |= packed ? ATTACK_F_PACKED : 0;
    attacker.protocol_features |= way == BY_STATUS ? RAW_P_STATUS : 0;
    assert_int_equal(vhost_attacker_live(&attacker), 0);
    for (unsigned crime = 0; crime < CRIMES; crime++) {
        if (!breaks_the_ring((enum crime)crime, packed))
            continue;
        if (packed)
            commit_packed(&attacker, (enum crime)crime);
        else
            commit_split(&attacker, (enum crime)crime);
        vhost_attacker_kick(&attacker);
        if (!vhost_attacker_fails(&attacker))
            fail_msg("crime %u, packed %d: nothing was said", crime, packed);
        begin_anew(&attacker, way);
        assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_IN), VIRTIO_BLK_S_OK);
        begin_anew(&attacker, way);
    }
    vhost_attacker_close(&attacker);
    assert_true(socket_server_has_clients(server, 0));
}

static void usable_again(enum way way)
{
    struct socket_server server;

    vhost_attacked_start(&server);
    break_and_mend(&server, false, way);
    break_and_mend(&server, true, way);
    vhost_attacked_check(&server);
    socket_server_end(&server);
}

static void usable_again_after_reset_device(void **state)
{
    (void)state;
    usable_again(BY_RESET_DEVICE);
}

static void usable_again_after_status_zero(void **state)
{
    (void)state;
    usable_again(BY_STATUS);
}

static void usable_again_after_get_vring_base(void **state)
{
    (void)state;
    usable_again(BY_VRING_BASE);
}

static void requests_in_a_good_chain_that_make_no_sense_fail_alone(void **state)
{
    struct socket_server server;
    struct vhost_attacker attacker;

    (void)state;
    vhost_attacked_start(&server);
    vhost_attacker_open(&attacker, &server);
    assert_int_equal(vhost_attacker_live(&attacker), 0);
    assert_int_equal(vhost_attacker_do(&attacker, 77), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(vhost_attacker_do(&attacker, VIRTIO_BLK_T_OUT), VIRTIO_BLK_S_OK);
    vhost_attacker_close(&attacker);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usable_again_after_reset_device),
        cmocka_unit_test(usable_again_after_status_zero),
        cmocka_unit_test(usable_again_after_get_vring_base),
        cmocka_unit_test(requests_in_a_good_chain_that_make_no_sense_fail_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
