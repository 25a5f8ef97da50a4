"""No program ever sees a short, padded or stale message, whatever size the server claims."""

import errno
import os

import pytest
from support.compare import digest
from support.mounting import wait_until
from support.scripted import PASSWORD, MailServer, Message

BODY = b"From: bob@example.com\r\nSubject: sized\r\n\r\n" + b"A line with a needle in it.\r\n" * 40

MMAP = ("import mmap, sys\nfor name in sys.argv[1:]:\n with open(name, 'rb') as f:\n"
        "  m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
        "  sys.stdout.buffer.write(m[:])\n")

READERS = {
    "cat": "cat INBOX/*.eml",
    "tar": "tar c --sort=name INBOX/*.eml | tar xO",
    "mmap": f"python3 -c \"{MMAP}\" INBOX/*.eml",
    "dd": "for f in INBOX/*.eml; do dd if=$f bs=777 status=none; done",
}


def numbered(count, change, body=BODY):
    """Messages whose sizes are misstated by `change` bytes."""
    made = []
    for number in range(1, count + 1):
        raw = body + b"x" * number + b"\r\n"
        made.append(Message(raw, ["\\Seen"], size=max(0, len(raw) + change),
                            internaldate=f"11-Jun-2026 06:{number % 60:02}:00 +0000"))
    return made


@pytest.fixture
def serve(home):
    """serve(messages, **mount options): a mount of a scripted server that holds them."""
    servers = []

    def make(messages, prepare=None, **options):
        server = MailServer({"INBOX": messages})
        if prepare:
            prepare(server)
        servers.append(server.start())
        mail = home.mount(server.url(), password=PASSWORD, **options)
        mail.server = server
        return mail

    yield make
    home.close()
    for one in servers:
        one.stop()
        assert not one.errors


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("change", [-500, 700], ids=["down", "up"])
def test_a_server_that_lies(serve, change, reader):
    messages = numbered(8, change)
    mail = serve(messages)
    got = mail.shell(reader).stdout
    assert got == b"".join(one.raw for one in messages)


@pytest.mark.parametrize("change", [-500, 700, -10_000], ids=["down", "up", "to nothing"])
def test_counting_a_server_that_lies(serve, change):
    messages = numbered(30, change)
    mail = serve(messages)
    counted = mail.shell("wc -c INBOX/*.eml").stdout.split()[0:60:2]
    assert [int(one) for one in counted] == [len(one.raw) for one in messages]
    lines = mail.shell("rg -c --no-ignore --sort path needle INBOX").stdout.splitlines()
    assert [int(line.rpartition(b":")[2]) for line in lines] == [40] * 30
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(mail.path / "INBOX")}
    assert sorted(sizes.values()) == sorted(len(one.raw) for one in messages)
    mail.stop()


@pytest.mark.parametrize("change", [-400_000, 300_000], ids=["down", "up"])
def test_a_lie_about_a_large_message(serve, change):
    body = BODY + b"0123456789abcdef" * 100_000
    mail = serve(numbered(2, change, body))
    for number, message in enumerate(mail.server.folders["INBOX"].messages, 1):
        assert digest(mail.message(number).read_bytes()) == digest(message.raw)
        assert mail.message(number).stat().st_size == len(message.raw)


def test_one_liar_among_few(serve):
    messages = numbered(6, 0)
    messages[3].size += 100
    messages[4].size -= 100
    mail = serve(messages)
    assert mail.shell("cat INBOX/*.eml").stdout == b"".join(one.raw for one in messages)
    assert mail.shell("wc -c < INBOX/4.eml").stdout.strip() == str(len(messages[3].raw)).encode()


def test_the_lesson_is_kept(serve, home):
    messages = numbered(25, -100)
    mail = serve(messages)
    mail.shell("cat INBOX/*.eml")
    server = mail.server
    mail.stop()
    for message in numbered(5, -100):
        server.folders["INBOX"].add(message)
    again = home.mount(server.url(), password=PASSWORD)
    again.shell("ls INBOX; sleep 1; ls INBOX")
    for number, message in enumerate(server.folders["INBOX"].messages, 1):
        assert again.message(number).stat().st_size == len(message.raw)
    again.stop()


def test_short_messages(serve):
    short = [b"", b"\r\n", b"x", b"Subject: no end", b"\r\n\r\n", b"X: y\r\n\r\n"]
    mail = serve([Message(raw) for raw in [*short, BODY]])
    for uid, raw in enumerate(short, 1):
        path = mail.message(uid)
        assert path.read_bytes() == raw
        assert path.stat().st_size == len(raw)
        assert mail.shell(f"cat INBOX/{uid}.eml | wc -c").stdout.strip() == b"%d" % len(raw)
    assert mail.message(len(short) + 1).read_bytes() == BODY


