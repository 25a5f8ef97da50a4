/* mailbox.h: a folder's messages in memory: one array, ascending by uid.
 *
 * Small on purpose (a million messages must fit): strings live in an arena of the mailbox. Holds no
 * state of the server's connection and does no I/O. */
#pragma once

#include "mail.h"

/* Bits beside MailFlags in Message.flags. */
enum {
    MESSAGE_LENGTH_KNOWN = 1 << 16, /* size is the body's true length */
    MESSAGE_HIDDEN = 1 << 17,       /* removed here, left on the server with \Deleted */
    MESSAGE_REMOVED = 1 << 18,      /* a pending removal: not listed, not found by name */
    MESSAGE_KEYWORDS = 1 << 19,     /* the index has keywords for it */
    MESSAGE_SIZE_SHOWN = 1 << 20,   /* the kernel was told the claimed size as certain */
};

typedef struct {
    MailUid uid;
    guint32 flags;    /* MailFlags as shown (pending changes applied) and MESSAGE_* */
    guint64 size;     /* bytes: claimed, or true when MESSAGE_LENGTH_KNOWN */
    gint64 date;      /* INTERNALDATE, seconds */
    gint64 changed;   /* last flag change, seconds */
    const char *from; /* decoded UTF-8, cut at 256 bytes; never NULL; owned by the mailbox */
    const char *subject;
} Message;

typedef struct Mailbox Mailbox;

Mailbox *mailbox_new(void);
void mailbox_free(Mailbox *mailbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mailbox, mailbox_free)

/* Adds a copy, or replaces the one with the same uid. O(1) when ascending. Pointers to messages
 * are valid only until the next put or remove. */
Message *mailbox_put(Mailbox *mailbox, const Message *message);
Message *mailbox_find(Mailbox *mailbox, MailUid uid);
gboolean mailbox_remove(Mailbox *mailbox, MailUid uid);
/* Removes each uid in `gone` (ascending ranges); calls func (may be NULL) before each. One pass. */
guint mailbox_remove_set(Mailbox *mailbox, const GArray *gone,
                         void (*func)(const Message *message, gpointer data), gpointer data);
void mailbox_clear(Mailbox *mailbox);
guint mailbox_count(const Mailbox *mailbox);
/* The message at a position (0..count-1). */
Message *mailbox_at(Mailbox *mailbox, guint position);
/* The position of the first message with this uid or a larger one; count if none. */
guint mailbox_position(const Mailbox *mailbox, MailUid uid);
/* The largest uid, 0 when empty. */
MailUid mailbox_last_uid(const Mailbox *mailbox);
/* Whether a stored message has this sender and subject, as far as they are kept. */
gboolean mailbox_has_names(const Message *message, const char *from, const char *subject);
gsize mailbox_bytes(const Mailbox *mailbox); /* memory used, for the status page */
