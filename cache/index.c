#include "index-private.h"

#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE "index.sqlite"
#define DAMAGED "index.sqlite.damaged"

/* ---- statements ---- */

gboolean index_fail(Index *index, GError **error)
{
    int code = sqlite3_errcode(index->db) & 0xff;
    const char *message = sqlite3_errmsg(index->db);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        index->damaged = TRUE;
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK,
                    "%s is damaged (%s); it is made anew at the next start", index->path, message);
    } else {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK, "%s: %s", index->path, message);
    }
    return FALSE;
}

sqlite3_stmt *index_statement(Index *index, Statement which)
{
    return index->statements[which];
}

void index_bind_text(sqlite3_stmt *statement, int parameter, const char *text)
{
    sqlite3_bind_text(statement, parameter, text ? text : "", -1, SQLITE_STATIC);
}

const char *index_column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

/* Some errors (a full disk, for one) make SQLite end the transaction by itself. What follows would
 * then be committed statement by statement, without what went before. */
static gboolean transaction_lost(const Index *index)
{
    return index->depth > 0 && sqlite3_get_autocommit(index->db);
}

static gboolean fail_lost(Index *index, GError **error)
{
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK, "%s: the transaction was rolled back",
                index->path);
    return FALSE;
}

static void rewind_statement(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

gboolean index_next(Index *index, sqlite3_stmt *statement, GError **error)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return TRUE;
    if (code != SQLITE_DONE)
        index_fail(index, error);
    rewind_statement(statement);
    return FALSE;
}

gboolean index_run(Index *index, sqlite3_stmt *statement, GError **error)
{
    if (transaction_lost(index)) {
        rewind_statement(statement);
        return fail_lost(index, error);
    }
    gboolean done = sqlite3_step(statement) == SQLITE_DONE;
    if (!done)
        index_fail(index, error);
    fault_point_of("sql", sqlite3_sql(statement), strlen(sqlite3_sql(statement)));
    rewind_statement(statement);
    return done;
}

/* ---- transactions ---- */

static gboolean run_plain(Index *index, Statement which, GError **error)
{
    return index_run(index, index_statement(index, which), error);
}

gboolean index_begin(Index *index, GError **error)
{
    if (index->depth == 0) {
        index->doomed = FALSE;
        if (!run_plain(index, STATEMENT_BEGIN, error))
            return FALSE;
    }
    index->depth++;
    return TRUE;
}

static void roll_back(Index *index)
{
    if (!sqlite3_get_autocommit(index->db))
        run_plain(index, STATEMENT_ROLLBACK, NULL);
}

gboolean index_commit(Index *index, GError **error)
{
    g_return_val_if_fail(index->depth > 0, FALSE);
    if (index->depth > 1) {
        index->depth--;
        return TRUE;
    }
    gboolean lost = index->doomed || transaction_lost(index);
    index->depth = 0;
    if (!lost && run_plain(index, STATEMENT_COMMIT, error))
        return TRUE;
    if (lost)
        fail_lost(index, error);
    roll_back(index);
    return FALSE;
}

void index_rollback(Index *index)
{
    g_return_if_fail(index->depth > 0);
    index->depth--;
    if (index->depth > 0)
        index->doomed = TRUE;
    else
        roll_back(index);
}

int index_wal_fd(Index *index)
{
    return openat(index->directory_fd, DATABASE "-wal", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

static gboolean wal_is_empty(Index *index)
{
    struct stat status;
    return fstatat(index->directory_fd, DATABASE "-wal", &status, AT_SYMLINK_NOFOLLOW) != 0 ||
           status.st_size == 0;
}

gboolean index_trim(Index *index)
{
    if (index->depth > 0 || wal_is_empty(index))
        return FALSE;
    sqlite3_exec(index->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    return wal_is_empty(index);
}

/* ---- small values ---- */

char *index_get_meta(Index *index, const char *key)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_GET_META);
    index_bind_text(statement, 1, key);
    if (!index_next(index, statement, NULL))
        return NULL;
    char *value = g_strdup(index_column_text(statement, 0));
    rewind_statement(statement);
    return value;
}

gboolean index_set_meta(Index *index, const char *key, const char *value, GError **error)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_SET_META);
    index_bind_text(statement, 1, key);
    index_bind_text(statement, 2, value);
    return index_run(index, statement, error);
}

/* ---- the directory and its lock ---- */

