/* remote_append(): messages on their way from a file to the server. */
#include "remote-client.h"

#include <string.h>

#define DATED "(\\Seen $A) \" 1-Feb-2026 03:04:05 +0000\" "
static const char *const one[] = {"one\r\n", NULL};
static const char *const two[] = {"one\r\n", "three\r\n", NULL};

static void check_append(const char *script, const char *const *texts, const char *told)
{
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, texts, 0);
    work_succeeds(work, told);
    client_end(&client);
}

static void appends(void)
{
    check_append(TRANSCRIPT_LOGIN("") "< m2 APPEND T " DATED "{5}\n> + go\n< one\n<\n"
                                      "> m2 OK [APPENDUID 7 9] x\n",
                 one, "9 in 7 ");
    check_append(TRANSCRIPT_LOGIN("LITERAL+") "< m2 APPEND T " DATED "{5+}\n< one\n<\n"
                                              "> m2 OK [APPENDUID 7 9] x\n",
                 one, "9 in 7 ");
    check_append(TRANSCRIPT_LOGIN("LITERAL-") "< m2 APPEND T " DATED "{5+}\n< one\n<\n> m2 OK x\n",
                 one, "");
}

static void appends_several(void)
{
    check_append(TRANSCRIPT_LOGIN("MULTIAPPEND") "< m2 APPEND T " DATED "{5}\n> + go\n< one\n"
                                                 "<  " DATED "{7}\n> + go\n< three\n<\n"
                                                 "> m2 OK [APPENDUID 7 8:9] x\n",
                 two, "8 9 in 7 ");
    check_append(TRANSCRIPT_LOGIN("MULTIAPPEND LITERAL+") "< m2 APPEND T " DATED "{5+}\n< one\n"
                                                          "<  " DATED "{7+}\n< three\n<\n"
                                                          "> m2 OK [APPENDUID 7 8,11] x\n",
                 two, "8 11 in 7 ");
}

/* Uids that cannot be those of the messages are none. */
static void doubtful_uids(void)
{
    static const char *const codes[] = {"[APPENDUID 7 8:10]",         "[APPENDUID 7 8]",
                                        "[APPENDUID 0 8:9]",          "[APPENDUID 7 0:1]",
                                        "[APPENDUID 7 1:4294967295]", "[COPYUID 7 1:2 3:4]"};
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        g_autofree char *script =
            g_strdup_printf(TRANSCRIPT_LOGIN("MULTIAPPEND LITERAL+") "< m2 APPEND *\n< one\n< *\n"
                                                                     "< three\n<\n> m2 OK %s x\n",
                            codes[i]);
        check_append(script, two, "");
    }
}

static void several_unsupported(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("")}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, two, 0);
    work_fails(work, MAIL_ERROR_UNSUPPORTED);
    client_end(&client);
}

/* Before anything of the message was sent; the connection goes on. */
static void refused_early(const char *reply, MailError code)
{
    g_autofree char *script =
        g_strdup_printf(TRANSCRIPT_LOGIN("") "< m2 APPEND T *{5}\n> m2 NO %s no\n"
                                             "< m3 LIST*\n> m3 OK\n",
                        reply);
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, one, 0);
    work_fails(work, code);
    g_autoptr(Work) list = client_list(&client, FALSE);
    work_succeeds(list, "INBOX ");
    client_end(&client);
}

static void refused(void)
{
    refused_early("[OVERQUOTA]", MAIL_ERROR_OVER_QUOTA);
    refused_early("[TRYCREATE]", MAIL_ERROR_GONE);
    refused_early("[NOPERM]", MAIL_ERROR_NO_PERMISSION);
    refused_early("", MAIL_ERROR_REFUSED);
}

/* `count` messages of one line of 60 KiB each. */
static char **large_texts(guint count)
{
    g_autofree char *line = g_strnfill(60 * 1024, 'x');
    GPtrArray *texts = g_ptr_array_new();
    for (guint i = 0; i < count; i++)
        g_ptr_array_add(texts, g_strdup_printf("%u%s\r\n", i % 10, line));
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(texts, FALSE);
}

