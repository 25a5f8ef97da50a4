"""`mailfs events`: a line for each change, for as many readers as there are, whatever they do."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest
from support.mounting import BINARY, wait_until

RAW = b"From: bob@example.com\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture
def mail(account, mount):
    account.client.append_many((RAW, (), None) for _ in range(3))
    account.client.create("Work")
    mail = mount(account, refresh=0, names="uid", xattr=True)
    mail.names("INBOX")
    mail.names("Work")
    return mail


class Reader:
    """`mailfs events` with its lines so far."""

    def __init__(self, mail, where, **more):
        self.mail, self.lines = mail, []
        before = int(mail.status()["event-readers"])
        self.process = subprocess.Popen(
            [BINARY, "events", where], env=mail.home.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=mail.home.directory,
            **more)
        os.set_blocking(self.process.stdout.fileno(), False)
        wait_until(lambda: int(mail.status()["event-readers"]) == before + 1,
                   timeout=60, what="the reader")

    def seen(self):
        try:
            while text := self.process.stdout.read():
                self.lines += text.splitlines()
        except TypeError:  # nothing for now
            pass
        return self.lines

    def expect(self, *lines, folder="INBOX", timeout=60):
        """These come, in any order, while somebody lists the folder, and no others."""
        def come():
            os.listdir(self.mail.path / folder)
            return sorted(self.seen()) == sorted(lines)

        try:
            wait_until(come, timeout)
        except AssertionError:
            raise AssertionError(f"expected {lines}, saw {self.lines}") from None
        self.lines = []

    def end(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def reader(mail):
    """reader(): a new reader of mail's events."""
    made = []

    def make(where=None, **more):
        made.append(Reader(mail, where or mail.path, **more))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_what_others_change(account, mail, reader):
    events = reader()
    account.client.append(RAW)
    events.expect("new INBOX/4.eml")
    account.client.store(2, "\\Flagged")
    events.expect("flags INBOX/2.eml")
    account.client.store(2, "todo")
    events.expect("flags INBOX/2.eml")
    account.client.expunge([1, 3])
    events.expect("gone INBOX/1.eml", "gone INBOX/3.eml")
    account.client.create("Work/A b&c")
    events.expect("folder-new Work/A b&c", folder="Work")
    account.client.delete("Work/A b&c")
    events.expect("folder-gone Work/A b&c", folder="Work")


def test_what_is_removed_here(mail, reader):
    events = reader()
    (mail / "INBOX/2.eml").unlink()
    events.expect("moved INBOX/2.eml")  # to the Trash


def test_what_is_moved_and_copied_here(account, mail, reader, tmp_path):
    events = reader()
    mail.shell("mv INBOX/1.eml Work/")
    mail.sync()
    events.expect("moved INBOX/1.eml", "new Work/1.eml", folder="Work")
    (tmp_path / "mail").write_bytes(RAW)
    mail.shell(f"cp {tmp_path / 'mail'} Work/x && sync Work/x")
    events.expect("new Work/2.eml", folder="Work")


def test_flags_that_are_set_here(mail, reader):
    events = reader()
    assert mail.home.run("flag", "+todo", mail / "INBOX/1.eml", mail / "INBOX/3.eml") \
        .returncode == 0
    mail.sync()
    events.expect("flags INBOX/1.eml", "flags INBOX/3.eml")


def test_new_mail_where_nobody_looks(account, mount, home):
    """The inbox is listed for who asks for events, and then watched."""
    account.client.append(RAW)
    mail = mount(account, names="uid")
    events = Reader(mail, mail.path)
    try:
        wait_until(lambda: mail.status()["messages-in-memory"] == "1", timeout=60, what="a listing")
        account.client.append(RAW)
        wait_until(lambda: events.seen() == ["new INBOX/2.eml"], timeout=60)
    finally:
        events.end()


def test_several_readers_each_from_its_start(account, mail, reader):
    first = reader()
    account.client.append(RAW)
    first.expect("new INBOX/4.eml")
    second = reader(mail.path / "INBOX")
    account.client.append(RAW)
    first.expect("new INBOX/5.eml")
    second.expect("new INBOX/5.eml")


def test_the_kernel_knows_by_then(account, mail, reader):
    """Who acts upon an event finds what it says, whatever the kernel had cached."""
    events = reader()
    for uid in range(4, 14):
        account.client.append(RAW)
    events.expect(*(f"new INBOX/{uid}.eml" for uid in range(4, 14)))
    assert all((mail / f"INBOX/{uid}.eml").exists() for uid in range(4, 14))
    account.client.expunge([1, 2])
    events.expect("gone INBOX/1.eml", "gone INBOX/2.eml")
    assert not (mail / "INBOX/1.eml").exists() and not (mail / "INBOX/2.eml").exists()


def test_for_while_read(account, mail, reader, tmp_path):
    script = ('"$0" events "$1" | while read -r kind path; do '
              'printf "%s|%s\\n" "$kind" "$path" >> "$2"; done')
    out = tmp_path / "out"
    process = subprocess.Popen(["bash", "-c", script, BINARY, mail.path, out],
                               env=mail.home.environment(), stderr=subprocess.DEVNULL)
    wait_until(lambda: mail.status()["event-readers"] == "1", timeout=60, what="the reader")
    account.client.append(RAW)
    wait_until(lambda: mail.names() and out.exists() and out.read_text() == "new|INBOX/4.eml\n",
               timeout=60)
    mail.unmount()
    assert process.wait(30) == 0


def test_ends_with_the_mount(mail, reader):
    events = reader()
    mail.stop()
    assert events.process.wait(30) == 0
    assert events.process.stderr.read() == f"mailfs: {mail.path} was unmounted\n"


def test_ends_with_its_reader(account, mail, reader):
    """Like any program that writes to a pipe, and without waiting for the next event."""
    events = reader()
    events.process.stdout.close()
    assert events.process.wait(60) == -signal.SIGPIPE
    wait_until(lambda: mail.status()["event-readers"] == "0", timeout=60, what="its end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ends_by_signal(mail, reader, number):
    events = reader()
    events.end(number)
    wait_until(lambda: mail.status()["event-readers"] == "0", timeout=60, what="its end")


def test_a_daemon_that_dies(mail, reader):
    events = reader()
    mail.crash()
    assert events.process.wait(60) == 1
    assert events.process.stderr.read() == "mailfs: the daemon went away without an answer\n"


def test_a_slow_reader_misses_some(account, mail, reader):
    """It costs the mount neither memory nor time, and is told how many it missed."""
    folder = "F" * 200
    quick = reader()
    account.client.create(folder)
    account.client.append_many(((RAW, (), None) for _ in range(500)), folder)
    quick.expect(f"folder-new {folder}", folder="")
    mail.names(folder)
    path, = pathlib.Path(mail.home.runtime).rglob("*.sock")
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(str(path))
    slow.settimeout(30)
    slow.sendall(b"events\n")
    wait_until(lambda: mail.status()["event-readers"] == "2", timeout=60, what="the reader")
    for round in range(12):
        account.client.store("1:*", "\\Flagged", folder, "-+"[round % 2 == 0] + "FLAGS.SILENT")
        quick.expect(*(f"flags {folder}/{uid}.eml" for uid in range(1, 501)), folder=folder,
                     timeout=60)
    read = slow.makefile("r")
    lines = []
    while not lines or not lines[-1].startswith("missed "):
        lines.append(read.readline())
    assert len(lines) - 1 + int(lines[-1].split()[1]) == 12 * 500
    account.client.append(RAW)
    quick.expect("new INBOX/4.eml")
    assert read.readline() == "new INBOX/4.eml\n"
    slow.close()
