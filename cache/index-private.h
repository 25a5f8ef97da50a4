/* index-private.h: what index.c (the database) and index-tables.c (its rows) share. */
#pragma once

#include "index.h"

#include <sqlite3.h>

/* One prepared statement each, kept for the life of the index. */
typedef enum {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_SAVE,
    STATEMENT_RELEASE,
    STATEMENT_RESTORE,
    STATEMENT_GET_META,
    STATEMENT_SET_META,
    STATEMENT_EACH_FOLDER,
    STATEMENT_ADD_FOLDER,
    STATEMENT_UPDATE_FOLDER,
    STATEMENT_RENAME_FOLDER,
    STATEMENT_REMOVE_FOLDER,
    STATEMENT_REMOVE_FOLDER_MESSAGES,
    STATEMENT_REMOVE_FOLDER_BODIES,
    STATEMENT_REMOVE_FOLDER_CHANGES,
    STATEMENT_REMOVE_FOLDER_ALIASES,
    STATEMENT_EACH_MESSAGE,
    STATEMENT_PUT_MESSAGE,
    STATEMENT_SET_FLAGS,
    STATEMENT_SET_LENGTH,
    STATEMENT_SET_HIDDEN,
    STATEMENT_REMOVE_MESSAGE,
    STATEMENT_GET_KEYWORDS,
    STATEMENT_EACH_CHANGE,
    STATEMENT_ADD_CHANGE,
    STATEMENT_SET_CHANGE_STATE,
    STATEMENT_SET_CHANGE_TARGET,
    STATEMENT_REMOVE_CHANGE,
    STATEMENT_EACH_BODY,
    STATEMENT_PUT_BODY,
    STATEMENT_REMOVE_BODY,
    STATEMENT_EACH_ARRIVAL,
    STATEMENT_ADD_ARRIVAL,
    STATEMENT_SET_ARRIVAL,
    STATEMENT_REMOVE_ARRIVAL,
    STATEMENT_FIND_ALIAS,
    STATEMENT_PUT_ALIAS,
    STATEMENT_GET_ALIAS,
    STATEMENT_RENAME_ALIAS,
    STATEMENT_REMOVE_ALIASES,
    STATEMENT_FIND_IDENTITY,
    STATEMENT_ADD_IDENTITY,
    STATEMENT_RESERVE_IDENTITY,
    STATEMENT_PRUNE_IDENTITIES,
    STATEMENT_GET_MESSAGE_ID,
    STATEMENT_COUNT
} Statement;

struct Index {
    char *path; /* of the database */
    int directory_fd;
    int lock_fd;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    guint depth;      /* of nested transactions */
    gboolean doomed;  /* an inner transaction was rolled back: so will the outermost be */
    gboolean damaged; /* SQLite met a damaged page: closing moves the database aside */
};

/* The text of each statement; and what makes schema N + 1 of schema N, 0 being an empty database.
 */
extern const char *const index_statements[STATEMENT_COUNT];
extern const char *const index_schemas[INDEX_SCHEMA_VERSION];

/* Sets MAIL_ERROR_DISK from SQLite's last error, and notes damage. Returns FALSE. */
gboolean index_fail(Index *index, GError **error);

/* A statement whose parameters are to be bound. Columns and parameters are numbered as SQLite does:
 * parameters from 1, columns from 0. Bound text must last until index_run. */
sqlite3_stmt *index_statement(Index *index, Statement which);
/* One whose first two parameters are a message's key, which are bound. */
sqlite3_stmt *index_message_statement(Index *index, Statement which, guint32 folder, MailUid uid);
void index_bind_text(sqlite3_stmt *statement, int parameter, const char *text);
/* Never NULL; lasts until the next step. */
const char *index_column_text(sqlite3_stmt *statement, int column);

/* Executes a statement that returns no rows, and makes it ready for the next time. */
gboolean index_run(Index *index, sqlite3_stmt *statement, GError **error);
/* Steps to the next row: TRUE when there is one. When FALSE, the statement is ready for the next
 * time, and *error is set if it was no regular end. */
gboolean index_next(Index *index, sqlite3_stmt *statement, GError **error);
