#include "bodies-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_LIMIT 64   /* descriptors kept open */
#define DIRTY_LIMIT 256 /* use times kept from the index */

typedef struct Body Body;

/* One whole body on disk. Half a million of these are no exception: keep it small. */
struct Body {
    guint64 key; /* folder << 32 | uid; the hash table's */
    guint64 bytes;
    gint64 used;
    Body *older, *newer; /* neighbours in the order of use */
    int fd;              /* -1: not open */
    guint listed : 1;    /* in the order of use */
    guint dirty : 1;     /* `used` is newer than the index */
    guint checked : 1;   /* the file was seen, and has its length */
};

/* Pinned messages, whether their body is here or not yet. */
typedef struct {
    guint64 key;
    guint count;
    gboolean remove; /* at the last unpin */
} Pin;

struct Bodies {
    Index *index;
    gboolean only_copies; /* nothing goes but by bodies_remove */
    GArray *strays;       /* of BodyStray */
    guint64 budget, bytes;
    int root;      /* of bodies/ */
    int folder_fd; /* the directory used last, of folder_row; or -1 */
    guint32 folder_row;
    guint64 serial;    /* of parts */
    GHashTable *table; /* &body->key -> Body, owned */
    GHashTable *pins;  /* &pin->key -> Pin, owned */
    /* All that may be evicted. Pinned ones are taken out when eviction comes upon them. */
    Body *oldest, *newest;
    GPtrArray *open;  /* of Body: the last one was used last */
    GPtrArray *dirty; /* of Body */
};

static guint64 make_key(guint32 folder, MailUid uid)
{
    return (guint64)folder << 32 | uid;
}

static guint32 key_folder(guint64 key)
{
    return (guint32)(key >> 32);
}

static MailUid key_uid(guint64 key)
{
    return (MailUid)key;
}

static Body *find(Bodies *bodies, guint32 folder, MailUid uid)
{
    guint64 key = make_key(folder, uid);
    return g_hash_table_lookup(bodies->table, &key);
}

static Pin *find_pin(Bodies *bodies, guint64 key)
{
    return g_hash_table_lookup(bodies->pins, &key);
}

/* ---- files: every path is made of numbers ---- */

gboolean bodies_fail_errno(const char *what, GError **error)
{
    int code = errno;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK, "%s: %s", what, g_strerror(code));
    return FALSE;
}

