/* SPDX-License-Identifier: MIT */
/* Command line options from tables. Values land in the variables that the tables point to. */
#ifndef L4VIO_TOOL_OPTIONS_H
#define L4VIO_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_END,     /* End of a table. */
    OPTION_FLAG,    /* target: bool */
    OPTION_TEXT,    /* target: const char * */
    OPTION_SIZE,    /* target: uint64_t, bytes */
    OPTION_NUMBER,  /* target: uint64_t, between min and max */
    OPTION_SECONDS, /* target: uint64_t, ns; fractions allowed */
    OPTION_POLL,    /* target: struct poll_choice */
    OPTION_CALL,    /* call with the value */
    OPTION_PREFIX,  /* name is a prefix; call with what follows it */
    OPTION_GROUP,   /* another table, with a heading */
};

struct option {
    enum option_kind kind;
    const char *name;     /* Without the dashes; OPTION_GROUP: heading, or NULL. */
    const char *argument; /* "SIZE", for help; NULL for a flag. */
    const char *help;
    void *target;
    uint64_t min, max;              /* OPTION_NUMBER, OPTION_SIZE; max 0: no limit. */
    bool *given;                    /* Set if the option was given; may be NULL. */
    const struct option *group;     /* OPTION_GROUP */
    int (*call)(const char *value); /* Returns an exit code, having complained. */
};

struct tool_command;

/*
 * Takes the options out of `argv`; what remains are the arguments, moved to its front. Complains and
 * returns an exit code if something is wrong. --help sets *help.
 */
int options_parse(const struct tool_command *command, int argc, char **argv, unsigned *count,
                  bool *help);

/* Prints the options of a table. */
void options_help(const struct option *options);

#endif
