#include "fake-remote.h"

#include "arrivals.h"

#include <string.h>
#include <unistd.h>

#include "journal-private.h"

static Fixture *current;

/* ---- the server ---- */

static FakeRemote *fake(Remote *remote)
{
    return (FakeRemote *)remote;
}

static FakeFolder *find_folder(GPtrArray *folders, const char *name)
{
    for (guint i = 0; i < folders->len; i++)
        if (strcmp(((FakeFolder *)folders->pdata[i])->name, name) == 0)
            return folders->pdata[i];
    return NULL;
}

static void message_free(gpointer data)
{
    g_free(((FakeMessage *)data)->body);
    g_free(data);
}

static void folder_free(gpointer data)
{
    FakeFolder *folder = data;
    g_ptr_array_unref(folder->messages);
    g_free(folder->name);
    g_free(folder);
}

FakeFolder *fake_folder(Fixture *f, const char *name, guint32 flags)
{
    FakeFolder *folder = g_new0(FakeFolder, 1);
    folder->name = g_strdup(name);
    folder->flags = flags;
    folder->uidvalidity = 1;
    folder->messages = g_ptr_array_new_with_free_func(message_free);
    g_ptr_array_add(f->folders, folder);
    return folder;
}

FakeMessage *fake_message(FakeFolder *folder, MailUid uid, const char *body, gint64 misstated_by)
{
    FakeMessage *message = g_new0(FakeMessage, 1);
    message->uid = uid;
    message->body = g_strdup(body);
    folder->last = MAX(folder->last, uid);
    message->claimed = (guint64)((gint64)strlen(body) + misstated_by);
    g_ptr_array_add(folder->messages, message);
    return message;
}

static FakeMessage *find_message(FakeFolder *folder, MailUid uid)
{
    for (guint i = 0; folder && i < folder->messages->len; i++)
        if (((FakeMessage *)folder->messages->pdata[i])->uid == uid)
            return folder->messages->pdata[i];
    return NULL;
}

FakeMessage *fake_find(Fixture *f, const char *folder, MailUid uid)
{
    return find_message(find_folder(f->folders, folder), uid);
}

/* ---- jobs ---- */

static RemoteJob *submit(Remote *remote, char kind, gpointer data)
{
    RemoteJob *job = g_new0(RemoteJob, 1);
    job->kind = kind;
    job->data = data;
    g_queue_push_tail(&fake(remote)->jobs, job);
    return job;
}

static void job_free(RemoteJob *job)
{
    g_clear_pointer(&job->uids, g_array_unref);
    g_clear_pointer(&job->from, g_array_unref);
    g_clear_pointer(&job->to, g_array_unref);
    g_clear_pointer(&job->bodies, g_ptr_array_unref);
    g_free(job->mailbox);
    g_free(job->target);
    g_free(job);
}

static GArray *copy_set(const GArray *set)
{
    GArray *copy = mail_uid_set_new();
    g_array_append_vals(copy, set->data, set->len);
    return copy;
}

static RemoteJob *submit_list(Remote *remote, const RemoteListFuncs *funcs, gpointer data)
{
    RemoteJob *job = submit(remote, 'l', data);
    job->list = funcs;
    return job;
}

static RemoteJob *submit_sync(Remote *remote, const RemoteSync *known, const RemoteSyncFuncs *funcs,
                              gpointer data)
{
    RemoteJob *job = submit(remote, 's', data);
    job->mailbox = g_strdup(known->mailbox);
    job->sync = funcs;
    return job;
}

static RemoteJob *submit_fetch(Remote *remote, const RemoteFetch *what,
                               const RemoteFetchFuncs *funcs, gpointer data)
{
    RemoteJob *job = submit(remote, 'f', data);
    job->mailbox = g_strdup(what->mailbox);
    job->uidvalidity = what->uidvalidity;
    job->uids = copy_set(what->uids);
    job->window = what->window;
    job->offset = what->offset;
    job->length = what->length;
    job->fetch = funcs;
    return job;
}

