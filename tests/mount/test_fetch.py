"""`mailfs fetch`: folders and messages for use offline."""

import os
import pty
import re
import subprocess

import pytest
from support.mounting import BINARY, wait_until

RAW = b"From: bob@example.com\r\nSubject: x\r\n\r\nbody\r\n"


def filled(account, count=60, folder="INBOX", size=0):
    account.client.append_many(((RAW + b"x" * size, (), None) for _ in range(count)), folder)


@pytest.fixture
def mail(account, mount):
    filled(account)
    account.client.create("Work/Deep")
    filled(account, 5, "Work/Deep")
    return mount(account, names="uid")


def cached(mail):
    return int(mail.status()["cached-bodies"])


def test_a_folder_that_was_never_listed(mail):
    done = mail.home.run("fetch", mail / "INBOX")
    assert done.returncode == 0, done.stderr
    assert cached(mail) == 60 and done.stdout == ""
    first, last = done.stderr.splitlines()
    assert re.fullmatch(r"INBOX: \d+ messages, [\d.]+ k?B", first)
    assert re.fullmatch(r"fetched \d+ messages, [\d.]+ k?B, in \d+:\d\d; "
                        r"\d+ messages, [\d.]+ k?B, were here", last)


def test_everything_and_offline_then(account, own_dovecot, mount):
    account = own_dovecot()
    filled(account)
    account.client.create("Work/Deep")
    filled(account, 5, "Work/Deep")
    mail = mount(account, names="uid")
    done = mail.home.run("fetch", mail.path)
    assert done.returncode == 0, done.stderr
    assert cached(mail) == 65
    account.server.stop()
    wait_until(lambda: mail.status()["state"] != "online", what="that it notices")
    for folder, count in (("INBOX", 60), ("Work/Deep", 5)):
        for uid in range(1, count + 1):
            assert (mail / folder / f"{uid}.eml").read_bytes() == RAW
    again = mail.home.run("fetch", mail.path)
    assert again.returncode == 0, again.stderr
    assert "fetched 0 messages" in again.stderr and "65 messages" in again.stderr


def test_messages(mail):
    names = mail.names()
    before = cached(mail)
    done = mail.home.run("fetch", mail / "INBOX/7.eml", mail / "INBOX" / names[0])
    assert done.returncode == 0, done.stderr
    assert cached(mail) >= before
    fetched = mail.status()["fetched-bodies"]
    assert (mail / "INBOX/7.eml").read_bytes() == RAW
    assert mail.status()["fetched-bodies"] == fetched


def test_marks_nothing_as_read(account, mail):
    assert mail.home.run("fetch", mail.path).returncode == 0
    mail.sync()
    assert not any(account.client.flags().values())


@pytest.mark.parametrize("name", ["none.eml", "INBOX/99.eml", "INBOX/none", "no/such"])
def test_what_is_not_there(mail, name):
    done = mail.home.run("fetch", mail / name, mail / "Work")
    assert done.returncode == 1
    assert f"mailfs: {mail / name}: no such file or directory\n" in done.stderr
    assert "Work/Deep: " in done.stderr  # the others are fetched


def test_what_is_in_no_mount(mail):
    done = mail.home.run("fetch", mail.home.directory)
    assert done.returncode == 1
    assert done.stderr == f"mailfs: {mail.home.directory}: it is in no mount of yours\n"


@pytest.mark.parametrize("words", [[], ["--"], ["-x"], ["--help"]])
def test_usage(mail, words):
    done = mail.home.run("fetch", *words)
    assert done.returncode == 2 and done.stderr == "usage: mailfs fetch PATH...\n"


def test_too_much_for_the_cache(account, mount):
    filled(account, 40, size=10_000)
    mail = mount(account, names="uid", cache_size=100_000)
    done = mail.home.run("fetch", mail / "INBOX")
    assert done.returncode == 1
    assert re.search(r"left out, since the cache is too small \(cache-size\): 31 messages",
                     done.stderr), done.stderr
    assert int(mail.status()["cached-bytes"]) <= 100_000
    fetched = mail.status()["fetched-bodies"]
    assert len((mail / "INBOX/40.eml").read_bytes()) > 10_000  # the newest are those that are here
    assert mail.status()["fetched-bodies"] == fetched


def test_several_mounts(own_dovecot, account, mount, mail):
    other = own_dovecot()
    filled(other, 3)
    second = mount(other, names="uid")
    done = mail.home.run("fetch", mail / "Work", second / "INBOX", mail / "Work/Deep/1.eml")
    assert done.returncode == 0, done.stderr
    assert cached(second) == 3 and cached(mail) >= 5


def test_a_bar_on_a_terminal(mail):
    leader, follower = pty.openpty()
    process = subprocess.Popen([BINARY, "fetch", mail.path], env=mail.home.environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=follower)
    os.close(follower)
    text = b""
    try:
        while data := os.read(leader, 65536):
            text += data
    except OSError:  # the terminal's other end is closed
        pass
    os.close(leader)
    assert process.wait(30) == 0
    assert re.search(rb"100% \[#+\] (\d+)/\1 messages", text), text
    assert b"\r\x1b[K" in text and b"fetched " in text
    assert b"INBOX: " not in text


def test_ends_early(account, mount):
    """Ctrl-C: what came is kept, and nothing goes on behind the user's back."""
    filled(account, 300, size=100_000)
    mail = mount(account, names="uid")
    process = subprocess.Popen([BINARY, "fetch", mail / "INBOX"], env=mail.home.environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: cached(mail) > 5 or process.poll() is not None, timeout=60, step=0.01)
    process.kill()
    process.wait(20)
    assert (mail / "INBOX/1.eml").stat().st_size > 100_000
    done = mail.home.run("fetch", mail / "INBOX")
    assert done.returncode == 0 and cached(mail) == 300, done.stderr


def test_reading_goes_on_meanwhile(account, mount):
    filled(account, 400, size=50_000)
    mail = mount(account, names="uid")
    mail.names()
    process = subprocess.Popen([BINARY, "fetch", mail / "INBOX"], env=mail.home.environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    for uid in (1, 2, 399):
        assert (mail / f"INBOX/{uid}.eml").read_bytes().startswith(RAW)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert cached(mail) == 400


def test_the_mount_ends_meanwhile(account, mount):
    filled(account, 300, size=100_000)
    mail = mount(account, names="uid")
    process = subprocess.Popen([BINARY, "fetch", mail / "INBOX"], env=mail.home.environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: cached(mail) > 5 or process.poll() is not None, timeout=60, step=0.01)
    mail.stop()
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0 or "the mount ended" in complaints
