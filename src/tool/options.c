/* SPDX-License-Identifier: MIT */
#include "tool/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool/report.h"
#include "tool/tool.h"
#include "tool/values.h"

/* Finds an option by name; a prefix matches only if nothing else does. */
static const struct option *find(const struct option *options, const char *name, size_t length,
                                 bool prefixes)
{
    for (const struct option *o = options; o && o->kind != OPTION_END; ++o) {
        if (o->kind == OPTION_GROUP) {
            const struct option *found = find(o->group, name, length, prefixes);
            if (found)
                return found;
        } else if (o->kind == OPTION_PREFIX) {
            size_t prefix = strlen(o->name);
            if (prefixes && length > prefix && strncmp(o->name, name, prefix) == 0)
                return o;
        } else if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) {
            return o;
        }
    }
    return NULL;
}

static int bad_value(const struct option *option, const char *value, const char *wrong)
{
    return complain(TOOL_USAGE, "--%s: '%s' %s", option->name, value, wrong);
}

static int check_range(const struct option *option, const char *value, uint64_t number)
{
    if (number < option->min)
        return complain(TOOL_USAGE, "--%s: '%s' is too small; the least is %" PRIu64, option->name,
                        value, option->min);
    if (option->max && number > option->max)
        return complain(TOOL_USAGE, "--%s: '%s' is too large; the most is %" PRIu64, option->name,
                        value, option->max);
    return TOOL_OK;
}

static int store(const struct option *option, const char *value)
{
    uint64_t number = 0;
    const char *wrong = NULL;
    switch (option->kind) {
    case OPTION_TEXT:
        *(const char **)option->target = value;
        return TOOL_OK;
    case OPTION_CALL:
        return option->call(value);
    case OPTION_SIZE:
        wrong = parse_size(value, &number);
        break;
    case OPTION_NUMBER:
        wrong = parse_number(value, &number);
        break;
    case OPTION_SECONDS:
        wrong = parse_span(value, UINT64_C(1000000000), &number);
        break;
    case OPTION_POLL:
        wrong = parse_poll(value, option->target);
        return wrong ? bad_value(option, value, wrong) : TOOL_OK;
    case OPTION_END:
    case OPTION_FLAG:
    case OPTION_PREFIX:
    case OPTION_GROUP:
        return TOOL_OK;
    }
    if (wrong)
        return bad_value(option, value, wrong);
    int result = check_range(option, value, number);
    if (result == TOOL_OK)
        *(uint64_t *)option->target = number;
    return result;
}

/* One option at argv[*at]; moves *at to its last word. */
static int take(const struct tool_command *command, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *option = find(command->options, name, length, false);
    if (!option)
        option = find(command->options, name, length, true);
    if (!option)
        return complain(TOOL_USAGE, "there is no option '%s'; see 'l4vio %s --help'", argv[*at],
                        command->name);
    if (option->given)
        *option->given = true;

    bool takes_value = option->kind != OPTION_FLAG && option->kind != OPTION_PREFIX;
    if (!takes_value) {
        if (equals)
            return complain(TOOL_USAGE, "option '--%.*s' takes no value", (int)length, name);
        if (option->kind == OPTION_PREFIX)
            return option->call(name + strlen(option->name));
        *(bool *)option->target = true;
        return TOOL_OK;
    }
    if (equals)
        return store(option, equals + 1);
    if (*at + 1 >= argc)
        return complain(TOOL_USAGE, "option '--%s' needs a value: --%s %s", option->name,
                        option->name, option->argument);
    *at += 1;
    return store(option, argv[*at]);
}

static int check_count(const struct tool_command *command, unsigned count, char **argv)
{
    if (count < command->arguments_min)
        return complain(TOOL_USAGE, "something is missing; the form is: l4vio %s %s", command->name,
                        command->arguments);
    if (count > command->arguments_max)
        return complain(TOOL_USAGE, "'%s' is one argument too many; the form is: l4vio %s %s",
                        argv[command->arguments_max], command->name, command->arguments);
    return TOOL_OK;
}

int options_parse(const struct tool_command *command, int argc, char **argv, unsigned *count,
                  bool *help)
{
    bool only_arguments = false;
    *count = 0;
    *help = false;
    for (int i = 0; i < argc; ++i) {
        char *word = argv[i];
        if (only_arguments || word[0] != '-' || word[1] == '\0') {
            argv[(*count)++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_arguments = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *help = true;
            return TOOL_OK;
        } else if (word[1] != '-') {
            return complain(TOOL_USAGE, "there is no option '%s'; see 'l4vio %s --help'", word,
                            command->name);
        } else {
            int result = take(command, argc, argv, &i);
            if (result != TOOL_OK)
                return result;
        }
    }
    return check_count(command, *count, argv);
}

void options_help(const struct option *options)
{
    for (const struct option *o = options; o && o->kind != OPTION_END; ++o) {
        if (o->kind == OPTION_GROUP) {
            if (o->name)
                printf("\n%s:\n", o->name);
            options_help(o->group);
            continue;
        }
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name,
                 o->argument && o->kind != OPTION_PREFIX ? " " : "",
                 o->argument ? o->argument : "");
        printf("  %-24s %s\n", left, o->help);
    }
}
