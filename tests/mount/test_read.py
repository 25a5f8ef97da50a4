"""Every byte of every message, through the cache and without the server."""

import errno
import mmap
import os
import pathlib
import re
import tarfile
import threading

import pytest
from support import samples
from support.compare import digest, mount_side, server_side
from support.mounting import wait_until
from support.scripted import MailServer, Message, PASSWORD

CRLF_TEXT = b"Subject: hello\r\nFrom: bob@example.com\r\n\r\nOne line.\r\n"


def body_fetches(account):
    """FETCH commands for whole or partial bodies that the server has got so far."""
    return sum(log.count("BODY.PEEK[]") for log in account.server.rawlogs(account.user))


def test_samples_are_exact(account, mount):
    samples.load(account.client)
    expected = server_side(account.client)
    mail = mount(account)
    assert mount_side(mail.path) == expected


def test_second_read_and_remount_need_no_server(own_dovecot, mount):
    account = own_dovecot(rawlog=True)
    samples.load(account.client)
    expected = server_side(account.client)
    mail = mount(account, refresh=3600)
    assert mount_side(mail.path) == expected
    fetched = body_fetches(account)
    assert mount_side(mail.path) == expected
    assert body_fetches(account) == fetched
    mail.stop()

    account.server.stop()
    again = mount(account)
    assert "offline" in again.stderr
    assert mount_side(again.path) == expected


@pytest.mark.parametrize("without", [["LITERAL+"], ["QRESYNC", "CONDSTORE"],
                                     ["LIST-STATUS", "SPECIAL-USE", "NAMESPACE", "ENABLE",
                                      "ESEARCH", "ID", "SASL-IR"]])
def test_fewer_capabilities(own_dovecot, mount, without):
    account = own_dovecot(without=without)
    samples.load(account.client, samples.build()[:60])
    assert mount_side(mount(account).path) == server_side(account.client)


@pytest.mark.deadline(400)
def test_corpus(own_dovecot, mount):
    """Real mail, where MAILFS_CORPUS names a directory or a tar file of messages."""
    corpus = os.environ.get("MAILFS_CORPUS")
    if not corpus:
        pytest.skip("MAILFS_CORPUS is not set")
    account = own_dovecot()
    messages = [raw for raw in corpus_messages(pathlib.Path(corpus)) if raw]
    account.client.append_many((raw, (), 1_000_000_000 + number)
                               for number, raw in enumerate(messages))
    mail = mount(account)
    expected = server_side(account.client, ["INBOX"])["INBOX"]
    assert len(expected) == len(messages)
    assert mount_side(mail.path)["INBOX"] == expected


def corpus_messages(path):
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        if not any(tarfile.is_tarfile(one) for one in files):
            yield from (one.read_bytes() for one in files)
            return
    for archive in files if path.is_dir() else [path]:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed:
                yield from (packed.extractfile(one).read() for one in packed if one.isfile())


def test_reads_in_any_order(account, mount):
    raw = CRLF_TEXT + bytes(range(32, 127)) * 20000 + b"\r\n"
    account.client.append(raw)
    mail = mount(account)
    with open(mail.message(1), "rb") as file:
        for offset, size in ((len(raw) - 10, 100), (0, 1), (1_000_000, 70_000), (4095, 2),
                             (len(raw), 10), (len(raw) + 5000, 10)):
            assert os.pread(file.fileno(), size, offset) == raw[offset:offset + size]
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            assert bytes(view) == raw


def test_many_readers_share_one_download(own_dovecot, mount):
    account = own_dovecot(rawlog=True)
    raw = CRLF_TEXT + b"0123456789abcdef" * 32768
    account.client.append(raw)
    mail = mount(account, refresh=3600)
    path = mail.message(1)
    found = []
    readers = [threading.Thread(target=lambda: found.append(digest(path.read_bytes())))
               for _ in range(12)]
    for one in readers:
        one.start()
    for one in readers:
        one.join(60)
    assert found == [digest(account.client.raw(1))] * 12
    # The test's own look at the server was one more; a large one may come in a few windows.
    assert body_fetches(account) <= 6


