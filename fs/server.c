#include "server.h"

#include <gio/gio.h>

#include "imap-remote.h"
#include "pop3-remote.h"

RemoteConfig server_config(const Config *config, gboolean is_token)
{
    StreamTls tls = config->tls_off           ? STREAM_TLS_NONE
                    : url_is_tls(config->url) ? STREAM_TLS_IMPLICIT
                                              : STREAM_TLS_START;
    return (RemoteConfig){
        .service = url_is_pop3(config->url) ? "pop" : "imap",
        .host = config->url->host,
        .port = config->url->port,
        .tls = tls,
        .tunnel = (const char *const *)config->tunnel,
        .ca_file = config->ca_file,
        .user = config->user,
        .auth = config->auth,
        .is_token = is_token,
        .connections = config->connections,
        .read_only = config->read_only,
        .compress = config->compress,
        .idle = config->idle,
    };
}

/* A name is checked again by its address once the connection is there. */
static gboolean is_loopback(const char *host)
{
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(host);
    return address ? g_inet_address_get_is_loopback(address)
                   : g_ascii_strcasecmp(host, "localhost") == 0;
}

gboolean server_check(const Config *config, GError **error)
{
    gboolean moves =
        config->delete_policy == CONFIG_DELETE_TRASH || config->delete_policy == CONFIG_DELETE_MARK;
    if (url_is_pop3(config->url) && moves) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                            "POP3 has no folders and keeps no marks: a message can only be removed "
                            "for good (delete=expunge) or not at all (delete=refuse)");
        return FALSE;
    }
    if (config->tls_off && !config->tunnel && !is_loopback(config->url->host)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "tls=no is for loopback addresses only, and %s is none: leave it out",
                    config->url->host);
        return FALSE;
    }
    if (config->tls_off && url_is_tls(config->url)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                            "imaps:// and pop3s:// contradict tls=no: use imap:// or pop3://");
        return FALSE;
    }
    return TRUE;
}

char *server_identity(const Config *config)
{
    static const char *const schemes[] = {
        [URL_IMAP] = "imap", [URL_IMAPS] = "imaps", [URL_POP3] = "pop3", [URL_POP3S] = "pop3s"};
    return g_strdup_printf("%s://%s@%s:%u", schemes[config->url->scheme], config->user,
                           config->url->host, config->url->port);
}

gboolean server_wants_secret(const Config *config)
{
    /* A tunnel is usually logged in from the start, and EXTERNAL goes by the certificate. */
    gboolean named = config->password_fd >= 0 || config->password_command || config->token_command;
    gboolean external = config->auth && g_ascii_strcasecmp(config->auth, "EXTERNAL") == 0;
    return named || !(config->tunnel || external);
}

Remote *server_make(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                    gpointer data)
{
    gboolean pop3 = g_str_equal(config->service, "pop");
    return pop3 ? pop3_remote_new(config, secret, funcs, data)
                : imap_remote_new(config, secret, funcs, data);
}