static RemoteJob *submit_change(Remote *remote, char kind, const RemoteStore *what,
                                const char *target, RemoteDone done, gpointer data)
{
    RemoteJob *job = submit(remote, kind, data);
    job->mailbox = g_strdup(what->mailbox);
    job->target = g_strdup(target);
    job->uidvalidity = what->uidvalidity;
    job->uids = copy_set(what->uids);
    job->add = what->add;
    job->remove = what->remove;
    job->from = g_array_new(FALSE, FALSE, sizeof(MailUid));
    job->to = g_array_new(FALSE, FALSE, sizeof(MailUid));
    job->done = done;
    return job;
}

static RemoteJob *submit_store(Remote *r, const RemoteStore *what, RemoteDone done, gpointer data)
{
    return submit_change(r, 'S', what, NULL, done, data);
}

static RemoteJob *submit_copy(Remote *r, const RemoteStore *what, const char *target,
                              RemoteMovedDone done, gpointer data)
{
    RemoteJob *job = submit_change(r, 'c', what, target, NULL, data);
    job->moved = done;
    return job;
}

static RemoteJob *submit_move(Remote *r, const RemoteStore *what, const char *target,
                              RemoteMovedDone done, gpointer data)
{
    RemoteJob *job = submit_change(r, 'm', what, target, NULL, data);
    job->moved = done;
    return job;
}

static RemoteJob *submit_expunge(Remote *r, const RemoteStore *what, RemoteDone done, gpointer data)
{
    return submit_change(r, 'e', what, NULL, done, data);
}

static char *read_all(int fd, guint64 size)
{
    char *text = g_malloc0(size + 1);
    g_assert_cmpint(pread(fd, text, size, 0), ==, size);
    return text;
}

static RemoteJob *submit_folder(Remote *r, char kind, const char *mailbox, const char *target,
                                RemoteDone done, gpointer data)
{
    RemoteJob *job = submit(r, kind, data);
    job->mailbox = g_strdup(mailbox);
    job->target = g_strdup(target);
    job->done = done;
    return job;
}

static RemoteJob *submit_create(Remote *r, const char *mailbox, RemoteDone done, gpointer data)
{
    return submit_folder(r, 'C', mailbox, NULL, done, data);
}

static RemoteJob *submit_remove(Remote *r, const char *mailbox, gboolean selectable,
                                RemoteDone done, gpointer data)
{
    return submit_folder(r, 'D', mailbox, NULL, done, data);
}

static RemoteJob *submit_rename(Remote *r, const char *mailbox, const char *new_name,
                                RemoteDone done, gpointer data)
{
    return submit_folder(r, 'R', mailbox, new_name, done, data);
}

static RemoteJob *submit_append(Remote *r, const char *mailbox, const RemoteNew *messages,
                                guint count, RemoteAppended done, gpointer data)
{
    RemoteJob *job = submit(r, 'a', data);
    g_assert_cmpuint(count, >, 0);
    g_assert_true(count == 1 || fake(r)->features.multiappend);
    job->mailbox = g_strdup(mailbox);
    job->to = g_array_new(FALSE, FALSE, sizeof(MailUid));
    job->bodies = g_ptr_array_new_with_free_func(g_free);
    job->date = messages[0].date;
    job->appended = done;
    for (guint i = 0; i < count; i++)
        g_ptr_array_add(job->bodies, read_all(messages[i].fd, messages[i].size));
    return job;
}

static void cancel(Remote *remote, RemoteJob *job)
{
    if (g_queue_remove(&fake(remote)->jobs, job))
        job_free(job);
}

void fake_finish(RemoteJob *job, const GError *error)
{
    RemoteMoved moved = {1, job->from, job->to};
    if (job->appended)
        job->appended(1, !error && job->to->len ? (MailUid *)job->to->data : NULL, error,
                      job->data);
    else if (job->kind == 'l')
        job->list->done(error, job->data);
    else if (job->kind == 's')
        job->sync->done(error, 0, job->data);
    else if (job->kind == 'f')
        job->fetch->done(error, job->data);
    else if (job->moved)
        job->moved(&moved, error, job->data);
    else
        job->done(error, job->data);
    job_free(job);
}

