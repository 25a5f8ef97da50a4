#include "keywords.h"

#include <string.h>

static gboolean contains(char **list, const char *word)
{
    for (guint i = 0; list[i]; i++)
        if (g_ascii_strcasecmp(list[i], word) == 0)
            return TRUE;
    return FALSE;
}

static void append(GString *out, const char *word)
{
    if (!*word)
        return;
    if (out->len > 0)
        g_string_append_c(out, ' ');
    g_string_append(out, word);
}

static char **split(const char *words)
{
    return g_strsplit(words ? words : "", " ", -1);
}

char *keywords_apply(const char *words, const char *add, const char *remove)
{
    g_auto(GStrv) have = split(words);
    g_auto(GStrv) more = split(add);
    g_auto(GStrv) less = split(remove);
    g_autoptr(GString) out = g_string_new(NULL);
    for (guint i = 0; have[i]; i++)
        if (!contains(less, have[i]))
            append(out, have[i]);
    for (guint i = 0; more[i]; i++)
        if (!contains(have, more[i]) || contains(less, more[i]))
            append(out, more[i]);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

char *keywords_join(const char *const *list)
{
    return list ? g_strjoinv(" ", (char **)list) : g_strdup("");
}
