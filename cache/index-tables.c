#include "index-private.h"

#include "fault.h"

/* Names and keywords are what a server sent: bytes, stored as text without being looked at. A
 * folder's row number goes into 26 bits of an inode number. */
static const char first_schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE folders ("
    "  row INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL, delimiter INTEGER NOT NULL, flags INTEGER NOT NULL,"
    "  uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, modseq INTEGER NOT NULL,"
    "  listed INTEGER NOT NULL,"
    "  CONSTRAINT too_many_folders CHECK (row < 67108864));"
    "CREATE TABLE messages ("
    "  folder INTEGER NOT NULL, uid INTEGER NOT NULL, flags INTEGER NOT NULL,"
    "  keywords TEXT NOT NULL, size INTEGER NOT NULL, length INTEGER NOT NULL,"
    "  date INTEGER NOT NULL, changed INTEGER NOT NULL, sender TEXT NOT NULL,"
    "  subject TEXT NOT NULL, message_id TEXT NOT NULL, hidden INTEGER NOT NULL,"
    "  PRIMARY KEY (folder, uid)) WITHOUT ROWID;"
    "CREATE TABLE changes ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,"
    "  folder INTEGER NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,"
    "  add_flags INTEGER NOT NULL, remove_flags INTEGER NOT NULL,"
    "  add_keywords TEXT NOT NULL, remove_keywords TEXT NOT NULL,"
    "  target INTEGER NOT NULL, target_name TEXT NOT NULL,"
    "  created INTEGER NOT NULL, state INTEGER NOT NULL);"
    "CREATE TABLE bodies ("
    "  folder INTEGER NOT NULL, uid INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    "  used INTEGER NOT NULL, PRIMARY KEY (folder, uid)) WITHOUT ROWID;";

/* Messages that were put into a folder: those on their way, and the names they were given. */
static const char arrivals_schema[] =
    "ALTER TABLE changes ADD COLUMN arrival INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE changes ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE arrivals ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL, name TEXT NOT NULL,"
    "  state INTEGER NOT NULL, size INTEGER NOT NULL, date INTEGER NOT NULL,"
    "  source INTEGER NOT NULL, source_uid INTEGER NOT NULL, after INTEGER NOT NULL,"
    "  mark INTEGER NOT NULL, uid INTEGER NOT NULL, doomed INTEGER NOT NULL,"
    "  message_id TEXT NOT NULL);"
    "CREATE TABLE aliases ("
    "  folder INTEGER NOT NULL, name TEXT NOT NULL, uid INTEGER NOT NULL,"
    "  PRIMARY KEY (folder, name)) WITHOUT ROWID;"
    "CREATE INDEX aliases_by_uid ON aliases (folder, uid);";

/* A uid is never given twice, so the largest one ever given must outlive its row. */
static const char identities_schema[] =
    "CREATE TABLE identities ("
    "  uid INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);";

const char *const index_schemas[INDEX_SCHEMA_VERSION] = {first_schema, arrivals_schema,
                                                         identities_schema};

