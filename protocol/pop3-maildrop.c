/* What is in the maildrop, and which message is which.
 *
 * A message is known by its UIDL (RFC 1939 section 7). Some servers have none, or give two messages
 * the same, or nothing: those are told apart by a hash of their header and their size, for which
 * TOP is asked in every session; and those that are alike in that, too, by their order. Where a
 * server has neither UIDL nor TOP, there is nothing to go by, and the maildrop cannot be used. */
#include "pop3-private.h"

#include <string.h>

/* A server with more messages than this is no server but an attack on our memory. */
#define MAX_MESSAGES 1000000
/* RFC 1939 allows 70 bytes. What is longer is kept as its hash. */
#define MAX_UIDL 128
#define MAX_HEADER (256 * 1024)

static void message_clear(gpointer data)
{
    g_free(((Pop3Message *)data)->name);
}

void pop3_maildrop_free(Pop3Maildrop *maildrop)
{
    g_array_unref(maildrop->messages);
    g_hash_table_unref(maildrop->by_uid);
    g_byte_array_unref(maildrop->header);
    g_clear_error(&maildrop->error);
    g_free(maildrop);
}

static Pop3Message *message_at(Pop3Maildrop *maildrop, guint at)
{
    return &g_array_index(maildrop->messages, Pop3Message, at);
}

Pop3Message *pop3_maildrop_find(Pop3Maildrop *maildrop, MailUid uid)
{
    guint at = GPOINTER_TO_UINT(g_hash_table_lookup(maildrop->by_uid, GUINT_TO_POINTER(uid)));
    return at ? message_at(maildrop, at - 1) : NULL;
}

static void fail(Pop3Maildrop *maildrop, GError *error)
{
    if (maildrop->error)
        g_error_free(error);
    else
        maildrop->error = error;
}

static void fail_protocol(Pop3Maildrop *maildrop, const char *what)
{
    fail(maildrop,
         g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL, "the server broke the protocol: %s", what));
}

/* ---- uids for names ---- */

static void identify(Pop3Remote *remote)
{
    Pop3Maildrop *maildrop = remote->maildrop;
    guint count = maildrop->messages->len;
    g_autofree const char **names = g_new(const char *, count + 1);
    g_autofree MailUid *uids = g_new0(MailUid, count + 1);
    GError *error = NULL;
    for (guint i = 0; i < count; i++)
        names[i] = message_at(maildrop, i)->name;
    if (!remote->funcs->identify(names, count, uids, remote->data, &error)) {
        fail(maildrop, error);
        return;
    }
    for (guint i = 0; i < count; i++) {
        message_at(maildrop, i)->uid = uids[i];
        g_hash_table_insert(maildrop->by_uid, GUINT_TO_POINTER(uids[i]), GUINT_TO_POINTER(i + 1));
    }
}

/* Several messages that nothing tells apart are told apart by their order. It changes when one of
 * them goes, so none of them may be removed by what we call it. */
static void number_alike(Pop3Maildrop *maildrop)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) first = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < maildrop->messages->len; i++) {
        Pop3Message *message = message_at(maildrop, i);
        guint before = GPOINTER_TO_UINT(g_hash_table_lookup(seen, message->name));
        g_hash_table_insert(seen, g_strdup(message->name), GUINT_TO_POINTER(before + 1));
        if (before == 0) {
            g_hash_table_insert(first, g_strdup(message->name), GUINT_TO_POINTER(i));
            continue;
        }
        guint other = GPOINTER_TO_UINT(g_hash_table_lookup(first, message->name));
        message->alike = message_at(maildrop, other)->alike = TRUE;
        g_autofree char *name = g_steal_pointer(&message->name);
        message->name = g_strdup_printf("%s#%u", name, before + 1);
    }
}

static void complete(Pop3Remote *remote)
{
    Pop3Maildrop *maildrop = remote->maildrop;
    if (!maildrop->error) {
        number_alike(maildrop);
        identify(remote);
    }
    maildrop->complete = TRUE;
    pop3_schedule_dispatch(remote);
}

static void answered(Pop3Remote *remote)
{
    if (--remote->maildrop->commands == 0)
        complete(remote);
}

/* ---- by the header ---- */

/* What servers and clients change in a header while the message lies there. */
static gboolean is_volatile(const char *line, gsize size)
{
    static const char *const names[] = {
        "Status:",     "X-Status:",       "X-UIDL:", "X-Keywords:", "X-IMAP:",
        "X-IMAPbase:", "Content-Length:", "X-UID:",  "Lines:"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        gsize length = strlen(names[i]);
        if (size >= length && g_ascii_strncasecmp(line, names[i], length) == 0)
            return TRUE;
    }
    return FALSE;
}

static char *name_of_header(const GByteArray *header, guint64 size)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    const char *at = (const char *)header->data;
    const char *end = at + header->len;
    gboolean skip = FALSE;
    while (at < end) {
        const char *lf = memchr(at, '\n', (gsize)(end - at));
        gsize length = lf ? (gsize)(lf - at) + 1 : (gsize)(end - at);
        if (*at != ' ' && *at != '\t') /* else it goes on with the field before it */
            skip = is_volatile(at, length);
        if (!skip)
            g_checksum_update(checksum, (const guchar *)at, (gssize)length);
        at += length;
    }
    return g_strdup_printf("header:%s:%" G_GUINT64_FORMAT, g_checksum_get_string(checksum), size);
}

static void top_bytes(Pop3Session *session, const guint8 *bytes, gsize size, gpointer data)
{
    Pop3Maildrop *maildrop = ((Pop3Remote *)data)->maildrop;
    gsize room = MAX_HEADER - maildrop->header->len;
    g_byte_array_append(maildrop->header, bytes, (guint)MIN(size, room));
}

