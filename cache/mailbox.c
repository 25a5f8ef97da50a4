#include "mailbox.h"

#include <string.h>

#define FIRST_BLOCK 1024       /* most folders are small; each block is twice the one before ... */
#define BLOCK_SIZE (64 * 1024) /* ... up to this */
#define STRING_LIMIT 256       /* bytes of a sender or subject, without the NUL */

/* The messages are array[first .. first + count). Removing one moves the shorter side, so that
 * `rm -r`, which goes through a folder from its start, does not move the whole rest each time.
 *
 * Strings are never freed alone: they become garbage in their block, and once garbage is half of
 * the arena all live ones are copied to new blocks. */
struct Mailbox {
    Message *array;
    guint first, count, capacity;
    GPtrArray *blocks;
    gsize block_size, block_used; /* of the last block */
    gsize arena;                  /* bytes of all blocks */
    gsize garbage;                /* bytes of dead strings in all blocks */
};

Mailbox *mailbox_new(void)
{
    Mailbox *mailbox = g_new0(Mailbox, 1);
    mailbox->blocks = g_ptr_array_new_with_free_func(g_free);
    return mailbox;
}

void mailbox_free(Mailbox *mailbox)
{
    if (!mailbox)
        return;
    g_ptr_array_unref(mailbox->blocks);
    g_free(mailbox->array);
    g_free(mailbox);
}

/* ---- strings ---- */