static int open_subdirectory(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static void forget_folder_fd(Bodies *bodies)
{
    if (bodies->folder_fd >= 0)
        close(bodies->folder_fd);
    bodies->folder_fd = -1;
}

int bodies_folder_fd(Bodies *bodies, guint32 folder, gboolean make)
{
    if (bodies->folder_fd >= 0 && bodies->folder_row == folder)
        return bodies->folder_fd;
    forget_folder_fd(bodies);
    char name[16];
    g_snprintf(name, sizeof name, "%" G_GUINT32_FORMAT, folder);
    if (make && mkdirat(bodies->root, name, 0700) != 0 && errno != EEXIST)
        return -1;
    bodies->folder_fd = open_subdirectory(bodies->root, name);
    bodies->folder_row = folder;
    return bodies->folder_fd;
}

void bodies_name(char name[16], MailUid uid)
{
    g_snprintf(name, 16, "%" G_GUINT32_FORMAT, uid);
}

static void unlink_body(Bodies *bodies, guint64 key)
{
    char name[16];
    bodies_name(name, key_uid(key));
    int directory = bodies_folder_fd(bodies, key_folder(key), FALSE);
    if (directory >= 0)
        unlinkat(directory, name, 0);
}

/* ---- the order of use ---- */

static void unlist(Bodies *bodies, Body *body)
{
    if (!body->listed)
        return;
    if (body->older)
        body->older->newer = body->newer;
    else
        bodies->oldest = body->newer;
    if (body->newer)
        body->newer->older = body->older;
    else
        bodies->newest = body->older;
    body->older = body->newer = NULL;
    body->listed = FALSE;
}

static void list_as_newest(Bodies *bodies, Body *body)
{
    unlist(bodies, body);
    body->older = bodies->newest;
    if (bodies->newest)
        bodies->newest->newer = body;
    else
        bodies->oldest = body;
    bodies->newest = body;
    body->listed = TRUE;
}

static void list_as_oldest(Bodies *bodies, Body *body)
{
    unlist(bodies, body);
    body->newer = bodies->oldest;
    if (bodies->oldest)
        bodies->oldest->older = body;
    else
        bodies->newest = body;
    bodies->oldest = body;
    body->listed = TRUE;
}

static gboolean record(Bodies *bodies, const Body *body, GError **error)
{
    IndexBody row = {key_folder(body->key), key_uid(body->key), body->bytes, body->used};
    return index_put_body(bodies->index, &row, error);
}

/* Use times are worth no more than one attempt. */
static void flush_dirty(Bodies *bodies)
{
    g_autoptr(GError) error = NULL;
    gboolean begun = bodies->dirty->len > 0 && index_begin(bodies->index, &error);
    for (guint i = 0; i < bodies->dirty->len; i++) {
        Body *body = g_ptr_array_index(bodies->dirty, i);
        body->dirty = FALSE;
        if (begun && !error)
            record(bodies, body, &error);
    }
    g_ptr_array_set_size(bodies->dirty, 0);
    if (begun)
        index_commit(bodies->index, error ? NULL : &error);
    if (error)
        g_info("cannot record when bodies were used: %s", error->message);
}

static void touch(Bodies *bodies, Body *body)
{
    body->used = g_get_real_time();
    list_as_newest(bodies, body);
    if (body->dirty)
        return;
    body->dirty = TRUE;
    g_ptr_array_add(bodies->dirty, body);
    if (bodies->dirty->len >= DIRTY_LIMIT)
        flush_dirty(bodies);
}

/* ---- bodies in memory ---- */

static void close_body(Bodies *bodies, Body *body)
{
    if (body->fd < 0)
        return;
    close(body->fd);
    body->fd = -1;
    g_ptr_array_remove(bodies->open, body);
}

static Body *add_body(Bodies *bodies, guint64 key, guint64 bytes, gint64 used)
{
    Body *body = g_new0(Body, 1);
    body->key = key;
    body->bytes = bytes;
    body->used = used;
    body->fd = -1;
    g_hash_table_add(bodies->table, &body->key);
    bodies->bytes += bytes;
    list_as_newest(bodies, body);
    return body;
}

/* Frees it, but for its place in the table: for callers that walk the table. */
static void forget_links(Bodies *bodies, Body *body)
{
    close_body(bodies, body);
    unlist(bodies, body);
    if (body->dirty)
        g_ptr_array_remove_fast(bodies->dirty, body);
    bodies->bytes -= body->bytes;
}

/* Takes a body off the disk and out of the index. A record that cannot be deleted now is found to
 * be without its file later. */
static void erase(Bodies *bodies, Body *body)
{
    g_autoptr(GError) error = NULL;
    unlink_body(bodies, body->key);
    if (!index_remove_body(bodies->index, key_folder(body->key), key_uid(body->key), &error))
        g_info("cannot forget a body: %s", error->message);
    forget_links(bodies, body);
}

static void drop(Bodies *bodies, Body *body)
{
    erase(bodies, body);
    g_hash_table_remove(bodies->table, &body->key);
}

static void set_aside(Bodies *bodies, guint64 key)
{
    char name[16], aside[32];
    bodies_name(name, key_uid(key));
    g_snprintf(aside, sizeof(aside), "%s.damaged", name);
    int directory = bodies_folder_fd(bodies, key_folder(key), FALSE);
    if (directory >= 0 && renameat(directory, name, directory, aside) == 0)
        g_warning("a message on disk is not as long as it should be: set aside as %s", aside);
}

/* A body whose file is not there, or not as long as it was. */
static void drop_damaged(Bodies *bodies, Body *body)
{
    if (bodies->only_copies)
        set_aside(bodies, body->key);
    drop(bodies, body);
}

/* Evicts the least recently used, but for `spared`. */
static guint64 evict(Bodies *bodies, guint64 wanted, const Body *spared)
{
    guint64 evicted = 0;
    if (bodies->only_copies)
        return 0;
    gboolean begun = index_begin(bodies->index, NULL);
    Body *next = NULL;
    for (Body *body = bodies->oldest; body && evicted < wanted; body = next) {
        next = body->newer;
        if (body == spared)
            continue;
        if (find_pin(bodies, body->key)) {
            unlist(bodies, body);
            continue;
        }
        evicted += body->bytes;
        drop(bodies, body);
    }
    if (begun)
        index_commit(bodies->index, NULL);
    return evicted;
}

guint64 bodies_evict(Bodies *bodies, guint64 wanted)
{
    return evict(bodies, wanted, NULL);
}

gboolean bodies_trim_index(Bodies *bodies)
{
    return index_trim(bodies->index);
}

static void meet_budget(Bodies *bodies, const Body *spared)
{
    if (bodies->budget > 0 && bodies->bytes > bodies->budget)
        evict(bodies, bodies->bytes - bodies->budget, spared);
}

/* ---- opening the store ---- */

static void load_body(const IndexBody *row, gpointer data)
{
    Bodies *bodies = data;
    add_body(bodies, make_key(row->folder, row->uid), row->bytes, row->used);
}

/* A number as make_key's halves are written: digits only, no leading zero, 32 bits. */
static gboolean parse_number(const char *name, guint32 *number)
{
    guint64 value = 0;
    if (!g_ascii_isdigit(*name) || *name == '0' ||
        !g_ascii_string_to_unsigned(name, 10, 1, G_MAXUINT32, &value, NULL))
        return FALSE;
    *number = (guint32)value;
    return TRUE;
}

static void add_stray(Bodies *bodies, guint32 folder, int directory, MailUid uid)
{
    char name[16];
    struct stat status;
    bodies_name(name, uid);
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size == 0)
        return;
    BodyStray stray = {folder, uid, (guint64)status.st_size};
    g_array_append_val(bodies->strays, stray);
}

