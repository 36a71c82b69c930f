/* SPDX-License-Identifier: MIT */
/* B1: data of IN and GET_ID is device-writable, of OUT, DISCARD and WRITE_ZEROES device-readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ordering.h"
#include "scripted_disk.h"

static void data_has_the_direction_of_its_request(void **state)
{
    (void)state;
    struct scripted_disk *rig = rig_started();
    static const struct {
        enum l4vio_block_type type;
        uint64_t readable_bytes;
        uint64_t writable_bytes;
    } rows[] = {
        {L4VIO_BLOCK_READ, 16, 1024 + 1},  {L4VIO_BLOCK_WRITE, 16 + 1024, 1},
        {L4VIO_BLOCK_FLUSH, 16, 1},        {L4VIO_BLOCK_GET_ID, 16, 20 + 1},
        {L4VIO_BLOCK_DISCARD, 16 + 16, 1}, {L4VIO_BLOCK_WRITE_ZEROES, 16 + 16, 1},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct l4vio_block_request request;
        struct l4vio_block_segment segment;
        rig_prepare(rig, &request, 0, &segment, rows[i].type, 0, 0, 1024);
        assert_int_equal(0, l4vio_block_submit(&rig->block, 0, &request, NULL));
        assert_int_equal(0, l4vio_block_wait(&rig->block, &request, rig_soon(rig)));
        assert_int_equal(0, request.result);
        assert_int_equal(rows[i].type, rig->log[i].type);
        assert_int_equal(rows[i].readable_bytes, rig->log[i].readable_bytes);
        assert_int_equal(rows[i].writable_bytes, rig->log[i].writable_bytes);
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(data_has_the_direction_of_its_request)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
