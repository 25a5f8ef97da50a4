"""What the kernel still asks: the repeated work is its own. Counted by the daemon."""

import contextlib
import ctypes
import mmap
import os

import pytest
from support import samples
from support.mounting import wait_until


@pytest.fixture
def mail(account, mount):
    """A mount of read messages only: unread ones are watched for a reader."""
    chosen = [samples.Sample(one.folder, one.raw, ("\\Seen",), one.date)
              for one in samples.build()]
    samples.load(account.client, chosen)
    return mount(account, refresh=3600)


def difference(before, after):
    return {name: after[name] - before.get(name, 0) for name in after
            if after[name] != before.get(name, 0)}


def asked(mail, command):
    before = mail.kernel()
    mail.shell(command)
    return difference(before, mail.kernel())


def test_counters_count(mail):
    first = asked(mail, "ls -l INBOX")
    assert first.get("opendir", 0) >= 1
    assert first.get("readdirplus", 0) >= 1
    assert asked(mail, "cat INBOX/*.eml").get("read", 0) >= 1


@contextlib.contextmanager
def resident(mail):
    """Holds the pages of every message in memory: machines may take cached pages away at any time,
    and what is asked for then is none of the file system's doing."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mlock.argtypes = libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    held = []
    try:
        for path in mail.path.rglob("*.eml"):
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                memory = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
            assert memory != ctypes.c_void_p(-1).value
            held.append((memory, size))
            assert libc.mlock(memory, size) == 0, os.strerror(ctypes.get_errno())
        assert len(held) > 100
        yield
    finally:
        for memory, size in held:
            libc.munmap(memory, size)


@pytest.mark.parametrize("tool", ["grep -r lighthouse . > /dev/null",
                                  "rg --no-ignore lighthouse . > /dev/null",
                                  "cat */*.eml > /dev/null",
                                  "tar c . | cat > /dev/null"])
def test_second_pass_asks_for_nothing(mail, tool):
    mail.shell(tool)
    with resident(mail):
        # A GETATTR or two may come: reading makes access times stale, a first listing a folder's.
        again = asked(mail, tool)
    for name in ("open", "release", "flush", "read", "lookup"):
        assert again.get(name, 0) == 0, again


def test_opens_send_no_message(mail):
    first = asked(mail, "grep -r lighthouse . > /dev/null")
    assert first.get("open", 0) <= 1  # one, to learn that none is needed
    assert first.get("release", 0) == 0
    assert first.get("flush", 0) <= 1
    assert first.get("lookup", 0) <= first.get("opendir", 0) + 5, first


def test_second_listing_is_the_kernels(mail):
    mail.shell("ls -l INBOX Archive")
    mail.shell("ls -l INBOX Archive")
    again = asked(mail, "ls -l INBOX Archive")
    assert again.get("opendir", 0) <= 2, again
    for name in ("lookup", "getattr", "readdir", "readdirplus", "getxattr", "listxattr"):
        assert again.get(name, 0) == 0, again


def test_find_walks_once(mail):
    first = asked(mail, "find . -type f -size +1k > /dev/null")
    folders = sum(1 for _ in os.walk(mail.path))
    assert first.get("opendir", 0) <= folders + 2, first
    assert first.get("getattr", 0) <= folders + 2, first


def test_no_attributes_are_asked_for(mail):
    first = asked(mail, "ls -l INBOX")
    assert first.get("getxattr", 0) <= 1


def test_a_forgotten_inode_is_forgotten(account, mount):
    """Lookup counts add up: dropping the kernel's caches gives every inode back."""
    if os.geteuid() != 0:
        pytest.skip("only root may drop the kernel's caches")
    samples.load(account.client)
    mail = mount(account)
    mail.shell("ls -lR . > /dev/null")
    names = ("forget", "forget-multi", "batch-forget")
    before = mail.kernel(*names)
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
        control.write("2\n")
    wait_until(lambda: mail.kernel(*names) > before, what="a FORGET")
    assert mail.shell("cat INBOX/*.eml | wc -c").stdout.strip() != b"0"
