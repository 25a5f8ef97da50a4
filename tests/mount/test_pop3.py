"""A POP3 maildrop as a directory: the same tests on each of three real servers."""

import contextlib
import errno
import os
import re
import subprocess

import pytest
from support import pop3, samples
from support.compare import digest
from support.mounting import BINARY, wait_until


@pytest.fixture(scope="module", params=list(pop3.SERVER_KINDS))
def kind(request):
    chosen = pop3.SERVER_KINDS[request.param]
    if not getattr(chosen, "available", lambda: True)():
        pytest.skip(f"{request.param} is not here, or not root: scripts/packages test")
    return chosen


@pytest.fixture
def maildrop(kind):
    server = kind()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def proxy(maildrop):
    one = pop3.Proxy(maildrop.port)
    yield one
    one.close()


@pytest.fixture
def inbox(home, maildrop, proxy):
    """inbox(**options): the maildrop mounted, through the proxy."""
    def make(**options):
        options.setdefault("poll", 0)
        options.setdefault("idle", 1)  # a session locks the maildrop for others, too
        return home.mount(maildrop.url(proxy.port), password=maildrop.password, **options)
    return make


def message(number, body=None):
    text = body or f"This is number {number}.\r\n.a line with a dot\r\n"
    return (f"From: Sender {number} <s{number}@example.org>\r\nSubject: number {number}\r\n"
            f"Date: Mon, 01 Jun 2026 10:00:{number % 60:02} +0000\r\n"
            f"Message-ID: <{number}@example.org>\r\n\r\n{text}").encode()


def contents(mail):
    return sorted(digest(entry.read_bytes()) for entry in mail.path.iterdir())


def digests(messages):
    return sorted(digest(raw) for raw in messages)


def test_every_byte(maildrop, inbox):
    """And the same names and inodes after a remount."""
    maildrop.deliver(*(one.raw for one in samples.build() if one.folder == "INBOX"))
    for _ in range(2):
        maildrop.messages()  # mailutils writes into each, too, that it is old and then that it was read
    expected = digests(maildrop.messages())
    mail = inbox()
    seen = {entry.name: entry.stat().st_ino for entry in mail.path.iterdir()}
    assert all(re.fullmatch(r"\d{8}-\d{4}_.*\.\d+\.eml", name) for name in seen)
    assert contents(mail) == expected
    mail.stop()
    again = inbox()
    assert {entry.name: entry.stat().st_ino for entry in again.path.iterdir()} == seen
    assert contents(again) == expected


def test_headers_are_asked_for_once(maildrop, inbox, proxy):
    maildrop.deliver(*map(message, range(30)))
    mail = inbox(refresh=0)
    assert len(os.listdir(mail.path)) == 30
    maildrop.deliver(message(30))
    wait_until(lambda: len(os.listdir(mail.path)) == 31)
    mail.stop()
    mail = inbox(refresh=0)
    wait_until(lambda: len(os.listdir(mail.path)) == 31)
    assert proxy.count("TOP") == 31


def test_downloaded_once(maildrop, inbox, proxy):
    maildrop.deliver(*map(message, range(40)))
    mail = inbox(refresh=3600)
    names = sorted(os.listdir(mail.path))
    before = proxy.count("RETR")  # some are fetched to see whether the server's sizes are true
    for _ in range(3):
        assert b"number" in (mail / names[-1]).read_bytes()
    assert proxy.count("RETR") - before <= 1
    mail.stop()
    mail = inbox(refresh=3600)
    before = proxy.count("RETR")
    assert b"number" in (mail / names[-1]).read_bytes()
    assert proxy.count("RETR") == before


def test_removal(maildrop, inbox, proxy):
    maildrop.deliver(*map(message, range(5)))
    mail = inbox()
    names = sorted(os.listdir(mail.path))
    (mail / names[1]).unlink()
    assert sorted(os.listdir(mail.path)) == names[:1] + names[2:]
    mail.sync()
    assert proxy.count("DELE") == 1
    assert maildrop.count() == 4
    mail.stop()
    assert sorted(os.listdir(inbox().path)) == names[:1] + names[2:]


def test_removal_of_everything(maildrop, inbox):
    maildrop.deliver(*map(message, range(50)))
    mail = inbox()
    mail.shell("rm *.eml")
    assert os.listdir(mail.path) == []
    mail.sync()
    assert maildrop.count() == 0


