/* SPDX-License-Identifier: MIT */
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

bool peer_exists(const char *program)
{
    char path[4096];
    const char *from = getenv("PATH");
    while (from && *from) {
        size_t length = strcspn(from, ":");
        snprintf(path, sizeof(path), "%.*s/%s", (int)length, from, program);
        if (access(path, X_OK) == 0)
            return true;
        from += length + (from[length] == ':');
    }
    return false;
}

/* Runs a program and gives its output, which ends where `room` does. */
static bool run(char *const argv[], char *output, size_t room)
{
    int ends[2];
    size_t used = 0;
    int status = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid_t child = spawn();
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    for (;;) {
        char spill[256];
        bool full = used + 1 >= room;
        ssize_t got =
            read(ends[0], full ? spill : output + used, full ? sizeof(spill) : room - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += full ? 0 : (size_t)got;
    }
    output[used] = 0;
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Of fio's terse output, version 3; lines before it are not data. */
static double read_iops(char *output)
{
    enum { field_error = 4, field_iops = 7 };
    char *line = strstr(output, "3;fio-");
    if (!line)
        return -1;
    for (unsigned i = 0; line; i++) {
        char *field = strsep(&line, ";");
        if (i == field_error && strcmp(field, "0") != 0)
            return -1;
        if (i == field_iops)
            return strtod(field, NULL);
    }
    return -1;
}

double peer_fio(const char *engine, const char *target, const struct peer_load *load, int cpu,
                double seconds)
{
    char engine_option[64], target_option[256], depth[32], block[32], runtime[32], cpus[32];
    char output[16384];
    snprintf(engine_option, sizeof(engine_option), "--ioengine=%s", engine);
    snprintf(target_option, sizeof(target_option), "%s", target);
    snprintf(depth, sizeof(depth), "--iodepth=%u", load->depth);
    snprintf(block, sizeof(block), "--bs=%u", load->block_bytes);
    snprintf(runtime, sizeof(runtime), "--runtime=%.0fms", seconds * 1e3);
    snprintf(cpus, sizeof(cpus), "--cpus_allowed=%d", cpu);
    char name[] = "fio", job[] = "--name=bench", random_read[] = "--rw=randread";
    char sequential_read[] = "--rw=read", timed[] = "--time_based",
         terse[] = "--output-format=terse";
    char version[] = "--terse-version=3", thread[] = "--thread";
    /* What makes fio itself cheaper. */
    char no_map[] = "--norandommap", no_clock[] = "--gtod_reduce=1";
    char *argv[] = {name,
                    job,
                    engine_option,
                    target_option,
                    load->sequential ? sequential_read : random_read,
                    depth,
                    block,
                    runtime,
                    timed,
                    terse,
                    version,
                    thread,
                    no_map,
                    no_clock,
                    cpu >= 0 ? cpus : NULL,
                    NULL};
    return run(argv, output, sizeof(output)) ? read_iops(output) : -1;
}

static bool connects(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool result = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return result;
}

/* Waits until it listens; ends it if it does not. */
static pid_t listening(pid_t child, const char *socket)
{
    for (uint64_t end = now_ns() + 5000000000u; now_ns() < end;) {
        const struct timespec moment = {.tv_nsec = 10000000};
        if (connects(socket))
            return child;
        if (waitpid(child, NULL, WNOHANG) == child)
            return 0;
        nanosleep(&moment, NULL);
    }
    reap(child);
    return 0;
}

static void be_quiet_on(unsigned cpu)
{
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, STDIN_FILENO);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    pin_to_cpu(cpu);
}

pid_t peer_nbd_server(const char *image, const char *socket, const char *aio, unsigned cpu)
{
    char file[512], address[512];
    snprintf(file, sizeof(file), "driver=file,node-name=file,filename=%s,read-only=on,aio=%s",
             image, aio);
    snprintf(address, sizeof(address), "addr.type=unix,addr.path=%s,max-connections=4", socket);
    pid_t child = spawn();
    if (child == 0) {
        be_quiet_on(cpu);
        execlp("qemu-storage-daemon", "qemu-storage-daemon", "--blockdev", file, "--blockdev",
               "driver=raw,node-name=disk,file=file,read-only=on", "--nbd-server", address,
               "--export", "type=nbd,id=nbd,node-name=disk,name=bench", (char *)NULL);
        _exit(127);
    }
    return listening(child, socket);
}

/* NBD has a node of its own: a daemon of version 7 aborts if it shares one with an iothread. */
pid_t peer_storage_daemon(const struct peer_daemon *daemon)
{
    char disk_file[512], nbd_file[512], disk[512], nothing[512], nbd[512];
    const char *file = "driver=file,node-name=%s,filename=%s,read-only=on,aio=io_uring";
    const char *export = "type=vhost-user-blk,id=%s,node-name=%s,iothread=io,addr.type=unix,"
                         "addr.path=%s";
    snprintf(disk_file, sizeof(disk_file), file, "disk-file", daemon->image);
    snprintf(nbd_file, sizeof(nbd_file), file, "nbd-file", daemon->image);
    snprintf(disk, sizeof(disk), export, "a", "disk", daemon->disk);
    snprintf(nothing, sizeof(nothing), export, "b", "nothing", daemon->nothing);
    snprintf(nbd, sizeof(nbd), "addr.type=unix,addr.path=%s,max-connections=4", daemon->nbd);
    pid_t child = spawn();
    if (child == 0) {
        be_quiet_on(daemon->cpu);
        execlp("qemu-storage-daemon", "qemu-storage-daemon", "--object", "iothread,id=io",
               "--blockdev", disk_file, "--blockdev",
               "driver=raw,node-name=disk,file=disk-file,read-only=on", "--blockdev", nbd_file,
               "--blockdev", "driver=raw,node-name=nbd-disk,file=nbd-file,read-only=on",
               "--blockdev", "driver=null-co,node-name=nothing,size=1073741824,read-zeroes=off",
               "--export", disk, "--export", nothing, "--nbd-server", nbd, "--export",
               "type=nbd,id=c,node-name=nbd-disk,name=bench", (char *)NULL);
        _exit(127);
    }
    return listening(child, daemon->nbd);
}

/* The tool lies beside the folder of the benchmarks. */
static bool find_tool(char *path, size_t room)
{
    ssize_t length = readlink("/proc/self/exe", path, room - 1);
    if (length <= 0)
        return false;
    path[length] = 0;
    for (unsigned i = 0; i < 2; i++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return false;
        *slash = 0;
    }
    length = (ssize_t)strlen(path);
    snprintf(path + length, room - (size_t)length, "/l4vio");
    return access(path, X_OK) == 0;
}

pid_t peer_own_server(const char *image, const char *engine, const char *socket, unsigned cpu)
{
    char tool[4096], uri[256];
    if (!find_tool(tool, sizeof(tool)))
        return 0;
    snprintf(uri, sizeof(uri), "vhost-user:%s", socket);
    pid_t child = spawn();
    if (child == 0) {
        be_quiet_on(cpu);
        execl(tool, tool, "serve", "block", "--read-only", "--image", image, "--engine", engine,
              "--listen", uri, (char *)NULL);
        _exit(127);
    }
    return listening(child, socket);
}

double peer_qemu_img(const char *image, unsigned depth, unsigned cpu, double seconds)
{
    static double rate = 100000; /* Of the last time: the program counts, it has no time limit. */
    double count = 1000 + rate * seconds;
    char command[1024], output[4096];
    char shell[] = "sh", script[] = "-c";
    char *argv[] = {shell, script, command, NULL};
    /*
     * 273 blocks on each time: as good as random to the cache. The servers have locked the image in ways
     * of their own.
     */
    snprintf(command, sizeof(command),
             "exec taskset -c %u qemu-img bench --image-opts -t writeback -i io_uring -s 4096 "
             "-S 1118208 -c %.0f -d %u driver=file,locking=off,filename=%s",
             cpu, count, depth, image);
    if (!run(argv, output, sizeof(output)))
        return -1;
    char *time = strstr(output, "completed in ");
    double taken = time ? strtod(time + strlen("completed in "), NULL) : 0;
    if (taken <= 0)
        return -1;
    rate = count / taken;
    return rate;
}

uint64_t peer_cpu_ns(pid_t process)
{
    enum { field_user = 14, field_system = 15 }; /* As proc(5) counts; the name is 2. */
    char path[64], text[1024];
    uint64_t ticks = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = 0;
    char *rest = strrchr(text, ')'); /* The name may hold anything. */
    for (unsigned field = 2; rest && field <= field_system; field++) {
        const char *word = strsep(&rest, " ");
        if (field >= field_user)
            ticks += strtoull(word, NULL, 10);
    }
    return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}
