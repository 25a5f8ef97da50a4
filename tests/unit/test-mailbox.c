#include "mailbox.h"

#include <string.h>

static void put(Mailbox *mailbox, MailUid uid, const char *from, const char *subject)
{
    Message message = {.uid = uid, .size = uid * 10, .from = from, .subject = subject};
    Message *stored = mailbox_put(mailbox, &message);
    g_assert_cmpuint(stored->uid, ==, uid);
    g_assert_cmpstr(stored->from, ==, from);
}

static void test_order(void)
{
    g_autoptr(Mailbox) mailbox = mailbox_new();
    g_assert_cmpuint(mailbox_last_uid(mailbox), ==, 0);
    g_assert_cmpuint(mailbox_position(mailbox, 1), ==, 0);
    g_assert_null(mailbox_find(mailbox, 1));
    g_assert_false(mailbox_remove(mailbox, 1));

    put(mailbox, 5, "five", "");
    put(mailbox, 9, "nine", "");
    put(mailbox, 2, "two", "");
    put(mailbox, G_MAXUINT32, "last", "");
    g_assert_cmpuint(mailbox_count(mailbox), ==, 4);
    g_assert_cmpuint(mailbox_at(mailbox, 0)->uid, ==, 2);
    g_assert_cmpuint(mailbox_at(mailbox, 1)->uid, ==, 5);
    g_assert_cmpuint(mailbox_last_uid(mailbox), ==, G_MAXUINT32);
    g_assert_cmpuint(mailbox_position(mailbox, 6), ==, 2);
    g_assert_cmpuint(mailbox_position(mailbox, 5), ==, 1);
    g_assert_cmpstr(mailbox_find(mailbox, 9)->from, ==, "nine");

    mailbox_clear(mailbox);
    g_assert_cmpuint(mailbox_count(mailbox), ==, 0);
    put(mailbox, 1, "again", "x");
    g_assert_cmpuint(mailbox_last_uid(mailbox), ==, 1);
}

static void test_strings(void)
{
    g_autoptr(Mailbox) mailbox = mailbox_new();
    char from[] = "sender";
    put(mailbox, 1, from, "");
    from[0] = 'X';
    g_assert_cmpstr(mailbox_find(mailbox, 1)->from, ==, "sender");

    Message none = {.uid = 2};
    Message *stored = mailbox_put(mailbox, &none);
    g_assert_cmpstr(stored->from, ==, "");
    g_assert_true(stored->from == stored->subject); /* one empty string serves all */

    /* 255 bytes and a character of two: it is not cut in half. */
    g_autofree char *long_text = g_strnfill(255, 'x');
    g_autofree char *cut = g_strconcat(long_text, "éé", NULL);
    Message message = {.uid = 3, .from = cut, .subject = ""};
    g_assert_cmpstr(mailbox_put(mailbox, &message)->from, ==, long_text);
}

/* A message may be put back that was taken from the mailbox itself. */
static void test_put_own(void)
{
    g_autoptr(Mailbox) mailbox = mailbox_new();
    for (MailUid uid = 1; uid <= 1000; uid++) {
        put(mailbox, uid * 2, "somebody", "something");
        Message *own = mailbox_find(mailbox, uid * 2);
        mailbox_put(mailbox, own);
        Message moved = *own;
        moved.uid = uid * 2 - 1;
        mailbox_put(mailbox, &moved);
    }
    g_assert_cmpuint(mailbox_count(mailbox), ==, 2000);
    g_assert_cmpstr(mailbox_find(mailbox, 77)->subject, ==, "something");
}

static void count_gone(const Message *message, gpointer data)
{
    guint *sum = data;
    g_assert_true(message->from != NULL);
    *sum += message->uid;
}

static void test_remove_set(void)
{
    g_autoptr(Mailbox) mailbox = mailbox_new();
    g_autoptr(GArray) gone = mail_uid_set_new();
    g_assert_cmpuint(mailbox_remove_set(mailbox, gone, NULL, NULL), ==, 0);
    mail_uid_set_add(gone, 1, 1);
    g_assert_cmpuint(mailbox_remove_set(mailbox, gone, NULL, NULL), ==, 0); /* of none at all */
    mail_uid_set_remove(gone, 1);
    for (MailUid uid = 1; uid <= 10; uid++)
        put(mailbox, uid, "f", "s");
    mail_uid_set_add(gone, 2, 3);
    mail_uid_set_add(gone, 7, 7);
    mail_uid_set_add(gone, 10, 5000);
    guint sum = 0;
    g_assert_cmpuint(mailbox_remove_set(mailbox, gone, count_gone, &sum), ==, 4);
    g_assert_cmpuint(sum, ==, 2 + 3 + 7 + 10);
    g_assert_cmpuint(mailbox_count(mailbox), ==, 6);
    static const MailUid left[] = {1, 4, 5, 6, 8, 9};
    for (guint i = 0; i < G_N_ELEMENTS(left); i++)
        g_assert_cmpuint(mailbox_at(mailbox, i)->uid, ==, left[i]);
    g_assert_cmpuint(mailbox_remove_set(mailbox, gone, NULL, NULL), ==, 0);
}