static gboolean fail_errno(const char *path, GError **error)
{
    int code = errno;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK, "%s: %s", path, g_strerror(code));
    return FALSE;
}

static gboolean check_directory(int fd, const char *path, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fail_errno(path, error);
    if (status.st_uid != geteuid()) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG, "%s belongs to another user", path);
        return FALSE;
    }
    if (status.st_mode & 0077) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "%s is open to other users; close it with: chmod 700 %s", path, path);
        return FALSE;
    }
    return TRUE;
}

static gboolean open_directory(Index *index, const char *path, GError **error)
{
    if (g_mkdir_with_parents(path, 0700) != 0)
        return fail_errno(path, error);
    index->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (index->directory_fd < 0) {
        if (errno != ELOOP && errno != ENOTDIR)
            return fail_errno(path, error);
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "%s is a symbolic link or no directory; mailfs needs a directory of its own",
                    path);
        return FALSE;
    }
    return check_directory(index->directory_fd, path, error);
}

static gboolean take_lock(Index *index, const char *path, GError **error)
{
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    index->lock_fd = openat(index->directory_fd, "lock", flags, 0600);
    if (index->lock_fd < 0)
        return fail_errno(path, error);
    if (flock(index->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return TRUE;
    if (errno != EWOULDBLOCK)
        return fail_errno(path, error);
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_IN_USE,
                "this account is mounted already: another mailfs uses %s", path);
    return FALSE;
}

/* ---- opening the database ---- */

typedef enum {
    OPEN_DONE,
    OPEN_UNUSABLE, /* damaged or of another schema: a new one will do */
    OPEN_FAILED,   /* a new one would fare no better */
} OpenResult;

/* After an error of SQLite: whose fault is it, the file's or the disk's? SQLITE_ERROR is what a
 * statement gives that does not fit the schema. */
static OpenResult opening_failed(Index *index, GError **error)
{
    int code = sqlite3_errcode(index->db) & 0xff;
    index_fail(index, error);
    gboolean unusable = code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR;
    return unusable ? OPEN_UNUSABLE : OPEN_FAILED;
}

static void close_database(Index *index)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(index->statements[i]);
        index->statements[i] = NULL;
    }
    sqlite3_close(index->db);
    index->db = NULL;
    index->damaged = FALSE;
}

static void move_file(Index *index, const char *suffix)
{
    g_autofree char *from = g_strconcat(DATABASE, suffix, NULL);
    g_autofree char *to = g_strconcat(DAMAGED, suffix, NULL);
    unlinkat(index->directory_fd, to, 0);
    if (renameat(index->directory_fd, from, index->directory_fd, to) != 0 && errno != ENOENT)
        unlinkat(index->directory_fd, from, 0);
}

/* The names stay those of one database, so that it can be looked at with sqlite3. */
static void move_aside(Index *index)
{
    move_file(index, "");
    move_file(index, "-wal");
    move_file(index, "-shm");
}

