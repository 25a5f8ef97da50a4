#include "imap-command.h"

#include <string.h>
#include <unistd.h>

#define MAX_QUOTED 1000
#define MAX_MINUS 4096 /* RFC 7888 section 5 */
/* Of a file: from here on a round trip costs little beside what a refusal saves. */
#define MAX_PLUS_FILE (64 * 1024)

/* Not a GString: what it outgrows would be left in memory, and may be a password. */
typedef struct {
    char *bytes;
    gsize size, capacity;
    gboolean waits;
    int fd; /* -1: bytes */
    guint64 file_size;
} Chunk;

struct ImapCommand {
    ImapLiteralMode mode;
    GArray *chunks; /* of Chunk */
};

static void clear_chunk(gpointer data)
{
    Chunk *chunk = data;
    if (chunk->fd >= 0)
        close(chunk->fd);
    if (!chunk->bytes)
        return;
    explicit_bzero(chunk->bytes, chunk->capacity);
    g_free(chunk->bytes);
}

static Chunk *add_chunk(ImapCommand *command, gboolean waits)
{
    Chunk chunk = {.waits = waits, .fd = -1};
    g_array_append_val(command->chunks, chunk);
    return &g_array_index(command->chunks, Chunk, command->chunks->len - 1);
}

static void append(ImapCommand *command, const char *bytes, gsize size)
{
    Chunk *chunk = &g_array_index(command->chunks, Chunk, command->chunks->len - 1);
    if (size > chunk->capacity - chunk->size) {
        Chunk larger = *chunk;
        larger.capacity = 2 * (chunk->size + size) + 64;
        larger.bytes = g_malloc(larger.capacity);
        if (chunk->size > 0)
            memcpy(larger.bytes, chunk->bytes, chunk->size);
        clear_chunk(chunk);
        *chunk = larger;
    }
    if (size > 0)
        memcpy(chunk->bytes + chunk->size, bytes, size);
    chunk->size += size;
}

static void append_text(ImapCommand *command, const char *text)
{
    append(command, text, strlen(text));
}

ImapCommand *imap_command_new(const char *name, ImapLiteralMode mode)
{
    ImapCommand *command = g_new0(ImapCommand, 1);
    command->mode = mode;
    command->chunks = g_array_new(FALSE, FALSE, sizeof(Chunk));
    g_array_set_clear_func(command->chunks, clear_chunk);
    add_chunk(command, FALSE);
    append_text(command, name);
    return command;
}

void imap_command_free(ImapCommand *command)
{
    if (!command)
        return;
    g_array_unref(command->chunks);
    g_free(command);
}

void imap_command_atom(ImapCommand *command, const char *text)
{
    g_assert(!strpbrk(text, "\r\n"));
    append(command, " ", 1);
    append_text(command, text);
}

void imap_command_number(ImapCommand *command, guint64 number)
{
    char text[24];
    g_snprintf(text, sizeof(text), "%" G_GUINT64_FORMAT, number);
    imap_command_atom(command, text);
}

/* An atom-char, RFC 9051 section 9; ']' is one only in an astring, and is quoted here. */
static gboolean is_atom_char(char c)
{
    return g_ascii_isgraph(c) && !strchr("(){%*\"\\]", c);
}

static gboolean is_atom(const char *text, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (!is_atom_char(text[i]))
            return FALSE;
    return size > 0;
}

static gboolean can_be_quoted(const char *text, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (text[i] & 0x80 || text[i] == '\r' || text[i] == '\n')
            return FALSE;
    return size <= MAX_QUOTED;
}

static void append_quoted(ImapCommand *command, const char *text, gsize size)
{
    append(command, "\"", 1);
    for (gsize i = 0; i < size; i++) {
        if (text[i] == '"' || text[i] == '\\')
            append(command, "\\", 1);
        append(command, text + i, 1);
    }
    append(command, "\"", 1);
}

/* Returns whether the literal has to wait. */
static gboolean announce(ImapCommand *command, guint64 size, guint64 max_plus)
{
    gboolean sync = command->mode == IMAP_LITERAL_SYNC ||
                    (command->mode == IMAP_LITERAL_MINUS && size > MAX_MINUS) || size > max_plus;
    char announcement[32];
    g_snprintf(announcement, sizeof(announcement), "{%" G_GUINT64_FORMAT "%s}\r\n", size,
               sync ? "" : "+");
    append_text(command, announcement);
    return sync;
}

