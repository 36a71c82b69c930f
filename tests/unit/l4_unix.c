/* SPDX-License-Identifier: MIT */
/* The l4 socket end to end: driver core, client, server, block device, memory store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "socket_driver.h"
#include "socket_server.h"

static void write_then_read(struct socket_driver *driver, unsigned queue, unsigned seed)
{
    uint64_t sector = 8u * seed;

    memset(socket_driver_data(driver, queue, 0), (int)(seed & 0xff), SOCKET_DRIVER_DATA_BYTES);
    assert_int_equal(socket_driver_request(driver, queue, VIRTIO_BLK_T_OUT, sector), 0);
    memset(socket_driver_data(driver, queue, 0), 0, SOCKET_DRIVER_DATA_BYTES);
    assert_int_equal(socket_driver_request(driver, queue, VIRTIO_BLK_T_IN, sector), 0);
    for (unsigned i = 0; i < SOCKET_DRIVER_DATA_BYTES; i++)
        assert_int_equal(socket_driver_data(driver, queue, 0)[i], seed & 0xff);
}

static void one_client_writes_and_reads_back(void **state)
{
    struct socket_server server;
    struct socket_driver driver;

    (void)state;
    socket_server_init(&server);
    socket_server_start(&server);
    assert_int_equal(socket_driver_open(&driver, server.path, 1), 0);
    for (unsigned i = 1; i < 200; i++)
        write_then_read(&driver, 0, i);
    assert_int_equal(socket_driver_request(&driver, 0, VIRTIO_BLK_T_FLUSH, 0), 0);
    socket_driver_close(&driver);
    socket_server_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_writes_and_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