/* Removes what no record tells of, and left-over parts; notes which records have their file. */
static void scan_entry(Bodies *bodies, guint32 folder, int directory, const char *name,
                       GHashTable *found)
{
    MailUid uid = 0;
    Body *body = parse_number(name, &uid) ? find(bodies, folder, uid) : NULL;
    if (body)
        g_hash_table_add(found, body);
    else if (uid > 0 && bodies->only_copies)
        add_stray(bodies, folder, directory, uid);
    else if (uid > 0 || g_str_has_suffix(name, ".part"))
        unlinkat(directory, name, 0);
}

static void scan_folder(Bodies *bodies, const char *name, GHashTable *found)
{
    guint32 folder = 0;
    int fd = parse_number(name, &folder) ? open_subdirectory(bodies->root, name) : -1;
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return;
    }
    guint before = g_hash_table_size(found);
    for (struct dirent *entry; (entry = readdir(directory));)
        scan_entry(bodies, folder, fd, entry->d_name, found);
    closedir(directory);
    if (g_hash_table_size(found) == before)
        unlinkat(bodies->root, name, AT_REMOVEDIR); /* fails if something strange is in it */
}

static void drop_missing(Bodies *bodies, GHashTable *found)
{
    GHashTableIter iter;
    gpointer body;
    g_hash_table_iter_init(&iter, bodies->table);
    while (g_hash_table_iter_next(&iter, &body, NULL)) {
        if (g_hash_table_contains(found, body))
            continue;
        erase(bodies, body);
        g_hash_table_iter_remove(&iter);
    }
}

/* Reading the names is cheap (some tens of milliseconds for 100,000); their lengths are looked at
 * when they are first used. */
static gboolean scan(Bodies *bodies, GError **error)
{
    int fd = open_subdirectory(bodies->root, ".");
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        bodies_fail_errno("bodies", error);
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    g_autoptr(GHashTable) found = g_hash_table_new(NULL, NULL);
    for (struct dirent *entry; (entry = readdir(directory));)
        scan_folder(bodies, entry->d_name, found);
    closedir(directory);
    if (!index_begin(bodies->index, error))
        return FALSE;
    drop_missing(bodies, found);
    return index_commit(bodies->index, error);
}

static int open_root(const char *path, GError **error)
{
    int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (parent < 0) {
        bodies_fail_errno(path, error);
        return -1;
    }
    int root = -1;
    if (mkdirat(parent, "bodies", 0700) == 0 || errno == EEXIST)
        root = open_subdirectory(parent, "bodies");
    if (root < 0)
        bodies_fail_errno("bodies", error);
    close(parent);
    return root;
}

