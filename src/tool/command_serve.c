/* SPDX-License-Identifier: MIT */
/* serve block */
#include <l4vio/backends.h>
#include <l4vio/block_service.h>
#include <l4vio/l4_unix.h>
#include <l4vio/names.h>
#include <l4vio/wire/status.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool/faults.h"
#include "tool/features.h"
#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"
#include "tool/values.h"

#define UIDS_MAX     64u
#define LOCK_WAIT_MS 1000
#define LOCK_TRIES   50u

static struct {
    const char *image;
    uint64_t ram_bytes;
    const char *listen;
    const char *connect;
    const struct protocol *protocol; /* Of either. */
    const char *path;
    const char *id;
    const char *engine;
    uint64_t block_bytes;
    uint64_t queues;
    uint64_t queue_size;
    struct poll_choice poll;
    uint64_t clients;
    uint64_t regions;
    uint64_t mapped_bytes;
    uint64_t ready_fd;
    bool ready_fd_given;
    bool ram_given;
    bool read_only;
    bool threads;
    bool cmd_mode;
    bool verbose;
    uint32_t uids[UIDS_MAX];
    unsigned uid_count;
    struct feature_choice features;
} settings = {.engine = "auto", .queues = 1, .queue_size = 1024, .poll.mode = L4VIO_SPIN_AUTO};

static const struct protocol {
    const char *prefix;
    const struct l4vio_server_protocol *(*get)(void);
    bool connects;
} protocols[] = {
    {"l4:", l4vio_l4_protocol, false},
    {"vhost-user:", l4vio_vhost_user_protocol, true},
};

static int allow_uid(const char *value)
{
    uint64_t uid;
    const char *wrong = parse_number(value, &uid);
    if (!wrong && uid >= UINT32_MAX)
        wrong = "is too large";
    if (wrong)
        return complain(TOOL_USAGE, "--allow-uid: '%s' %s", value, wrong);
    if (settings.uid_count == UIDS_MAX)
        return complain(TOOL_USAGE, "--allow-uid: more than %u user ids", UIDS_MAX);
    settings.uids[settings.uid_count++] = (uint32_t)uid;
    return TOOL_OK;
}

static int choose_features(const char *list)
{
    return features_take_list(&settings.features, list);
}

static int refuse_feature(const char *name)
{
    return features_take_no(&settings.features, name);
}