/* ---- against a model: an array with a slot for each uid ---- */

#define MODEL_SIZE 400

typedef struct {
    gboolean present;
    guint32 flags;
    char *from, *subject;
} Slot;

static char *random_text(void)
{
    char *text = g_strnfill(g_test_rand_int_range(0, 200), 'a');
    for (char *p = text; *p; p++)
        *p = (char)g_test_rand_int_range('a', 'z');
    return text;
}

static void clear_slot(Slot *slot)
{
    g_free(slot->from);
    g_free(slot->subject);
    memset(slot, 0, sizeof *slot);
}

static void model_put(Mailbox *mailbox, Slot *model)
{
    MailUid uid = (MailUid)g_test_rand_int_range(1, MODEL_SIZE);
    Slot *slot = &model[uid];
    clear_slot(slot);
    *slot = (Slot){TRUE, g_test_rand_int() & 0xff, random_text(), random_text()};
    Message message = {
        .uid = uid, .flags = slot->flags, .from = slot->from, .subject = slot->subject};
    mailbox_put(mailbox, &message);
}

static void model_remove(Mailbox *mailbox, Slot *model)
{
    MailUid uid = (MailUid)g_test_rand_int_range(1, MODEL_SIZE);
    g_assert_cmpint(mailbox_remove(mailbox, uid), ==, model[uid].present);
    clear_slot(&model[uid]);
}

static void model_remove_set(Mailbox *mailbox, Slot *model)
{
    g_autoptr(GArray) gone = mail_uid_set_new();
    guint expected = 0;
    for (int ranges = g_test_rand_int_range(1, 6); ranges > 0; ranges--) {
        MailUid first = (MailUid)g_test_rand_int_range(1, MODEL_SIZE);
        MailUid last = first + (MailUid)g_test_rand_int_range(0, 20);
        last = MIN(last, MODEL_SIZE - 1);
        mail_uid_set_add(gone, first, last);
        for (MailUid uid = first; uid <= last; uid++) {
            expected += model[uid].present;
            clear_slot(&model[uid]);
        }
    }
    g_assert_cmpuint(mailbox_remove_set(mailbox, gone, NULL, NULL), ==, expected);
}

static void compare(Mailbox *mailbox, const Slot *model)
{
    guint position = 0;
    for (MailUid uid = 1; uid < MODEL_SIZE; uid++) {
        g_assert_cmpuint(mailbox_position(mailbox, uid), ==, position);
        const Message *message = mailbox_find(mailbox, uid);
        g_assert_cmpint(message != NULL, ==, model[uid].present);
        if (!message)
            continue;
        g_assert_true(mailbox_at(mailbox, position++) == message);
        g_assert_cmpuint(message->flags, ==, model[uid].flags);
        g_assert_cmpstr(message->from, ==, model[uid].from);
        g_assert_cmpstr(message->subject, ==, model[uid].subject);
    }
    g_assert_cmpuint(mailbox_count(mailbox), ==, position);
}

static void test_model(void)
{
    g_autoptr(Mailbox) mailbox = mailbox_new();
    g_autofree Slot *model = g_new0(Slot, MODEL_SIZE);
    for (int step = 0; step < 20000; step++) {
        int choice = g_test_rand_int_range(0, 100);
        if (choice < 70)
            model_put(mailbox, model);
        else if (choice < 97)
            model_remove(mailbox, model);
        else
            model_remove_set(mailbox, model);
        if (step % 50 == 0)
            compare(mailbox, model);
    }
    compare(mailbox, model);
    /* 400 messages of at most 400 bytes: replaced strings do not pile up. */
    g_assert_cmpuint(mailbox_bytes(mailbox), <, 512 * 1024);
    for (guint i = 0; i < MODEL_SIZE; i++)
        clear_slot(&model[i]);
}

static void test_million(void)
{
    g_autoptr(Mailbox) mailbox = mailbox_new();
    g_autofree char *subject = g_strnfill(40, 's');
    for (MailUid uid = 1; uid <= 1000 * 1000; uid++)
        put(mailbox, uid, "twenty bytes of from", subject);
    g_assert_cmpuint(mailbox_bytes(mailbox), <, 140 * 1000 * 1000);
    g_assert_cmpuint(mailbox_find(mailbox, 777777)->size, ==, 7777770);

    /* From the start, as rm -r does it: what is left of memory must shrink too. */
    for (MailUid uid = 1; uid <= 990 * 1000; uid++)
        g_assert_true(mailbox_remove(mailbox, uid));
    g_assert_cmpuint(mailbox_count(mailbox), ==, 10 * 1000);
    g_assert_cmpuint(mailbox_bytes(mailbox), <, 4 * 140 * 10 * 1000);
    g_assert_cmpstr(mailbox_find(mailbox, 999999)->subject, ==, subject);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mailbox/order", test_order);
    g_test_add_func("/mailbox/strings", test_strings);
    g_test_add_func("/mailbox/put-own", test_put_own);
    g_test_add_func("/mailbox/remove-set", test_remove_set);
    g_test_add_func("/mailbox/model", test_model);
    g_test_add_func("/mailbox/million", test_million);
    return g_test_run();
}
