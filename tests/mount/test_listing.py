"""What a directory says of itself and of what is in it, call by call."""

import ctypes
import errno
import os
import stat
import subprocess
import time

import pytest
from support.mounting import wait_until
from support.scripted import Folder, MailServer, Message, PASSWORD

COUNT = 3000


def message(n, flags=("\\Seen",)):
    return Message(f"From: Alice <a@example.org>\r\nSubject: number {n}\r\n\r\nbody {n}\r\n".encode(),
                   flags)


@pytest.fixture(scope="module")
def mail():
    """Only read, by all tests."""
    from support.mounting import Home, deadline
    folders = {"INBOX": [message(n) for n in range(1, COUNT + 1)],
               "INBOX/Sub": [message(1)], "Empty": Folder(), "x" * 255: Folder(),
               "ä" * 127: Folder()}
    home = Home()
    with MailServer(folders) as server:
        try:
            with deadline(200, home):
                mail = home.mount(server.url(), password=PASSWORD, xattr=True)
                mail.names()
                yield mail
        finally:
            home.close()


# ---- entries as the C library sees them ----

class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort),
                ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.restype = ctypes.c_long
libc.readdir.argtypes = libc.telldir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


class Directory:
    def __init__(self, path):
        self.stream = libc.opendir(os.fsencode(path))
        assert self.stream, os.strerror(ctypes.get_errno())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.closedir(self.stream)

    def read(self):
        entry = libc.readdir(self.stream)
        return (entry.contents.name.decode(), entry.contents.ino, entry.contents.type) \
            if entry else None

    def rest(self):
        return list(iter(self.read, None))

    def tell(self):
        return libc.telldir(self.stream)

    def seek(self, position):
        libc.seekdir(self.stream, position)


DT_DIR, DT_REG = 4, 8


@pytest.mark.parametrize("folder", ["", "INBOX", "INBOX/Sub", "Empty"])
def test_types_and_inodes(mail, folder):
    path = mail.path / folder
    with Directory(path) as directory:
        entries = directory.rest()
    assert [name for name, _, _ in entries[:2]] == [".", ".."]
    assert entries[0][1] == path.stat().st_ino
    if folder:
        assert entries[1][1] == path.parent.stat().st_ino
    assert [kind for _, _, kind in entries[:2]] == [DT_DIR, DT_DIR]
    for name, inode, kind in entries[2:]:
        attributes = os.lstat(path / name)
        assert inode == attributes.st_ino
        assert kind == (DT_DIR if stat.S_ISDIR(attributes.st_mode) else DT_REG)
    inodes = [inode for _, inode, kind in entries[2:] if kind == DT_REG]
    assert inodes == sorted(set(inodes))


def test_attributes_of_the_root(mail):
    root = mail.path.stat()
    assert root.st_ino == 1 and stat.S_ISDIR(root.st_mode) and root.st_nlink == 1
    assert stat.S_IMODE(root.st_mode) == 0o700
    assert (root.st_uid, root.st_gid) == (os.getuid(), os.getgid())
    assert root.st_mtime > 0
    assert os.path.ismount(mail.path)


def test_seek_to_every_position(mail):
    with Directory(mail.path / "INBOX") as directory:
        positions, entries = [], []
        while True:
            positions.append(directory.tell())
            entry = directory.read()
            if entry is None:
                break
            entries.append(entry)
        assert len(entries) == COUNT + 3
        for index in (0, 1, 2, 3, 4, 50, COUNT - 1, COUNT + 2, 7, COUNT + 3):
            directory.seek(positions[index])
            assert directory.read() == (entries[index] if index < len(entries) else None)
        libc.rewinddir(directory.stream)
        assert directory.rest() == entries


def test_a_small_buffer(mail):
    """getdents64 with room for one or two entries at a time."""
    libc.getdents64.restype = ctypes.c_ssize_t
    names = []
    descriptor = os.open(mail.path, os.O_RDONLY | os.O_DIRECTORY)
    buffer = ctypes.create_string_buffer(300)
    try:
        while (got := libc.getdents64(descriptor, buffer, len(buffer))) > 0:
            at = 0
            while at < got:
                length = int.from_bytes(buffer.raw[at + 16:at + 18], "little")
                names.append(buffer.raw[at + 19:at + length].split(b"\0")[0].decode())
                at += length
        assert got == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(descriptor)
    assert sorted(names) == sorted([".", "..", "INBOX", "Empty", "x" * 255, "ä" * 127])


def test_long_names(mail):
    assert (mail.path / ("x" * 255)).is_dir()
    assert not (mail.path / ("y" * 255)).exists()
    with pytest.raises(OSError) as caught:
        os.stat(mail.path / ("x" * 256))
    assert caught.value.errno == errno.ENAMETOOLONG