static const struct option options[] = {
    {.kind = OPTION_TEXT,
     .name = "image",
     .argument = "FILE",
     .help = "serve an image file or a block device",
     .target = &settings.image},
    {.kind = OPTION_SIZE,
     .name = "ram",
     .argument = "SIZE",
     .help = "serve memory, zeroed, lost at the end",
     .target = &settings.ram_bytes,
     .given = &settings.ram_given},
    {.kind = OPTION_TEXT,
     .name = "listen",
     .argument = "URI",
     .help = "where clients find it, a socket of mode 0600: l4:PATH or vhost-user:PATH",
     .target = &settings.listen},
    {.kind = OPTION_TEXT,
     .name = "connect",
     .argument = "vhost-user:PATH",
     .help = "go to a client that listens, again and again",
     .target = &settings.connect},
    {.kind = OPTION_FLAG,
     .name = "read-only",
     .help = "offer it read-only",
     .target = &settings.read_only},
    {.kind = OPTION_SIZE,
     .name = "block-size",
     .argument = "SIZE",
     .help = "logical blocks of 512 bytes to 64K, for drivers to keep to [512]",
     .target = &settings.block_bytes},
    {.kind = OPTION_TEXT,
     .name = "id",
     .argument = "TEXT",
     .help = "identity, at most 20 bytes [l4vio]",
     .target = &settings.id},
    {.kind = OPTION_NUMBER,
     .name = "queues",
     .argument = "N",
     .help = "queues per client [1]",
     .target = &settings.queues,
     .min = 1,
     .max = 64},
    {.kind = OPTION_NUMBER,
     .name = "queue-size",
     .argument = "N",
     .help = "most entries per queue, a power of two [1024]",
     .target = &settings.queue_size,
     .min = 2,
     .max = 32768},
    {.kind = OPTION_FLAG,
     .name = "threads",
     .help = "serve each queue from a thread of its own",
     .target = &settings.threads},
    {.kind = OPTION_TEXT,
     .name = "engine",
     .argument = "NAME",
     .help = "how to read an image: auto, map, sync, io_uring, direct [auto]",
     .target = &settings.engine},
    {.kind = OPTION_POLL,
     .name = "poll",
     .argument = "HOW",
     .help = "look at the rings before sleeping: auto, never, always, 50us [auto]",
     .target = &settings.poll},
    {.kind = OPTION_FLAG,
     .name = "cmd-mode",
     .help = "l4: take status and queue set-up through the cmd register",
     .target = &settings.cmd_mode},
    {.kind = OPTION_CALL,
     .name = "features",
     .argument = "LIST",
     .help = "offer features or do not: +ORDER_PLATFORM,-DISCARD",
     .call = choose_features},
    {.kind = OPTION_PREFIX,
     .name = "no-",
     .argument = "FEATURE",
     .help = "do not offer a feature: --no-discard, --no-flush",
     .call = refuse_feature},
    {.kind = OPTION_CALL,
     .name = "allow-uid",
     .argument = "N",
     .help = "let this user in; may be repeated [own user and root]",
     .call = allow_uid},
    {.kind = OPTION_NUMBER,
     .name = "max-clients",
     .argument = "N",
     .help = "clients at once [l4: 64, vhost-user: 1, others wait]",
     .target = &settings.clients,
     .min = 1,
     .max = 65536},
    {.kind = OPTION_NUMBER,
     .name = "max-regions",
     .argument = "N",
     .help = "memory regions per client [64]",
     .target = &settings.regions,
     .min = 1,
     .max = 65536},
    {.kind = OPTION_SIZE,
     .name = "max-mapped",
     .argument = "SIZE",
     .help = "shared memory per client [16G]",
     .target = &settings.mapped_bytes},
    {.kind = OPTION_NUMBER,
     .name = "ready-fd",
     .argument = "N",
     .help = "write a line to this descriptor once it listens, and close it",
     .target = &settings.ready_fd,
     .max = 65535,
     .given = &settings.ready_fd_given},
    {.kind = OPTION_FLAG,
     .name = "verbose",
     .help = "tell of clients that come and go",
     .target = &settings.verbose},
    {.kind = OPTION_END},
};

/* What the image allows is offered anyway; only features of the rings can be added. */
static int check_features(void)
{
    struct l4vio_features ring, wrong;
    char names[FEATURES_TEXT_BYTES], known[FEATURES_TEXT_BYTES];
    l4vio_features_clear(&settings.features.on, L4VIO_F_VERSION_1);
    if (l4vio_features_has(&settings.features.on, L4VIO_F_ACCESS_PLATFORM) &&
        settings.protocol->prefix[0] == 'v')
        return complain(TOOL_USAGE, "--features: %s does not carry ACCESS_PLATFORM",
                        settings.protocol->prefix);
    if (l4vio_features_has(&settings.features.on, L4VIO_F_NOTIFICATION_DATA))
        return complain(TOOL_USAGE, "--features: %s does not carry NOTIFICATION_DATA",
                        settings.protocol->prefix);
    l4vio_ring_features(&ring);
    l4vio_features_clear(&ring, L4VIO_F_NOTIFICATION_DATA);
    wrong = l4vio_features_minus(&settings.features.on, &ring);
    if (l4vio_features_empty(&wrong))
        return TOOL_OK;
    return complain(TOOL_USAGE,
                    "--features: +%s: such a feature is offered if the image allows it; these can "
                    "be added: %s",
                    features_text(&wrong, names), features_text(&ring, known));
}