static int read_number(Index *index, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int number = -1;
    if (sqlite3_prepare_v2(index->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int(statement, 0);
    /* After a failed step this keeps the error for sqlite3_errcode. */
    sqlite3_finalize(statement);
    return number;
}

/* Brings a database to the present schema, from an older one or from none. Pending changes are in
 * it: what an older version left is never thrown away. */
static gboolean upgrade_schema(Index *index, int version)
{
    for (; version < INDEX_SCHEMA_VERSION; version++) {
        g_autofree char *end = g_strdup_printf("PRAGMA user_version=%d; COMMIT", version + 1);
        if (sqlite3_exec(index->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(index->db, index_schemas[version], NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(index->db, end, NULL, NULL, NULL) != SQLITE_OK)
            return FALSE;
    }
    return TRUE;
}

static gboolean prepare_statements(Index *index)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(index->db, index_statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &index->statements[i], NULL) != SQLITE_OK)
            return FALSE;
    return TRUE;
}

static gboolean has_folders(Index *index)
{
    sqlite3_stmt *statement = index_statement(index, STATEMENT_EACH_FOLDER);
    if (!index_next(index, statement, NULL))
        return FALSE;
    rewind_statement(statement);
    return TRUE;
}

/* An index without folders is what a mount with a wrong scheme or port left behind: it may become
 * that of the corrected one. */
static OpenResult check_account(Index *index, const char *account, GError **error)
{
    g_autofree char *owner = index_get_meta(index, "account");
    gboolean used = has_folders(index);
    if (index->damaged)
        return opening_failed(index, error);
    if (!owner || (!used && !g_str_equal(owner, account)))
        return index_set_meta(index, "account", account, error) ? OPEN_DONE : OPEN_FAILED;
    if (g_str_equal(owner, account))
        return OPEN_DONE;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                "%s is the cache of %s, not of %s; remove it or choose another cache directory",
                index->path, owner, account);
    return OPEN_FAILED;
}

/* SQLite would make the file readable for others: it is made here first, and an empty file is an
 * empty database. Only before SQLite opens it: closing any descriptor drops its POSIX locks. */
static gboolean make_file(Index *index, GError **error)
{
    int fd = openat(index->directory_fd, DATABASE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(index->path, error);
    close(fd);
    return TRUE;
}

static OpenResult open_database(Index *index, const char *account, GError **error)
{
    static const char settings[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                                   "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF;"
                                   "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;";
    if (!make_file(index, error))
        return OPEN_FAILED;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(index->path, &index->db, flags, NULL) != SQLITE_OK ||
        sqlite3_exec(index->db, settings, NULL, NULL, NULL) != SQLITE_OK)
        return opening_failed(index, error);

    int tables = read_number(index, "SELECT count(*) FROM sqlite_schema");
    int version = read_number(index, "PRAGMA user_version");
    if (tables < 0 || version < 0)
        return opening_failed(index, error);
    if (version > INDEX_SCHEMA_VERSION || (tables > 0 && version < 1)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK,
                    "%s is of another version of mailfs (its schema is %d)", index->path, version);
        return OPEN_UNUSABLE;
    }
    if (!upgrade_schema(index, version) || !prepare_statements(index))
        return opening_failed(index, error);
    return check_account(index, account, error);
}

static gboolean open_or_rebuild(Index *index, const char *account, gboolean *rebuilt,
                                GError **error)
{
    g_autoptr(GError) reason = NULL;
    OpenResult result = open_database(index, account, &reason);
    if (result == OPEN_UNUSABLE) {
        g_warning("%s; it is moved to " DAMAGED
                  " and made anew: changes that were not yet sent to the server are lost",
                  reason->message);
        close_database(index);
        move_aside(index);
        *rebuilt = TRUE;
        g_clear_error(&reason);
        result = open_database(index, account, &reason);
    }
    if (result == OPEN_DONE)
        return TRUE;
    /* Not to be moved aside by index_close as well: one new start has been tried. */
    index->damaged = FALSE;
    g_propagate_error(error, g_steal_pointer(&reason));
    return FALSE;
}

/* Without a trailing slash, which would make open() follow a symbolic link. */
static char *without_slash(const char *directory)
{
    char *path = g_strdup(directory);
    for (gsize length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
    return path;
}

/* SQLITE_OPEN_NOFOLLOW refuses links anywhere in the path; those above the directory are the
 * user's own business, and resolved here. */
static gboolean set_path(Index *index, const char *directory, GError **error)
{
    char *real = realpath(directory, NULL);
    if (!real)
        return fail_errno(directory, error);
    index->path = g_build_filename(real, DATABASE, NULL);
    free(real);
    return TRUE;
}

Index *index_open(const char *directory, const char *account, gboolean *rebuilt, GError **error)
{
    g_autoptr(Index) index = g_new0(Index, 1);
    index->directory_fd = index->lock_fd = -1;
    g_autofree char *path = without_slash(directory);
    gboolean anew = FALSE;
    gboolean opened = open_directory(index, path, error) && take_lock(index, path, error) &&
                      set_path(index, path, error) && open_or_rebuild(index, account, &anew, error);
    if (!opened)
        return NULL;
    if (rebuilt)
        *rebuilt = anew;
    return g_steal_pointer(&index);
}

void index_close(Index *index)
{
    if (!index)
        return;
    gboolean damaged = index->damaged;
    if (index->db)
        close_database(index);
    if (damaged) {
        g_warning("%s was damaged and is moved to " DAMAGED
                  ": changes that were not yet sent to the server are lost",
                  index->path);
        move_aside(index);
    }
    if (index->lock_fd >= 0)
        close(index->lock_fd);
    if (index->directory_fd >= 0)
        close(index->directory_fd);
    g_free(index->path);
    g_free(index);
}
