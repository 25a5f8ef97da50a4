/* Which uid a message has on a server that gives none: by the hash of the name that the server has
 * for it, for names may be long. */
#include "index-private.h"

static gboolean find_identity(Index *index, const char *name, MailUid *uid, GError **error)
{
    sqlite3_stmt *row = index_statement(index, STATEMENT_FIND_IDENTITY);
    GError *failure = NULL;
    *uid = 0;
    index_bind_text(row, 1, name);
    while (index_next(index, row, &failure))
        *uid = (MailUid)sqlite3_column_int64(row, 0);
    if (failure)
        g_propagate_error(error, failure);
    return failure == NULL;
}

static gboolean add_identity(Index *index, const char *name, MailUid *uid, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_ADD_IDENTITY);
    index_bind_text(statement, 1, name);
    if (!index_run(index, statement, error))
        return FALSE;
    gint64 id = sqlite3_last_insert_rowid(index->db);
    if (id > G_MAXUINT32) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_DISK,
                            "there are no more message numbers");
        return FALSE;
    }
    *uid = (MailUid)id;
    return TRUE;
}

static gboolean identify_all(Index *index, const char *const *names, guint count, MailUid *uids,
                             GError **error)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, names[i], -1);
        if (!find_identity(index, hash, &uids[i], error) ||
            (uids[i] == 0 && !add_identity(index, hash, &uids[i], error)))
            return FALSE;
    }
    return TRUE;
}

gboolean index_identify(Index *index, const char *const *names, guint count, MailUid *uids,
                        GError **error)
{
    if (!index_begin(index, error))
        return FALSE;
    if (identify_all(index, names, count, uids, error))
        return index_commit(index, error);
    index_rollback(index);
    return FALSE;
}

gboolean index_reserve_uid(Index *index, MailUid uid, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_RESERVE_IDENTITY);
    g_autofree char *name = g_strdup_printf("reserved %" G_GUINT32_FORMAT, uid);
    sqlite3_bind_int64(statement, 1, uid);
    index_bind_text(statement, 2, name);
    return index_run(index, statement, error);
}

gboolean index_prune_identities(Index *index, guint32 folder, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_PRUNE_IDENTITIES);
    sqlite3_bind_int64(statement, 1, folder);
    return index_run(index, statement, error);
}