static void run_list(FakeRemote *remote, RemoteJob *job)
{
    for (guint i = 0; i < remote->folders->len; i++) {
        const FakeFolder *folder = remote->folders->pdata[i];
        RemoteFolder listed = {folder->name, '/', folder->flags};
        job->list->folder(&listed, job->data);
    }
}

static void run_sync(FakeRemote *remote, RemoteJob *job)
{
    FakeFolder *folder = find_folder(remote->folders, job->mailbox);
    RemoteMailbox info = {.uidvalidity = folder->uidvalidity, .exists = folder->messages->len};
    g_autoptr(GArray) present = mail_uid_set_new();
    job->sync->opened(&info, job->data);
    for (guint i = 0; i < folder->messages->len; i++) {
        const FakeMessage *message = folder->messages->pdata[i];
        const char *end = strstr(message->body, "\r\n\r\n");
        g_autofree char *own =
            end ? g_strndup(message->body, (gsize)(end - message->body)) : g_strdup("X: y");
        g_autofree char *header =
            g_strdup_printf("From: f%u\r\nSubject: s\r\n%s\r\n\r\n", message->uid, own);
        RemoteMessage listed = {.uid = message->uid,
                                .flags = message->flags,
                                .size = message->claimed,
                                .date = message->date,
                                .header = header,
                                .header_size = strlen(header)};
        mail_uid_set_add(present, message->uid, message->uid);
        job->sync->message(&listed, job->data);
    }
    job->sync->present(present, job->data);
}

static void send_body(FakeRemote *remote, const RemoteJob *job, const FakeMessage *message)
{
    guint64 size = strlen(message->body);
    guint64 from = job->window ? MIN(job->offset, size) : 0;
    guint64 count = job->window ? MIN(job->length, size - from) : size;
    if (!job->fetch->begin(remote->uid_last ? 0 : message->uid, count, job->data))
        return;
    for (guint64 at = 0; at < count; at += 1000)
        job->fetch->bytes((const guint8 *)message->body + from + at, MIN(1000, count - at),
                          job->data);
    job->fetch->end(message->uid, job->data);
}

static void run_fetch(FakeRemote *remote, RemoteJob *job)
{
    FakeFolder *folder = find_folder(remote->folders, job->mailbox);
    for (guint i = 0; folder && i < folder->messages->len; i++) {
        const FakeMessage *message = folder->messages->pdata[i];
        if (mail_uid_set_contains(job->uids, message->uid))
            send_body(remote, job, message);
    }
}

static void put_into(RemoteJob *job, FakeFolder *target, const FakeMessage *message)
{
    MailUid uid = target->last + 1;
    fake_message(target, uid, message->body, 0)->date = message->date;
    g_array_append_val(job->from, message->uid);
    g_array_append_val(job->to, uid);
}

static GError *run_append(FakeRemote *remote, RemoteJob *job)
{
    FakeFolder *folder = find_folder(remote->folders, job->mailbox);
    g_string_append_printf(remote->log, "a%u ", job->bodies->len);
    if (remote->fails) {
        remote->fails = FALSE;
        return g_error_new_literal(MAIL_ERROR, (int)remote->fail, "no");
    }
    if (!folder)
        return g_error_new_literal(MAIL_ERROR, MAIL_ERROR_GONE, "no such mailbox");
    for (guint i = 0; i < job->bodies->len; i++) {
        MailUid uid = folder->last + 1;
        fake_message(folder, uid, job->bodies->pdata[i], 0)->date = job->date;
        g_array_append_val(job->to, uid);
    }
    return NULL;
}