def test_deletion_elsewhere(maildrop, inbox):
    """What was read stays, what was not goes."""
    maildrop.deliver(*map(message, range(25)))
    mail = inbox(refresh=0)
    names = sorted(os.listdir(mail.path))
    kept = (mail / names[3]).read_bytes()
    here = int(mail.status()["cached-bodies"])
    maildrop.look(lambda client: [client.command(f"DELE {n}") for n in range(1, 26)])
    wait_until(lambda: len(os.listdir(mail.path)) == here, what="the listing of what is here")
    assert (mail / names[3]).read_bytes() == kept
    mail.stop()
    mail = inbox(refresh=0)
    assert (mail / names[3]).read_bytes() == kept
    (mail / names[3]).unlink()
    mail.sync()
    mail.stop()
    assert names[3] not in os.listdir(inbox().path)


def test_offline(maildrop, inbox, home):
    maildrop.deliver(*map(message, range(30)))
    mail = inbox(fetch="all", refresh=3600)
    wait_until(lambda: int(mail.status()["cached-bodies"]) == 30, what="the downloads")
    whole = contents(mail)
    mail.stop()
    maildrop.stop()
    again = inbox()
    assert "offline" in again.stderr
    assert contents(again) == whole
    # What is removed now is removed there later.
    (again / sorted(os.listdir(again.path))[0]).unlink()
    again.crash()
    maildrop.restart()
    online = inbox()
    online.sync()
    assert maildrop.count() == 29


def test_leave_never(maildrop, inbox):
    maildrop.deliver(*map(message, range(30)))
    mail = inbox(leave="never", fetch="all")
    wait_until(lambda: maildrop.count() == 0, timeout=30, what="the removal from the server")
    assert len(contents(mail)) == 30
    mail.stop()
    again = inbox(leave="never", refresh=0)
    assert len(contents(again)) == 30
    maildrop.deliver(message(77))
    wait_until(lambda: len(os.listdir(again.path)) == 31)
    again.stop()


def test_leave_days(maildrop, inbox, home):
    """Counted from the download: the time of the file says when that was."""
    maildrop.deliver(*map(message, range(3)))
    mail = inbox(leave=2, fetch="all")
    wait_until(lambda: int(mail.status()["cached-bodies"]) == 3, what="the downloads")
    mail.stop()
    assert maildrop.count() == 3
    bodies = sorted(path for path in home.data.rglob("bodies/*/*") if path.name.isdigit())
    assert len(bodies) == 3
    for path, days in zip(bodies, (1, 2, 3)):
        stamp = path.stat().st_mtime - days * 24 * 3600 - 60
        os.utime(path, (stamp, stamp))
    mail = inbox(leave=2)
    wait_until(lambda: maildrop.count() == 1, timeout=30, what="the removal of two")
    assert len(os.listdir(mail.path)) == 3


def test_read_state_is_kept_here(maildrop, inbox, home):
    maildrop.deliver(*map(message, range(2)))
    mail = inbox(xattr=True)
    name = sorted(os.listdir(mail.path))[0]
    mail.shell(f"cat {name}")
    flags = lambda one: os.getxattr(one / name, "user.mail.flags")
    wait_until(lambda: flags(mail) == b"seen", what="the read mark")
    assert mail.status()["pending"] == "0"
    mail.stop()
    again = inbox(xattr=True)
    assert flags(again) == b"seen"


def test_new_mail_while_programs_read(maildrop, inbox):
    maildrop.deliver(*map(message, range(200)))
    mail = inbox(refresh=0)
    readers = [mail.shell] * 2
    import threading
    results = []

    def read():
        results.append(mail.shell("cat *.eml | wc -l").stdout)

    threads = [threading.Thread(target=read) for _ in readers]
    for thread in threads:
        thread.start()
    maildrop.deliver(message(500))
    (mail / sorted(os.listdir(mail.path))[-1]).exists()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    wait_until(lambda: any(".201." in name for name in os.listdir(mail.path)))


def test_df(maildrop, inbox):
    """What the maildrop holds is what is used."""
    maildrop.deliver(*(message(number, "x" * 70000 + "\r\n") for number in range(5)))
    mail = inbox()
    size = sum(entry.stat().st_size for entry in mail.path.iterdir())
    space = os.statvfs(mail.path)
    used = (space.f_blocks - space.f_bfree) * space.f_frsize
    assert size > 350000 and 0 <= used - size < space.f_frsize