/* The rest of what needs no "+" follows after a refusal, for the server takes it for that. */
static void refused_midway(void)
{
    guint count = 200; /* more than the sockets hold */
    g_auto(GStrv) texts = large_texts(count);
    g_autoptr(GString) script = g_string_new(TRANSCRIPT_LOGIN("MULTIAPPEND LITERAL+"));
    g_string_append(script, "< m2 APPEND T *{61443+}\n> m2 NO [OVERQUOTA] full\n");
    for (guint i = 0; i < count; i++)
        g_string_append_printf(script, "< %ux*x\n%s", i % 10,
                               i + 1 < count ? "<  (*) *{61443+}\n" : "<\n");
    g_string_append(script, "< m3 LIST*\n> m3 OK\n");
    Client client = {.scripts = {script->str}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, (const char *const *)texts, 0);
    g_autoptr(Work) list = client_list(&client, FALSE);
    work_fails(work, MAIL_ERROR_OVER_QUOTA);
    work_succeeds(list, "INBOX ");
    client_end(&client);
}

static void large(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GString) script = g_string_new(TRANSCRIPT_LOGIN("LITERAL+"));
    g_auto(GStrv) lines = large_texts(120);
    for (guint i = 0; lines[i]; i++)
        g_string_append(text, lines[i]);
    g_string_append_printf(script, "< m2 APPEND T *{%" G_GSIZE_FORMAT "}\n> + go\n", text->len);
    for (guint i = 0; lines[i]; i++)
        g_string_append_printf(script, "< %ux*x\n", i % 10);
    g_string_append(script, "<\n> m2 OK [APPENDUID 7 9] x\n< m3 LIST*\n> m3 OK\n");
    const char *const texts[] = {text->str, NULL};
    Client client = {.scripts = {script->str}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, texts, 0);
    g_autoptr(Work) list = client_list(&client, FALSE);
    work_succeeds(work, "9 in 7 ");
    work_succeeds(list, "INBOX ");
    client_end(&client);
}

/* The server waits for bytes that are not there: it gets no others in their place. */
static void shorter(void)
{
    static const char *const half[] = {"hal", NULL};
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 APPEND T *{10}\n> + go\n",
                                 TRANSCRIPT_LOGIN("") "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, half, 7);
    work_fails(work, MAIL_ERROR_DISK);
    g_autoptr(Work) list = client_list(&client, FALSE);
    work_succeeds(list, "INBOX ");
    client_end(&client);
}

/* It may have arrived: it is not sent a second time. */
static void lost(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 APPEND T *{5}\n> + go\n< one\n<\n.\n",
                                 TRANSCRIPT_LOGIN("") "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_append(&client, one, 0);
    work_fails(work, MAIL_ERROR_OFFLINE);
    g_autoptr(Work) list = client_list(&client, FALSE);
    work_succeeds(list, "INBOX ");
    client_end(&client);
}

/* A "+" for a literal that did not wait for one, and an OK to half a message. */
static void out_of_turn(void)
{
    Client plus = {.scripts = {TRANSCRIPT_LOGIN("LITERAL+") "< m2 APPEND *\n< one\n<\n> + go\n"}};
    client_start(&plus);
    g_autoptr(Work) work = client_append(&plus, one, 0);
    work_fails(work, MAIL_ERROR_PROTOCOL);
    client_end(&plus);
    Client early = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 APPEND *\n> m2 OK\n"}};
    client_start(&early);
    g_autoptr(Work) other = client_append(&early, one, 0);
    work_fails(other, MAIL_ERROR_PROTOCOL);
    client_end(&early);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/append/one", appends);
    g_test_add_func("/append/several", appends_several);
    g_test_add_func("/append/doubtful-uids", doubtful_uids);
    g_test_add_func("/append/several-unsupported", several_unsupported);
    g_test_add_func("/append/refused", refused);
    g_test_add_func("/append/refused-midway", refused_midway);
    g_test_add_func("/append/large", large);
    g_test_add_func("/append/shorter", shorter);
    g_test_add_func("/append/lost", lost);
    g_test_add_func("/append/out-of-turn", out_of_turn);
    return g_test_run();
}