/* What the clients speak, and where they are. */
static int check_place(void)
{
    const char *place = settings.listen ? settings.listen : settings.connect;
    const char *option = settings.listen ? "listen" : "connect";
    if (!place)
        return complain(
            TOOL_USAGE,
            "where to listen? --listen l4:PATH or vhost-user:PATH; or --connect vhost-user:PATH");
    if (settings.listen && settings.connect)
        return complain(TOOL_USAGE, "either --listen or --connect");
    for (unsigned i = 0; i < sizeof protocols / sizeof protocols[0]; ++i) {
        const struct protocol *protocol = &protocols[i];
        size_t length = strlen(protocol->prefix);
        if (strncmp(place, protocol->prefix, length) != 0 || !place[length])
            continue;
        if (settings.connect && !protocol->connects)
            break;
        settings.protocol = protocol;
        settings.path = place + length;
    }
    if (!settings.protocol)
        return complain(TOOL_USAGE, "--%s: '%s' is not of the form %svhost-user:PATH", option,
                        place, settings.listen ? "l4:PATH or " : "");
    if (settings.cmd_mode && settings.protocol != &protocols[0])
        return complain(TOOL_USAGE, "--cmd-mode: only for l4:PATH");
    return TOOL_OK;
}

static int check_settings(void)
{
    int result = check_place();
    if (result != TOOL_OK)
        return result;
    if (!settings.image == !settings.ram_given)
        return complain(TOOL_USAGE, "what to serve? either --image FILE or --ram SIZE");
    if (settings.ram_given && (!settings.ram_bytes || settings.ram_bytes % 512))
        return complain(TOOL_USAGE, "--ram: %" PRIu64 " bytes are not a multiple of 512",
                        settings.ram_bytes);
    if (settings.queue_size & (settings.queue_size - 1))
        return complain(TOOL_USAGE, "--queue-size: %" PRIu64 " is not a power of two",
                        settings.queue_size);
    if (settings.block_bytes > 65536)
        return complain(TOOL_USAGE, "--block-size: %" PRIu64 " is more than 65536",
                        settings.block_bytes);
    if (settings.id && strlen(settings.id) > VIRTIO_BLK_ID_BYTES)
        return complain(TOOL_USAGE, "--id: '%s' has more than %u bytes", settings.id,
                        VIRTIO_BLK_ID_BYTES);
    return check_features();
}

static int image_failed(int code, const struct l4vio_error *error)
{
    char text[200];
    struct stat status;
    switch (code) {
    case L4VIO_ENOENT:
        return complain(TOOL_FAILED, "there is no image %s", settings.image);
    case L4VIO_EACCES:
        return complain(TOOL_FAILED, "no permission to open %s%s", settings.image,
                        settings.read_only ? "" : "; --read-only needs less");
    case L4VIO_EBUSY:
        return complain(TOOL_FAILED,
                        "%s is being served or written by another process; --read-only on both "
                        "sides would share it",
                        settings.image);
    case L4VIO_ENOSYS:
        if (strcmp(settings.engine, "map") == 0)
            return complain(TOOL_FAILED,
                            "%s is not on a tmpfs and cannot be mapped; use --engine "
                            "auto",
                            settings.image);
        if (strcmp(settings.engine, "direct") == 0)
            return complain(
                TOOL_FAILED,
                "%s cannot be opened with O_DIRECT, or this kernel has no io_uring; use --engine auto",
                settings.image);
        return complain(TOOL_FAILED, "this kernel has no io_uring; use --engine auto or sync");
    case L4VIO_EINVAL:
        if (stat(settings.image, &status) == 0 && !S_ISREG(status.st_mode) &&
            !S_ISBLK(status.st_mode))
            return complain(TOOL_FAILED, "%s is not an image, but %s", settings.image,
                            S_ISDIR(status.st_mode) ? "a directory"
                                                    : "a device or pipe without blocks");
        if (stat(settings.image, &status) == 0 && S_ISREG(status.st_mode) && error->value % 512)
            return complain(TOOL_FAILED,
                            "%s has %" PRIu64 " bytes, not a multiple of 512, so it cannot be a "
                            "block device; 'truncate -s %%512' rounds it up",
                            settings.image, error->value);
        break;
    default:
        break;
    }
    l4vio_error_format(error, text, sizeof text);
    return complain(TOOL_FAILED, "cannot serve %s: %s", settings.image, text);
}

static const struct engine {
    const char *name;
    enum l4vio_file_engine engine;
} engines[] = {
    {"auto", L4VIO_FILE_ENGINE_AUTO},     {"map", L4VIO_FILE_ENGINE_MAP},
    {"sync", L4VIO_FILE_ENGINE_SYNC},     {"io_uring", L4VIO_FILE_ENGINE_URING},
    {"direct", L4VIO_FILE_ENGINE_DIRECT},
};

