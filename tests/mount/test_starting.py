"""The way into the background: what the daemon inherits, and how its start can be broken off."""

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from support.mounting import BINARY, mounted, wait_until
from support.scripted import MailServer, Message, PASSWORD, ScriptServer

RAW = b"Subject: x\r\n\r\nbody\r\n"


@pytest.fixture
def server():
    with MailServer({"INBOX": [Message(RAW)]}) as one:
        yield one


def mailfs(home, server, path, wrapper=(), **more):
    """Starts mailfs by hand; returns the process, which is the parent of the daemon."""
    reader, writer = os.pipe()
    os.write(writer, PASSWORD.encode())
    os.close(writer)
    try:
        return subprocess.Popen(
            [*wrapper, str(BINARY), "--password-fd", str(reader), "-o", "tls=no", server.url(),
             str(path)], stdin=subprocess.DEVNULL, env=home.environment(), start_new_session=True,
            pass_fds=(reader, *more.pop("pass_fds", ())), **more)
    finally:
        os.close(reader)


def daemons(path):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(path) in words and os.fsencode(BINARY) in words:
            found.append(int(entry.name))
    return found


def unmount(path):
    subprocess.run(["fusermount3", "-u", path], check=True, timeout=20)
    wait_until(lambda: not daemons(path), what="the daemon's end")


