/* flag-words.h: flags of messages as a person writes them: seen answered flagged deleted draft (in
 * any case, with or without a backslash before them), and keywords: any other word that IMAP can
 * carry. Pure. */
#pragma once

#include "mail.h"

typedef struct {
    guint32 add, remove;                       /* MailFlags */
    GPtrArray *add_keywords, *remove_keywords; /* of char* */
} FlagWords;

void flag_words_init(FlagWords *words);
void flag_words_clear(FlagWords *words);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FlagWords, flag_words_clear)
/* "+flagged" or "-todo". MAIL_ERROR_INVALID: it is no flag, says what is wrong; or both signs of
 * one flag are there. */
gboolean flag_words_take(FlagWords *words, const char *word, GError **error);
gboolean flag_words_empty(const FlagWords *words);
/* "seen todo": what a message has now (as flag_words_text gives it) is changed into exactly this.
 */
gboolean flag_words_set(FlagWords *words, const char *now, const char *text, GError **error);
/* A NULL-terminated list for the account, NULL for an empty one; borrowed. */
const char *const *flag_words_list(const GPtrArray *keywords);
/* "seen flagged todo"; keywords: NULL or separated by spaces. g_free. */
char *flag_words_text(guint32 flags, const char *keywords);