/* Since faults are caught here, whatever is memory can be mapped without being asked for. */
static int try_image(const struct engine *engine, struct l4vio_block_backend *backend,
                     struct l4vio_error *error)
{
    int result = L4VIO_ENOSYS;
    if (engine->engine == L4VIO_FILE_ENGINE_AUTO)
        result = l4vio_file_backend_open(settings.image, settings.read_only, L4VIO_FILE_ENGINE_MAP,
                                         backend, error);
    if (result == L4VIO_ENOSYS)
        result = l4vio_file_backend_open(settings.image, settings.read_only, engine->engine,
                                         backend, error);
    return result;
}

/* The kernel lets go of the image of a server that was killed only a moment after its end. */
static int open_image(const struct engine *engine, struct l4vio_block_backend *backend)
{
    const struct timespec pause = {.tv_nsec = LOCK_WAIT_MS * 1000000L / LOCK_TRIES};
    struct l4vio_error error = {0};
    int result = try_image(engine, backend, &error);
    for (unsigned i = 0; i < LOCK_TRIES && result == L4VIO_EBUSY; i++) {
        nanosleep(&pause, NULL);
        result = try_image(engine, backend, &error);
    }
    if (result < 0)
        return image_failed(result, &error);
    faults_guard_image(backend);
    return TOOL_OK;
}

static int open_store(struct l4vio_block_backend *backend)
{
    struct l4vio_error error = {0};
    char size[VALUE_TEXT_BYTES];
    if (!settings.image) {
        if (l4vio_memory_backend_open(settings.ram_bytes, backend, &error) < 0) {
            complain(TOOL_FAILED, "cannot get %s of memory", format_size(settings.ram_bytes, size));
            return TOOL_FAILED;
        }
        return TOOL_OK;
    }
    for (unsigned i = 0; i < sizeof engines / sizeof engines[0]; ++i)
        if (strcmp(settings.engine, engines[i].name) == 0)
            return open_image(&engines[i], backend);
    return complain(TOOL_USAGE, "--engine: '%s' is not auto, map, sync, io_uring or direct",
                    settings.engine);
}

static void close_store(struct l4vio_block_backend *backend)
{
    faults_guard_image(NULL);
    if (settings.image)
        l4vio_file_backend_close(backend);
    else
        l4vio_memory_backend_close(backend);
}

static void log_line(void *self, const char *line)
{
    (void)self;
    fprintf(stderr, "l4vio: %s\n", line);
}

static int open_service(const struct l4vio_block_backend *backend, struct l4vio_service *service)
{
    struct l4vio_block_service_config config = {
        .backend = *backend,
        .read_only = settings.read_only,
        .id = settings.id,
        .logical_block_bytes = (uint32_t)settings.block_bytes,
        .queue_count = (uint32_t)settings.queues,
        .queue_size_max = (uint16_t)settings.queue_size,
        .refused = settings.features.off,
        .added = settings.features.on,
    };
    struct l4vio_error error = {0};
    char text[200];
    if (l4vio_block_service_open(&config, service, &error) == 0)
        return TOOL_OK;
    l4vio_error_format(&error, text, sizeof text);
    return complain(TOOL_FAILED, "cannot serve: %s", text);
}

static const char *place(void)
{
    return settings.connect ? settings.connect : settings.listen;
}

