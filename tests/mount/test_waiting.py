"""Programs that wait for a server which does not answer: they can be ended, and so can the mount."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.mounting import wait_until
from support.scripted import Folder, MailServer, Message, PASSWORD

SMALL = 24  # bodies enough to trust the server's sizes
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcde\n" * (1 << 18)


class Stalling(MailServer):
    """Answers nothing that asks for a body, or for the folder "Frozen", between stall() and resume()."""

    def __init__(self, flags):
        small = [Message(f"Subject: {n}\r\n\r\nbody {n}\r\n".encode(), flags) for n in range(SMALL)]
        super().__init__({"INBOX": small + [Message(BIG, flags)], "Frozen": Folder(small[:1])})
        self._running = threading.Event()
        self._running.set()
        for name in ("FETCH", "SELECT", "EXAMINE"):
            self.hooks[name] = self._hook

    def stall(self):
        self._running.clear()

    def resume(self):
        self._running.set()

    def wait_while_stalled(self):
        self._running.wait(100)
        return False

    def _hook(self, session, tag, rest):
        if "BODY.PEEK[]" in rest or "Frozen" in rest:
            self.wait_while_stalled()
        return False


@pytest.fixture(params=[("\\Seen",)], ids=["seen"])
def server(request):
    with Stalling(request.param) as one:
        yield one
        one.resume()


@pytest.fixture
def mail(server, home):
    mail = home.mount(server.url(), password=PASSWORD)
    assert len(mail.names()) == SMALL + 1
    wait_until(lambda: mail.status()["sizes"] == "certain", what="trust in the sizes")
    server.stall()
    yield mail
    server.resume()


def waiting(mail):
    return int(mail.status()["waiting-requests"])


def start(mail, *words, **more):
    """A program that soon waits for the server."""
    program = subprocess.Popen(words, cwd=mail.path, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more)
    wait_until(lambda: waiting(mail) > 0, what="a waiting request")
    return program


def python(code):
    return sys.executable, "-c", code


READ = f"import os; data = open('INBOX/{SMALL + 1}.eml', 'rb').read()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_cat_can_be_ended(mail, number):
    cat = start(mail, "cat", f"INBOX/{SMALL + 1}.eml")
    cat.send_signal(number)
    assert cat.wait(30) == -number
    wait_until(lambda: waiting(mail) == 0, what="the end of its request")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ls_can_be_ended(mail, number):
    """Opening a directory is no READ: the kernel waits for our answer even after SIGKILL."""
    ls = start(mail, "ls", "Frozen")
    ls.send_signal(number)
    assert ls.wait(30) == -number


def test_a_caught_interrupt_ends_the_call(mail):
    program = start(mail, *python("try:\n import os; fd = os.open('INBOX/%d.eml', os.O_RDONLY)\n"
                                  " os.read(fd, 1 << 20)\nexcept KeyboardInterrupt: raise "
                                  "SystemExit(7)" % (SMALL + 1)))
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 7


def test_an_alarm_ends_the_call(mail):
    program = start(mail, *python(
        "import signal\ndef ring(*_): raise SystemExit(8)\nsignal.signal(signal.SIGALRM, ring)\n"
        "signal.alarm(5)\n" + READ))
    assert program.wait(30) == 8


def test_other_caught_signals_do_not_end_the_call(mail, server):
    """The runtime of Go interrupts its own threads all the time."""
    program = start(mail, *python(
        "import signal\nfor n in (signal.SIGURG, signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH):"
        f" signal.signal(n, lambda *_: None)\n{READ}\nprint(len(data))"))
    for _ in range(200):
        for number in (signal.SIGURG, signal.SIGUSR1, signal.SIGWINCH):
            program.send_signal(number)
        time.sleep(0.005)
    assert program.poll() is None
    server.resume()
    output, _ = program.communicate(timeout=60)
    assert int(output) == len(BIG)


def test_the_others_wait_on(mail, server):
    """One of two readers of a message is killed; the other gets it whole."""
    first = start(mail, "cat", f"INBOX/{SMALL + 1}.eml")
    second = subprocess.Popen(["cksum"], stdin=open(mail.path / f"INBOX/{SMALL + 1}.eml", "rb"),
                              stdout=subprocess.PIPE)
    first.kill()
    first.wait(30)
    server.resume()
    output, _ = second.communicate(timeout=60)
    assert output.split()[1] == str(len(BIG)).encode()


# ---- the mount's own end ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_mount_ends_while_somebody_waits(mail, number):
    program = start(mail, *python(f"try:\n {READ}\nexcept OSError as e: raise SystemExit(e.errno)"))
    os.kill(mail.pid, number)
    assert program.wait(30) in (errno.ENETUNREACH, errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    mail.await_exit()
    assert not os.path.ismount(mail.path)


@pytest.mark.parametrize("server", [()], indirect=True, ids=["unread"])
def test_the_mount_ends_while_the_kernel_is_being_told(server, home):
    """Pages of an unread message are dropped, which waits in the kernel for a READ of it: that READ
    is answered also when the mount ends, else neither would ever end."""
    mail = home.mount(server.url(), password=PASSWORD)
    assert len(mail.names()) == SMALL + 1
    wait_until(lambda: mail.status()["sizes"] == "certain", what="trust in the sizes")
    fetched = threading.Event()

    def after_one_window(session, tag, rest):
        if "BODY.PEEK[]" in rest and fetched.is_set():
            server.stall()
        fetched.set()
        return Stalling._hook(server, session, tag, rest)

    server.hooks["FETCH"] = after_one_window
    program = start(mail, *python(f"try:\n {READ}\nexcept OSError as e: raise SystemExit(e.errno)"))
    time.sleep(1.5)
    os.kill(mail.pid, signal.SIGTERM)
    assert program.wait(30) > 0
    mail.await_exit()
    server.resume()


def test_a_lazily_unmounted_mount_serves_its_last_reader(mail, server):
    program = start(mail, "cat", f"INBOX/{SMALL + 1}.eml")
    subprocess.run(["fusermount3", "-uz", mail.path], check=True, timeout=10)
    server.resume()
    output, _ = program.communicate(timeout=60)
    assert output == BIG
    mail.await_exit()


# ---- ending twice ----

@pytest.fixture
def deaf():
    """A server that answers everything but STORE."""
    server = MailServer({"INBOX": [Message(b"Subject: x\r\n\r\nbody\r\n")]})
    server.hooks["STORE"] = lambda session, tag, rest: time.sleep(60) or True
    with server:
        yield server
        server.disconnect()


def test_a_second_signal_ends_it_at_once(deaf, home):
    mail = home.mount(deaf.url(), password=PASSWORD)
    mail.shell("cat INBOX/1.eml")
    wait_until(lambda: mail.status()["pending"] != "0", what="a pending change")
    os.kill(mail.pid, signal.SIGTERM)
    time.sleep(1)
    assert mail.alive(), "it does not even try to send what is pending"
    assert not os.path.ismount(mail.path)
    os.kill(mail.pid, signal.SIGTERM)
    mail.await_exit()


def test_a_known_listing_does_not_wait_long(server, home):
    """A server that stalls makes `ls` of a folder that is known show what is known, not hang."""
    mail = home.mount(server.url(), password=PASSWORD, refresh=1)
    assert len(mail.names("Frozen")) == 1
    time.sleep(1.2)
    server.hooks["NOOP"] = server.hooks["LIST"] = \
        lambda session, tag, rest: server.wait_while_stalled()
    server.stall()
    start = time.monotonic()
    assert len(mail.names("Frozen")) == 1
    assert time.monotonic() - start < 20  # the server's own deadline would be 30
    server.resume()
