"""A folder of MAILFS_TEST_MESSAGES (default 100,000) messages."""

import os
import pathlib
import time

import pytest
from support.mounting import wait_until

COUNT = int(os.environ.get("MAILFS_TEST_MESSAGES", "100000"))
VARIANTS = 500  # hard links of one file have a limit, and different messages say more


def fill_maildir(server, user, count):
    """Writes a Maildir behind the server's back: far faster than APPEND."""
    top = server.home(user) / "Maildir"
    for name in ("cur", "new", "tmp"):
        (top / name).mkdir(parents=True, exist_ok=True)
    originals = []
    for number in range(min(VARIANTS, count)):
        raw = (f"From: Sender {number % 40} <s{number % 40}@example.org>\r\n"
               f"Subject: Topic {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
               f"Text of message {number}.\r\n").encode()
        name = f"{1_600_000_000 + number}.M{number}.host,S={len(raw)},W={len(raw)}:2,S"
        path = top / "cur" / name
        path.write_bytes(raw)
        os.utime(path, (1_600_000_000 + number * 60,) * 2)
        originals.append((path, len(raw)))
    for number in range(len(originals), count):
        path, size = originals[number % len(originals)]
        os.link(path, top / "cur" / f"{1_600_000_000 + number}.M{number}.host,"
                                    f"S={size},W={size}:2,S")
    server.own(server.home(user))


@pytest.mark.deadline(360)
def test_a_large_folder_lists_completely(own_dovecot, mount, record_property):
    account = own_dovecot(storage="maildir")
    fill_maildir(account.server, account.user, COUNT)
    # The server builds its own index now, so that what is measured below is mailfs.
    assert account.client.select() == COUNT
    account.client.imap.fetch("1:*", "(UID RFC822.SIZE INTERNALDATE)")
    account.client.imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE MESSAGE-ID)])")

    start = time.monotonic()
    mail = mount(account, refresh=3600)
    names = wait_until(lambda: complete(mail), timeout=240, what="the whole listing")
    record_property("first_listing_seconds", round(time.monotonic() - start, 2))
    assert len(names) == COUNT
    assert len(set(names)) == COUNT
    assert {int(name.rsplit(".", 2)[1]) for name in names} == set(range(1, COUNT + 1))

    start = time.monotonic()
    assert sum(1 for _ in os.scandir(mail.path / "INBOX")) == COUNT
    record_property("second_listing_seconds", round(time.monotonic() - start, 2))
    listed = mail.shell("ls -l INBOX | wc -l", timeout=200).stdout.strip()
    assert int(listed) == COUNT + 1

    rss = mail.rss()
    record_property("rss_mib", rss >> 20)
    if not mail.sanitized():
        assert rss < 200 << 20
    sample = mail.message(COUNT)
    assert sample.read_bytes().startswith(b"From: Sender")
    last = pathlib.Path(sample)
    account.client.append(b"Subject: one more\r\n\r\nx\r\n")
    assert last.stat().st_size > 0

    mail.stop()
    start = time.monotonic()
    mail = mount(account)
    again = os.listdir(mail.path / "INBOX")
    record_property("remount_seconds", round(time.monotonic() - start, 2))
    assert set(names) <= set(again)


def complete(mail):
    names = os.listdir(mail.path / "INBOX")
    return names if len(names) >= COUNT else None


@pytest.mark.deadline(240)
def test_a_reader_does_not_wait_for_a_listing(own_dovecot, mount):
    """A cached message can be read while a large folder is on its way."""
    account = own_dovecot(storage="maildir")
    raw = b"From: bob@example.com\r\nSubject: small\r\n\r\nsmall\r\n"
    account.client.create("Small")
    account.client.append(raw, "Small")
    account.close()
    account.reconnect()
    fill_maildir(account.server, account.user, min(COUNT, 20_000))
    mail = mount(account)
    assert (mail.path / "Small/1.eml").read_bytes() == raw
    listing = os.fork()
    if listing == 0:
        os.execvp("ls", ["ls", "-f", str(mail.path / "INBOX"), "/dev/null/x"])
    try:
        slowest = 0.0
        for _ in range(50):
            start = time.monotonic()
            with open(mail.path / "Small/1.eml", "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                assert file.read() == raw
            slowest = max(slowest, time.monotonic() - start)
        assert slowest < (2 if mail.sanitized() else 0.5)
    finally:
        os.waitpid(listing, 0)
