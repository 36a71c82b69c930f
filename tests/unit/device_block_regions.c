/* SPDX-License-Identifier: MIT */
/* The store of a block device hears of the driver's memory: when it comes, and before it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <l4vio/device_block.h>

enum { pages = 4, page_bytes = 4096 };

struct fixture {
    struct l4vio_device_block block;
    struct l4vio_device_queue_state states[1];
    struct l4vio_device_block_queue queues[1];
    struct l4vio_device_block_request requests[1];
    struct l4vio_device_region regions[pages];
    unsigned char memory[pages][page_bytes];
    bool known[pages]; /* To the store. */
    bool released[pages];
    unsigned wrong; /* Calls that make no sense. */
};

static unsigned page_of(const struct fixture *fixture, const void *base)
{
    return (unsigned)(((const unsigned char *)base - fixture->memory[0]) / page_bytes);
}

static void info(void *self, struct l4vio_block_backend_info *out)
{
    (void)self;
    *out = (struct l4vio_block_backend_info){.size_bytes = 4096, .block_bytes = 512};
}

static void submit(void *self, struct l4vio_block_lane *lane, struct l4vio_block_io *io)
{
    (void)self;
    (void)lane;
    io->done(io, L4VIO_OK);
}

static void added(void *self, void *base, uint64_t size_bytes)
{
    struct fixture *fixture = self;
    bool *known = &fixture->known[page_of(fixture, base)];
    fixture->wrong += *known || size_bytes != page_bytes;
    *known = true;
}

static void removed(void *self, void *base, uint64_t size_bytes)
{
    struct fixture *fixture = self;
    unsigned page = page_of(fixture, base);
    fixture->wrong += !fixture->known[page] || fixture->released[page] || size_bytes != page_bytes;
    fixture->known[page] = false;
}

/* The store must have let go of it before. */
static void release(void *self, const struct l4vio_device_region *region)
{
    struct fixture *fixture = self;
    unsigned page = page_of(fixture, region->base);
    fixture->wrong += fixture->known[page];
    fixture->released[page] = true;
}

static const struct l4vio_block_backend_ops listening = {
    .info = info, .submit = submit, .region_added = added, .region_removed = removed};
static const struct l4vio_block_backend_ops deaf = {.info = info, .submit = submit};

static void open_device(struct fixture *fixture, const struct l4vio_block_backend_ops *ops)
{
    memset(fixture, 0, sizeof(*fixture));
    struct l4vio_device_block_config config = {
        .backend = {ops, fixture},
        .queue_states = fixture->states,
        .queues = fixture->queues,
        .queue_count = 1,
        .requests = fixture->requests,
        .requests_per_queue = 1,
        .regions = fixture->regions,
        .region_count = pages,
        .release_region = release,
        .release_self = fixture,
    };
    assert_int_equal(l4vio_device_block_init(&fixture->block, &config, NULL), 0);
}

static int add(struct fixture *fixture, unsigned page, uint64_t address)
{
    struct l4vio_device_region region = {
        .device_address = address, .size_bytes = page_bytes, .base = fixture->memory[page]};
    return l4vio_device_add_region(&fixture->block.device, &region, NULL);
}

static void store_hears_of_memory_that_comes_and_goes(void **state)
{
    static struct fixture fixture;
    (void)state;
    open_device(&fixture, &listening);
    assert_int_equal(add(&fixture, 0, 0x10000), 0);
    assert_int_equal(add(&fixture, 1, 0x20000), 0);
    assert_true(fixture.known[0] && fixture.known[1]);
    assert_int_equal(l4vio_device_remove_region(&fixture.block.device, 0x10000, page_bytes), 0);
    assert_true(!fixture.known[0] && fixture.released[0] && fixture.known[1]);
    l4vio_device_reset(&fixture.block.device);
    assert_true(!fixture.known[1] && fixture.released[1]);
    assert_int_equal(fixture.wrong, 0);
}

static void refused_memory_is_not_told(void **state)
{
    static struct fixture fixture;
    (void)state;
    open_device(&fixture, &listening);
    assert_int_equal(add(&fixture, 0, 0x10000), 0);
    assert_int_equal(add(&fixture, 1, 0x10000), L4VIO_EINVAL);
    assert_false(fixture.known[1]);
    assert_int_equal(l4vio_device_remove_region(&fixture.block.device, 0x30000, page_bytes),
                     L4VIO_ENOENT);
    assert_true(fixture.known[0]);
    l4vio_device_reset(&fixture.block.device);
    assert_int_equal(fixture.wrong, 0);
}

static void stores_need_not_listen(void **state)
{
    static struct fixture fixture;
    (void)state;
    open_device(&fixture, &deaf);
    assert_int_equal(add(&fixture, 0, 0x10000), 0);
    assert_int_equal(l4vio_device_remove_region(&fixture.block.device, 0x10000, page_bytes), 0);
    assert_true(fixture.released[0]);
    l4vio_device_reset(&fixture.block.device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_hears_of_memory_that_comes_and_goes),
        cmocka_unit_test(refused_memory_is_not_told),
        cmocka_unit_test(stores_need_not_listen),
    };
    return cmocka_run_group_tests_name("device_block_regions", tests, NULL, NULL);
}