def test_a_damaged_index(maildrop, inbox, home):
    """No message is lost with it, not even one that is nowhere else."""
    maildrop.deliver(*map(message, range(8)))
    mail = inbox(leave="never", fetch="all", refresh=0)
    wait_until(lambda: maildrop.count() == 0, what="the removal from the server")
    names = sorted(os.listdir(mail.path))
    expected = contents(mail)
    mail.stop()
    index, = home.data.glob("mailfs/*/index.sqlite")
    index.write_bytes(b"this is no database" * 1000)
    for path in home.data.glob("mailfs/*/index.sqlite-*"):
        path.unlink()
    mail = inbox(leave="never", refresh=0)
    assert contents(mail) == expected
    assert {name.split(".")[-2] for name in os.listdir(mail.path)} == \
        {name.split(".")[-2] for name in names}
    maildrop.deliver(message(77))
    wait_until(lambda: len(os.listdir(mail.path)) == 9, timeout=60, what="new mail")


@pytest.mark.parametrize("call, code", [
    (lambda mail, name: os.mkdir(mail / "folder"), errno.EPERM),
    (lambda mail, name: os.rename(mail / name, mail / "other.eml"), errno.EPERM),
    (lambda mail, name: open(mail / "new.eml", "wb"), errno.EROFS),
    (lambda mail, name: (mail / name).write_bytes(b"x"), errno.EPERM),
])
def test_what_pop3_cannot(maildrop, inbox, call, code):
    maildrop.deliver(message(1))
    mail = inbox()
    with pytest.raises(OSError) as caught:
        call(mail, os.listdir(mail.path)[0])
    assert caught.value.errno == code


def test_maildrop_in_use(maildrop, inbox, proxy):
    """Another session holds it, or may: what is known is there meanwhile, the rest comes then."""
    maildrop.deliver(*map(message, range(3)))
    mail = inbox(refresh=0)
    names = sorted(os.listdir(mail.path))
    with contextlib.closing(maildrop.client()):
        assert sorted(os.listdir(mail.path)) == names
        assert (mail / names[0]).read_bytes()
    maildrop.deliver(message(9))
    wait_until(lambda: len(os.listdir(mail.path)) == 4, timeout=30)


def test_fetch_flag_and_events(maildrop, inbox, home):
    """Where the mount point is the folder."""
    maildrop.deliver(*map(message, range(3)))
    mail = inbox(xattr=True, names="uid")
    events = home.directory / "events"
    with open(events, "wb") as out:
        reader = subprocess.Popen([BINARY, "events", mail.path], env=home.environment(),
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: mail.status()["event-readers"] == "1", what="the reader")
        done = home.run("fetch", mail.path)
        assert done.returncode == 0, done.stderr
        assert mail.status()["cached-bodies"] == "3" and done.stderr.startswith(".: ")
        assert home.run("flag", "+flagged", "+todo", mail.path / "2.eml").returncode == 0
        assert os.getxattr(mail.path / "2.eml", "user.mail.flags") == b"flagged todo"
        wait_until(lambda: "flags 2.eml\n" in events.read_text(), what="the event")
    finally:
        reader.kill()
        reader.wait()


@pytest.mark.parametrize("scheme", ["pop3s", "pop3"])
def test_encrypted(account, mount, home, scheme):
    """With TLS from the first byte, and by STLS."""
    account.client.append(message(1))
    mail = mount(account, account.url(scheme), poll=0)
    assert contents(mail) == digests([message(1)])
    assert "TLSv1.3" in home.run("status", mail.path).stdout
    mail.stop()
    wrong = home.run("--check", account.url(scheme), password=account.server.password)
    assert wrong.returncode == 1 and "certificate" in wrong.stderr


def test_check(maildrop, home):
    maildrop.deliver(*map(message, range(3)))
    done = home.run("--check", "-o", "tls=no,leave=7", maildrop.url(), password=maildrop.password)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines["maildrop"].startswith("3 messages, ")
    assert lines["uidl"] == lines["top"] == "yes"
    assert "7 days" in lines["leave"]
    wrong = home.run("--check", "-o", "tls=no", maildrop.url(), password="wrong")
    assert wrong.returncode == 1 and "check the user name and the password" in wrong.stderr


@pytest.mark.parametrize("options, word", [("delete=trash", "POP3"), ("delete=mark", "POP3"),
                                           ("leave=soon", "leave"), ("auth=apop", "APOP")])
def test_options_that_cannot_be(maildrop, home, options, word):
    if maildrop.name == "mailutils" and options == "auth=apop":
        pytest.skip("it offers APOP")
    done = home.run("--check", "-o", f"tls=no,{options}", maildrop.url(),
                    password=maildrop.password)
    assert done.returncode == 1 and word in done.stderr