static Bodies *open_store(const char *directory, Index *index, guint64 budget, gboolean only_copies,
                          GError **error)
{
    int root = open_root(directory, error);
    if (root < 0)
        return NULL;
    g_autoptr(Bodies) bodies = g_new0(Bodies, 1);
    bodies->index = index;
    bodies->budget = budget;
    bodies->only_copies = only_copies;
    bodies->strays = g_array_new(FALSE, FALSE, sizeof(BodyStray));
    bodies->root = root;
    bodies->folder_fd = -1;
    bodies->table = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    bodies->pins = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    bodies->open = g_ptr_array_new();
    bodies->dirty = g_ptr_array_new();
    if (!index_each_body(index, load_body, bodies, error) || !scan(bodies, error))
        return NULL;
    meet_budget(bodies, NULL);
    return g_steal_pointer(&bodies);
}

Bodies *bodies_open(const char *directory, Index *index, guint64 budget, GError **error)
{
    return open_store(directory, index, budget, FALSE, error);
}

Bodies *bodies_open_only_copies(const char *directory, Index *index, GError **error)
{
    return open_store(directory, index, 0, TRUE, error);
}

const GArray *bodies_strays(const Bodies *bodies)
{
    return bodies->strays;
}

gboolean bodies_take_in(Bodies *bodies, const BodyStray *stray, GError **error)
{
    return bodies_adopt(bodies, stray->folder, stray->uid, stray->bytes, error);
}

void bodies_set_aside(Bodies *bodies, const BodyStray *stray)
{
    set_aside(bodies, make_key(stray->folder, stray->uid));
}

int bodies_directory(Bodies *bodies, guint32 folder)
{
    int directory = bodies_folder_fd(bodies, folder, FALSE);
    return directory < 0 ? -1 : fcntl(directory, F_DUPFD_CLOEXEC, 0);
}

void bodies_close(Bodies *bodies)
{
    if (!bodies)
        return;
    flush_dirty(bodies);
    while (bodies->open->len > 0)
        close_body(bodies, g_ptr_array_index(bodies->open, bodies->open->len - 1));
    forget_folder_fd(bodies);
    close(bodies->root);
    g_ptr_array_unref(bodies->open);
    g_ptr_array_unref(bodies->dirty);
    g_array_unref(bodies->strays);
    g_hash_table_unref(bodies->pins);
    g_hash_table_unref(bodies->table);
    g_free(bodies);
}

/* ---- using bodies ---- */

/* Drops a body whose file is gone or has another length; FALSE then. */
static gboolean check(Bodies *bodies, Body *body)
{
    if (body->checked)
        return TRUE;
    char name[16];
    struct stat status;
    bodies_name(name, key_uid(body->key));
    int directory = bodies_folder_fd(bodies, key_folder(body->key), FALSE);
    body->checked = directory >= 0 && fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISREG(status.st_mode) && (guint64)status.st_size == body->bytes;
    if (body->checked)
        return TRUE;
    drop_damaged(bodies, body);
    return FALSE;
}

gboolean bodies_has(Bodies *bodies, guint32 folder, MailUid uid, guint64 *length)
{
    Body *body = find(bodies, folder, uid);
    if (!body || !check(bodies, body))
        return FALSE;
    if (length)
        *length = body->bytes;
    return TRUE;
}

void bodies_use(Bodies *bodies, guint32 folder, MailUid uid)
{
    Body *body = find(bodies, folder, uid);
    if (body)
        touch(bodies, body);
}

/* Opens the file, at the cost of the descriptor that was used least recently. */
static gboolean open_body(Bodies *bodies, Body *body)
{
    char name[16];
    bodies_name(name, key_uid(body->key));
    int directory = bodies_folder_fd(bodies, key_folder(body->key), FALSE);
    int fd = directory < 0 ? -1 : openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (guint64)status.st_size != body->bytes) {
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    if (bodies->open->len == OPEN_LIMIT)
        close_body(bodies, g_ptr_array_index(bodies->open, 0));
    g_ptr_array_add(bodies->open, body);
    body->fd = fd;
    body->checked = TRUE;
    return TRUE;
}

