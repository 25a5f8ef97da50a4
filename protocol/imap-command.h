/* imap-command.h: builds commands: quoting, literals, sequence sets. Does no I/O.
 *
 * A command is a list of chunks: bytes, or the content of a file. One that waits stands behind a
 * synchronizing literal's announcement: it may be sent only after the server's "+". With LITERAL+
 * or LITERAL- (RFC 7888; LITERAL- for literals up to 4096 bytes) no such stop is made. */
#pragma once

#include "mail.h"

typedef struct ImapCommand ImapCommand;

typedef enum {
    IMAP_LITERAL_SYNC,  /* neither is offered */
    IMAP_LITERAL_MINUS, /* LITERAL-: non-synchronizing up to 4096 bytes */
    IMAP_LITERAL_PLUS,  /* LITERAL+ */
} ImapLiteralMode;

/* name: the command with its fixed arguments, e.g. "UID FETCH"; copied. The tag and the final
 * CRLF are not part of it: the session adds them. */
ImapCommand *imap_command_new(const char *name, ImapLiteralMode mode);
void imap_command_free(ImapCommand *command); /* wipes its memory: it may hold a password */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapCommand, imap_command_free)

/* Each of these adds a space and then its argument. */
/* Verbatim; must be trusted text without CR, LF or NUL (asserted). */
void imap_command_atom(ImapCommand *command, const char *text);
void imap_command_number(ImapCommand *command, guint64 number);
/* An astring: as an atom if every byte may stand in one (and it is not NIL), else quoted, else
 * (8-bit, CR, LF, or longer than 1000 bytes) a literal. FALSE, with nothing added, for a text with
 * a NUL. */
gboolean imap_command_astring(ImapCommand *command, const char *text, gsize size);
/* Always quoted or a literal (for `string`, as in LOGIN's password or ID). */
gboolean imap_command_string(ImapCommand *command, const char *text, gsize size);
/* "(\Seen $Junk)": system flags (MailFlags, \Recent and \* never) and keywords (NULL-terminated or
 * NULL). A keyword that is no atom is left out. */
void imap_command_flags(ImapCommand *command, guint32 system, const char *const *keywords);
/* A literal of the first `size` bytes of a file; takes over the descriptor, and closes it with the
 * command. A large one is announced and waits even with LITERAL+: a server that does not want it
 * can say so before it is sent. */
void imap_command_file(ImapCommand *command, int fd, guint64 size);

guint imap_command_chunks(const ImapCommand *command);
/* The bytes of a chunk, the CRLF behind a literal's announcement included; owned by the command. */
const char *imap_command_chunk(const ImapCommand *command, guint index, gsize *size);
gboolean imap_command_chunk_waits(const ImapCommand *command, guint index);
/* The file whose first *size bytes are the chunk's; -1: it is bytes. */
int imap_command_chunk_file(const ImapCommand *command, guint index, guint64 *size);

/* A sequence set as text, e.g. "1:4,7,9:12"; free with g_free. Takes the ranges from *at on and as
 * many as fit `max_length` bytes (at least one), and moves *at behind them. *at == set->len
 * when all are out. RFC 9051 recommends lines of at most 8,000 octets: use 7,000. */
char *imap_sequence_set(const GArray *set, guint *at, gsize max_length);
