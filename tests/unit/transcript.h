/* transcript.h: a server that plays a part, for tests. Each connection has a script of its own, in
 * the order in which they are made. A script is lines:
 *
 *   > text    sends it, and CRLF
 *   ~ text    sends it, and no CRLF, with C's escapes (\r\n) undone
 *   < glob    waits for a line that matches; tags are part of it (a session counts m1, m2, ...)
 *   @ n       waits until n connections were made
 *   .         closes the connection
 *
 * After its last line the server waits for the other side to close, which may say DONE, LOGOUT
 * or QUIT first. */
#pragma once

#include "remote.h"

/* A login without a second thought: the tags go on with m2, or with m3 after ENABLE. */
#define TRANSCRIPT_LOGIN(caps)                                                                     \
    "> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n"                                     \
    "< m1 AUTHENTICATE PLAIN *\n"                                                                  \
    "> m1 OK [CAPABILITY IMAP4rev1 " caps "] in\n"
#define TRANSCRIPT_QRESYNC                                                                         \
    TRANSCRIPT_LOGIN("ENABLE CONDSTORE QRESYNC ESEARCH UIDPLUS")                                   \
    "< m2 ENABLE QRESYNC\n"                                                                        \
    "> * ENABLED QRESYNC\n"                                                                        \
    "> m2 OK on\n"

typedef struct Transcript Transcript;

/* scripts: NULL-terminated, must outlive it. A connection beyond them is closed at once. */
Transcript *transcript_new(const char *const *scripts);
guint16 transcript_port(const Transcript *transcript);
/* For tests that change their mind: how many connections were made so far. */
guint transcript_connections(Transcript *transcript);
/* Waits for all scripts that began to end, and fails the test if one was not followed. The client
 * must have closed its connections. */
void transcript_end(Transcript *transcript);

/* A configuration for it: loopback, no TLS, user "u". */
RemoteConfig transcript_config(const Transcript *transcript);
/* The password "p". */
Secret *transcript_secret(void);

/* Runs the main loop until *flag is not 0; fails the test after some seconds. */
void transcript_wait(const gint *flag);
/* Runs the main loop until nothing has been to do for a moment. */
void transcript_settle(void);
