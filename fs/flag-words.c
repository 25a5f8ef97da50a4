#include "flag-words.h"

#include <string.h>

#define MAX_KEYWORD 100  /* bytes; servers take less rather than more */
#define MAX_KEYWORDS 100 /* in one command */

static const struct {
    MailFlags flag;
    const char *name;
} system_flags[] = {{MAIL_FLAG_SEEN, "seen"},
                    {MAIL_FLAG_ANSWERED, "answered"},
                    {MAIL_FLAG_FLAGGED, "flagged"},
                    {MAIL_FLAG_DELETED, "deleted"},
                    {MAIL_FLAG_DRAFT, "draft"}};

void flag_words_init(FlagWords *words)
{
    *words = (FlagWords){.add_keywords = g_ptr_array_new_null_terminated(0, g_free, TRUE),
                         .remove_keywords = g_ptr_array_new_null_terminated(0, g_free, TRUE)};
}

void flag_words_clear(FlagWords *words)
{
    g_ptr_array_unref(words->add_keywords);
    g_ptr_array_unref(words->remove_keywords);
}

gboolean flag_words_empty(const FlagWords *words)
{
    return !words->add && !words->remove && words->add_keywords->len == 0 &&
           words->remove_keywords->len == 0;
}

static gboolean invalid(GError **error, const char *word, const char *why)
{
    g_autofree char *shown = mail_escape(word, -1, 100);
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_INVALID, "%s: %s", shown, why);
    return FALSE;
}

static guint32 system_flag(const char *word)
{
    for (guint i = 0; i < G_N_ELEMENTS(system_flags); i++)
        if (g_ascii_strcasecmp(word, system_flags[i].name) == 0)
            return system_flags[i].flag;
    return 0;
}

/* An atom: RFC 9051 section 9. */
static gboolean is_atom(const char *word)
{
    for (const char *at = word; *at; at++)
        if (!g_ascii_isgraph(*at) || strchr("(){%*\"\\]", *at))
            return FALSE;
    return *word != '\0';
}

/* Words that mean a flag's absence would silently become keywords. */
static gboolean check_keyword(const char *word, GError **error)
{
    if (*word == '\\')
        return invalid(error, word,
                       "the flags of the system are seen answered flagged deleted draft");
    if (!is_atom(word))
        return invalid(error, word,
                       "a flag is one word of ASCII characters without ( ) { % * \" \\ ]");
    if (strlen(word) > MAX_KEYWORD)
        return invalid(error, word, "too long for a flag");
    if (g_ascii_strncasecmp(word, "un", 2) == 0 && system_flag(word + 2))
        return invalid(error, word, "no flag: take the other one away with -");
    return TRUE;
}

static gboolean has_keyword(const GPtrArray *keywords, const char *word)
{
    for (guint i = 0; i < keywords->len; i++)
        if (g_ascii_strcasecmp(keywords->pdata[i], word) == 0)
            return TRUE;
    return FALSE;
}

gboolean flag_words_take(FlagWords *words, const char *word, GError **error)
{
    gboolean adds = *word == '+';
    const char *name = word + 1;
    if (*word != '+' && *word != '-')
        return invalid(error, word, "a flag is added by + or taken away by - before it");
    guint32 flag = system_flag(*name == '\\' ? name + 1 : name);
    if (!flag && !check_keyword(name, error))
        return FALSE;
    GPtrArray *to = adds ? words->add_keywords : words->remove_keywords;
    const GPtrArray *other = adds ? words->remove_keywords : words->add_keywords;
    guint32 *flags = adds ? &words->add : &words->remove;
    if ((flag & (adds ? words->remove : words->add)) || (!flag && has_keyword(other, name)))
        return invalid(error, name, "it cannot be both added and taken away");
    *flags |= flag;
    if (flag || has_keyword(to, name))
        return TRUE;
    if (to->len == MAX_KEYWORDS)
        return invalid(error, name, "too many flags");
    g_ptr_array_add(to, g_strdup(name));
    return TRUE;
}

static gboolean take_wanted(FlagWords *wanted, const char *text, GError **error)
{
    g_auto(GStrv) names = g_strsplit_set(text, " \t\n\r", -1);
    for (guint i = 0; names[i]; i++) {
        g_autofree char *word = g_strconcat("+", names[i], NULL);
        if (*names[i] && !flag_words_take(wanted, word, error))
            return FALSE;
    }
    return TRUE;
}

/* What is there may be such as nobody may add here. */
static void take_old(FlagWords *old, const char *text)
{
    g_auto(GStrv) names = g_strsplit(text, " ", -1);
    for (guint i = 0; names[i]; i++) {
        guint32 flag = system_flag(names[i]);
        old->add |= flag;
        if (!flag && *names[i])
            g_ptr_array_add(old->add_keywords, g_strdup(names[i]));
    }
}

static void move_missing(GPtrArray *to, const GPtrArray *from, const GPtrArray *there)
{
    for (guint i = 0; i < from->len; i++)
        if (!has_keyword(there, from->pdata[i]))
            g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

gboolean flag_words_set(FlagWords *words, const char *now, const char *text, GError **error)
{
    g_auto(FlagWords) wanted, old;
    flag_words_init(&wanted);
    flag_words_init(&old);
    if (!take_wanted(&wanted, text, error))
        return FALSE;
    take_old(&old, now);
    words->add = wanted.add & ~old.add;
    words->remove = old.add & ~wanted.add;
    move_missing(words->add_keywords, wanted.add_keywords, old.add_keywords);
    move_missing(words->remove_keywords, old.add_keywords, wanted.add_keywords);
    return TRUE;
}

const char *const *flag_words_list(const GPtrArray *keywords)
{
    return keywords->len > 0 ? (const char *const *)keywords->pdata : NULL;
}

char *flag_words_text(guint32 flags, const char *keywords)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(system_flags); i++)
        if (flags & system_flags[i].flag)
            g_string_append_printf(text, "%s%s", text->len ? " " : "", system_flags[i].name);
    if (keywords && *keywords)
        g_string_append_printf(text, "%s%s", text->len ? " " : "", keywords);
    return g_string_free(g_steal_pointer(&text), FALSE);
}