@pytest.mark.parametrize("value", [b"99999999999999999999", b"-5", b"NIL", b"4294967296", None])
def test_nonsense_sizes(serve, value):
    """A reply that breaks the protocol costs the connection, never a wrong message."""
    def prepare(server):
        server.items["RFC822.SIZE"] = lambda session, message: value
    mail = serve(numbered(2, 0), prepare)
    try:
        for number, message in enumerate(mail.server.folders["INBOX"].messages, 1):
            assert (mail.path / f"INBOX/{number}.eml").read_bytes() == message.raw
    except OSError as error:
        assert error.errno in (errno.EPROTO, errno.ENOENT, errno.ENETUNREACH, errno.EIO,
                               errno.ETIMEDOUT)


@pytest.mark.parametrize("value", [b'"01-Jan-0001 00:00:00 +0000"', b'"yesterday"', b"NIL",
                                   b'" 1-Jan-1970 00:00:00 -1200"',
                                   b'"31-Dec-9999 23:59:59 +0000"'])
def test_odd_dates(serve, value):
    def prepare(server):
        server.items["INTERNALDATE"] = lambda session, message: value
    mail = serve(numbered(2, 0), prepare)
    assert len(mail.names()) == 2
    for number, message in enumerate(mail.server.folders["INBOX"].messages, 1):
        assert mail.message(number).read_bytes() == message.raw


def test_a_cut_in_the_middle_of_a_body(serve):
    """The connection breaks once within the literal: the reader waits for the second try."""
    raw = BODY + b"y" * 300_000
    cuts = []

    def prepare(server):
        def cut(session, tag, rest):
            if "HEADER" in rest or "BODY.PEEK[]" not in rest or cuts:
                return False
            cuts.append(rest)
            session.send("* 1 FETCH (UID 1 BODY[] {%d}\r\n" % len(raw), raw[:150_000])
            return session.reset()
        server.hooks["FETCH"] = cut
    mail = serve([Message(raw)], prepare)
    path = mail.path / "INBOX/1.eml"
    for _ in range(3):
        try:
            data = path.read_bytes()
            break
        except OSError as error:  # an error is allowed, half a message is not
            assert error.errno in (errno.ENETUNREACH, errno.EIO, errno.ETIMEDOUT)
            mail.shell("sleep 3")
    assert cuts
    assert data == raw


def test_a_message_that_vanished_meanwhile(serve):
    """Removed by another client between the listing and the reading."""
    messages = numbered(25, 0)
    mail = serve(messages)
    names = mail.names()
    assert len(names) == 25
    del mail.server.folders["INBOX"].messages[-1]
    try:
        # Its body may be among those that were fetched to check the sizes.
        assert (mail.path / "INBOX/25.eml").read_bytes() == messages[24].raw
    except OSError as error:
        assert error.errno == errno.ENOENT


@pytest.mark.deadline(300)
def test_a_hundred_megabytes_in_little_memory(serve):
    line = b"All work and no play makes a long message.\r\n"
    raw = b"Subject: large\r\n\r\n" + line * ((100 << 20) // len(line))
    mail = serve([Message(raw), Message(BODY)])
    assert mail.message(2).read_bytes() == BODY
    before = mail.rss()
    state = mail.shell("sha256sum INBOX/1.eml", timeout=240).stdout.split()[0].decode()
    growth = mail.rss() - before
    assert state == digest(raw)
    assert mail.message(1).stat().st_size == len(raw)
    assert growth < 64 << 20, f"{growth >> 20} MiB more"
    if not mail.sanitized():
        assert mail.rss() < 64 << 20


def test_the_head_of_a_large_message_does_not_fetch_it_all(serve):
    raw = BODY + b"0123456789abcde\n" * (3 << 20)
    sent = []

    def prepare(server):
        def count(session, tag, rest):
            sent.append(rest)
            return False
        server.hooks["FETCH"] = count
    # Windows are for a server whose sizes are known to be right.
    mail = serve([*numbered(30, 0), Message(raw)], prepare)
    mail.shell("ls INBOX; cat INBOX/?.eml INBOX/[12]?.eml", check=False)
    wait_until(lambda: mail.status()["sizes"] == "certain", what="certainty about the sizes")
    sent.clear()
    assert mail.shell("head -c 1000 INBOX/31.eml").stdout == raw[:1000]
    windows = [one for one in sent if "BODY.PEEK[]<" in one]
    assert 0 < len(windows) <= 8, sent
    assert not [one for one in sent if one.endswith("BODY.PEEK[])")], sent
