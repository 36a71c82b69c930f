/* SPDX-License-Identifier: MIT */
#include "tool/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/report.h"
#include "tool/tool.h"

static bool is_dash(const char *name)
{
    return strcmp(name, "-") == 0;
}

bool file_is_stdout(const struct stream_end *end)
{
    return !end->client && end->fd == STDOUT_FILENO;
}

int file_needs_padding(const struct stream_end *end, uint64_t bytes)
{
    return complain(TOOL_FAILED,
                    "%s has %" PRIu64 " bytes, not a multiple of 512; --pad fills the last sector "
                    "with zeroes; nothing was written",
                    end->name, bytes);
}

/* Regular files and block devices have positions and a size; a redirected one goes on from where it is. */
static int examine(struct stream_end *end, struct stat *status)
{
    if (fstat(end->fd, status) < 0)
        return complain(TOOL_FAILED, "cannot examine %s: %s", end->name, strerror(errno));
    if (S_ISDIR(status->st_mode))
        return complain(TOOL_FAILED, "%s is a directory", end->name);
    end->sequential = !S_ISREG(status->st_mode) && !S_ISBLK(status->st_mode);
    return TOOL_OK;
}

int file_open_source(struct stream_end *end, uint64_t *size_bytes)
{
    struct stat status;
    end->fd = is_dash(end->name) ? STDIN_FILENO : open(end->name, O_RDONLY | O_CLOEXEC);
    if (end->fd < 0)
        return complain(TOOL_FAILED, "cannot open %s: %s", end->name, strerror(errno));
    if (end->fd == STDIN_FILENO)
        end->name = "standard input";
    int result = examine(end, &status);
    if (result != TOOL_OK)
        return result;
    *size_bytes = STREAM_TO_END;
    if (end->sequential)
        return TOOL_OK;
    off_t begin = lseek(end->fd, 0, SEEK_CUR);
    off_t size = lseek(end->fd, 0, SEEK_END);
    if (begin < 0 || size < 0)
        return complain(TOOL_FAILED, "cannot find the size of %s: %s", end->name, strerror(errno));
    end->offset_bytes = (uint64_t)begin;
    *size_bytes = size > begin ? (uint64_t)(size - begin) : 0;
    return TOOL_OK;
}

/*
 * Empties a file that is to be written, unless somebody holds it: it may be the very image of the
 * device that is to be copied. Servers hold the same kind of lock.
 */
static int take_over(struct stream_end *end, const struct stat *status)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!S_ISREG(status->st_mode) && !S_ISBLK(status->st_mode))
        return TOOL_OK;
    if (fcntl(end->fd, F_OFD_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES))
        return complain(TOOL_FAILED,
                        "%s is being served or written by another process; nothing was written",
                        end->name);
    if (S_ISREG(status->st_mode) && ftruncate(end->fd, 0) < 0)
        return complain(TOOL_FAILED, "cannot empty %s: %s", end->name, strerror(errno));
    return TOOL_OK;
}

int file_open_target(struct stream_end *end, uint64_t size_bytes)
{
    struct stat status;
    end->fd =
        is_dash(end->name) ? STDOUT_FILENO : open(end->name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (end->fd < 0)
        return complain(TOOL_FAILED, "cannot create %s: %s", end->name, strerror(errno));
    if (end->fd == STDOUT_FILENO) {
        end->name = "standard output";
        end->sequential = true; /* Also where it is a file: it may be open for appending. */
        return TOOL_OK;
    }
    int result = examine(end, &status);
    if (result == TOOL_OK)
        result = take_over(end, &status);
    if (result != TOOL_OK || !S_ISBLK(status.st_mode))
        return result;
    off_t room = lseek(end->fd, 0, SEEK_END);
    if (room < 0 || (size_bytes != STREAM_TO_END && (uint64_t)room < size_bytes))
        return complain(TOOL_FAILED, "%s has room for %jd bytes, not for %" PRIu64, end->name,
                        (intmax_t)room, size_bytes);
    return TOOL_OK;
}

int file_close(struct stream_end *end)
{
    int fd = end->fd;
    if (end->client || fd <= STDERR_FILENO)
        return TOOL_OK;
    end->fd = -1;
    /* Some file systems say only here that the disk is full. */
    if (close(fd) < 0)
        return complain(TOOL_FAILED, "cannot write %s: %s", end->name, strerror(errno));
    return TOOL_OK;
}