static void lose_answer(FakeRemote *remote, RemoteJob *job, GError **error)
{
    g_assert_no_error(*error);
    remote->loses = FALSE;
    *error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "the connection broke");
    if (job->from)
        g_array_set_size(job->from, 0);
    g_array_set_size(job->to, 0);
}

static void take_out(FakeFolder *folder, RemoteJob *job, FakeFolder *target, gboolean deleted)
{
    for (guint i = folder->messages->len; i-- > 0;) {
        FakeMessage *message = folder->messages->pdata[i];
        if (!mail_uid_set_contains(job->uids, message->uid) ||
            (deleted && !(message->flags & MAIL_FLAG_DELETED)))
            continue;
        if (target)
            put_into(job, target, message);
        g_ptr_array_remove_index(folder->messages, i);
    }
}

static gboolean others_are_deleted(const FakeFolder *folder, const GArray *uids)
{
    for (guint i = 0; i < folder->messages->len; i++) {
        const FakeMessage *message = folder->messages->pdata[i];
        if ((message->flags & MAIL_FLAG_DELETED) && !mail_uid_set_contains(uids, message->uid))
            return TRUE;
    }
    return FALSE;
}

static void rename_folders(GPtrArray *folders, const char *from, const char *to)
{
    for (guint i = 0; i < folders->len; i++) {
        FakeFolder *folder = folders->pdata[i];
        if (strcmp(folder->name, from) != 0 &&
            !(g_str_has_prefix(folder->name, from) && folder->name[strlen(from)] == '/'))
            continue;
        char *name = g_strconcat(to, folder->name + strlen(from), NULL);
        g_free(folder->name);
        folder->name = name;
    }
}

static GError *run_folder(FakeRemote *remote, RemoteJob *job)
{
    FakeFolder *folder = find_folder(remote->folders, job->mailbox);
    if (remote->fails) {
        remote->fails = FALSE;
        return g_error_new_literal(MAIL_ERROR, (int)remote->fail, "no");
    }
    if (job->kind == 'C') {
        fake_folder(current, job->mailbox, 0);
    } else if (job->kind == 'R') {
        rename_folders(remote->folders, job->mailbox, job->target);
    } else if (folder->messages->len > 0) {
        return g_error_new_literal(MAIL_ERROR, MAIL_ERROR_NOT_EMPTY, "not empty");
    } else {
        g_ptr_array_remove(remote->folders, folder);
    }
    return NULL;
}

static GError *run_change(FakeRemote *remote, RemoteJob *job)
{
    FakeFolder *folder = find_folder(remote->folders, job->mailbox);
    FakeFolder *target = job->target ? find_folder(remote->folders, job->target) : NULL;
    g_string_append_printf(remote->log, "%c%u ", job->kind, (guint)mail_uid_set_count(job->uids));
    if (remote->fails) {
        remote->fails = FALSE;
        return g_error_new_literal(MAIL_ERROR, (int)remote->fail, "no");
    }
    if (!folder || folder->uidvalidity != job->uidvalidity)
        return g_error_new_literal(MAIL_ERROR, MAIL_ERROR_STALE, "made anew");
    if (job->kind == 'e' && !remote->features.uidplus && others_are_deleted(folder, job->uids))
        return g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED, "others would go");
    for (guint i = 0; job->kind == 'S' && i < folder->messages->len; i++) {
        FakeMessage *message = folder->messages->pdata[i];
        if (mail_uid_set_contains(job->uids, message->uid))
            message->flags = (message->flags | job->add) & ~job->remove;
    }
    for (guint i = 0; job->kind == 'c' && i < folder->messages->len; i++) {
        const FakeMessage *message = folder->messages->pdata[i];
        if (mail_uid_set_contains(job->uids, message->uid))
            put_into(job, target, message);
    }
    if (job->kind == 'm' || job->kind == 'e')
        take_out(folder, job, target, job->kind == 'e');
    return NULL;
}