def test_free_space(mail):
    space = os.statvfs(mail.path)
    assert space.f_namemax == 255
    assert space.f_bavail * space.f_frsize > 1 << 30


# ---- extended attributes ----

def test_extended_attributes(mail):
    path = mail.message(7)
    assert os.getxattr(path, "user.mail.uid") == b"7"
    assert os.getxattr(path, "user.mail.from") == b"Alice"
    assert os.getxattr(path, "user.mail.subject") == b"number 7"
    assert os.getxattr(path, "user.mail.date") == b"2026-06-11T06:38:00Z"
    assert os.getxattr(path, "user.mail.flags") == b"seen"
    assert sorted(os.listxattr(path)) == ["user.mail." + name for name in
                                          ("date", "flags", "from", "subject", "uid")]


@pytest.mark.parametrize("name", ["user.mail.nothing", "user.mail.", "user.mail.uids", "user.other",
                                  "security.capability"])
def test_attributes_that_are_not_there(mail, name):
    with pytest.raises(OSError) as caught:
        os.getxattr(mail.message(7), name)
    assert caught.value.errno == errno.ENODATA


def test_folders_have_none(mail):
    assert os.listxattr(mail.path / "INBOX") == []
    with pytest.raises(OSError) as caught:
        os.getxattr(mail.path / "INBOX", "user.mail.uid")
    assert caught.value.errno == errno.ENODATA


def test_flags_as_they_are(account, mount):
    account.client.append(b"Subject: x\r\n\r\nbody\r\n", flags=("\\Flagged",))
    account.client.store(1, "\\Answered $Label1")
    mail = mount(account, xattr=True)
    assert os.getxattr(mail.message(1), "user.mail.flags") == b"answered flagged $Label1"
    mail.shell("cat INBOX/1.eml")
    assert os.getxattr(mail.message(1), "user.mail.flags") == b"seen answered flagged $Label1"


def test_without_the_option_the_kernel_asks_once(account, mount):
    account.client.append(b"Subject: x\r\n\r\nbody\r\n")
    mail = mount(account)
    for _ in range(3):
        with pytest.raises(OSError) as caught:
            os.getxattr(mail.message(1), "user.mail.uid")
        assert caught.value.errno == errno.ENOTSUP
    assert mail.kernel("xattr") == 0


# ---- changes while somebody lists ----

def test_nothing_is_skipped_while_it_is_removed(account, mount):
    account.client.append_many((f"Subject: {n}\r\n\r\nx\r\n".encode(), (), 1_700_000_000 + n)
                               for n in range(500))
    mail = mount(account)
    with Directory(mail.path / "INBOX") as directory:
        while entry := directory.read():
            if entry[2] == DT_REG:
                os.unlink(mail.path / "INBOX" / entry[0])
    assert mail.names() == []
    mail.sync()
    assert account.client.flags() == {}


def test_sync_returns_when_the_server_has_it(account, mount):
    account.client.append_many((f"Subject: {n}\r\n\r\nx\r\n".encode(), (), 1_700_000_000 + n)
                               for n in range(4))
    mail = mount(account, sync=True, delete="expunge")
    for uid in (2, 3):
        os.unlink(mail.message(uid))
        assert uid not in account.client.flags()
    assert sorted(account.client.flags()) == [1, 4]
    assert len(mail.names()) == 2


def test_a_slow_reader_of_an_unread_message(home):
    """Its pages are dropped so that a later reader is noticed, yet not at each of its steps."""
    body = b"Subject: long\r\n\r\n" + b"0123456789abcde\n" * (16 << 10)
    small = [message(n) for n in range(24)]
    with MailServer({"INBOX": small + [Message(body)]}) as server:
        mail = home.mount(server.url(), password=PASSWORD)
        mail.names()
        wait_until(lambda: mail.status()["sizes"] == "certain", what="trust in the sizes")
        before, start = mail.kernel("read"), time.monotonic()
        slowly = ("import os, sys, time\nfd = os.open('INBOX/25.eml', 0)\n"
                  "while data := os.read(fd, 4096):\n sys.stdout.buffer.write(data)\n"
                  " time.sleep(0.002)\n")
        done = subprocess.run(["python3", "-c", slowly], cwd=mail.path, capture_output=True,
                              timeout=60)
        assert done.stdout == body
        # 64 steps of 2 ms, or longer on a busy machine; the pages go every 20 ms at most.
        assert mail.kernel("read") - before < 10 + (time.monotonic() - start) / 0.01
        mail.shell("cat INBOX/25.eml > /dev/null")
        mail.sync()
        assert "\\Seen" in server.folders["INBOX"].find(25).flags
