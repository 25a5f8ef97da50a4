/* Moving messages and new files about: what the user does with names. */
#include "arrivals.h"
#include "rights.h"

static gboolean fail_exists(GError **error)
{
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_EXISTS, "a message is never replaced");
    return FALSE;
}

/* A name that stands for a message is never given to anything else; an unfinished file makes room.
 * It goes only when all else is well. */
gboolean arrivals_name_is_free(Folder *folder, const char *name, Arrival **replaced, GError **error)
{
    *replaced = folder_arrival(folder, name);
    if ((*replaced && (*replaced)->state != ARRIVAL_OPEN) || folder_alias(folder, name))
        return fail_exists(error);
    return TRUE;
}

/* ---- a message ---- */

gboolean account_move(Account *account, Folder *from, MailUid uid, Folder *to, const char *name,
                      GError **error)
{
    Arrival *replaced;
    Message *message = mailbox_find(folder_mailbox(from), uid);
    if (!message || !message_visible(from, message)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_GONE, "there is no such message");
        return FALSE;
    }
    if (from == to) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "a name belongs to its message");
        return FALSE;
    }
    if (!folder_may(from, FOLDER_REMOVE, error) || !folder_may(to, FOLDER_INSERT, error) ||
        !arrivals_name_is_free(to, name, &replaced, error) ||
        !journal_begin(account->journal, error))
        return FALSE;
    Arrival *arrival = arrival_new(account, to, name, ARRIVAL_MOVING);
    g_free(arrival->message_id);
    arrival->message_id = index_get_message_id(account->index, from->row, uid);
    if (!arrival->message_id)
        arrival->message_id = g_strdup("");
    arrival->source = from->row;
    arrival->source_uid = uid;
    arrival->size = message->size;
    arrival->date = message->date;
    arrival->certain = (message->flags & MESSAGE_LENGTH_KNOWN) || account->sizes == SIZES_CERTAIN;
    arrival->mark = MAX(to->uidnext, 1);
    if (!arrival_store(arrival, error) ||
        !journal_remove(account->journal, from, uid, INDEX_CHANGE_MOVE, to, arrival->id, error)) {
        journal_abort(account->journal);
        arrival_discard(arrival);
        return FALSE;
    }
    if (!journal_commit(account->journal, error)) {
        arrival_discard(arrival);
        return FALSE;
    }
    if (replaced)
        arrival_end(replaced, NULL);
    arrival_show(arrival);
    folder_take(from, message, ACCOUNT_EVENT_MOVED);
    return TRUE;
}

/* ---- what is on its way ---- */

/* Nothing of it may have reached the server. */
static gboolean is_unsent(Account *account, const Arrival *arrival)
{
    if (arrival->state == ARRIVAL_MOVING)
        return !journal_is_sent(account->journal, arrival->id);
    return arrival->state < ARRIVAL_SENDING || arrival->state == ARRIVAL_WAITING;
}

/* The message is where it came from, as if it had never been moved. */
static gboolean move_back(Account *account, Arrival *arrival, GError **error)
{
    Folder *source = account_folder(account, arrival->source);
    if (!journal_begin(account->journal, error))
        return FALSE;
    journal_take_back(account->journal, arrival->id);
    index_remove_arrival(account->index, arrival->id, NULL);
    if (!journal_commit(account->journal, error))
        return FALSE;
    Message *message = mailbox_find(folder_mailbox(source), arrival->source_uid);
    if (message)
        message->flags &= ~(guint32)MESSAGE_REMOVED;
    folder_touch(source);
    if (message && message_visible(source, message))
        account_event(ACCOUNT_EVENT_NEW, source, message);
    return TRUE;
}

/* What was moved and not sent is removed where it was, by the policy of the place it was moved to.
 */
static gboolean remove_unsent_move(Account *account, Arrival *arrival, GError **error)
{
    Folder *source = account_folder(account, arrival->source);
    MailUid uid = arrival->source_uid;
    IndexChangeKind kind;
    Folder *target;
    if (!account_removal_kind(account, arrival->folder, &kind, &target, error) ||
        !journal_begin(account->journal, error))
        return FALSE;
    if (target == source)
        kind = INDEX_CHANGE_EXPUNGE; /* it is in the trash already */
    if (!journal_remove(account->journal, source, uid, kind, target == source ? NULL : target, 0,
                        error)) {
        journal_abort(account->journal);
        return FALSE;
    }
    journal_take_back(account->journal, arrival->id);
    index_remove_arrival(account->index, arrival->id, NULL);
    return journal_commit(account->journal, error);
}

/* It goes when its uid is known. */
static void doom(Account *account, Arrival *arrival)
{
    arrival->doomed = TRUE;
    account_batch_end(account);
    arrival_save(arrival);
    arrival_hide(arrival, FALSE);
    if (arrival->state == ARRIVAL_PLACED && arrival->uid)
        arrivals_placed(account, arrival->id, arrival->folder->uidvalidity, arrival->uid);
}