void fake_run(FakeRemote *remote, RemoteJob *job)
{
    g_autoptr(GError) error = NULL;
    if (remote->state != REMOTE_ONLINE)
        error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "offline");
    else if (job->kind == 'l')
        run_list(remote, job);
    else if (job->kind == 's')
        run_sync(remote, job);
    else if (job->kind == 'f')
        run_fetch(remote, job);
    else if (job->kind == 'a')
        error = run_append(remote, job);
    else if (strchr("CDR", job->kind))
        error = run_folder(remote, job);
    else
        error = run_change(remote, job);
    if (remote->mute && job->to) {
        if (job->from)
            g_array_set_size(job->from, 0);
        g_array_set_size(job->to, 0);
    }
    if (remote->loses && job->to)
        lose_answer(remote, job, &error);
    fake_finish(job, error);
}

RemoteJob *fake_take(FakeRemote *remote, char kind)
{
    for (GList *item = remote->jobs.head; item; item = item->next) {
        RemoteJob *job = item->data;
        if (job->kind != kind)
            continue;
        g_queue_delete_link(&remote->jobs, item);
        return job;
    }
    return NULL;
}

static gboolean over(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_REMOVE;
}

/* The journal gathers for some milliseconds, and holds back what the kernel may still let go of. */
void fake_settle(Fixture *f)
{
    for (guint quiet = 0; quiet < 2; quiet++) {
        gboolean done = FALSE;
        guint timer = g_timeout_add(quiet ? 200 : 40, over, &done);
        while (!done) {
            RemoteJob *job = g_queue_pop_head(&f->remote->jobs);
            if (job) {
                fake_run(f->remote, job);
                quiet = 0;
            }
            g_main_context_iteration(NULL, job == NULL);
        }
        (void)timer;
        /* However long a busy disk takes. */
        if (f->account->journal->syncing || f->account->arrivals->checks.length > 0)
            quiet = 0;
    }
}

void fake_set_state(FakeRemote *remote, RemoteState state)
{
    g_autoptr(GError) error = NULL;
    if (state == REMOTE_OFFLINE)
        error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "offline");
    remote->state = state;
    remote->funcs->state(state, error, remote->data);
}

/* ---- the class ---- */

static void remote_destroy(Remote *remote)
{
    g_queue_clear_full(&fake(remote)->jobs, (GDestroyNotify)job_free);
    g_string_free(fake(remote)->log, TRUE);
    g_free(fake(remote)->wanted);
    g_free(remote);
}

static void nothing(Remote *remote)
{
}

static RemoteState get_state(Remote *remote)
{
    return fake(remote)->state;
}

static const RemoteFeatures *get_features(Remote *remote)
{
    return &fake(remote)->features;
}

static void watch(Remote *remote, const char *const *mailboxes)
{
    g_free(fake(remote)->wanted);
    fake(remote)->wanted = g_strjoinv(" ", (char **)mailboxes);
}

static gboolean is_watched(Remote *remote, const char *mailbox)
{
    return g_strcmp0(fake(remote)->watched, mailbox) == 0;
}

static void take_secret(Remote *remote, Secret *secret)
{
}

static void describe(Remote *remote, GString *out)
{
}

static Remote *make_remote(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                           gpointer data)
{
    static const RemoteClass klass = {.free = remote_destroy,
                                      .start = nothing,
                                      .stop = nothing,
                                      .wake = nothing,
                                      .state = get_state,
                                      .features = get_features,
                                      .set_secret = take_secret,
                                      .describe = describe,
                                      .cancel = cancel,
                                      .list = submit_list,
                                      .sync = submit_sync,
                                      .fetch = submit_fetch,
                                      .store = submit_store,
                                      .copy = submit_copy,
                                      .move = submit_move,
                                      .watch = watch,
                                      .watched = is_watched,
                                      .create = submit_create,
                                      .remove = submit_remove,
                                      .rename = submit_rename,
                                      .expunge = submit_expunge,
                                      .append = submit_append};
    FakeRemote *remote = g_new0(FakeRemote, 1);
    remote->base.klass = &klass;
    remote->funcs = funcs;
    remote->data = data;
    remote->state = REMOTE_ONLINE;
    remote->features = (RemoteFeatures){.uidplus = TRUE, .move = TRUE};
    remote->folders = current->folders;
    remote->log = g_string_new(NULL);
    g_queue_init(&remote->jobs);
    current->remote = remote;
    return &remote->base;
}

