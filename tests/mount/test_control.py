"""`mailfs status` and its socket: whoever speaks to it, the daemon goes on; whatever is asked, the
command comes back."""

import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest
from support.mounting import wait_until

RAW = b"From: bob@example.com\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture
def mail(account, mount):
    account.client.append(RAW)
    return mount(account)


@pytest.fixture
def connect(mail):
    path, = mail.home.runtime.rglob("*.sock")
    open_ones = []

    def make():
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(path))
        one.settimeout(20)
        open_ones.append(one)
        return one

    yield make
    for one in open_ones:
        one.close()


def everything(client):
    text = b""
    while data := client.recv(65536):
        text += data
    return text


def test_one_line_gets_one_answer(connect):
    client = connect()
    client.sendall(b"sta")
    time.sleep(0.1)
    client.sendall(b"tus\n")
    assert everything(client).endswith(b"\nok\n")


@pytest.mark.parametrize("line", [b"\n", b"nonsense\n", b"status \n", b"\0\0\0\n", b"x" * 100_000,
                                  b"status" + b" " * 1000 + b"\n", b"\xff\xfe\n"])
def test_what_is_no_command(mail, connect, line):
    client = connect()
    try:
        client.sendall(line)
        assert everything(client) == b"failed: no such command\n"
    except (BrokenPipeError, ConnectionResetError):
        pass  # it does not read to the end what is too long
    assert mail.status()["state"] == "online"


def test_clients_that_go_away(mail, connect):
    for text in (b"", b"stat", b"status\n", b"sync\n"):
        client = connect()
        client.sendall(text)
        client.close()
    assert mail.status()["state"] == "online"


def test_silent_clients_are_bounded_and_do_not_last(mail, connect):
    before = len(os.listdir(f"/proc/{mail.pid}/fd"))
    clients = [connect() for _ in range(100)]
    time.sleep(0.5)
    assert len(os.listdir(f"/proc/{mail.pid}/fd")) < before + 50
    assert (mail.path / "INBOX/1.eml").read_bytes() == RAW
    wait_until(lambda: len(os.listdir(f"/proc/{mail.pid}/fd")) <= before + 5,
               what="an end of the silent clients")
    assert mail.status()["state"] == "online"
    assert clients


def test_the_mount_ends_with_clients_about(mail, connect):
    clients = [connect() for _ in range(5)]
    clients[0].sendall(b"sta")
    mail.stop()
    assert all(everything(one) == b"" for one in clients)


# ---- requests with arguments ----

@pytest.mark.parametrize("text, answer", [
    (b"flag\n+seen\n/INBOX/1.eml\n\n", b"ok\n"),
    (b"flag\n\n", b"ok\n"),
    (b"flag\n+a b\n\n", b"failed: a b: a flag is one word"),
    (b"flag\nINBOX/1.eml\n\n", b"failed: INBOX/1.eml: a flag is added by"),
    (b"flag\n+seen\n/%\n\n", b"failed: the request is malformed\n"),
    (b"flag\n+seen\n/%00\n\n", b"failed: the request is malformed\n"),
    (b"flag\n+seen\n/\0\n\n", b"failed: the request is malformed\n"),
    (b"flag\n+seen\n/INBOX/../1.eml\n\n", b"error 1 no such file or directory\nok\n"),
    (b"flag\n+seen\n/\n\n", b"error 1 it is a folder, not a message\nok\n"),
    (b"fetch\n\n", b"progress 0 0 0 0 "),
    (b"fetch\nx\xff\n\n", b"error 1 no such file or directory\n"),
], ids=range(11))
def test_arguments(mail, connect, text, answer):
    client = connect()
    client.sendall(text)
    assert everything(client).startswith(answer)
    assert mail.status()["state"] == "online"


def test_an_endless_argument(mail, connect):
    client = connect()
    try:
        client.sendall(b"flag\n" + b"x" * 40_000)
        assert everything(client) == b"failed: the request is malformed\n"
    except (BrokenPipeError, ConnectionResetError):
        pass  # it does not read to the end what is too long
    assert mail.status()["state"] == "online"