const char *const index_statements[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_SAVE] = "SAVEPOINT call",
    [STATEMENT_RELEASE] = "RELEASE call",
    [STATEMENT_RESTORE] = "ROLLBACK TO call",
    [STATEMENT_GET_META] = "SELECT value FROM meta WHERE key=?1",
    [STATEMENT_SET_META] = "REPLACE INTO meta VALUES (?1, ?2)",
    [STATEMENT_EACH_FOLDER] = "SELECT row, name, delimiter, flags, uidvalidity, uidnext, modseq,"
                              " listed FROM folders ORDER BY row",
    [STATEMENT_ADD_FOLDER] = "INSERT INTO folders (delimiter, flags, uidvalidity, uidnext, modseq,"
                             " listed, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [STATEMENT_UPDATE_FOLDER] = "UPDATE folders SET delimiter=?1, flags=?2, uidvalidity=?3,"
                                " uidnext=?4, modseq=?5, listed=?6 WHERE row=?7",
    [STATEMENT_RENAME_FOLDER] = "UPDATE folders SET name=?2 WHERE row=?1",
    [STATEMENT_REMOVE_FOLDER] = "DELETE FROM folders WHERE row=?1",
    [STATEMENT_REMOVE_FOLDER_MESSAGES] = "DELETE FROM messages WHERE folder=?1",
    [STATEMENT_REMOVE_FOLDER_BODIES] = "DELETE FROM bodies WHERE folder=?1",
    [STATEMENT_REMOVE_FOLDER_CHANGES] = "DELETE FROM changes WHERE folder=?1",
    [STATEMENT_REMOVE_FOLDER_ALIASES] = "DELETE FROM aliases WHERE folder=?1",
    [STATEMENT_EACH_MESSAGE] = "SELECT uid, flags, keywords, size, length, date, changed, sender,"
                               " subject, message_id, hidden FROM messages WHERE folder=?1"
                               " AND uid>=?2 ORDER BY uid",
    [STATEMENT_PUT_MESSAGE] = "REPLACE INTO messages (folder, uid, flags, keywords, size, length,"
                              " date, changed, sender, subject, message_id, hidden)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [STATEMENT_SET_FLAGS] = "UPDATE messages SET flags=?3, keywords=?4, changed=?5"
                            " WHERE folder=?1 AND uid=?2",
    [STATEMENT_SET_LENGTH] = "UPDATE messages SET length=?3 WHERE folder=?1 AND uid=?2",
    [STATEMENT_SET_HIDDEN] = "UPDATE messages SET hidden=?3 WHERE folder=?1 AND uid=?2",
    [STATEMENT_REMOVE_MESSAGE] = "DELETE FROM messages WHERE folder=?1 AND uid=?2",
    [STATEMENT_GET_KEYWORDS] = "SELECT keywords FROM messages WHERE folder=?1 AND uid=?2",
    [STATEMENT_EACH_CHANGE] = "SELECT id, kind, folder, uidvalidity, uid, add_flags, remove_flags,"
                              " add_keywords, remove_keywords, target, target_name, created,"
                              " state, arrival, mark FROM changes ORDER BY id",
    [STATEMENT_ADD_CHANGE] =
        "INSERT INTO changes (kind, folder, uidvalidity, uid, add_flags,"
        " remove_flags, add_keywords, remove_keywords, target, target_name,"
        " created, state, arrival, mark)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [STATEMENT_SET_CHANGE_STATE] = "UPDATE changes SET state=?2, mark=?3 WHERE id=?1",
    [STATEMENT_SET_CHANGE_TARGET] = "UPDATE changes SET target=?2, target_name=?3 WHERE id=?1",
    [STATEMENT_REMOVE_CHANGE] = "DELETE FROM changes WHERE id=?1",
    [STATEMENT_EACH_BODY] = "SELECT folder, uid, bytes, used FROM bodies ORDER BY used",
    [STATEMENT_PUT_BODY] = "REPLACE INTO bodies (folder, uid, bytes, used) VALUES (?1, ?2, ?3, ?4)",
    [STATEMENT_REMOVE_BODY] = "DELETE FROM bodies WHERE folder=?1 AND uid=?2",
    [STATEMENT_EACH_ARRIVAL] = "SELECT id, folder, name, state, size, date, source, source_uid,"
                               " after, mark, uid, doomed, message_id FROM arrivals ORDER BY id",
    [STATEMENT_ADD_ARRIVAL] = "INSERT INTO arrivals (folder, name, state, size, date, source,"
                              " source_uid, after, mark, uid, doomed, message_id)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [STATEMENT_SET_ARRIVAL] = "UPDATE arrivals SET folder=?1, name=?2, state=?3, size=?4, date=?5,"
                              " source=?6, source_uid=?7, after=?8, mark=?9, uid=?10, doomed=?11,"
                              " message_id=?12 WHERE id=?13",
    [STATEMENT_REMOVE_ARRIVAL] = "DELETE FROM arrivals WHERE id=?1",
    [STATEMENT_FIND_ALIAS] = "SELECT uid FROM aliases WHERE folder=?1 AND name=?2",
    [STATEMENT_PUT_ALIAS] = "REPLACE INTO aliases (folder, uid, name) VALUES (?1, ?2, ?3)",
    [STATEMENT_GET_ALIAS] = "SELECT name FROM aliases WHERE folder=?1 AND uid=?2 LIMIT 1",
    [STATEMENT_RENAME_ALIAS] = "UPDATE OR REPLACE aliases SET name=?3 WHERE folder=?1 AND name=?2",
    [STATEMENT_REMOVE_ALIASES] = "DELETE FROM aliases WHERE folder=?1 AND uid=?2",
    [STATEMENT_FIND_IDENTITY] = "SELECT uid FROM identities WHERE name=?1",
    [STATEMENT_ADD_IDENTITY] = "INSERT INTO identities (name) VALUES (?1)",
    [STATEMENT_RESERVE_IDENTITY] = "INSERT OR IGNORE INTO identities (uid, name) VALUES (?1, ?2)",
    [STATEMENT_PRUNE_IDENTITIES] = "DELETE FROM identities WHERE uid NOT IN"
                                   " (SELECT uid FROM messages WHERE folder=?1)",
    [STATEMENT_GET_MESSAGE_ID] = "SELECT message_id FROM messages WHERE folder=?1 AND uid=?2",
};

