/* LIST, LSUB, STATUS, SEARCH, ESEARCH, VANISHED, and the sets of numbers in them. */
#include "imap-parser.h"
#include "imap-token.h"

#include <string.h>

static int compare_ranges(gconstpointer a, gconstpointer b)
{
    const MailUidRange *left = a, *right = b;
    return left->first < right->first ? -1 : left->first > right->first;
}

void imap_set_sort(GArray *set)
{
    if (set->len < 2)
        return;
    gboolean sorted = TRUE;
    MailUidRange *ranges = (MailUidRange *)(void *)set->data;
    for (guint i = 1; sorted && i < set->len; i++)
        sorted = ranges[i].first >= ranges[i - 1].first;
    if (!sorted)
        g_array_sort(set, compare_ranges);
    guint last = 0;
    for (guint i = 1; i < set->len; i++) {
        if (ranges[i].first <= (guint64)ranges[last].last + 1)
            ranges[last].last = MAX(ranges[last].last, ranges[i].last);
        else
            ranges[++last] = ranges[i];
    }
    g_array_set_size(set, last + 1);
}

static gboolean add_range(ImapInput *input, GArray *set, guint64 first, guint64 last)
{
    if (first == 0 || last == 0 || first > G_MAXUINT32 || last > G_MAXUINT32)
        return imap_input_fail(input, "a UID or message number is out of range");
    if (set->len >= IMAP_PARSER_MAX_RANGES)
        return imap_input_fail(input, "a set has too many ranges");
    /* RFC 4315 section 3 and RFC 9051 section 9: "4:2" is "2:4". */
    MailUidRange range = {(MailUid)MIN(first, last), (MailUid)MAX(first, last)};
    g_array_append_val(set, range);
    return TRUE;
}

gboolean imap_set_parse(ImapInput *input, const ImapValue *value, GArray *set)
{
    const char *text = imap_value_text(value);
    if (!text)
        return imap_input_fail(input, "a set of numbers is missing");
    const char *end = text + value->size;
    for (;;) {
        guint64 first, last;
        if (!imap_token_digits(&text, end, &first))
            return imap_input_fail(input, "a set holds what is no number");
        last = first;
        if (text < end && *text == ':') {
            text++;
            if (!imap_token_digits(&text, end, &last))
                return imap_input_fail(input, "a set holds what is no range");
        }
        if (!add_range(input, set, first, last))
            return FALSE;
        if (text == end)
            return TRUE;
        if (*text++ != ',')
            return imap_input_fail(input, "a set holds what is no number");
    }
}

/* NIL is a name like any other where only a string may stand. */
static const char *name_text(const ImapValue *value)
{
    return value && value->type == IMAP_VALUE_NIL ? value->text : imap_value_text(value);
}

