/* One IDLE on a connection (RFC 2177), and signs of life from it.
 *
 * IDLE is a command like any other that holds the line: what is sent after it waits until DONE has
 * been answered. DONE itself has to wait for the server's "+". */
#include "imap-session-private.h"

/* The IDLE that is not answered yet: as it holds the line, nothing was sent after it. */
static ImapPending *current(ImapSession *session)
{
    ImapPending *last = g_queue_peek_tail(&session->waiting);
    return last && last->idle ? last : NULL;
}

static void send_done(ImapSession *session, ImapPending *pending)
{
    pending->idle = IMAP_IDLE_ENDING;
    pending->sent = g_get_monotonic_time();
    imap_session_answer(session, "DONE");
}

void imap_idle_begun(ImapSession *session, ImapPending *pending)
{
    if (pending->idle != IMAP_IDLE_ASKED)
        return; /* some servers say it twice */
    pending->idle = IMAP_IDLE_LASTS;
    pending->funcs->challenge(session, "", pending->data);
    if (session->core.error || session->core.freed || current(session) != pending)
        return;
    if (pending->idle == IMAP_IDLE_LASTS && (pending->end || session->unsent.length > 0))
        send_done(session, pending);
}

void imap_idle_make_way(ImapSession *session, ImapPending *pending)
{
    if (pending->idle == IMAP_IDLE_LASTS && session->unsent.length > 0)
        send_done(session, pending);
}

void imap_session_idle(ImapSession *session, const ImapCommandFuncs *funcs, gpointer data)
{
    if (session->core.error)
        return;
    ImapCommand *command = imap_session_command(session, "IDLE");
    imap_session_enqueue(session, command, funcs, data)->idle = IMAP_IDLE_ASKED;
    imap_send_flush(session);
}

void imap_session_idle_end(ImapSession *session)
{
    ImapPending *pending = current(session);
    if (!pending || session->core.error)
        return;
    if (pending->idle == IMAP_IDLE_LASTS)
        send_done(session, pending);
    else
        pending->end = TRUE;
}

gboolean imap_session_in_idle(ImapSession *session)
{
    return current(session) != NULL;
}

gboolean imap_session_idle_lasts(ImapSession *session)
{
    const ImapPending *pending = current(session);
    return pending && pending->idle == IMAP_IDLE_LASTS && !session->core.error;
}

/* ---- signs of life ---- */

static void probe_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
}

void imap_session_probe(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = probe_done};
    gboolean asked =
        session->probed > 0 && stream_last_receive(session->core.stream) <= session->probed;
    if (session->core.error || asked || session->login != IMAP_LOGIN_DONE)
        return;
    session->probed = g_get_monotonic_time();
    if (current(session))
        imap_session_idle_end(session);
    else
        imap_session_send(session, imap_session_command(session, "NOOP"), &funcs, NULL);
}