/* ---- folders ---- */

gboolean index_each_folder(Index *index, IndexFolderFunc func, gpointer data, GError **error)
{
    sqlite3_stmt *row = index_statement(index, STATEMENT_EACH_FOLDER);
    GError *failure = NULL;
    while (index_next(index, row, &failure)) {
        g_autofree char *name = g_strdup(index_column_text(row, 1));
        IndexFolder folder = {
            .row = (guint32)sqlite3_column_int64(row, 0),
            .name = name,
            .delimiter = (char)sqlite3_column_int(row, 2),
            .flags = (guint32)sqlite3_column_int64(row, 3),
            .uidvalidity = (MailUidValidity)sqlite3_column_int64(row, 4),
            .uidnext = (MailUid)sqlite3_column_int64(row, 5),
            .modseq = (MailModSeq)sqlite3_column_int64(row, 6),
            .listed = sqlite3_column_int(row, 7) != 0,
        };
        func(&folder, data);
    }
    if (failure)
        g_propagate_error(error, failure);
    return failure == NULL;
}

static void bind_folder(sqlite3_stmt *statement, const IndexFolder *folder)
{
    sqlite3_bind_int(statement, 1, folder->delimiter);
    sqlite3_bind_int64(statement, 2, folder->flags);
    sqlite3_bind_int64(statement, 3, folder->uidvalidity);
    sqlite3_bind_int64(statement, 4, folder->uidnext);
    sqlite3_bind_int64(statement, 5, (gint64)folder->modseq);
    sqlite3_bind_int(statement, 6, folder->listed);
}

gboolean index_put_folder(Index *index, IndexFolder *folder, GError **error)
{
    gboolean adds = folder->row == 0;
    sqlite3_stmt *statement =
        index_statement(index, adds ? STATEMENT_ADD_FOLDER : STATEMENT_UPDATE_FOLDER);
    bind_folder(statement, folder);
    if (adds)
        index_bind_text(statement, 7, folder->name);
    else
        sqlite3_bind_int64(statement, 7, folder->row);
    if (!index_run(index, statement, error))
        return FALSE;
    if (adds)
        folder->row = (guint32)sqlite3_last_insert_rowid(index->db);
    return TRUE;
}

gboolean index_rename_folder(Index *index, guint32 row, const char *name, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_RENAME_FOLDER);
    sqlite3_bind_int64(statement, 1, row);
    index_bind_text(statement, 2, name);
    return index_run(index, statement, error);
}

static gboolean remove_folder_rows(Index *index, guint32 row, GError **error)
{
    static const Statement steps[] = {
        STATEMENT_REMOVE_FOLDER_MESSAGES, STATEMENT_REMOVE_FOLDER_BODIES,
        STATEMENT_REMOVE_FOLDER_CHANGES, STATEMENT_REMOVE_FOLDER_ALIASES, STATEMENT_REMOVE_FOLDER};
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        sqlite3_stmt *statement = index_statement(index, steps[i]);
        sqlite3_bind_int64(statement, 1, row);
        if (!index_run(index, statement, error))
            return FALSE;
    }
    return TRUE;
}

/* Several statements: a savepoint makes them one, inside a transaction and outside. */
gboolean index_remove_folder(Index *index, guint32 row, GError **error)
{
    if (!index_run(index, index_statement(index, STATEMENT_SAVE), error))
        return FALSE;
    sqlite3_stmt *release = index_statement(index, STATEMENT_RELEASE);
    if (remove_folder_rows(index, row, error) && index_run(index, release, error))
        return TRUE;
    /* An error may have ended the whole transaction, and the savepoint with it. */
    if (!sqlite3_get_autocommit(index->db)) {
        index_run(index, index_statement(index, STATEMENT_RESTORE), NULL);
        index_run(index, release, NULL);
    }
    return FALSE;
}