/* ---- the file system's side ---- */

static char *label(const char *component, gboolean at_root)
{
    return g_strdup(component);
}

static char *component(const char *name, gboolean at_root)
{
    return strchr(name, '!') ? NULL : g_strdup(name);
}

static void state_changed(RemoteState state, const GError *error, gpointer data)
{
}

static void message_gone(Folder *folder, const Message *message, gpointer data)
{
    ((Fixture *)data)->gone++;
}

static void message_changed(Folder *folder, MailUid uid, gpointer data)
{
    ((Fixture *)data)->changed++;
}

static void touched(Folder *folder, gpointer data)
{
}

static void folder_gone(Folder *parent, const char *name, gpointer data)
{
}

static gboolean is_known(Folder *folder, MailUid uid, gpointer data)
{
    return g_hash_table_contains(((Fixture *)data)->known, GUINT_TO_POINTER(uid));
}

static void note_event(AccountEvent kind, Folder *folder, const Message *message, gpointer data)
{
    static const char *const kinds[] = {"new",   "gone",       "flags",
                                        "moved", "folder-new", "folder-gone"};
    Fixture *f = data;
    g_string_append_printf(f->events, "%s %s", kinds[kind], folder_label(folder));
    if (message)
        g_string_append_printf(f->events, " %u", message->uid);
    g_string_append_c(f->events, '\n');
}

static void arrival_gone(Folder *folder, const char *name, guint32 id, gpointer data)
{
    ((Fixture *)data)->arrivals_gone++;
}

static gboolean arrival_is_known(guint32 id, gpointer data)
{
    return g_hash_table_contains(((Fixture *)data)->known_arrivals, GUINT_TO_POINTER(id));
}

void fixture_set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_dir_make_tmp("mailfs-account-XXXXXX", NULL);
    f->folders = g_ptr_array_new_with_free_func(folder_free);
    f->known = g_hash_table_new(NULL, NULL);
    f->events = g_string_new(NULL);
    f->known_arrivals = g_hash_table_new(NULL, NULL);
    f->config = (AccountConfig){.directory = f->directory,
                                .data_directory = f->directory,
                                .identity = "imaps://test",
                                .refresh = 3600,
                                .headers = TRUE,
                                .make_remote = make_remote};
    fake_folder(f, "INBOX", 0);
    fake_folder(f, "Trash", MAIL_FOLDER_TRASH);
}

void fixture_mount(Fixture *f)
{
    static const AccountFuncs funcs = {
        .label = label,
        .component = component,
        .state = state_changed,
        .gone = message_gone,
        .changed = message_changed,
        .touched = touched,
        .folder_gone = folder_gone,
        .known = is_known,
        .event = note_event,
        .arrival_gone = arrival_gone,
        .arrival_known = arrival_is_known,
    };
    g_autoptr(GError) error = NULL;
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    current = f;
    f->account = account_new(&f->config, NULL, &funcs, f, &error);
    g_assert_no_error(error);
    account_refresh_folders(f->account, &waiter.waiter, &error);
    fake_settle(f);
    test_waiter_clear(&waiter);
    for (guint i = 0; i < f->folders->len; i++) {
        Folder *folder =
            g_hash_table_lookup(f->account->by_name, ((FakeFolder *)f->folders->pdata[i])->name);
        account_refresh_messages(f->account, folder, FALSE, &waiter.waiter, &error);
        fake_settle(f);
        test_waiter_clear(&waiter);
    }
}

void fixture_unmount(Fixture *f)
{
    g_clear_pointer(&f->account, account_free);
    f->remote = NULL;
}

