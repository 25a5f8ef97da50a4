/* COMPRESS, RFC 4978: from its OK on both sides speak DEFLATE. */
#include "imap-session-private.h"

static void compress_challenge(ImapSession *session, const char *text, gpointer data)
{
    imap_session_fail_protocol(session, "it challenges COMPRESS");
}

/* A NO only means that it stays as it is. */
static void compress_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    session->compressing = FALSE;
    if (reply->condition != IMAP_OK)
        return;
    session->compressed = session->layer_changed = TRUE;
    stream_start_deflate(session->core.stream);
}

void imap_session_compress(ImapSession *session)
{
    /* With `challenge` it holds the line: what follows must be compressed already. */
    static const ImapCommandFuncs funcs = {.challenge = compress_challenge, .done = compress_done};
    if (session->compressed || session->compressing || !(session->caps & IMAP_CAP_COMPRESS))
        return;
    session->compressing = TRUE;
    imap_session_send(session, imap_session_command(session, "COMPRESS DEFLATE"), &funcs, NULL);
}

gboolean imap_session_is_compressed(ImapSession *session)
{
    return session->compressed;
}
