#include "netrc.h"

#include <string.h>

typedef struct {
    char *text;
    gsize size, at;
} Reader;

typedef struct {
    char *text;
    gsize size;
} Word;

static gboolean is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next word, unquoted in place; FALSE at the end. */
static gboolean next_word(Reader *reader, Word *word)
{
    while (reader->at < reader->size && is_space(reader->text[reader->at]))
        reader->at++;
    if (reader->at == reader->size)
        return FALSE;
    gboolean quoted = reader->text[reader->at] == '"';
    reader->at += quoted;
    gsize out = reader->at;
    word->text = reader->text + out;
    while (reader->at < reader->size) {
        char c = reader->text[reader->at];
        if (quoted ? c == '"' : is_space(c))
            break;
        if (quoted && c == '\\' && reader->at + 1 < reader->size)
            c = reader->text[++reader->at];
        reader->text[out++] = c;
        reader->at++;
    }
    word->size = (gsize)(reader->text + out - word->text);
    if (quoted && reader->at < reader->size)
        reader->at++;
    return TRUE;
}

static gboolean word_is(const Word *word, const char *text)
{
    return word->size == strlen(text) && memcmp(word->text, text, word->size) == 0;
}

static void skip_line(Reader *reader)
{
    const char *end = memchr(reader->text + reader->at, '\n', reader->size - reader->at);
    reader->at = end ? (gsize)(end - reader->text) + 1 : reader->size;
}

/* A macro ends at an empty line. */
static void skip_macro(Reader *reader)
{
    skip_line(reader);
    while (reader->at < reader->size && reader->text[reader->at] != '\n')
        skip_line(reader);
}

typedef struct {
    gboolean host_fits, user_fits;
    Word password; /* text is NULL: none yet */
} Entry;

static gboolean entry_fits(const Entry *entry)
{
    return entry->host_fits && entry->user_fits && entry->password.text;
}

char *netrc_find(char *text, gsize size, const char *host, const char *user, gsize *length)
{
    Reader reader = {text, size, 0};
    Entry entry = {0};
    Word word, value;
    while (next_word(&reader, &word)) {
        gboolean is_default = word_is(&word, "default"), is_machine = word_is(&word, "machine");
        if (is_default || is_machine) {
            if (entry_fits(&entry))
                break;
            entry = (Entry){.host_fits = is_default, .user_fits = TRUE};
            if (is_machine && next_word(&reader, &value))
                entry.host_fits = value.size == strlen(host) &&
                                  g_ascii_strncasecmp(value.text, host, value.size) == 0;
        } else if (word_is(&word, "login")) {
            entry.user_fits = next_word(&reader, &value) && word_is(&value, user);
        } else if (word_is(&word, "password")) {
            if (next_word(&reader, &value))
                entry.password = value;
        } else if (word_is(&word, "account")) {
            next_word(&reader, &value);
        } else if (word_is(&word, "macdef")) {
            skip_macro(&reader);
        } else if (word.size > 0 && word.text[0] == '#') {
            /* The comment may have ended with its first word: go on from there. */
            reader.at = (gsize)(word.text - text);
            skip_line(&reader);
        }
    }
    if (!entry_fits(&entry))
        return NULL;
    *length = entry.password.size;
    return entry.password.text;
}