gboolean account_remove_arrival(Account *account, Arrival *arrival, GError **error)
{
    if (arrival->over || arrival->doomed) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_GONE, "there is no such message");
        return FALSE;
    }
    if (account->config.delete_policy == ACCOUNT_DELETE_REFUSE && !arrival_has_file(arrival)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "messages are not removed (delete=refuse)");
        return FALSE;
    }
    gboolean unsent = is_unsent(account, arrival);
    if (arrival->state == ARRIVAL_WAITING)
        arrival_end(arrival, NULL); /* the one before it is doomed already */
    else if (!unsent)
        doom(account, arrival);
    else if (arrival_has_file(arrival))
        arrival_end(arrival, NULL);
    else if (remove_unsent_move(account, arrival, error))
        arrival_end(arrival, NULL);
    else
        return FALSE;
    return TRUE;
}

static void give_name(Arrival *arrival, Folder *to, const char *name)
{
    Account *account = arrival->folder->account;
    Folder *from = arrival->folder;
    g_hash_table_remove(from->arrival_names, arrival->name);
    if (from != to) {
        g_ptr_array_remove(from->arrivals, arrival);
        guint at = to->arrivals->len;
        while (at > 0 && ((Arrival *)to->arrivals->pdata[at - 1])->id > arrival->id)
            at--;
        g_ptr_array_insert(to->arrivals, (gint)at, arrival);
        folder_touch(from);
    }
    g_free(arrival->name);
    arrival->name = g_strdup(name);
    arrival->folder = to;
    g_hash_table_insert(to->arrival_names, arrival->name, arrival);
    account_batch_end(account);
    arrival_save(arrival);
    folder_touch(to);
}

/* It is moved from where the server is putting it. */
static gboolean move_further(Account *account, Arrival *arrival, Folder *to, const char *name,
                             GError **error)
{
    Arrival *next = arrival_new(account, to, name, ARRIVAL_WAITING);
    next->after = arrival->id;
    next->size = arrival->size;
    next->date = arrival->date;
    next->certain = arrival_has_file(arrival) || arrival->certain;
    g_free(next->message_id);
    next->message_id = g_strdup(arrival->message_id);
    next->mark = MAX(to->uidnext, 1);
    account_batch_end(account);
    if (!arrival_store(next, error)) {
        arrival_discard(next);
        return FALSE;
    }
    arrival_show(next);
    doom(account, arrival);
    return TRUE;
}

static gboolean rename_unsent_move(Account *account, Arrival *arrival, Folder *to, const char *name,
                                   GError **error)
{
    if (to->row == arrival->source) {
        if (!move_back(account, arrival, error))
            return FALSE;
        index_put_alias(account->index, to->row, name, arrival->source_uid, NULL);
        arrival_end(arrival, NULL);
        return TRUE;
    }
    if (!journal_begin(account->journal, error))
        return FALSE;
    journal_retarget(account->journal, arrival->id, to);
    if (!journal_commit(account->journal, error))
        return FALSE;
    arrival->mark = MAX(to->uidnext, 1);
    give_name(arrival, to, name);
    return TRUE;
}

/* A new file whose name says that it stays here is unfinished, whatever it was before; with another
 * name, it is complete when nobody has it open. */
static void rename_file(Account *account, Arrival *arrival, Folder *to, const char *name)
{
    give_name(arrival, to, name);
    if (arrivals_is_local(name) && !arrival->checking)
        arrival_set_state(arrival, ARRIVAL_OPEN);
    else if (arrival->state == ARRIVAL_OPEN &&
             !account->funcs->arrival_known(arrival->id, account->data))
        arrival_close(arrival);
    arrivals_schedule(account, 0);
}

gboolean account_rename_arrival(Account *account, Arrival *arrival, Folder *to, const char *name,
                                GError **error)
{
    Arrival *replaced;
    if (arrival->over || arrival->doomed) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_GONE, "there is no such message");
        return FALSE;
    }
    if (!folder_may(to, FOLDER_INSERT, error) || !arrivals_name_is_free(to, name, &replaced, error))
        return FALSE;
    if (replaced && replaced != arrival)
        arrival_end(replaced, NULL);
    if (arrival->folder == to || arrival->state == ARRIVAL_WAITING) {
        if (arrival_has_file(arrival))
            rename_file(account, arrival, to, name);
        else
            give_name(arrival, to, name);
        return TRUE;
    }
    if (!is_unsent(account, arrival))
        return move_further(account, arrival, to, name, error);
    if (!arrival_has_file(arrival))
        return rename_unsent_move(account, arrival, to, name, error);
    rename_file(account, arrival, to, name);
    return TRUE;
}

gboolean account_rename_given(Account *account, Folder *folder, const char *name,
                              const char *new_name, GError **error)
{
    Arrival *replaced;
    if (!folder_alias(folder, name) || arrivals_is_local(new_name)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "a name belongs to its message");
        return FALSE;
    }
    if (!arrivals_name_is_free(folder, new_name, &replaced, error))
        return FALSE;
    account_batch_end(account);
    if (!index_rename_alias(account->index, folder->row, name, new_name, error))
        return FALSE;
    if (replaced)
        arrival_end(replaced, NULL);
    return TRUE;
}
