/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/report.h"
#include "tool/signals.h"
#include "tool/tool.h"

static const struct tool_command *const commands[] = {
    &command_serve_block, &command_info,   &command_copy,  &command_read,
    &command_write,       &command_verify, &command_zero,  &command_discard,
    &command_flush,       &command_id,     &command_bench, &command_exercise,
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

/* The words of a name that argv begins with; 0 if it does not begin with all of them. */
static int match(const char *name, int argc, char **argv)
{
    int words = 0;
    for (const char *rest = name; *rest; ++words) {
        size_t length = strcspn(rest, " ");
        if (words >= argc || strlen(argv[words]) != length ||
            strncmp(argv[words], rest, length) != 0)
            return 0;
        rest += length;
        rest += strspn(rest, " ");
    }
    return words;
}

/* Lists the commands whose first word is this; all if it is NULL. */
static unsigned list_commands(FILE *stream, const char *first_word)
{
    unsigned count = 0;
    for (size_t i = 0; i < COMMAND_COUNT; ++i) {
        const struct tool_command *c = commands[i];
        size_t length = first_word ? strlen(first_word) : 0;
        if (first_word && (strncmp(c->name, first_word, length) != 0 || c->name[length] != ' '))
            continue;
        char left[80];
        snprintf(left, sizeof left, "l4vio %s %s", c->name, c->arguments);
        fprintf(stream, "  %-44s %s\n", left, c->summary);
        ++count;
    }
    return count;
}

static void print_help(void)
{
    puts("l4vio: serves and drives virtio devices over L4-VIRTIO and vhost-user.\n");
    list_commands(stdout, NULL);
    puts(
        "\nURI is the socket of a device: l4:PATH for L4-VIRTIO, vhost-user:PATH for vhost-user, or\n"
        "vhost-user-listen:PATH for a vhost-user device that connects to us. A SIZE is in bytes, or\n"
        "with K, M, G or T in powers of 1024. 'l4vio COMMAND --help' tells the options; 'man l4vio' tells everything.");
}

static void print_command_help(const struct tool_command *command)
{
    printf("l4vio %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
    if (command->details)
        printf("\n%s\n", command->details);
    if (command->options && command->options->kind != OPTION_GROUP)
        puts("\nOptions:");
    options_help(command->options);
}

static int run(const struct tool_command *command, int argc, char **argv)
{
    unsigned count;
    bool help;
    int result = options_parse(command, argc, argv, &count, &help);
    if (result != TOOL_OK)
        return result;
    if (help) {
        print_command_help(command);
        return TOOL_OK;
    }
    char *arguments[4] = {NULL};
    for (unsigned i = 0; i < count; ++i)
        arguments[i] = argv[i];
    signals_install();
    result = command->run(arguments);
    if (result == TOOL_OK && fflush(stdout) != 0)
        return complain(TOOL_FAILED, "cannot write to standard output");
    return result;
}

static int no_such_command(char **argv, int argc)
{
    const char *word = argv[0];
    fprintf(stderr, "l4vio: there is no command '%s%s%s'; ", word, argc > 1 ? " " : "",
            argc > 1 ? argv[1] : "");
    for (size_t i = 0; i < COMMAND_COUNT; ++i) {
        size_t length = strlen(word);
        if (strncmp(commands[i]->name, word, length) == 0 && commands[i]->name[length] == ' ') {
            fputs("these are known:\n", stderr);
            list_commands(stderr, word);
            return TOOL_USAGE;
        }
    }
    fputs("see 'l4vio --help'\n", stderr);
    return TOOL_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return complain(TOOL_USAGE, "what is to be done? see 'l4vio --help'");
    --argc;
    ++argv;
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        print_help();
        return TOOL_OK;
    }
    if (strcmp(argv[0], "--version") == 0) {
        puts("l4vio " L4VIO_VERSION);
        return TOOL_OK;
    }
    for (size_t i = 0; i < COMMAND_COUNT; ++i) {
        int words = match(commands[i]->name, argc, argv);
        if (words)
            return run(commands[i], argc - words, argv + words);
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) &&
        list_commands(stdout, argv[0]))
        return TOOL_OK;
    return no_such_command(argv, argc);
}
