/* imap-parser.h: what the parts of the reply parser share: imap-reply.c (dispatch, conditions and
 * codes), imap-fetch.c (FETCH, flags) and imap-data.c (folders, searches, sets of numbers). */
#pragma once

#include "imap-reply.h"

#define IMAP_PARSER_MAX_RANGES 1000000

struct ImapReplyParser {
    ImapTree *tree;
    GString *line; /* a copy of a status response, cut into its parts in place */
    GPtrArray *keywords;
    GArray *uids, *uids_to; /* of MailUidRange */
};

/* One response on its way to becoming *reply. */
typedef struct {
    ImapReplyParser *parser;
    const char *text;
    gsize size, at; /* what is before `at` has been understood */
    const ScanLiteral *literals;
    guint n_literals;
    ImapReply *reply;
    const char **error;
} ImapInput;

/* Sets the error and returns FALSE. */
gboolean imap_input_fail(ImapInput *input, const char *error);
/* The rest of the response as values, which last until the next call. */
gboolean imap_input_values(ImapInput *input, const ImapValue **first);
/* What a data item has for a number: *present is FALSE for NIL and for what is none at all, as
 * sloppy servers send it; a number above `max` is an error. */
gboolean imap_input_number(ImapInput *input, const ImapValue *value, guint64 max, gboolean *present,
                           guint64 *number);
/* A modification sequence, as such or in parentheses. */
gboolean imap_input_modseq(ImapInput *input, const ImapValue *value, MailModSeq *modseq);

/* The type-specific parts: each is given the response behind its name. */
gboolean imap_fetch_parse(ImapInput *input);
/* A list of flags. "\*" counts only in PERMANENTFLAGS. */
gboolean imap_flags_parse(ImapInput *input, const ImapValue *list, gboolean permanent,
                          ImapFlags *flags);

gboolean imap_list_parse(ImapInput *input, gboolean lsub);
gboolean imap_status_parse(ImapInput *input);
gboolean imap_search_parse(ImapInput *input);
gboolean imap_esearch_parse(ImapInput *input);
gboolean imap_vanished_parse(ImapInput *input);

/* Adds "1:3,7" to `set` in the order given. */
gboolean imap_set_parse(ImapInput *input, const ImapValue *value, GArray *set);
/* Makes a set of UIDs (mail.h) of ranges in any order. */
void imap_set_sort(GArray *set);
