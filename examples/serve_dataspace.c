/* SPDX-License-Identifier: MIT */
/*
 * Serves memory of the program's own as a block device: the image is a dataspace, and requests are
 * copied straight between it and the memory of the driver. What the program writes into it, clients
 * read, and the other way round.
 *
 * Try it like this:
 *     serve_dataspace /tmp/notes.sock "a note for everybody" &
 *     l4vio block read l4:/tmp/notes.sock --length 512
 */
#include <signal.h>
#include <stdio.h>

#include <l4vio/backends.h>
#include <l4vio/block_service.h>
#include <l4vio/l4_unix.h>
#include <l4vio/linux.h>

enum { IMAGE_BYTES = 1 << 20, NOTE_BYTES = 512 };

static struct l4vio_server *server;

static void stop(int signal_number)
{
    (void)signal_number;
    l4vio_server_stop(server);
}

static int serve(const char *path, const struct l4vio_dataspace *image, struct l4vio_error *error)
{
    struct l4vio_block_service_config block = {.id = "notes"};
    struct l4vio_server_config config = {.protocol = l4vio_l4_protocol(), .path = path};

    int result = l4vio_dataspace_backend_open(image, false, &block.backend, error);
    if (result < 0)
        return result;
    result = l4vio_block_service_open(&block, &config.service, error);
    if (result == 0) {
        result = l4vio_server_open(&config, &server, error);
        if (result == 0) {
            signal(SIGINT, stop);
            signal(SIGTERM, stop);
            result = l4vio_server_run(server, error);
            l4vio_server_close(server);
        }
        l4vio_block_service_close(&config.service);
    }
    l4vio_memory_backend_close(&block.backend);
    return result;
}

int main(int argc, char **argv)
{
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_dataspace image;
    struct l4vio_error error = {0};

    int result = l4vio_linux_open(&linux_platform, &platform, &error);
    if (result < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    result = platform.ops->dataspace_allocate(platform.self, IMAGE_BYTES, &image, &error);
    if (result == 0) {
        snprintf(image.base, NOTE_BYTES + 1, "%-511s\n", argc > 2 ? argv[2] : "nothing yet");
        result = serve(argc > 1 ? argv[1] : "", &image, &error);
        platform.ops->dataspace_free(platform.self, &image);
    }
    if (result < 0)
        fprintf(stderr, "%s\n", error.text);
    l4vio_linux_close(linux_platform);
    return result < 0;
}