static guint32 folder_flag(const ImapValue *value)
{
    static const struct {
        const char *name;
        guint32 flag;
    } names[] = {
        {"\\Noselect", MAIL_FOLDER_NOSELECT},
        {"\\NonExistent", MAIL_FOLDER_NOSELECT | MAIL_FOLDER_NONEXISTENT},
        {"\\Noinferiors", MAIL_FOLDER_NOINFERIORS},
        {"\\Subscribed", MAIL_FOLDER_SUBSCRIBED},
        {"\\All", MAIL_FOLDER_ALL},
        {"\\Archive", MAIL_FOLDER_ARCHIVE},
        {"\\Drafts", MAIL_FOLDER_DRAFTS},
        {"\\Flagged", MAIL_FOLDER_FLAGGED},
        {"\\Junk", MAIL_FOLDER_JUNK},
        {"\\Sent", MAIL_FOLDER_SENT},
        {"\\Trash", MAIL_FOLDER_TRASH},
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (imap_value_is(value, names[i].name))
            return names[i].flag;
    return 0;
}

gboolean imap_list_parse(ImapInput *input, gboolean lsub)
{
    ImapList *list = &input->reply->list;
    const ImapValue *flags;
    if (!imap_input_values(input, &flags))
        return FALSE;
    const ImapValue *delimiter = flags ? flags->next : NULL;
    const ImapValue *name = delimiter ? delimiter->next : NULL;
    list->name = name_text(name);
    if (!list->name)
        return imap_input_fail(input, "LIST without a folder's name");
    for (const ImapValue *flag = flags->child; flag; flag = flag->next)
        list->flags |= folder_flag(flag);
    /* In LSUB \Noselect marks a folder that is not subscribed itself, but has children that are
     * (RFC 3501 section 6.3.9); it tells nothing about selecting it. */
    if (lsub && !(list->flags & MAIL_FOLDER_NOSELECT))
        list->flags |= MAIL_FOLDER_SUBSCRIBED;
    if (lsub)
        list->flags &= ~(guint32)MAIL_FOLDER_NOSELECT;
    const char *text = imap_value_text(delimiter);
    if (text && delimiter->size == 1 && g_ascii_isprint(*text))
        list->delimiter = *text;
    input->reply->type = IMAP_REPLY_LIST;
    return TRUE;
}

static gboolean parse_status_item(ImapInput *input, const ImapValue *item, ImapStatus *status)
{
    const ImapValue *value = item->next;
    if (imap_value_is(item, "MESSAGES"))
        return imap_input_number(input, value, G_MAXUINT32, &status->has_messages,
                                 &status->messages);
    if (imap_value_is(item, "UIDNEXT")) /* one more than the largest UID */
        return imap_input_number(input, value, (guint64)G_MAXUINT32 + 1, &status->has_uidnext,
                                 &status->uidnext);
    if (imap_value_is(item, "UIDVALIDITY"))
        return imap_input_number(input, value, G_MAXUINT32, &status->has_uidvalidity,
                                 &status->uidvalidity);
    if (imap_value_is(item, "HIGHESTMODSEQ"))
        return imap_input_number(input, value, G_MAXINT64, &status->has_highestmodseq,
                                 &status->highestmodseq);
    if (imap_value_is(item, "UNSEEN"))
        return imap_input_number(input, value, G_MAXUINT32, &status->has_unseen, &status->unseen);
    return TRUE;
}

gboolean imap_status_parse(ImapInput *input)
{
    ImapStatus *status = &input->reply->status;
    const ImapValue *name;
    if (!imap_input_values(input, &name))
        return FALSE;
    status->name = name_text(name);
    const ImapValue *items = name ? name->next : NULL;
    /* A name with a space that was not quoted is one sloppy server's folder, and no more. */
    if (!status->name || !items || items->type != IMAP_VALUE_LIST)
        return TRUE;
    for (const ImapValue *item = items->child; item; item = item->next->next) {
        if (!item->next)
            return imap_input_fail(input, "STATUS has an item without a value");
        if (!parse_status_item(input, item, status))
            return FALSE;
    }
    input->reply->type = IMAP_REPLY_MAILBOX_STATUS;
    return TRUE;
}

/* SEARCH names each message: it may be longer than any other response, so that it is read without
 * making values of it. */
gboolean imap_search_parse(ImapInput *input)
{
    GArray *set = input->parser->uids;
    const char *at = input->text + input->at;
    const char *end = input->text + input->size;
    for (;;) {
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if (at == end || *at == '(')
            break;
        guint64 number;
        if (!imap_token_digits(&at, end, &number) || (at < end && *at != ' ' && *at != '\t'))
            return imap_input_fail(input, "SEARCH holds what is no number");
        MailUidRange *last = set->len ? &g_array_index(set, MailUidRange, set->len - 1) : NULL;
        if (last && number == (guint64)last->last + 1 && number <= G_MAXUINT32)
            last->last = (MailUid)number;
        else if (!add_range(input, set, number, number))
            return FALSE;
    }
    input->at = (gsize)(at - input->text);
    const ImapValue *rest;
    if (!imap_input_values(input, &rest))
        return FALSE;
    if (rest && imap_value_is(rest->child, "MODSEQ") &&
        !imap_input_modseq(input, rest->child->next, &input->reply->modseq))
        return FALSE;
    imap_set_sort(set);
    input->reply->uids = set;
    input->reply->type = IMAP_REPLY_SEARCH;
    return TRUE;
}

static gboolean parse_esearch_item(ImapInput *input, const ImapValue *item)
{
    ImapReply *reply = input->reply;
    if (imap_value_is(item, "ALL"))
        return imap_set_parse(input, item->next, input->parser->uids);
    if (imap_value_is(item, "MODSEQ"))
        return imap_input_modseq(input, item->next, &reply->modseq);
    gboolean present;
    if (imap_value_is(item, "COUNT"))
        return imap_input_number(input, item->next, G_MAXUINT32, &present, &reply->number);
    return TRUE;
}

gboolean imap_esearch_parse(ImapInput *input)
{
    ImapReply *reply = input->reply;
    const ImapValue *item;
    if (!imap_input_values(input, &item))
        return FALSE;
    if (item && item->type == IMAP_VALUE_LIST) {
        if (imap_value_is(item->child, "TAG"))
            reply->search_tag = imap_value_text(item->child->next);
        item = item->next;
    }
    if (imap_value_is(item, "UID"))
        item = item->next;
    for (; item; item = item->next->next) {
        if (!item->next)
            return imap_input_fail(input, "ESEARCH has an item without a value");
        if (!parse_esearch_item(input, item))
            return FALSE;
    }
    imap_set_sort(input->parser->uids);
    reply->uids = input->parser->uids;
    reply->type = IMAP_REPLY_ESEARCH;
    return TRUE;
}

gboolean imap_vanished_parse(ImapInput *input)
{
    const ImapValue *value;
    if (!imap_input_values(input, &value))
        return FALSE;
    if (value && value->type == IMAP_VALUE_LIST) {
        input->reply->earlier = imap_value_is(value->child, "EARLIER");
        value = value->next;
    }
    if (value && !imap_set_parse(input, value, input->parser->uids))
        return FALSE;
    imap_set_sort(input->parser->uids);
    input->reply->uids = input->parser->uids;
    input->reply->type = IMAP_REPLY_VANISHED;
    return TRUE;
}
