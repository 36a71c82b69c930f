/* SPDX-License-Identifier: MIT */
/* What every command of the tool is made of. */
#ifndef L4VIO_TOOL_H
#define L4VIO_TOOL_H

#include "tool/options.h"

/* Exit codes; man/l4vio.1 documents them. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_FAILED = 1,    /* The operation failed. */
    TOOL_USAGE = 2,     /* The command line is wrong. */
    TOOL_DIFFERENT = 3, /* verify found a difference. */
    TOOL_NO_DEVICE = 4, /* The device cannot be reached, is gone, or does not answer. */
    TOOL_SIGNAL = 128,  /* Plus the number of the signal that ended it. */
};

struct tool_command {
    const char *name;      /* "block copy" */
    const char *arguments; /* "SRC DST" */
    const char *summary;   /* One line. */
    const char *details;   /* Paragraphs for --help, may be NULL. */
    const struct option *options;
    unsigned arguments_min;
    unsigned arguments_max;
    /* Gets `arguments_max` arguments, NULL for those not given. Returns an exit code. */
    int (*run)(char **arguments);
};

extern const struct tool_command command_serve_block;
extern const struct tool_command command_info;
extern const struct tool_command command_copy;
extern const struct tool_command command_read;
extern const struct tool_command command_write;
extern const struct tool_command command_verify;
extern const struct tool_command command_zero;
extern const struct tool_command command_discard;
extern const struct tool_command command_flush;
extern const struct tool_command command_id;
extern const struct tool_command command_bench;
extern const struct tool_command command_exercise;

#endif