/* ---- messages ---- */

gboolean index_each_message(Index *index, guint32 folder, IndexMessageFunc func, gpointer data,
                            GError **error)
{
    return index_each_message_from(index, folder, 0, func, data, error);
}

gboolean index_each_message_from(Index *index, guint32 folder, MailUid uid, IndexMessageFunc func,
                                 gpointer data, GError **error)
{
    sqlite3_stmt *row = index_message_statement(index, STATEMENT_EACH_MESSAGE, folder, uid);
    GError *failure = NULL;
    while (index_next(index, row, &failure)) {
        IndexMessage message = {
            .folder = folder,
            .uid = (MailUid)sqlite3_column_int64(row, 0),
            .flags = (guint32)sqlite3_column_int64(row, 1),
            .keywords = index_column_text(row, 2),
            .size = (guint64)sqlite3_column_int64(row, 3),
            .length = sqlite3_column_int64(row, 4),
            .date = sqlite3_column_int64(row, 5),
            .changed = sqlite3_column_int64(row, 6),
            .from = index_column_text(row, 7),
            .subject = index_column_text(row, 8),
            .message_id = index_column_text(row, 9),
            .hidden = sqlite3_column_int(row, 10) != 0,
        };
        func(&message, data);
    }
    if (failure)
        g_propagate_error(error, failure);
    return failure == NULL;
}

gboolean index_put_message(Index *index, const IndexMessage *message, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_PUT_MESSAGE);
    sqlite3_bind_int64(statement, 1, message->folder);
    sqlite3_bind_int64(statement, 2, message->uid);
    sqlite3_bind_int64(statement, 3, message->flags);
    index_bind_text(statement, 4, message->keywords);
    sqlite3_bind_int64(statement, 5, (gint64)message->size);
    sqlite3_bind_int64(statement, 6, message->length);
    sqlite3_bind_int64(statement, 7, message->date);
    sqlite3_bind_int64(statement, 8, message->changed);
    index_bind_text(statement, 9, message->from);
    index_bind_text(statement, 10, message->subject);
    index_bind_text(statement, 11, message->message_id);
    sqlite3_bind_int(statement, 12, message->hidden);
    return index_run(index, statement, error);
}

sqlite3_stmt *index_message_statement(Index *index, Statement which, guint32 folder, MailUid uid)
{
    sqlite3_stmt *statement = index_statement(index, which);
    sqlite3_bind_int64(statement, 1, folder);
    sqlite3_bind_int64(statement, 2, uid);
    return statement;
}

gboolean index_set_flags(Index *index, guint32 folder, MailUid uid, guint32 flags,
                         const char *keywords, gint64 changed, GError **error)
{
    sqlite3_stmt *statement = index_message_statement(index, STATEMENT_SET_FLAGS, folder, uid);
    sqlite3_bind_int64(statement, 3, flags);
    index_bind_text(statement, 4, keywords);
    sqlite3_bind_int64(statement, 5, changed);
    return index_run(index, statement, error);
}

gboolean index_set_length(Index *index, guint32 folder, MailUid uid, gint64 length, GError **error)
{
    sqlite3_stmt *statement = index_message_statement(index, STATEMENT_SET_LENGTH, folder, uid);
    sqlite3_bind_int64(statement, 3, length);
    return index_run(index, statement, error);
}

gboolean index_set_hidden(Index *index, guint32 folder, MailUid uid, gboolean hidden,
                          GError **error)
{
    sqlite3_stmt *statement = index_message_statement(index, STATEMENT_SET_HIDDEN, folder, uid);
    sqlite3_bind_int(statement, 3, hidden);
    return index_run(index, statement, error);
}

gboolean index_remove_message(Index *index, guint32 folder, MailUid uid, GError **error)
{
    return index_run(index, index_message_statement(index, STATEMENT_REMOVE_MESSAGE, folder, uid),
                     error);
}

char *index_get_keywords(Index *index, guint32 folder, MailUid uid)
{
    sqlite3_stmt *row = index_message_statement(index, STATEMENT_GET_KEYWORDS, folder, uid);
    char *keywords = NULL;
    while (index_next(index, row, NULL))
        keywords = g_strdup(index_column_text(row, 0));
    return keywords;
}

/* ---- pending changes ---- */