static void append_literal(ImapCommand *command, const char *text, gsize size)
{
    if (announce(command, size, G_MAXUINT64))
        add_chunk(command, TRUE);
    append(command, text, size);
}

void imap_command_file(ImapCommand *command, int fd, guint64 size)
{
    append(command, " ", 1);
    Chunk *chunk = add_chunk(command, announce(command, size, MAX_PLUS_FILE));
    chunk->fd = fd;
    chunk->file_size = size;
    add_chunk(command, FALSE);
}

gboolean imap_command_string(ImapCommand *command, const char *text, gsize size)
{
    if (size > 0 && memchr(text, '\0', size))
        return FALSE;
    append(command, " ", 1);
    if (can_be_quoted(text, size))
        append_quoted(command, text, size);
    else
        append_literal(command, text, size);
    return TRUE;
}

gboolean imap_command_astring(ImapCommand *command, const char *text, gsize size)
{
    /* NIL as an atom is a string too, yet not every server thinks so. */
    gboolean nil = size == 3 && g_ascii_strncasecmp(text, "NIL", 3) == 0;
    if (!is_atom(text, size) || nil || size > MAX_QUOTED)
        return imap_command_string(command, text, size);
    append(command, " ", 1);
    append(command, text, size);
    return TRUE;
}

static void append_flag(ImapCommand *command, const char *flag, gboolean *first)
{
    if (!*first)
        append(command, " ", 1);
    append_text(command, flag);
    *first = FALSE;
}

/* A server that sends ']' in its keywords takes it back too. */
static gboolean is_keyword(const char *keyword)
{
    const char *at = keyword;
    while (is_atom_char(*at) || *at == ']')
        at++;
    return at > keyword && *at == '\0';
}

void imap_command_flags(ImapCommand *command, guint32 system, const char *const *keywords)
{
    static const struct {
        guint32 flag;
        const char *name;
    } names[] = {
        {MAIL_FLAG_SEEN, "\\Seen"},       {MAIL_FLAG_ANSWERED, "\\Answered"},
        {MAIL_FLAG_FLAGGED, "\\Flagged"}, {MAIL_FLAG_DELETED, "\\Deleted"},
        {MAIL_FLAG_DRAFT, "\\Draft"},
    };
    gboolean first = TRUE;
    append_text(command, " (");
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (system & names[i].flag)
            append_flag(command, names[i].name, &first);
    for (; keywords && *keywords; keywords++)
        if (is_keyword(*keywords))
            append_flag(command, *keywords, &first);
    append(command, ")", 1);
}

guint imap_command_chunks(const ImapCommand *command)
{
    return command->chunks->len;
}

const char *imap_command_chunk(const ImapCommand *command, guint index, gsize *size)
{
    g_return_val_if_fail(index < command->chunks->len, NULL);
    const Chunk *chunk = &g_array_index(command->chunks, Chunk, index);
    *size = chunk->size;
    return chunk->bytes;
}

gboolean imap_command_chunk_waits(const ImapCommand *command, guint index)
{
    g_return_val_if_fail(index < command->chunks->len, FALSE);
    return g_array_index(command->chunks, Chunk, index).waits;
}

int imap_command_chunk_file(const ImapCommand *command, guint index, guint64 *size)
{
    g_return_val_if_fail(index < command->chunks->len, -1);
    const Chunk *chunk = &g_array_index(command->chunks, Chunk, index);
    *size = chunk->file_size;
    return chunk->fd;
}

char *imap_sequence_set(const GArray *set, guint *at, gsize max_length)
{
    GString *text = g_string_new(NULL);
    for (; *at < set->len; (*at)++) {
        const MailUidRange *range = &g_array_index(set, MailUidRange, *at);
        char item[32];
        gsize length =
            (gsize)(range->first == range->last
                        ? g_snprintf(item, sizeof(item), "%u", range->first)
                        : g_snprintf(item, sizeof(item), "%u:%u", range->first, range->last));
        if (text->len > 0 && text->len + 1 + length > max_length)
            break;
        if (text->len > 0)
            g_string_append_c(text, ',');
        g_string_append_len(text, item, (gssize)length);
    }
    return g_string_free(text, FALSE);
}
