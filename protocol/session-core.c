#include "session-core.h"

static void destroy(SessionCore *core)
{
    g_clear_handle_id(&core->timer, g_source_remove);
    g_clear_handle_id(&core->fail_source, g_source_remove);
    g_clear_pointer(&core->stream, stream_free);
    g_clear_error(&core->error);
    core->klass->destroy(core);
}

void session_core_free(SessionCore *core)
{
    core->freed = TRUE;
    if (core->nesting == 0)
        destroy(core);
}

void session_core_enter(SessionCore *core)
{
    core->nesting++;
}

gboolean session_core_leave(SessionCore *core)
{
    core->nesting--;
    if (!core->freed || core->nesting > 0)
        return !core->freed;
    destroy(core);
    return FALSE;
}

/* ---- the end ---- */

static gboolean report_failure(gpointer data)
{
    SessionCore *core = data;
    core->fail_source = 0;
    session_core_enter(core);
    core->klass->failed(core);
    session_core_leave(core);
    return G_SOURCE_REMOVE;
}

void session_core_fail(SessionCore *core, GError *error)
{
    if (core->error || core->freed) {
        g_error_free(error);
        return;
    }
    core->error = error;
    g_clear_handle_id(&core->timer, g_source_remove);
    if (core->klass->failing)
        core->klass->failing(core);
    stream_close(core->stream);
    core->fail_source = g_idle_add_full(G_PRIORITY_DEFAULT, report_failure, core, NULL);
}

void session_core_fail_protocol(SessionCore *core, const char *what)
{
    session_core_fail(core, g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                        "the server broke the protocol: %s", what));
}

void session_core_stream_failed(Stream *stream, const GError *error, gpointer data)
{
    session_core_fail(data, g_error_copy(error));
}

/* ---- deadlines ---- */

static gboolean check_deadline(gpointer data)
{
    SessionCore *core = data;
    gint64 now = g_get_monotonic_time();
    gint64 since = stream_last_receive(core->stream);
    gboolean in_login = !core->logged_in && since > 0;
    gint64 limit = core->klass->patience(core, &since);
    gboolean silent = limit > 0 && now - since >= limit;
    if (!silent && !(in_login && now - core->created >= SESSION_LOGIN_DEADLINE))
        return G_SOURCE_CONTINUE;
    core->timer = 0;
    if (!silent)
        limit = SESSION_LOGIN_DEADLINE;
    session_core_fail(core, g_error_new(MAIL_ERROR, MAIL_ERROR_TIMEOUT, "%s %d seconds",
                                        silent ? "the server has not answered for"
                                               : "the login was not done within",
                                        (int)(limit / G_USEC_PER_SEC)));
    return G_SOURCE_REMOVE;
}

void session_core_begin(SessionCore *core, const SessionCoreClass *klass,
                        const RemoteConfig *config)
{
    StreamConfig stream_config = {
        .host = config->host,
        .port = config->port,
        .tunnel = config->tunnel,
        .tls = config->tunnel ? STREAM_TLS_NONE : config->tls,
        .ca_file = config->ca_file,
        .connect_timeout = 15,
    };
    core->klass = klass;
    core->created = g_get_monotonic_time();
    core->stream = stream_new(&stream_config, &klass->stream, core);
    core->timer = g_timeout_add_seconds(1, check_deadline, core);
    stream_connect(core->stream);
}
