/* The rows of messages that were put into a folder: on their way, and the names they were given. */
#include "index-private.h"

gboolean index_each_arrival(Index *index, IndexArrivalFunc func, gpointer data, GError **error)
{
    sqlite3_stmt *row = index_statement(index, STATEMENT_EACH_ARRIVAL);
    GError *failure = NULL;
    while (index_next(index, row, &failure)) {
        IndexArrival arrival = {
            .id = (guint32)sqlite3_column_int64(row, 0),
            .folder = (guint32)sqlite3_column_int64(row, 1),
            .name = index_column_text(row, 2),
            .state = (guint32)sqlite3_column_int64(row, 3),
            .size = (guint64)sqlite3_column_int64(row, 4),
            .date = sqlite3_column_int64(row, 5),
            .source = (guint32)sqlite3_column_int64(row, 6),
            .source_uid = (MailUid)sqlite3_column_int64(row, 7),
            .after = (guint32)sqlite3_column_int64(row, 8),
            .mark = (MailUid)sqlite3_column_int64(row, 9),
            .uid = (MailUid)sqlite3_column_int64(row, 10),
            .doomed = sqlite3_column_int(row, 11) != 0,
            .message_id = index_column_text(row, 12),
        };
        func(&arrival, data);
    }
    if (failure)
        g_propagate_error(error, failure);
    return failure == NULL;
}

gboolean index_put_arrival(Index *index, IndexArrival *arrival, GError **error)
{
    gboolean adds = arrival->id == 0;
    sqlite3_stmt *statement =
        index_statement(index, adds ? STATEMENT_ADD_ARRIVAL : STATEMENT_SET_ARRIVAL);
    sqlite3_bind_int64(statement, 1, arrival->folder);
    index_bind_text(statement, 2, arrival->name);
    sqlite3_bind_int64(statement, 3, arrival->state);
    sqlite3_bind_int64(statement, 4, (gint64)arrival->size);
    sqlite3_bind_int64(statement, 5, arrival->date);
    sqlite3_bind_int64(statement, 6, arrival->source);
    sqlite3_bind_int64(statement, 7, arrival->source_uid);
    sqlite3_bind_int64(statement, 8, arrival->after);
    sqlite3_bind_int64(statement, 9, arrival->mark);
    sqlite3_bind_int64(statement, 10, arrival->uid);
    sqlite3_bind_int(statement, 11, arrival->doomed);
    index_bind_text(statement, 12, arrival->message_id);
    if (!adds)
        sqlite3_bind_int64(statement, 13, arrival->id);
    if (!index_run(index, statement, error))
        return FALSE;
    if (adds)
        arrival->id = (guint32)sqlite3_last_insert_rowid(index->db);
    return TRUE;
}

gboolean index_remove_arrival(Index *index, guint32 id, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_REMOVE_ARRIVAL);
    sqlite3_bind_int64(statement, 1, id);
    return index_run(index, statement, error);
}

MailUid index_find_alias(Index *index, guint32 folder, const char *name)
{
    sqlite3_stmt *row = index_statement(index, STATEMENT_FIND_ALIAS);
    MailUid uid = 0;
    sqlite3_bind_int64(row, 1, folder);
    index_bind_text(row, 2, name);
    while (index_next(index, row, NULL))
        uid = (MailUid)sqlite3_column_int64(row, 0);
    return uid;
}

gboolean index_put_alias(Index *index, guint32 folder, const char *name, MailUid uid,
                         GError **error)
{
    sqlite3_stmt *statement = index_message_statement(index, STATEMENT_PUT_ALIAS, folder, uid);
    index_bind_text(statement, 3, name);
    return index_run(index, statement, error);
}

char *index_get_alias(Index *index, guint32 folder, MailUid uid)
{
    sqlite3_stmt *row = index_message_statement(index, STATEMENT_GET_ALIAS, folder, uid);
    char *name = NULL;
    while (index_next(index, row, NULL))
        name = g_strdup(index_column_text(row, 0));
    return name;
}

gboolean index_rename_alias(Index *index, guint32 folder, const char *name, const char *new_name,
                            GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_RENAME_ALIAS);
    sqlite3_bind_int64(statement, 1, folder);
    index_bind_text(statement, 2, name);
    index_bind_text(statement, 3, new_name);
    return index_run(index, statement, error);
}

gboolean index_remove_aliases(Index *index, guint32 folder, MailUid uid, GError **error)
{
    return index_run(index, index_message_statement(index, STATEMENT_REMOVE_ALIASES, folder, uid),
                     error);
}

char *index_get_message_id(Index *index, guint32 folder, MailUid uid)
{
    sqlite3_stmt *row = index_message_statement(index, STATEMENT_GET_MESSAGE_ID, folder, uid);
    char *id = NULL;
    while (index_next(index, row, NULL))
        id = g_strdup(index_column_text(row, 0));
    return id;
}