def test_a_request_cut_anywhere(mail, connect):
    text = b"flag\n+seen\n/INBOX/%31.eml\n/INBOX/2.eml\n\n".replace(b"%31", b"1")
    for cut in range(1, len(text)):
        client = connect()
        client.sendall(text[:cut])
        time.sleep(0.01)
        client.sendall(text[cut:])
        assert everything(client) == b"error 2 no such file or directory\nok\n"
        client.close()


def test_half_a_request_changes_nothing(account, mail, connect):
    client = connect()
    client.sendall(b"flag\n+flagged\n/INBOX/1.eml\n")
    client.close()
    mail.sync()
    assert "\\Flagged" not in account.client.flags()[1]


def test_a_client_that_only_writes(mail, connect):
    """Nothing more of it is read than it reads of what it is told, and it does not last."""
    before = mail.rss()
    client = connect()
    client.sendall(b"flag\n+seen\n")
    lines = b"/no/such/file\n" * 5000
    with pytest.raises((TimeoutError, BrokenPipeError, ConnectionResetError)):
        client.settimeout(60)
        for _ in range(1000):
            client.sendall(lines)
    assert (mail.path / "INBOX/1.eml").read_bytes() == RAW
    assert mail.rss() < before + (16 << 20)
    assert mail.status()["state"] == "online"


def test_many_arguments(mail, connect):
    client = connect()
    count = 20_000

    def ask():
        client.sendall(b"flag\n+seen\n" + b"/no/such/file\n" * count + b"\n")

    thread = threading.Thread(target=ask)
    thread.start()
    lines = everything(client).splitlines()
    thread.join()
    assert lines[-1] == b"ok" and len(lines) == count + 1
    assert lines[-2] == b"error %d no such file or directory" % count


# ---- which mount is meant ----

def good(done):
    return done.returncode == 0 and "state: online" in done.stdout


def test_a_path_below_the_mount(mail):
    assert good(mail.home.run("status", mail.path / "INBOX"))
    assert good(mail.home.run("status", mail.path / "INBOX" / "1.eml"))
    assert good(mail.home.run("status", mail.path / "no/such/thing"))
    assert good(mail.home.run("status", f"{mail.path}/"))
    assert good(mail.home.run("status", f"{mail.path}/../{mail.path.name}"))


def test_a_path_through_a_link(mail):
    link = mail.home.directory / "link"
    link.symlink_to(mail.path)
    assert good(mail.home.run("status", link))
    assert good(mail.home.run("status", link / "INBOX"))
    (mail.home.directory / "up").symlink_to(mail.home.directory)
    assert good(mail.home.run("status", mail.home.directory / "up" / mail.path.name / "INBOX"))


def test_a_path_outside(mail):
    done = mail.home.run("status", mail.home.directory)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_a_dead_mount(mail):
    os.kill(mail.pid, signal.SIGKILL)
    wait_until(lambda: not mail.alive(), what="its death")
    for path in (mail.path, mail.path / "INBOX"):
        done = mail.home.run("status", path, timeout=10)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and str(path) in done.stderr
    mail.kill()


def test_a_daemon_that_does_not_answer(mail):
    os.kill(mail.pid, signal.SIGSTOP)
    try:
        done = mail.home.run("status", mail.path / "INBOX", timeout=30)
        assert done.returncode == 1
        assert done.stderr == "mailfs: the daemon does not answer\n"
    finally:
        os.kill(mail.pid, signal.SIGCONT)


def test_a_stale_socket_is_replaced(account, mount):
    mail = mount(account)
    path, = mail.home.runtime.rglob("*.sock")
    mail.crash()
    assert path.exists()
    again = mount(account, path=mail.path)
    assert again.status()["state"] == "online"


@pytest.mark.parametrize("length, works", [(70, True), (120, False)])
def test_a_long_runtime_directory(account, mount, home, length, works):
    """The address of a socket has room for 107 bytes, which is never cut silently."""
    directory = pathlib.Path("/tmp") / ("x" * (length - len("/tmp/")))
    directory.mkdir(mode=0o700)
    home.runtime = directory
    try:
        if works:
            mail = mount(account)
            assert mail.status()["state"] == "online"
            mail.stop()
            return
        done = home.run("-o", f"ca-file={account.server.ca_file}", account.url(),
                        home.new_directory(), password=account.server.password)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and "XDG_RUNTIME_DIR" in done.stderr
    finally:
        subprocess.run(["rm", "-r", directory], check=True)
