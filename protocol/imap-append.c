/* Adding messages, as a job of the pool: APPEND, RFC 9051 section 6.3.12; several in one command by
 * MULTIAPPEND, RFC 3502. */
#include "imap-remote.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    int fd; /* -1: the command has it */
    guint64 size;
    gint64 date;
    guint32 flags;
    char **keywords;
} NewMessage;

typedef struct {
    RemoteJob job;
    RemoteAppended done;
    gpointer data;
    char *target;
    NewMessage *messages;
    guint count;
    MailUidValidity uidvalidity;
    MailUid *uids; /* NULL: the server did not say */
} AppendJob;

/* Ascending, since uids are given in the order of the messages: RFC 4315 section 3. */
static void take_appenduid(AppendJob *append, const ImapReply *reply)
{
    if (reply->condition != IMAP_OK || reply->code != IMAP_CODE_APPENDUID || reply->number == 0 ||
        mail_uid_set_count(reply->uids) != append->count)
        return;
    append->uidvalidity = (MailUidValidity)reply->number;
    append->uids = g_new(MailUid, append->count);
    for (guint i = 0, n = 0; i < reply->uids->len; i++) {
        const MailUidRange *range = &g_array_index(reply->uids, MailUidRange, i);
        for (guint64 uid = range->first; uid <= range->last; uid++)
            append->uids[n++] = (MailUid)uid;
    }
}

static void append_answered(ImapSession *session, const ImapReply *reply, gpointer data)
{
    take_appenduid(data, reply);
    pool_job_answered(data, reply, "adding a message");
}

static void append_unreadable(ImapSession *session, const GError *error, gpointer data)
{
    pool_job_fail(data, g_error_copy(error));
}

/* "dd-Mon-yyyy hh:mm:ss +0000", RFC 9051 section 9. A date that it cannot tell is left out: the
 * server takes the present then. */
static void add_date(ImapCommand *command, gint64 date)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(date);
    if (!time)
        return;
    g_autofree char *text = g_strdup_printf(
        "\"%2d-%s-%04d %02d:%02d:%02d +0000\"", g_date_time_get_day_of_month(time),
        months[g_date_time_get_month(time) - 1], g_date_time_get_year(time),
        g_date_time_get_hour(time), g_date_time_get_minute(time), g_date_time_get_second(time));
    imap_command_atom(command, text);
}

static void add_message(ImapCommand *command, NewMessage *message)
{
    if (message->flags & MAIL_FLAGS_SYSTEM || (message->keywords && message->keywords[0]))
        imap_command_flags(command, message->flags, (const char *const *)message->keywords);
    add_date(command, message->date);
    imap_command_file(command, g_steal_fd(&message->fd), message->size);
}

static void append_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.unreadable = append_unreadable,
                                           .done = append_answered};
    AppendJob *append = (AppendJob *)job;
    if (append->count > 1 && !(imap_session_caps(session) & IMAP_CAP_MULTIAPPEND)) {
        pool_job_fail(job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                                               "the server does not offer MULTIAPPEND"));
        return;
    }
    g_autoptr(ImapCommand) command = imap_session_command(session, "APPEND");
    imap_command_astring(command, append->target, strlen(append->target));
    for (guint i = 0; i < append->count; i++)
        add_message(command, &append->messages[i]);
    pool_job_send(job, session, g_steal_pointer(&command), &funcs);
}

static void append_finish(RemoteJob *job, const GError *error)
{
    AppendJob *append = (AppendJob *)job;
    append->done(append->uidvalidity, append->uids, error, append->data);
}

static void append_free(RemoteJob *job)
{
    AppendJob *append = (AppendJob *)job;
    for (guint i = 0; i < append->count; i++) {
        if (append->messages[i].fd >= 0)
            close(append->messages[i].fd);
        g_strfreev(append->messages[i].keywords);
    }
    g_free(append->messages);
    g_free(append->uids);
    g_free(append->target);
    g_free(append);
}

RemoteJob *imap_append_new(const char *mailbox, const RemoteNew *messages, guint count,
                           RemoteAppended done, gpointer data)
{
    static const PoolJobClass klass = {
        .run = append_run, .finish = append_finish, .free = append_free};
    AppendJob *append = g_new0(AppendJob, 1);
    append->job.klass = &klass;
    append->done = done;
    append->data = data;
    append->target = g_strdup(mailbox);
    append->count = count;
    append->messages = g_new0(NewMessage, count);
    for (guint i = 0; i < count; i++) {
        append->messages[i] = (NewMessage){.fd = fcntl(messages[i].fd, F_DUPFD_CLOEXEC, 0),
                                           .size = messages[i].size,
                                           .date = messages[i].date,
                                           .flags = messages[i].flags,
                                           .keywords = g_strdupv((char **)messages[i].keywords)};
        if (append->messages[i].fd < 0)
            pool_job_fail(&append->job,
                          g_error_new(MAIL_ERROR, MAIL_ERROR_DISK, "a file cannot be kept open: %s",
                                      g_strerror(errno)));
    }
    return &append->job;
}