int bodies_fd(Bodies *bodies, guint32 folder, MailUid uid, guint64 *length)
{
    Body *body = find(bodies, folder, uid);
    if (!body)
        return -1;
    if (body->fd >= 0) {
        g_ptr_array_remove(bodies->open, body); /* keeps the order */
        g_ptr_array_add(bodies->open, body);
    } else if (!open_body(bodies, body)) {
        drop_damaged(bodies, body);
        return -1;
    }
    touch(bodies, body);
    if (length)
        *length = body->bytes;
    return body->fd;
}

void bodies_pin(Bodies *bodies, guint32 folder, MailUid uid)
{
    guint64 key = make_key(folder, uid);
    Pin *pin = find_pin(bodies, key);
    if (!pin) {
        pin = g_new0(Pin, 1);
        pin->key = key;
        g_hash_table_add(bodies->pins, &pin->key);
    }
    pin->count++;
}

void bodies_unpin(Bodies *bodies, guint32 folder, MailUid uid)
{
    Pin *pin = find_pin(bodies, make_key(folder, uid));
    g_return_if_fail(pin != NULL);
    if (--pin->count > 0)
        return;
    gboolean remove = pin->remove;
    g_hash_table_remove(bodies->pins, &pin->key);
    Body *body = find(bodies, folder, uid);
    if (!body)
        return;
    if (remove) {
        drop(bodies, body);
        return;
    }
    /* Eviction passed it over when it was among the oldest. */
    if (!body->listed)
        list_as_oldest(bodies, body);
    meet_budget(bodies, NULL);
}

void bodies_remove(Bodies *bodies, guint32 folder, MailUid uid)
{
    Pin *pin = find_pin(bodies, make_key(folder, uid));
    if (pin) {
        pin->remove = TRUE;
        return;
    }
    Body *body = find(bodies, folder, uid);
    if (body)
        drop(bodies, body);
}

void bodies_remove_folder(Bodies *bodies, guint32 folder)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, bodies->pins);
    while (g_hash_table_iter_next(&iter, &value, NULL)) {
        Pin *pin = value;
        pin->remove |= key_folder(pin->key) == folder;
    }
    gboolean begun = index_begin(bodies->index, NULL);
    g_hash_table_iter_init(&iter, bodies->table);
    while (g_hash_table_iter_next(&iter, &value, NULL)) {
        Body *body = value;
        if (key_folder(body->key) != folder || find_pin(bodies, body->key))
            continue;
        erase(bodies, body);
        g_hash_table_iter_remove(&iter);
    }
    if (begun)
        index_commit(bodies->index, NULL);
    forget_folder_fd(bodies);
    char name[16];
    g_snprintf(name, sizeof name, "%" G_GUINT32_FORMAT, folder);
    unlinkat(bodies->root, name, AT_REMOVEDIR); /* stays while pinned bodies or parts are in it */
}

guint64 bodies_bytes(const Bodies *bodies)
{
    return bodies->bytes;
}

guint bodies_count(const Bodies *bodies)
{
    return g_hash_table_size(bodies->table);
}

guint64 bodies_budget(const Bodies *bodies)
{
    return bodies->budget;
}

guint64 bodies_next_serial(Bodies *bodies)
{
    return ++bodies->serial;
}

gboolean bodies_adopt(Bodies *bodies, guint32 folder, MailUid uid, guint64 bytes, GError **error)
{
    Body *body = add_body(bodies, make_key(folder, uid), bytes, g_get_real_time());
    body->checked = TRUE;
    if (!record(bodies, body, error)) {
        if (bodies->only_copies) { /* the file stays, for the next time */
            forget_links(bodies, body);
            g_hash_table_remove(bodies->table, &body->key);
        } else {
            drop(bodies, body);
        }
        return FALSE;
    }
    meet_budget(bodies, body);
    return TRUE;
}

void bodies_link(Bodies *bodies, guint32 from, MailUid uid, guint32 to, MailUid new_uid)
{
    const Body *body = find(bodies, from, uid);
    if (!body || find(bodies, to, new_uid) || bodies_folder_fd(bodies, to, TRUE) < 0)
        return;
    g_autofree char *source = g_strdup_printf("%u/%u", from, uid);
    g_autofree char *target = g_strdup_printf("%u/%u", to, new_uid);
    if (linkat(bodies->root, source, bodies->root, target, 0) == 0)
        bodies_adopt(bodies, to, new_uid, body->bytes, NULL);
}
