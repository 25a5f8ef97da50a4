"""Without a server: what is cached works, the rest fails at once, nothing hangs or turns empty."""

import errno
import os
import pathlib
import signal
import subprocess
import time

import pytest
from support import samples
from support.compare import mount_side, server_side
from support.mounting import wait_until

RAW = [f"From: bob@example.com\r\nSubject: number {n}\r\n\r\nbody {n}\r\n".encode()
       for n in range(1, 31)]


@pytest.fixture
def filled(own_dovecot):
    account = own_dovecot()
    account.client.append_many((raw, (), 1_700_000_000 + n) for n, raw in enumerate(RAW))
    account.client.create("Other")
    account.client.append(RAW[0], "Other")
    return account


def lose(account, mail):
    """Stops the server and waits until the daemon knows."""
    account.close()
    account.server.stop()
    account.reconnect()
    wait_until(lambda: mail.status()["state"] == "offline", what="state: offline")


def test_cached_works_and_the_rest_fails_at_once(filled, mount):
    mail = mount(filled, refresh=1, seen="never")
    listing = mail.names()
    cached = mail.message(2)
    assert cached.read_bytes() == RAW[1]
    lose(filled, mail)

    time.sleep(1.5)
    assert mail.names() == listing
    assert cached.read_bytes() == RAW[1]
    missing = [path for path in map(mail.message, range(1, 31))
               if not body_files(mail, path)]
    start = time.monotonic()
    with pytest.raises(OSError) as caught:
        missing[-1].read_bytes()
    assert time.monotonic() - start < 5  # a connection or an answer is waited for longer
    assert caught.value.errno == errno.ENETUNREACH
    assert set(mail.names("")) >= {"INBOX", "Other", "Trash"}


def body_files(mail, path):
    """Whether the body is on disk: the last uids are not among those verified at the start."""
    uid = path.name.rsplit(".", 2)[1]
    return list(pathlib.Path(mail.home.cache).rglob(f"bodies/*/{uid}"))


def test_a_folder_never_listed_is_not_empty(filled, mount):
    mail = mount(filled)
    lose(filled, mail)
    try:
        assert mail.names("Other") != []
    except OSError as error:
        assert error.errno == errno.ENETUNREACH


def test_back_when_the_server_is(filled, mount):
    mail = mount(filled, refresh=1)
    assert len(mail.names()) == 30
    lose(filled, mail)
    time.sleep(3)
    filled.server.start()
    filled.client.append(b"Subject: new\r\n\r\nnew\r\n")
    wait_until(lambda: mail.status()["state"] == "online", what="online")
    wait_until(lambda: len(mail.names()) == 31, what="the new message")
    assert mail.message(31).read_bytes() == b"Subject: new\r\n\r\nnew\r\n"


def test_killed_server_comes_back(filled, mount):
    mail = mount(filled, refresh=1)
    assert len(mail.names()) == 30
    filled.server.kill()
    filled.reconnect()
    filled.server.start()
    wait_until(lambda: mail.message(30).read_bytes() == RAW[29]
               if readable(mail.message(30)) else False, what="reading again")


def readable(path):
    try:
        path.read_bytes()
        return True
    except OSError:
        return False


def test_offline_start_with_a_cache(filled, mount, home):
    samples.load(filled.client, samples.build()[:20])
    expected = server_side(filled.client)
    mail = mount(filled)
    assert mount_side(mail.path) == expected
    mail.stop()
    filled.server.stop()
    mail = mount(filled)
    warning = mail.stderr.strip()
    assert len(warning.splitlines()) == 1 and "offline" in warning
    assert mount_side(mail.path) == expected
    filled.reconnect()
    filled.server.start()
    wait_until(lambda: mail.status()["state"] == "online", what="online")


def test_interrupt_a_waiting_reader(filled, mount):
    mail = mount(filled, seen="never")
    path = [one for one in map(mail.message, range(1, 31)) if not body_files(mail, one)][-1]
    filled.server.freeze()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        cat = subprocess.Popen(["cat", str(path)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        assert cat.poll() is None
        cat.send_signal(number)
        start = time.monotonic()
        cat.wait(30)
        assert time.monotonic() - start < 10
    # Nobody else waits for the one that hangs.
    assert len(mail.names()) == 30
    filled.server.freeze(False)
    assert path.read_bytes() in RAW


@pytest.mark.deadline(180)
def test_a_silent_server_ends_in_a_timeout(filled, mount):
    mail = mount(filled, seen="never")
    path = [one for one in map(mail.message, range(1, 31)) if not body_files(mail, one)][-1]
    filled.server.freeze()
    start = time.monotonic()
    with pytest.raises(OSError) as caught:
        path.read_bytes()
    assert caught.value.errno in (errno.ETIMEDOUT, errno.ENETUNREACH)
    assert 5 < time.monotonic() - start < 60
    filled.server.freeze(False)


def test_unmount_without_a_server(filled, mount):
    mail = mount(filled)
    mail.shell("cat INBOX/*.1.eml")
    mail.sync()
    lose(filled, mail)
    start = time.monotonic()
    mail.stop()
    assert time.monotonic() - start < 20
    assert os.listdir(mail.path) == []
