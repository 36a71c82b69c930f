/* SPDX-License-Identifier: MIT */
/*
 * Serves a device of any class that does nothing but show itself:
 *     device URI CLASS-ID BITS QUEUES CONFIG
 * The URI is l4:PATH or vhost-user:PATH. BITS are feature bits with commas (or -), CONFIG is hexadecimal (or -). Says "ready" once it listens, and
 * ends with SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <l4vio/device.h>
#include <l4vio/l4_unix.h>
#include <l4vio/service.h>

enum { QUEUES_MAX = 16, QUEUE_SIZE = 64, CONFIG_MAX = 256 };

static uint32_t device_id;
static uint32_t queue_count;
static struct l4vio_features offered;
static uint8_t first_config[CONFIG_MAX];
static uint32_t config_bytes;

struct shown {
    struct l4vio_device device;
    struct l4vio_device_queue_state queues[QUEUES_MAX];
    uint8_t config[CONFIG_MAX];
};

static int create(void *self, const struct l4vio_service_client *client, void **instance,
                  struct l4vio_device **device, struct l4vio_error *error)
{
    (void)self;
    struct shown *shown = calloc(1, sizeof *shown);
    if (!shown)
        return l4vio_fail(error, L4VIO_ENOMEM, "out of memory", 0);
    memcpy(shown->config, first_config, sizeof first_config);
    struct l4vio_device_config config = {
        .device_id = device_id,
        .offered = offered,
        .queues = shown->queues,
        .queue_count = queue_count,
        .queue_size_max = QUEUE_SIZE,
        .config = shown->config,
        .config_bytes = config_bytes,
        .regions = client->regions,
        .region_count = client->region_count,
        .mapped_bytes_max = client->mapped_bytes_max,
        .release_region = client->release_region,
        .release_self = client->release_self,
        .trace = client->trace,
    };
    int result = l4vio_device_init(&shown->device, &config, error);
    if (result < 0) {
        free(shown);
        return result;
    }
    *instance = shown;
    *device = &shown->device;
    return 0;
}

static void destroy(void *self, void *instance)
{
    (void)self;
    free(instance);
}

static unsigned process(void *instance, uint32_t queue, unsigned max)
{
    (void)instance, (void)queue, (void)max;
    return 0;
}

static struct l4vio_server *server;

static void stop(int signal_number)
{
    (void)signal_number;
    l4vio_server_stop(server);
}

static void take_bits(const char *list)
{
    char *end;
    for (; *list >= '0' && *list <= '9'; list = *end ? end + 1 : end)
        l4vio_features_set(&offered, (unsigned)strtoul(list, &end, 10));
}

static void take_config(const char *hex)
{
    char byte[3] = "";
    if (*hex == '-')
        return;
    for (; hex[0] && hex[1] && config_bytes < CONFIG_MAX; hex += 2) {
        memcpy(byte, hex, 2);
        first_config[config_bytes++] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

int main(int argc, char **argv)
{
    static const struct l4vio_service_ops ops = {
        .create = create, .destroy = destroy, .process = process};
    struct l4vio_error error = {0};
    if (argc != 6)
        return 2;
    device_id = (uint32_t)strtoul(argv[2], NULL, 0);
    take_bits(argv[3]);
    queue_count = (uint32_t)strtoul(argv[4], NULL, 0);
    take_config(argv[5]);
    if (queue_count < 1 || queue_count > QUEUES_MAX)
        return 2;
    bool vhost_user = strncmp(argv[1], "vhost-user:", 11) == 0;
    const char *colon = strchr(argv[1], ':');
    struct l4vio_server_config config = {
        .protocol = vhost_user ? l4vio_vhost_user_protocol() : l4vio_l4_protocol(),
        .path = colon ? colon + 1 : "",
        .service = {.ops = &ops, .queue_count = queue_count},
    };
    if (l4vio_server_open(&config, &server, &error) < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], error.text);
        return 1;
    }
    signal(SIGTERM, stop);
    puts("ready");
    fflush(stdout);
    int result = l4vio_server_run(server, &error);
    l4vio_server_close(server);
    return result < 0;
}