/* What the process had in memory is gone, and what it has not written: the copy is the disk. */
void fixture_crash(Fixture *f)
{
    char *copy = g_strconcat(f->directory, "-crashed", NULL);
    g_autofree char *command = g_strdup_printf("cp -a %s %s", f->directory, copy);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    fixture_unmount(f);
    g_autofree char *clean = g_strdup_printf("rm -rf %s", f->directory);
    g_assert_true(g_spawn_command_line_sync(clean, NULL, NULL, NULL, NULL));
    g_free(f->directory);
    f->directory = copy;
    f->config.directory = f->config.data_directory = copy;
}

Folder *fixture_folder(Fixture *f, const char *name)
{
    Folder *folder = folder_child(account_root(f->account), name);
    g_assert_nonnull(folder);
    return folder;
}

void fixture_tear_down(Fixture *f, gconstpointer data)
{
    fixture_unmount(f);
    g_autofree char *clean = g_strdup_printf("rm -rf %s", f->directory);
    g_assert_true(g_spawn_command_line_sync(clean, NULL, NULL, NULL, NULL));
    g_ptr_array_unref(f->folders);
    g_hash_table_unref(f->known);
    g_string_free(f->events, TRUE);
    g_hash_table_unref(f->known_arrivals);
    g_free(f->directory);
}

/* ---- waiting and reading ---- */

void test_wake(Waiter *waiter, const GError *error)
{
    TestWaiter *test = (TestWaiter *)waiter;
    test->woken++;
    g_clear_error(&test->error);
    if (error)
        test->error = g_error_copy(error);
}

void test_waiter_clear(TestWaiter *waiter)
{
    waiter_cancel(&waiter->waiter);
    g_clear_error(&waiter->error);
    waiter->woken = 0;
}

typedef struct {
    Waiter waiter;
    Fixture *f;
    Folder *folder;
    MailUid uid;
    guint64 believed; /* the kernel stops at the size that it was told */
    GString *text;
    gboolean over;
    GError *error;
} Reader;

/* As the file system does it: looks again within the very wake. FALSE: waits. */
static gboolean read_more(Reader *reader)
{
    BodySpan span;
    gsize at = reader->text->len;
    gsize want = (gsize)MIN(128 * 1024, reader->believed - at);
    if (want == 0)
        return reader->over = TRUE;
    AccountReply reply = account_read(reader->f->account, reader->folder, reader->uid, at, want,
                                      &reader->waiter, &span, &reader->error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    if (reply == ACCOUNT_FAILED || span.size == 0)
        return reader->over = TRUE;
    g_string_set_size(reader->text, at + span.size);
    g_assert_cmpint(pread(span.fd, reader->text->str + at, span.size, (off_t)span.offset), ==,
                    (gssize)span.size);
    return TRUE;
}

static void reader_wake(Waiter *waiter, const GError *error)
{
    Reader *reader = (Reader *)waiter;
    if (error) {
        reader->error = g_error_copy(error);
        reader->over = TRUE;
        return;
    }
    while (!reader->over && read_more(reader))
        ;
}

char *read_message(Fixture *f, Folder *folder, MailUid uid, GError **error)
{
    MessageInfo info;
    g_autoptr(GString) text = g_string_new(NULL);
    Reader reader = {.waiter = {.wake = reader_wake},
                     .f = f,
                     .folder = folder,
                     .uid = uid,
                     .believed = G_MAXUINT64,
                     .text = text};
    if (account_message(f->account, folder, uid, &info) && info.certain)
        reader.believed = info.size;
    reader_wake(&reader.waiter, NULL);
    while (!reader.over) {
        RemoteJob *job = g_queue_pop_head(&f->remote->jobs);
        if (job)
            fake_run(f->remote, job);
        else
            g_main_context_iteration(NULL, TRUE);
    }
    if (!reader.error)
        return g_strdup(text->str);
    g_propagate_error(error, reader.error);
    return NULL;
}
