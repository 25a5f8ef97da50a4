#include "command-flag.h"

#include <stdio.h>
#include <string.h>

#include "command-files.h"
#include "flag-words.h"

#define PATIENCE 120 /* seconds: the daemon may have to list a folder first */

typedef struct {
    char **words;
    const CommandFiles *files;
    guint next_word, next_path;
    guint failed;
} Flag;

static const char *next_argument(gpointer data)
{
    Flag *flag = data;
    GPtrArray *paths = flag->files->paths;
    if (flag->words[flag->next_word])
        return flag->words[flag->next_word++];
    return flag->next_path < paths->len ? paths->pdata[flag->next_path++] : NULL;
}

static void take_line(char *line, gpointer data)
{
    Flag *flag = data;
    if (command_files_complain(flag->files, line))
        flag->failed++;
}

/* Before anything is changed. */
static gboolean check_words(char **words)
{
    g_auto(FlagWords) taken;
    flag_words_init(&taken);
    for (guint i = 0; words[i]; i++) {
        g_autoptr(GError) error = NULL;
        if (flag_words_take(&taken, words[i], &error))
            continue;
        fprintf(stderr, "mailfs: %s\n", error->message);
        return FALSE;
    }
    return TRUE;
}

int command_flag(char **words, char **names)
{
    Flag flag = {.words = words};
    if (!check_words(words))
        return 2;
    g_autoptr(GPtrArray) all = command_files_new(names, &flag.failed);
    for (guint i = 0; i < all->len; i++) {
        g_autoptr(GError) error = NULL;
        Conversation how = {next_argument, take_line, &flag, PATIENCE};
        flag.files = all->pdata[i];
        flag.next_word = flag.next_path = 0;
        if (converse(flag.files->place->socket, "flag", &how, &error))
            continue;
        fprintf(stderr, "mailfs: %s: %s\n", flag.files->place->mountpoint, error->message);
        flag.failed++;
    }
    return flag.failed > 0;
}