static gboolean needs_header(const Pop3Message *message)
{
    return message->name == NULL;
}

static void top_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    Pop3Remote *remote = data;
    Pop3Maildrop *maildrop = remote->maildrop;
    while (!needs_header(message_at(maildrop, maildrop->looked_at)))
        maildrop->looked_at++;
    Pop3Message *message = message_at(maildrop, maildrop->looked_at);
    message->name = name_of_header(maildrop->header, message->size);
    g_byte_array_set_size(maildrop->header, 0);
    if (reply->status != POP3_OK && !maildrop->has_uidl)
        fail(maildrop, g_error_new_literal(
                           MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                           "the server has neither UIDL nor TOP: there is no telling which of its "
                           "messages is which"));
    answered(remote);
}

static void look_at_headers(Pop3Remote *remote)
{
    static const Pop3CommandFuncs funcs = {.bytes = top_bytes, .done = top_done};
    Pop3Maildrop *maildrop = remote->maildrop;
    for (guint i = 0; i < maildrop->messages->len && !maildrop->error; i++) {
        if (!needs_header(message_at(maildrop, i)))
            continue;
        g_autofree char *command =
            g_strdup_printf("TOP %" G_GUINT32_FORMAT " 0", message_at(maildrop, i)->number);
        maildrop->commands++;
        pop3_session_send(remote->session, command, POP3_MESSAGE, &funcs, remote);
    }
}

/* ---- LIST and UIDL ---- */

static void list_item(Pop3Session *session, const char *line, gpointer data)
{
    Pop3Maildrop *maildrop = ((Pop3Remote *)data)->maildrop;
    Pop3Message message = {0};
    guint count = maildrop->messages->len;
    guint32 last = count > 0 ? message_at(maildrop, count - 1)->number : 0;
    if (!pop3_parse_numbers(line, &message.number, &message.size) || message.number <= last)
        fail_protocol(maildrop, "a line of LIST");
    else if (count == MAX_MESSAGES)
        fail_protocol(maildrop, "too many messages");
    else
        g_array_append_val(maildrop->messages, message);
}

static void list_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    Pop3Remote *remote = data;
    if (reply->status != POP3_OK)
        fail(remote->maildrop, pop3_session_error(reply, "LIST"));
    answered(remote);
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    const Pop3Message *first = a, *second = b;
    return first->number < second->number ? -1 : first->number > second->number;
}

static void uidl_item(Pop3Session *session, const char *line, gpointer data)
{
    Pop3Maildrop *maildrop = ((Pop3Remote *)data)->maildrop;
    Pop3Message wanted = {0};
    const char *uidl;
    guint at;
    if (!pop3_parse_uidl(line, &wanted.number, &uidl)) {
        fail_protocol(maildrop, "a line of UIDL");
        return;
    }
    if (!*uidl || !g_array_binary_search(maildrop->messages, &wanted, by_number, &at) ||
        message_at(maildrop, at)->name)
        return;
    g_autofree char *hash =
        strlen(uidl) > MAX_UIDL ? g_compute_checksum_for_string(G_CHECKSUM_SHA256, uidl, -1) : NULL;
    message_at(maildrop, at)->name = g_strconcat("uidl:", hash ? hash : uidl, NULL);
}

/* A name that two messages have is none. */
static void drop_duplicates(Pop3Maildrop *maildrop)
{
    g_autoptr(GHashTable) first = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < maildrop->messages->len; i++) {
        Pop3Message *message = message_at(maildrop, i);
        if (!message->name)
            continue;
        guint other = GPOINTER_TO_UINT(g_hash_table_lookup(first, message->name));
        if (!other) {
            g_hash_table_insert(first, g_strdup(message->name), GUINT_TO_POINTER(i + 1));
            continue;
        }
        g_clear_pointer(&message->name, g_free);
        g_clear_pointer(&message_at(maildrop, other - 1)->name, g_free);
    }
}

static void uidl_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    Pop3Remote *remote = data;
    Pop3Maildrop *maildrop = remote->maildrop;
    maildrop->has_uidl = reply->status == POP3_OK;
    drop_duplicates(maildrop);
    look_at_headers(remote);
    guint64 bytes = 0;
    for (guint i = 0; i < maildrop->messages->len; i++)
        bytes += message_at(maildrop, i)->size;
    g_string_truncate(remote->described, remote->described_session);
    g_string_append_printf(
        remote->described, "maildrop: %u messages, %" G_GUINT64_FORMAT " bytes\nuidl: %s\n",
        maildrop->messages->len, bytes,
        maildrop->has_uidl ? "yes" : "no: messages are told apart by their headers");
    answered(remote);
}

void pop3_maildrop_open(Pop3Remote *remote)
{
    static const Pop3CommandFuncs list_funcs = {.item = list_item, .done = list_done};
    static const Pop3CommandFuncs uidl_funcs = {.item = uidl_item, .done = uidl_done};
    Pop3Maildrop *maildrop = g_new0(Pop3Maildrop, 1);
    maildrop->messages = g_array_new(FALSE, FALSE, sizeof(Pop3Message));
    g_array_set_clear_func(maildrop->messages, message_clear);
    maildrop->by_uid = g_hash_table_new(NULL, NULL);
    maildrop->header = g_byte_array_new();
    maildrop->commands = 2;
    remote->maildrop = maildrop;
    /* UIDL is asked for even where CAPA does not name it: some forget to. */
    pop3_session_send(remote->session, "LIST", POP3_LIST, &list_funcs, remote);
    pop3_session_send(remote->session, "UIDL", POP3_LIST, &uidl_funcs, remote);
}