def test_stat_says_what_a_message_is(account, mount):
    date = 1_718_090_280  # 2024-06-11 07:18 UTC
    account.client.append(CRLF_TEXT, date=date)
    account.client.create("Sub")
    mail = mount(account)
    message = os.stat(mail.message(1))
    assert message.st_mode == 0o100600
    assert (message.st_uid, message.st_gid) == (os.getuid(), os.getgid())
    assert (message.st_size, int(message.st_mtime), message.st_nlink) == (len(CRLF_TEXT), date, 1)
    folder = os.stat(mail.path / "INBOX")
    assert (folder.st_mode, folder.st_nlink) == (0o40700, 1)
    with os.scandir(mail.path / "INBOX") as entries:
        assert [one.is_file(follow_symlinks=False) for one in entries] == [True]
    assert mail.shell("ls -i INBOX").stdout.split()[0] == str(message.st_ino).encode()


def tree(mail):
    """{path below the mount: inode} of everything."""
    found = {}
    for top, folders, files in os.walk(mail.path):
        for name in folders + files:
            path = os.path.join(top, name)
            found[os.path.relpath(path, mail.path)] = os.lstat(path).st_ino
    return found


def test_inodes_and_names_survive_a_remount(account, mount):
    samples.load(account.client, samples.build()[:40])
    mail = mount(account)
    first = tree(mail)
    mail.stop()
    assert tree(mount(account)) == first
    assert len(set(first.values())) == len(first)


def test_unlisted_names(account, mount):
    account.client.append(CRLF_TEXT)
    mail = mount(account)
    assert (mail.path / "INBOX/1.eml").read_bytes() == CRLF_TEXT
    for wrong in ("2.eml", "01.eml", "x.1.eml", "1.eml.eml", "1", ".eml", "4294967296.eml"):
        with pytest.raises(FileNotFoundError):
            (mail.path / "INBOX" / wrong).read_bytes()
    assert not (mail.path / "Nowhere").exists()


def test_statfs_answers(account, mount):
    shown = os.statvfs(mount(account).path)
    assert shown.f_namemax == 255
    assert shown.f_blocks > 0


@pytest.fixture
def emptied(home):
    """A server that answers NIL instead of the last message, or of a part of it, while
    `server.emptied(offset)` is true. Its sizes are trusted."""
    messages = [Message(CRLF_TEXT, ["\\Seen"]) for _ in range(25)]
    messages.append(Message(b"Subject: large\r\n\r\n" + b"0123456789abcde\n" * 200_000, ["\\Seen"]))
    with MailServer({"INBOX": messages}) as server:
        def fetch(session, tag, rest):
            asked = re.fullmatch(r"26 \(UID BODY\.PEEK\[\](?:<(\d+)\.\d+>)?\)", rest)
            if not asked or not server.emptied(int(asked[1] or 0)):
                return False
            origin = f"<{asked[1]}>" if asked[1] else ""
            session.line(f"* {len(session.known)} FETCH (UID 26 BODY[]{origin} NIL)")
            return session.reply(tag)
        server.hooks["FETCH"] = fetch
        server.emptied = lambda offset: False
        server.large = messages[-1]
        server.mail = home.mount(server.url(), password=PASSWORD, refresh=0)
        assert len(server.mail.names()) == 26
        wait_until(lambda: server.mail.status()["sizes"] == "certain", what="trust in the sizes")
        yield server


@pytest.mark.parametrize("begun", [False, True])
def test_a_message_that_is_removed_meanwhile(emptied, begun):
    """Dovecot answers NIL for it, once: that is no message, and no mistake of the server's."""
    def removed(offset):
        if begun and offset == 0:
            return False
        emptied.folders["INBOX"].messages.remove(emptied.large)
        emptied.emptied = lambda offset: False
        return True
    emptied.emptied = removed
    with pytest.raises(FileNotFoundError):
        (emptied.mail.path / "INBOX/26.eml").read_bytes()
    assert emptied.mail.status()["sizes"] == "certain"


def test_a_part_that_comes_empty_once(emptied):
    offsets = []
    emptied.emptied = lambda offset: offset > 0 and not offsets and not offsets.append(offset)
    assert (emptied.mail.path / "INBOX/26.eml").read_bytes() == emptied.large.raw
    assert offsets and emptied.mail.status()["sizes"] == "certain"


def test_a_message_that_always_comes_empty(emptied):
    emptied.emptied = lambda offset: True
    with pytest.raises(OSError) as raised:
        (emptied.mail.path / "INBOX/26.eml").read_bytes()
    assert raised.value.errno == errno.EPROTO