def test_it_holds_nothing_of_its_starter(server, home):
    """A lock and a pipe of the shell that started it are free again once it is in the background."""
    path = home.new_directory()
    lock = open(home.directory / "lock", "w", encoding="ascii")
    fcntl.flock(lock, fcntl.LOCK_EX)
    reader, writer = os.pipe()
    process = mailfs(home, server, path, pass_fds=(lock.fileno(), writer),
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(writer)
    lock.close()
    output, _ = process.communicate(timeout=30)  # to the end of the pipe: $(mailfs …) returns
    assert process.returncode == 0 and output == b""
    assert os.read(reader, 1) == b""
    os.close(reader)
    with open(home.directory / "lock", "w", encoding="ascii") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pid, = daemons(path)
    targets = [os.readlink(f"/proc/{pid}/fd/{n}") for n in range(3)]
    assert targets == ["/dev/null"] * 3
    assert os.getsid(pid) == pid
    unmount(path)


def test_closed_standard_files(server, home):
    path = home.new_directory()
    close = (sys.executable, "-c", "import os, sys\nfor n in range(3): os.close(n)\n"
             "os.execv(sys.argv[1], sys.argv[1:])")
    process = mailfs(home, server, path, wrapper=close)
    assert process.wait(30) == 0
    assert (path / "INBOX/1.eml").read_bytes() == RAW
    unmount(path)


@pytest.fixture
def silent():
    """A server that takes connections and says nothing."""
    with ScriptServer(lambda connection: connection.read_line()) as one:
        yield one


@pytest.mark.parametrize("number, whole_group", [(signal.SIGINT, True), (signal.SIGTERM, False),
                                                 (signal.SIGKILL, False)])
def test_breaking_off_the_start(silent, home, number, whole_group):
    """Ctrl-C reaches both processes, `kill` the one that the shell knows. Neither may go on."""
    path = home.new_directory()
    process = mailfs(home, silent, path)
    wait_until(lambda: len(daemons(path)) == 2 and silent.connections, what="both processes")
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert process.wait(30) == -number
    wait_until(lambda: not daemons(path), what="the end of the daemon")
    assert not mounted(path)
    assert not list(home.runtime.rglob("*.sock"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_dies_while_starting(silent, home, number):
    path = home.new_directory()
    process = mailfs(home, silent, path, stderr=subprocess.PIPE)
    wait_until(lambda: len(daemons(path)) == 2 and silent.connections, what="both processes")
    child, = set(daemons(path)) - {process.pid}
    os.kill(child, number)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 1
    assert len(error.splitlines()) == 1 and error.startswith(b"mailfs: ")


def test_a_failed_start_may_be_repeated_at_once(server, home):
    """What is told as failed has let go of the cache and the socket."""
    blocked = home.directory / "blocked"
    blocked.mkdir()
    for _ in range(5):
        server.password = "another"
        process = mailfs(home, server, blocked, stderr=subprocess.DEVNULL)
        assert process.wait(30) == 1
        server.password = PASSWORD
        process = mailfs(home, server, blocked)
        assert process.wait(30) == 0
        unmount(blocked)
        for file in home.cache.rglob("*.sqlite*"):
            file.unlink()


# ---- the mount point ----

def line_of_failure(home, server, path, *words, **more):
    done = home.run(*words, "-o", "tls=no", server.url(), path, password=PASSWORD, **more)
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    assert line.startswith("mailfs: ") and line.count("mailfs: ") == 1
    return line


def test_a_mount_whose_daemon_died(server, home):
    mail = home.mount(server.url(), password=PASSWORD)
    os.kill(mail.pid, signal.SIGKILL)
    wait_until(lambda: not mail.alive(), what="its death")
    line = line_of_failure(home, server, mail.path)
    assert "died" in line and f"fusermount3 -u {mail.path}" in line
    mail.kill()
    again = home.mount(server.url(), password=PASSWORD, path=mail.path)
    assert (again.path / "INBOX/1.eml").read_bytes() == RAW


def test_a_link_and_a_slash(server, home):
    path = home.new_directory()
    link = home.directory / "link"
    link.symlink_to(path)
    assert mailfs(home, server, link).wait(30) == 0
    assert mounted(path)
    assert (link / "INBOX/1.eml").read_bytes() == RAW
    assert "mounted" in line_of_failure(home, server, f"{link}/")
    subprocess.run(["fusermount3", "-u", path], check=True, timeout=20)
    wait_until(lambda: not daemons(link), what="the daemon's end")


def test_a_directory_that_is_not_empty(server, home):
    path = home.new_directory()
    (path / "something").write_text("mine")
    mail = home.mount(server.url(), password=PASSWORD, path=path)
    assert os.listdir(path) == ["INBOX"]
    mail.stop()
    assert (path / "something").read_text() == "mine"


def test_inside_another_mount(server, home):
    mail = home.mount(server.url(), password=PASSWORD)
    with MailServer({"INBOX": [Message(RAW + b"inner\r\n")]}) as other:
        inner = home.mount(other.url(), password=PASSWORD, path=mail.path / "INBOX",
                           cache_directory=home.directory / "inner")
        assert (inner.path / "INBOX/1.eml").read_bytes() == RAW + b"inner\r\n"
        assert mail.status()["mountpoint"] == str(mail.path)
        assert inner.status()["mountpoint"] == str(inner.path)
        inner.stop()
    assert (mail.path / "INBOX/1.eml").read_bytes() == RAW


@pytest.mark.parametrize("name", [b"a,b", b"new\nline", b"latin-1 \xe9", b"back\\slash", b"-o ro",
                                  b"trailing "])
def test_odd_names(server, home, name):
    path = os.path.join(os.fsencode(home.directory), name)
    os.mkdir(path)
    process = mailfs(home, server, os.fsdecode(path))
    assert process.wait(30) == 0
    with open(os.path.join(path, b"INBOX/1.eml"), "rb") as file:
        assert file.read() == RAW
    done = home.run("status", os.fsdecode(path))
    assert done.returncode == 0 and "state: online" in done.stdout
    subprocess.run(["fusermount3", "-u", path], check=True, timeout=20)
    wait_until(lambda: not daemons(path), 30, what="the daemon's end")


# ---- a user who is not root ----

@pytest.fixture
def as_nobody(home):
    """Options of Popen that make mailfs run as an ordinary user with this home."""
    if os.geteuid() != 0:
        return {}
    if os.stat("/dev/fuse").st_mode & 0o006 != 0o006:
        pytest.skip("/dev/fuse is root's alone here")
    os.chmod(home.directory, 0o711)
    for path in home.directory.iterdir():
        if path.is_dir():
            os.chown(path, 65534, 65534)
    return {"user": 65534, "group": 65534, "extra_groups": ()}


def test_a_mount_point_of_somebody_else(server, home, as_nobody):
    path = home.directory / "not-mine"
    path.mkdir(mode=0o555)
    line = line_of_failure(home, server, path, **as_nobody)
    assert str(path) in line and "write" in line


def test_others_must_be_allowed_by_the_system(server, home, as_nobody):
    if os.path.exists("/etc/fuse.conf") and any(
            line.strip() == "user_allow_other" for line in open("/etc/fuse.conf")):
        pytest.skip("this system allows it")
    path = home.new_directory()
    os.chown(path, 65534, 65534)
    line = line_of_failure(home, server, path, "-o", "allow_other", **as_nobody)
    assert "user_allow_other" in line and "/etc/fuse.conf" in line


def test_an_ordinary_user_mounts(server, home, as_nobody):
    path = home.new_directory()
    os.chown(path, *([65534] * 2 if as_nobody else [-1, -1]))
    done = home.run("-o", "tls=no", server.url(), path, password=PASSWORD, **as_nobody)
    assert done.returncode == 0, done.stderr
    if as_nobody:  # not even root looks into another user's mount
        with pytest.raises(PermissionError) as caught:
            os.listdir(path)
        assert caught.value.errno == errno.EACCES
    seen = subprocess.run(["cat", path / "INBOX/1.eml"], capture_output=True, **as_nobody)
    assert seen.stdout == RAW, seen.stderr
    subprocess.run(["fusermount3", "-u", path], check=True, timeout=20)
    wait_until(lambda: not daemons(path), what="the daemon's end")
