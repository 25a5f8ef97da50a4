/* The way of a command to the stream: all at once, after the server's "+", or piece by piece as the
 * stream's queue drains. One that is not out whole holds the line: those behind it wait. */
#include "imap-session-private.h"

#include "fault.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Of a file, read and written at a time, and in one turn of the loop. */
#define PIECE (64 * 1024)
#define TURN (4 * PIECE)

/* For the log: all of a command but what may hold a secret. */
static void log_command(ImapSession *session, const ImapPending *pending)
{
    gsize size;
    const char *text = imap_command_chunk(pending->command, 0, &size);
    const char *space = memchr(text, ' ', size);
    if (session->login != IMAP_LOGIN_DONE && space)
        size = (gsize)(space - text);
    g_autofree char *shown = mail_escape(text, (gssize)size, 300);
    g_debug("> %s %s", pending->tag, shown);
}

static gboolean is_out(const ImapPending *pending)
{
    return pending->next_chunk == imap_command_chunks(pending->command);
}

static gboolean is_waiting(const ImapPending *pending)
{
    return !is_out(pending) && !pending->granted &&
           imap_command_chunk_waits(pending->command, pending->next_chunk);
}

gboolean imap_send_is_awaited(const ImapPending *pending)
{
    return !is_out(pending) && !is_waiting(pending);
}

static gboolean go_on(gpointer data)
{
    ImapSession *session = data;
    session->pump_source = 0;
    imap_send_drained(session->core.stream, session);
    return G_SOURCE_REMOVE;
}

/* The server waits for so many bytes, and must not get others in their place. */
static void fail_file(ImapSession *session, ImapPending *pending, int code)
{
    g_autoptr(GError) error =
        g_error_new(MAIL_ERROR, MAIL_ERROR_DISK, "a file that is being sent %s",
                    code ? g_strerror(code) : "has become shorter");
    if (pending != session->leftover && pending->funcs->unreadable)
        pending->funcs->unreadable(session, error, pending->data);
    imap_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE,
                                           "the connection is given up: %s", error->message));
}

/* TRUE when all of it is written; else `drained` or the pump goes on. */
static gboolean write_file(ImapSession *session, ImapPending *pending, int fd, guint64 size)
{
    g_autofree char *piece = g_malloc(PIECE);
    pending->uploads = TRUE;
    for (gsize written = 0; pending->file_at < size;) {
        if (stream_queued(session->core.stream) >= STREAM_QUEUE_LOW)
            return FALSE;
        if (written >= TURN) {
            if (!session->pump_source)
                session->pump_source = g_idle_add_full(G_PRIORITY_DEFAULT, go_on, session, NULL);
            return FALSE;
        }
        gsize want = (gsize)MIN(PIECE, size - pending->file_at);
        gssize got = pread(fd, piece, want, (off_t)pending->file_at);
        if (got <= 0) {
            fail_file(session, pending, got < 0 ? errno : 0);
            return FALSE;
        }
        stream_write(session->core.stream, piece, (gsize)got);
        session->progress = g_get_monotonic_time();
        pending->file_at += (guint64)got;
        written += (gsize)got;
    }
    pending->file_at = 0;
    return TRUE;
}

/* Writes what may be written of it. TRUE when it is out whole and does not hold the line. */
static gboolean write_command(ImapSession *session, ImapPending *pending)
{
    if (pending->next_chunk == 0) {
        if (imap_session_debug)
            log_command(session, pending);
        gsize name_size;
        const char *name = imap_command_chunk(pending->command, 0, &name_size);
        fault_point_of("send", name, name_size);
        stream_write(session->core.stream, pending->tag, strlen(pending->tag));
        stream_write(session->core.stream, " ", 1);
    }
    while (!is_out(pending)) {
        gsize size;
        guint64 file_size;
        if (is_waiting(pending))
            return FALSE;
        const char *bytes = imap_command_chunk(pending->command, pending->next_chunk, &size);
        int fd = imap_command_chunk_file(pending->command, pending->next_chunk, &file_size);
        if (fd >= 0 && !write_file(session, pending, fd, file_size))
            return FALSE;
        if (size > 0)
            stream_write(session->core.stream, bytes, size);
        pending->granted = FALSE;
        pending->next_chunk++;
    }
    stream_write(session->core.stream, "\r\n", 2);
    if (pending->uploads && session->funcs->uploaded)
        session->funcs->uploaded(session, session->data);
    return pending->funcs->challenge == NULL;
}

static gboolean holds_line(const ImapPending *pending)
{
    return !is_out(pending) || pending->funcs->challenge != NULL;
}

void imap_send_flush(ImapSession *session)
{
    while (!session->core.error && !session->leftover) {
        ImapPending *last = g_queue_peek_tail(&session->waiting);
        if (last && last->idle)
            imap_idle_make_way(session, last);
        if (last && holds_line(last))
            return;
        ImapPending *pending = g_queue_pop_head(&session->unsent);
        if (!pending)
            return;
        pending->sent = g_get_monotonic_time();
        g_queue_push_tail(&session->waiting, pending);
        if (!write_command(session, pending))
            return;
    }
}

gboolean imap_send_grant(ImapSession *session)
{
    ImapPending *last = g_queue_peek_tail(&session->waiting);
    if (!last || !is_waiting(last))
        return FALSE;
    last->granted = TRUE;
    last->sent = g_get_monotonic_time();
    if (write_command(session, last))
        imap_send_flush(session);
    return TRUE;
}

/* What follows the literal that was refused: nobody knows what the server takes it for. */
static void leftover_over(ImapSession *session)
{
    gboolean whole = is_out(session->leftover);
    g_clear_pointer(&session->leftover, imap_pending_free);
    if (whole)
        imap_send_flush(session);
    else
        imap_session_fail(session, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE,
                                                       "the server refused a command that "
                                                       "it had seen only the half of"));
}

void imap_send_drained(Stream *stream, gpointer data)
{
    ImapSession *session = data;
    session_core_enter(&session->core);
    session->progress = g_get_monotonic_time();
    ImapPending *pending =
        session->leftover ? session->leftover : g_queue_peek_tail(&session->waiting);
    if (!session->core.error && pending && imap_send_is_awaited(pending)) {
        gboolean out = write_command(session, pending);
        if (pending == session->leftover && (out || is_waiting(pending)))
            leftover_over(session);
        else if (out)
            imap_send_flush(session);
    }
    session_core_leave(&session->core);
}

gboolean imap_session_is_uploading(ImapSession *session)
{
    const ImapPending *last = g_queue_peek_tail(&session->waiting);
    return session->leftover || (last && !is_out(last));
}