static int open_server(const struct l4vio_service *service, struct l4vio_server **server)
{
    struct l4vio_server_config config;
    struct l4vio_error error = {0};
    char text[200];
    const char *what = settings.connect ? "connect to" : "listen on";
    memset(&config, 0, sizeof config);
    config.protocol = settings.protocol->get();
    config.path = settings.path;
    config.connect = settings.connect != NULL;
    config.service = *service;
    config.thread_per_queue = settings.threads;
    config.cmd_mode = settings.cmd_mode;
    config.spin_mode = settings.poll.mode;
    config.spin_ns = settings.poll.spin_ns;
    config.allowed_uids = settings.uid_count ? settings.uids : NULL;
    config.allowed_uid_count = settings.uid_count;
    config.quotas.clients = (unsigned)settings.clients;
    config.quotas.regions = (unsigned)settings.regions;
    config.quotas.mapped_bytes = settings.mapped_bytes;
    config.log = settings.verbose ? log_line : NULL;

    int result = l4vio_server_open(&config, server, &error);
    if (result == 0)
        return TOOL_OK;
    l4vio_error_format(&error, text, sizeof text);
    switch (result) {
    case L4VIO_EEXIST:
    case L4VIO_EINVAL:
        return complain(TOOL_FAILED, "cannot %s %s: %s", what, place(), error.text);
    case L4VIO_ENOENT:
        return complain(TOOL_FAILED, "cannot listen on %s: its directory does not exist", place());
    case L4VIO_EACCES:
        return complain(TOOL_FAILED, "cannot listen on %s: %s; is its directory writable?", place(),
                        error.text);
    default:
        break;
    }
    return complain(TOOL_FAILED, "cannot %s %s: %s", what, place(), text);
}

/* Tells people and scripts that clients may come. */
static int announce(const struct l4vio_block_backend *backend)
{
    struct l4vio_block_backend_info info = {0};
    char size[VALUE_TEXT_BYTES];
    backend->ops->info(backend->self, &info);
    fprintf(stderr, "serving %s (%s%s) %s %s, %" PRIu64 " queue%s\n",
            settings.image ? settings.image : "memory", format_size(info.size_bytes, size),
            info.read_only || settings.read_only ? ", read-only" : "",
            settings.connect ? "to" : "on", place(), settings.queues,
            settings.queues == 1 ? "" : "s");
    if (!settings.ready_fd_given)
        return TOOL_OK;
    int fd = (int)settings.ready_fd;
    if (write(fd, "ready\n", 6) != 6)
        return complain(TOOL_USAGE, "--ready-fd: cannot write to descriptor %d: %s", fd,
                        strerror(errno));
    if (fd > STDERR_FILENO)
        close(fd);
    return TOOL_OK;
}

static void tell_counters(const struct l4vio_server *server)
{
    struct l4vio_server_counters counters;
    l4vio_server_counters_read(server, &counters);
    fprintf(stderr,
            "l4vio: served %" PRIu64 " clients, refused %" PRIu64 "; %" PRIu64
            " protocol errors, %" PRIu64 " device failures\n",
            counters.clients_accepted, counters.clients_refused, counters.protocol_errors,
            counters.device_failures);
}

/* What is to be removed if the process is ended at once. */
static const char *socket_file(void)
{
    return settings.connect ? NULL : settings.path;
}

static int serve(const struct l4vio_block_backend *backend, const struct l4vio_service *service)
{
    struct l4vio_server *server = NULL;
    struct l4vio_error error = {0};
    char text[200];
    int result = open_server(service, &server);
    if (result != TOOL_OK)
        return result;
    signals_stop_server(server, socket_file());
    faults_guard_server(server);
    result = announce(backend);
    if (result == TOOL_OK && l4vio_server_run(server, &error) < 0) {
        l4vio_error_format(&error, text, sizeof text);
        result = complain(TOOL_FAILED, "cannot serve any longer: %s", text);
    }
    signals_stop_server(NULL, socket_file());
    if (settings.verbose)
        tell_counters(server);
    faults_guard_server(NULL);
    l4vio_server_close(server);
    signals_stop_server(NULL, NULL);
    return result;
}

static int run(char **arguments)
{
    (void)arguments;
    struct l4vio_block_backend backend;
    struct l4vio_service service;
    int result = check_settings();
    if (result != TOOL_OK)
        return result;
    result = open_store(&backend);
    if (result != TOOL_OK)
        return result;
    result = open_service(&backend, &service);
    if (result == TOOL_OK) {
        result = serve(&backend, &service);
        l4vio_block_service_close(&service);
    }
    close_store(&backend);
    return result;
}

const struct tool_command command_serve_block = {
    .name = "serve block",
    .arguments = "--image FILE|--ram SIZE --listen URI|--connect URI",
    .summary = "Serves a block device until SIGINT or SIGTERM",
    .options = options,
    .arguments_min = 0,
    .arguments_max = 0,
    .run = run,
};
