/* SPDX-License-Identifier: MIT */
/* Short transfers: what is left of the segments, and that they are whole again in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backends/file.h"

#define SEGMENTS 3u

static unsigned char memory[0x4000];
static const struct l4vio_device_segment whole[SEGMENTS] = {
    {memory, 512}, {memory + 0x1000, 1024}, {memory + 0x2000, 512}};

static void expect_left(const struct l4vio_block_io *io, uint64_t bytes)
{
    uint32_t count;
    const struct l4vio_device_segment *left = l4vio_file_segments(io, &count);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += left[i].length_bytes;
    assert_int_equal(sum, bytes);
    if (count)
        assert_ptr_equal((unsigned char *)left->base + left->length_bytes,
                         (unsigned char *)whole[SEGMENTS - count].base +
                             whole[SEGMENTS - count].length_bytes);
}

/* Cut into any two pieces and a rest, all done or given up after them. */
static void segments_are_whole_when_an_operation_ends(void **state)
{
    (void)state;
    for (uint64_t first = 1; first < 2048; first += 73) {
        for (uint64_t second = 1; first + second < 2048; second += 61) {
            for (unsigned given_up = 0; given_up < 2; given_up++) {
                struct l4vio_device_segment segments[SEGMENTS];
                struct l4vio_block_io io = {.segments = segments, .segment_count = SEGMENTS};
                memcpy(segments, whole, sizeof(whole));
                l4vio_file_start(&io);
                l4vio_file_advance(&io, first);
                expect_left(&io, 2048 - first);
                l4vio_file_advance(&io, second);
                expect_left(&io, 2048 - first - second);
                if (given_up)
                    l4vio_file_restore(&io);
                else
                    l4vio_file_advance(&io, 2048 - first - second);
                assert_memory_equal(segments, whole, sizeof(whole));
                assert_int_equal(io.progress_bytes, given_up ? first + second : 2048);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_whole_when_an_operation_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
