#include "command.h"

#include <gio/gio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command-fetch.h"
#include "command-flag.h"
#include "conversation.h"
#include "place.h"

#define PATIENCE 10 /* seconds, for an answer that needs no server */

typedef struct Command {
    const char *name;
    const char *arguments; /* for the usage line */
    int (*run)(const struct Command *command, int argc, char **argv);
} Command;

static int usage(const Command *command)
{
    fprintf(stderr, "usage: mailfs %s %s\n", command->name, command->arguments);
    return 2;
}

static int nothing_at(const char *path, const GError *error)
{
    fprintf(stderr, "mailfs: nothing of yours is mounted at %s%s%s\n", path, error ? ": " : "",
            error ? error->message : "");
    return 1;
}

static void print_line(char *line, gpointer data)
{
    puts(line);
}

/* A command of one argument, a mount point or anything below it. */
static int run_plain(const Command *command, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc != 2 || argv[1][0] == '-')
        return usage(command);
    g_autoptr(Place) place = place_find(argv[1]);
    if (!place)
        return nothing_at(argv[1], NULL);
    Conversation how = {.line = print_line,
                        .patience = strcmp(command->name, "status") == 0 ? PATIENCE : 0};
    if (strcmp(command->name, "events") == 0)
        setvbuf(stdout, NULL, _IOLBF, 0);
    if (converse(place->socket, command->name, &how, &error)) {
        if (strcmp(command->name, "events") == 0)
            fprintf(stderr, "mailfs: %s was unmounted\n", place->mountpoint);
        return 0;
    }
    if (error->domain == G_IO_ERROR)
        return nothing_at(argv[1], error);
    fprintf(stderr, "mailfs: %s\n", error->message);
    return 1;
}

static int run_fetch(const Command *command, int argc, char **argv)
{
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--") == 0)
        first++;
    else if (argc > 1 && argv[1][0] == '-')
        return usage(command);
    return first < argc ? command_fetch(argv + first) : usage(command);
}

static int run_flag(const Command *command, int argc, char **argv)
{
    int file = 1;
    while (file < argc && strchr("+-", argv[file][0]) && !g_str_has_prefix(argv[file], "--"))
        file++;
    g_autofree char **words = g_memdup2(argv, sizeof(char *) * (gsize)(file + 1));
    words[file] = NULL;
    gboolean has_words = file > 1;
    if (file < argc && strcmp(argv[file], "--") == 0)
        file++;
    else if (file < argc && argv[file][0] == '-')
        return usage(command);
    return has_words && file < argc ? command_flag(words + 1, argv + file) : usage(command);
}

static const Command *find(const char *name)
{
    static const Command commands[] = {
        {"status", "MOUNTPOINT", run_plain}, {"sync", "MOUNTPOINT", run_plain},
        {"events", "MOUNTPOINT", run_plain}, {"flag", "+WORD|-WORD... FILE...", run_flag},
        {"fetch", "PATH...", run_fetch},
    };
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

gboolean command_is_one(const char *word)
{
    return find(word) != NULL;
}

int command_run(int argc, char **argv)
{
    const Command *command = find(argv[0]);
    signal(SIGPIPE, SIG_DFL);
    return command->run(command, argc, argv);
}