gboolean index_each_change(Index *index, IndexChangeFunc func, gpointer data, GError **error)
{
    sqlite3_stmt *row = index_statement(index, STATEMENT_EACH_CHANGE);
    GError *failure = NULL;
    while (index_next(index, row, &failure)) {
        IndexChange change = {
            .id = sqlite3_column_int64(row, 0),
            .kind = (IndexChangeKind)sqlite3_column_int(row, 1),
            .folder = (guint32)sqlite3_column_int64(row, 2),
            .uidvalidity = (MailUidValidity)sqlite3_column_int64(row, 3),
            .uid = (MailUid)sqlite3_column_int64(row, 4),
            .add = (guint32)sqlite3_column_int64(row, 5),
            .remove = (guint32)sqlite3_column_int64(row, 6),
            .add_keywords = index_column_text(row, 7),
            .remove_keywords = index_column_text(row, 8),
            .target = (guint32)sqlite3_column_int64(row, 9),
            .target_name = index_column_text(row, 10),
            .created = sqlite3_column_int64(row, 11),
            .state = (guint32)sqlite3_column_int64(row, 12),
            .arrival = (guint32)sqlite3_column_int64(row, 13),
            .mark = (MailUid)sqlite3_column_int64(row, 14),
        };
        func(&change, data);
    }
    if (failure)
        g_propagate_error(error, failure);
    return failure == NULL;
}

gboolean index_add_change(Index *index, IndexChange *change, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_ADD_CHANGE);
    sqlite3_bind_int(statement, 1, change->kind);
    sqlite3_bind_int64(statement, 2, change->folder);
    sqlite3_bind_int64(statement, 3, change->uidvalidity);
    sqlite3_bind_int64(statement, 4, change->uid);
    sqlite3_bind_int64(statement, 5, change->add);
    sqlite3_bind_int64(statement, 6, change->remove);
    index_bind_text(statement, 7, change->add_keywords);
    index_bind_text(statement, 8, change->remove_keywords);
    sqlite3_bind_int64(statement, 9, change->target);
    index_bind_text(statement, 10, change->target_name);
    sqlite3_bind_int64(statement, 11, change->created);
    sqlite3_bind_int64(statement, 12, change->state);
    sqlite3_bind_int64(statement, 13, change->arrival);
    sqlite3_bind_int64(statement, 14, change->mark);
    if (!index_run(index, statement, error))
        return FALSE;
    change->id = sqlite3_last_insert_rowid(index->db);
    fault_point("journal-write");
    return TRUE;
}

gboolean index_set_change_state(Index *index, gint64 id, guint32 state, MailUid mark,
                                GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_SET_CHANGE_STATE);
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, state);
    sqlite3_bind_int64(statement, 3, mark);
    return index_run(index, statement, error);
}

gboolean index_set_change_target(Index *index, gint64 id, guint32 target, const char *name,
                                 GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_SET_CHANGE_TARGET);
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, target);
    index_bind_text(statement, 3, name);
    return index_run(index, statement, error);
}

gboolean index_remove_change(Index *index, gint64 id, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_REMOVE_CHANGE);
    sqlite3_bind_int64(statement, 1, id);
    return index_run(index, statement, error);
}

/* ---- bodies on disk ---- */

gboolean index_each_body(Index *index, IndexBodyFunc func, gpointer data, GError **error)
{
    sqlite3_stmt *row = index_statement(index, STATEMENT_EACH_BODY);
    GError *failure = NULL;
    while (index_next(index, row, &failure)) {
        IndexBody body = {
            .folder = (guint32)sqlite3_column_int64(row, 0),
            .uid = (MailUid)sqlite3_column_int64(row, 1),
            .bytes = (guint64)sqlite3_column_int64(row, 2),
            .used = sqlite3_column_int64(row, 3),
        };
        func(&body, data);
    }
    if (failure)
        g_propagate_error(error, failure);
    return failure == NULL;
}

gboolean index_put_body(Index *index, const IndexBody *body, GError **error)
{
    sqlite3_stmt *statement =
        index_message_statement(index, STATEMENT_PUT_BODY, body->folder, body->uid);
    sqlite3_bind_int64(statement, 3, (gint64)body->bytes);
    sqlite3_bind_int64(statement, 4, body->used);
    return index_run(index, statement, error);
}

gboolean index_remove_body(Index *index, guint32 folder, MailUid uid, GError **error)
{
    return index_run(index, index_message_statement(index, STATEMENT_REMOVE_BODY, folder, uid),
                     error);
}