/* strlen, or what fits of it without cutting a character. */
static gsize bounded_length(const char *text)
{
    gsize length = strnlen(text, STRING_LIMIT + 1);
    if (length <= STRING_LIMIT)
        return length;
    length = STRING_LIMIT;
    while (length > 0 && ((guchar)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static void arena_grow(Mailbox *mailbox)
{
    gsize size = mailbox->block_size ? mailbox->block_size * 2 : FIRST_BLOCK;
    mailbox->block_size = MIN(size, BLOCK_SIZE);
    mailbox->block_used = 0;
    mailbox->arena += mailbox->block_size;
    g_ptr_array_add(mailbox->blocks, g_malloc(mailbox->block_size));
}

static void arena_reset(Mailbox *mailbox)
{
    mailbox->block_size = mailbox->block_used = mailbox->arena = mailbox->garbage = 0;
}

static const char *arena_add(Mailbox *mailbox, const char *text)
{
    gsize length = text ? bounded_length(text) : 0;
    if (length == 0)
        return "";
    if (mailbox->block_used + length + 1 > mailbox->block_size)
        arena_grow(mailbox);
    char *block = g_ptr_array_index(mailbox->blocks, mailbox->blocks->len - 1);
    char *copy = block + mailbox->block_used;
    memcpy(copy, text, length);
    copy[length] = '\0';
    mailbox->block_used += length + 1;
    return copy;
}

static void arena_drop(Mailbox *mailbox, const char *text)
{
    gsize length = strlen(text);
    if (length > 0)
        mailbox->garbage += length + 1;
}

/* Puts `text` where `*slot` was. */
static void arena_replace(Mailbox *mailbox, const char **slot, const char *text)
{
    if (strcmp(*slot, text ? text : "") == 0)
        return;
    arena_drop(mailbox, *slot);
    *slot = arena_add(mailbox, text);
}

static void arena_compact(Mailbox *mailbox)
{
    if (mailbox->garbage < BLOCK_SIZE || mailbox->garbage < mailbox->arena / 2)
        return;
    GPtrArray *old = mailbox->blocks;
    mailbox->blocks = g_ptr_array_new_with_free_func(g_free);
    arena_reset(mailbox);
    for (guint i = 0; i < mailbox->count; i++) {
        Message *message = mailbox_at(mailbox, i);
        message->from = arena_add(mailbox, message->from);
        message->subject = arena_add(mailbox, message->subject);
    }
    g_ptr_array_unref(old);
}

/* ---- the array ---- */

static void set_capacity(Mailbox *mailbox, guint capacity)
{
    if (mailbox->first > 0)
        memmove(mailbox->array, mailbox->array + mailbox->first, mailbox->count * sizeof(Message));
    mailbox->first = 0;
    mailbox->array = g_renew(Message, mailbox->array, capacity);
    mailbox->capacity = capacity;
}

/* Makes room for one more behind the last. Grows by an eighth only: large blocks are moved by the
 * kernel without being copied, and doubling would waste what a million messages need. */
static void reserve_one(Mailbox *mailbox)
{
    if (mailbox->first + mailbox->count < mailbox->capacity)
        return;
    guint capacity = mailbox->count + mailbox->count / 8 + 16;
    set_capacity(mailbox, MAX(capacity, mailbox->capacity));
}

static void close_gap(Mailbox *mailbox, guint position, guint removed)
{
    Message *base = mailbox->array + mailbox->first;
    guint behind = mailbox->count - position - removed;
    mailbox->count -= removed;
    if (position < behind) {
        memmove(base + removed, base, position * sizeof(Message));
        mailbox->first += removed;
    } else {
        memmove(base + position, base + position + removed, behind * sizeof(Message));
    }
}

/* After removals: gives back memory that has become too much. */
static void shrink(Mailbox *mailbox)
{
    if (mailbox->count < mailbox->capacity / 4)
        set_capacity(mailbox, mailbox->count + mailbox->count / 8 + 16);
    arena_compact(mailbox);
}

/* ---- the interface ---- */

guint mailbox_count(const Mailbox *mailbox)
{
    return mailbox->count;
}

Message *mailbox_at(Mailbox *mailbox, guint position)
{
    g_return_val_if_fail(position < mailbox->count, NULL);
    return mailbox->array + mailbox->first + position;
}

MailUid mailbox_last_uid(const Mailbox *mailbox)
{
    if (mailbox->count == 0)
        return 0;
    return mailbox->array[mailbox->first + mailbox->count - 1].uid;
}

static gboolean is_kept_of(const char *kept, const char *text)
{
    gsize length = bounded_length(text);
    return strlen(kept) == length && memcmp(kept, text, length) == 0;
}

gboolean mailbox_has_names(const Message *message, const char *from, const char *subject)
{
    return is_kept_of(message->from, from) && is_kept_of(message->subject, subject);
}

guint mailbox_position(const Mailbox *mailbox, MailUid uid)
{
    const Message *base = mailbox->array + mailbox->first;
    guint low = 0, high = mailbox->count;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (base[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

Message *mailbox_find(Mailbox *mailbox, MailUid uid)
{
    guint position = mailbox_position(mailbox, uid);
    if (position == mailbox->count)
        return NULL;
    Message *message = mailbox_at(mailbox, position);
    return message->uid == uid ? message : NULL;
}

static void replace(Mailbox *mailbox, Message *old, const Message *message)
{
    Message copy = *message;
    copy.from = old->from;
    copy.subject = old->subject;
    arena_replace(mailbox, &copy.from, message->from);
    arena_replace(mailbox, &copy.subject, message->subject);
    *old = copy;
    arena_compact(mailbox);
}

Message *mailbox_put(Mailbox *mailbox, const Message *message)
{
    guint position = mailbox->count;
    if (message->uid <= mailbox_last_uid(mailbox))
        position = mailbox_position(mailbox, message->uid);
    if (position < mailbox->count && mailbox_at(mailbox, position)->uid == message->uid) {
        replace(mailbox, mailbox_at(mailbox, position), message);
        return mailbox_at(mailbox, position);
    }
    Message copy = *message;
    copy.from = arena_add(mailbox, message->from);
    copy.subject = arena_add(mailbox, message->subject);
    reserve_one(mailbox);
    Message *slot = mailbox->array + mailbox->first + position;
    memmove(slot + 1, slot, (mailbox->count - position) * sizeof(Message));
    *slot = copy;
    mailbox->count++;
    return slot;
}

gboolean mailbox_remove(Mailbox *mailbox, MailUid uid)
{
    Message *message = mailbox_find(mailbox, uid);
    if (!message)
        return FALSE;
    arena_drop(mailbox, message->from);
    arena_drop(mailbox, message->subject);
    close_gap(mailbox, (guint)(message - mailbox->array) - mailbox->first, 1);
    shrink(mailbox);
    return TRUE;
}

guint mailbox_remove_set(Mailbox *mailbox, const GArray *gone,
                         void (*func)(const Message *message, gpointer data), gpointer data)
{
    if (gone->len == 0)
        return 0;
    const MailUidRange *range = &g_array_index(gone, MailUidRange, 0);
    const MailUidRange *last = range + gone->len - 1;
    guint from = mailbox_position(mailbox, range->first);
    guint kept = from;
    /* What stays between the first and the last to go is moved together; then one gap is left. */
    for (; from < mailbox->count && mailbox_at(mailbox, from)->uid <= last->last; from++) {
        Message *message = mailbox_at(mailbox, from);
        while (range->last < message->uid)
            range++;
        if (message->uid < range->first) {
            *mailbox_at(mailbox, kept++) = *message;
            continue;
        }
        if (func)
            func(message, data);
        arena_drop(mailbox, message->from);
        arena_drop(mailbox, message->subject);
    }
    guint removed = from - kept;
    if (removed == 0) /* an empty mailbox has no array */
        return 0;
    close_gap(mailbox, kept, removed);
    shrink(mailbox);
    return removed;
}

void mailbox_clear(Mailbox *mailbox)
{
    g_clear_pointer(&mailbox->array, g_free);
    mailbox->first = mailbox->count = mailbox->capacity = 0;
    g_ptr_array_set_size(mailbox->blocks, 0);
    arena_reset(mailbox);
}

gsize mailbox_bytes(const Mailbox *mailbox)
{
    return sizeof(Mailbox) + mailbox->capacity * sizeof(Message) + mailbox->arena;
}
