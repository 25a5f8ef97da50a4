"""New files become messages: what was written, when it was complete, and nothing else."""

import ctypes
import errno
import os
import pathlib
import signal
import subprocess

import pytest
from support.mounting import wait_until

MAIL = b"From: bob@example.com\r\nSubject: new\r\nMessage-ID: <new@example.com>\r\n\r\nhello\r\n"
OLD = b"From: alice@example.com\r\nSubject: old\r\n\r\nhere before\r\n"


@pytest.fixture
def filled(account):
    account.client.append(OLD, date=1_700_000_000)
    account.client.create("Other")
    return account


@pytest.fixture
def mail(filled, mount):
    one = mount(filled)
    assert len(one.names()) == 1
    return one


def bodies(account, folder="INBOX"):
    return sorted(account.client.raw_many(folder=folder).values()) \
        if account.client.uids(folder) else []


def new(account, folder="INBOX"):
    """What came to the folder."""
    return [raw for raw in bodies(account, folder) if raw != OLD]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "letter.eml"
    path.write_bytes(MAIL)
    os.utime(path, (1_650_000_000, 1_650_000_000))
    return path


def error_of(function, *arguments):
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return caught.value.errno


# ---- what gets there ----

def test_a_copy(filled, mail, source):
    mail.shell(f"cp {source} INBOX/")
    mail.sync()
    assert new(filled) == [MAIL]
    assert len(mail.names()) == 2
    assert "letter.eml" not in mail.names()
    assert (mail / "INBOX/letter.eml").read_bytes() == MAIL  # the name that it was given
    assert bodies(filled, "Trash") == []


def test_the_date_is_that_of_the_file(filled, mail, source):
    mail.shell(f"cp -p {source} INBOX/")
    mail.sync()
    uid = max(filled.client.uids())
    assert filled.client.attributes()[uid][2] == 1_650_000_000
    assert (mail / "INBOX/letter.eml").stat().st_mtime == 1_650_000_000
    assert mail.message(uid).name.startswith("20220415-0520_")


@pytest.mark.parametrize("command", [
    "cat {source} > INBOX/a.eml",
    "dd if={source} of=INBOX/a.eml bs=16 status=none",
    "dd if={source} of=INBOX/a.eml bs=16 conv=fsync status=none",
    "tee INBOX/a.eml < {source} > /dev/null",
    "(head -n 2 {source}; tail -n +3 {source}) > INBOX/a.eml",
    "head -n 2 {source} > INBOX/.a; tail -n +3 {source} >> INBOX/.a; mv INBOX/.a INBOX/a.eml",
    "cp {source} INBOX/.a.tmp; mv INBOX/.a.tmp INBOX/a.eml",
    "cp {source} INBOX/a~; mv INBOX/a~ INBOX/a.eml",
])
def test_any_way_of_writing(filled, mail, source, command):
    mail.shell(command.format(source=source))
    assert (mail / "INBOX/a.eml").read_bytes() == MAIL
    mail.sync()
    assert new(filled) == [MAIL]
    assert (mail / "INBOX/a.eml").read_bytes() == MAIL


def test_bare_line_feeds_become_crlf(filled, mail):
    (mail / "INBOX/a.eml").write_bytes(MAIL.replace(b"\r\n", b"\n"))
    mail.sync()
    assert new(filled) == [MAIL]
    assert (mail / "INBOX/a.eml").stat().st_size == len(MAIL)
    assert (mail / "INBOX/a.eml").read_bytes() == MAIL


@pytest.mark.deadline(240)
def test_a_large_one(filled, mail, tmp_path):
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef0123456789abcdef0123456789\r\n" * 480_000
    (tmp_path / "large").write_bytes(large)
    mail.shell(f"cp {tmp_path}/large INBOX/large.eml && cmp {tmp_path}/large INBOX/large.eml")
    mail.sync()
    assert new(filled) == [large]
    mail.shell(f"cmp {tmp_path}/large INBOX/large.eml")


def test_many(filled, mail, tmp_path):
    """By names that are numbers, as the bare ones of messages are."""
    want = []
    for number in range(200):
        want.append(b"Subject: number %d\r\n\r\nbody %d\r\n" % (number, number))
        (tmp_path / f"{number}.eml").write_bytes(want[-1])
        os.utime(tmp_path / f"{number}.eml", (1_600_000_000 + number,) * 2)
    mail.shell(f"cp -p {tmp_path}/*.eml Other/")
    mail.sync()
    assert bodies(filled, "Other") == sorted(want)
    dates = sorted(date for _, _, date in filled.client.attributes("Other").values())
    assert dates == [1_600_000_000 + number for number in range(200)]
    assert len(mail.names("Other")) == 200


def test_written_out_of_order(filled, mail):
    path = mail / "INBOX/a.eml"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
    os.pwrite(descriptor, MAIL[20:] + b"rubbish", 20)
    os.pwrite(descriptor, MAIL[:20], 0)
    os.ftruncate(descriptor, len(MAIL))
    assert os.pread(descriptor, 1000, 0) == MAIL
    assert path.read_bytes() == MAIL
    os.close(descriptor)
    mail.sync()
    assert new(filled) == [MAIL]


# ---- when it is complete ----

def test_it_is_sent_when_nobody_has_it_open(filled, mail):
    path = mail / "INBOX/a.eml"
    with open(path, "wb", buffering=0) as file:
        file.write(MAIL[:30])
        for _ in range(3):  # others look at it meanwhile
            assert path.read_bytes() == MAIL[:30]
            assert path.stat().st_size == 30
            assert "a.eml" in mail.names()
            mail.shell("ls -lR . > /dev/null")
        mail.sync()
        assert new(filled) == []
        with open(path, "ab", buffering=0) as other:
            other.write(MAIL[30:40])
        mail.sync()
        assert new(filled) == []
        file.seek(0, os.SEEK_END)
        file.write(MAIL[40:])
    mail.sync()
    assert new(filled) == [MAIL]


def test_it_is_sent_when_the_writer_is_killed(filled, mail):
    """Nobody knows what a program had still in mind; as on any disk, what it wrote is there."""
    writer = subprocess.Popen(["bash", "-c", "exec cat > INBOX/a.eml"], cwd=mail.path,
                              stdin=subprocess.PIPE)
    writer.stdin.write(MAIL)
    writer.stdin.flush()
    wait_until(lambda: (mail / "INBOX/a.eml").exists() and
               (mail / "INBOX/a.eml").stat().st_size == len(MAIL), what="the writing")
    writer.send_signal(signal.SIGKILL)
    writer.wait(30)
    writer.stdin.close()
    mail.sync()
    assert new(filled) == [MAIL]


def test_fsync_is_the_servers_answer(filled, mail):
    descriptor = os.open(mail / "INBOX/a.eml", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, MAIL.replace(b"\r\n", b"\n"))
    os.fsync(descriptor)
    assert new(filled) == [MAIL]
    assert error_of(os.write, descriptor, b"more") == errno.EPERM
    assert os.fstat(descriptor).st_size == len(MAIL)
    os.fsync(descriptor)
    os.close(descriptor)
    mail.sync()
    assert new(filled) == [MAIL]


@pytest.mark.parametrize("content", [b"no header at all\n", b"\n\nbody\n", b"Subject: x\n\n\0\n"])
def test_fsync_of_what_is_no_mail(filled, mail, content):
    descriptor = os.open(mail / "INBOX/a.eml", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, content)
    assert error_of(os.fsync, descriptor) == errno.EINVAL
    os.close(descriptor)
    mail.sync()
    assert new(filled) == []


def test_fsync_of_the_folder(filled, mail, source):
    mail.shell(f"cp {source} INBOX/.a && mv INBOX/.a INBOX/a.eml")
    mail.sync()
    mail.shell("mv INBOX/a.eml Other/b.eml")
    descriptor = os.open(mail / "Other", os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    assert bodies(filled, "Other") == [MAIL]
    assert bodies(filled) == [OLD]


def test_unmount_sends_it(filled, mail, source):
    mail.shell(f"cp {source} INBOX/")
    mail.stop()
    assert new(filled) == [MAIL]


def cut_off(own_dovecot, mount):
    """An account that is mounted and listed, and its server stopped."""
    account = own_dovecot()
    account.client.append(OLD)
    mail = mount(account, refresh=1)
    assert len(mail.names()) == 1
    account.close()
    account.server.stop()
    account.reconnect()
    return account, mail


def test_offline_it_waits(own_dovecot, mount, source):
    account, mail = cut_off(own_dovecot, mount)
    mail.shell(f"cp -p {source} INBOX/ && cmp {source} INBOX/letter.eml")
    wait_until(lambda: int(mail.status()["pending"]) == 1, what="the pending message")
    account.server.start()
    wait_until(lambda: mail.status()["state"] == "online", what="online")
    mail.sync()
    assert new(account) == [MAIL]


def test_offline_fsync_fails_and_loses_nothing(own_dovecot, mount):
    account, mail = cut_off(own_dovecot, mount)
    wait_until(lambda: mail.status()["state"] != "online", what="offline")
    descriptor = os.open(mail / "INBOX/a.eml", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, MAIL)
    assert error_of(os.fsync, descriptor) in (errno.ENETUNREACH, errno.ETIMEDOUT)
    os.close(descriptor)
    account.server.start()
    wait_until(lambda: mail.status()["state"] == "online", what="online")
    mail.sync()
    assert new(account) == [MAIL]


def test_close_waits_with_sync(filled, mount, source):
    mail = mount(filled, sync=True)
    mail.shell(f"cp {source} INBOX/")
    assert new(filled) == [MAIL]
    mail.shell(f"cat {source} > Other/a.eml")
    assert bodies(filled, "Other") == [MAIL]
    mail.shell(f"(head -n 2 {source}; tail -n +3 {source}) > Other/b.eml")
    assert bodies(filled, "Other") == [MAIL, MAIL]
    done = mail.shell("echo nonsense > Other/c.eml", check=False)
    mail.sync()
    assert bodies(filled, "Other") == [MAIL, MAIL]
    with open(mail / "Other/d.eml", "wb", buffering=0) as file:
        file.write(b"nonsense\n")
        assert error_of(os.close, os.dup(file.fileno())) == errno.EINVAL
    assert done.returncode in (0, 1)  # bash does not look at what close() says


# ---- what does not get there ----

@pytest.mark.parametrize("name", [".a.eml.swp", "a.eml~", "4913", "#a.eml#"])
def test_names_that_stay_here(filled, mail, name):
    path = mail / "INBOX" / name
    with open(path, "wb") as file:
        file.write(MAIL)
        file.flush()
        os.fsync(file.fileno())  # of the disk here, then
        file.write(b"more")
    mail.sync()
    assert path.read_bytes() == MAIL + b"more"
    assert name in mail.names()
    assert new(filled) == []
    path.unlink()
    mail.sync()
    assert new(filled) == []
    assert len(mail.names()) == 1


def test_an_empty_file(filled, mail):
    mail.shell(": > INBOX/empty.eml")
    mail.sync()
    assert new(filled) == []
    (mail / "INBOX/empty.eml").write_bytes(MAIL)
    mail.sync()
    assert new(filled) == [MAIL]


def test_removed_at_once(filled, mail, source):
    mail.shell(f"cp {source} INBOX/ && rm INBOX/letter.eml && ! test -e INBOX/letter.eml")
    mail.sync()
    assert bodies(filled) == [OLD]
    assert len(mail.names()) == 1


def test_removed_while_it_is_open(filled, mail):
    with open(mail / "INBOX/a.eml", "wb", buffering=0) as file:
        file.write(MAIL)
        os.unlink(mail / "INBOX/a.eml")
        assert os.fstat(file.fileno()).st_size == len(MAIL)
    mail.sync()
    assert bodies(filled) == [OLD]
    assert bodies(filled, "Trash") == []


def test_no_messages_in_the_root(filled, mail, source):
    assert mail.shell(f"cp {source} .", check=False).returncode != 0
    assert error_of(os.rename, mail.message(1), mail / "x.eml") in (errno.EPERM, errno.EACCES)
    assert bodies(filled) == [OLD]


def test_read_only(filled, mount, source):
    mail = mount(filled, ro=True)
    assert error_of(open, mail / "INBOX/a.eml", "wb") == errno.EROFS
    mail.sync()
    assert bodies(filled) == [OLD]


def test_only_plain_files(mail):
    assert error_of(os.mkfifo, mail / "INBOX/fifo") == errno.EPERM
    assert error_of(os.symlink, "x", mail / "INBOX/.#lock") == errno.EPERM
    assert error_of(os.link, mail.message(1), mail / "INBOX/link.eml") == errno.EPERM
    assert len(mail.names()) == 1


def test_a_node_can_be_made(filled, mail):
    os.mknod(mail / "INBOX/.node", 0o100600)
    (mail / "INBOX/.node").write_bytes(MAIL)
    (mail / "INBOX/.node").rename(mail / "INBOX/node.eml")
    mail.sync()
    assert new(filled) == [MAIL]


# ---- names ----

def test_a_message_is_never_replaced(filled, mail, source):
    mail.shell(f"cp {source} INBOX/.a")
    for name in (mail.message(1).name, "1.eml"):
        assert error_of(os.rename, mail / "INBOX/.a", mail / "INBOX" / name) == errno.EEXIST
        assert error_of(open, mail / "INBOX" / name, "xb") == errno.EEXIST
        assert mail.shell(f"cp {source} INBOX/{name}", check=False).returncode != 0
        assert mail.shell(f"cat {source} >> INBOX/{name}", check=False).returncode != 0
    mail.sync()
    assert bodies(filled) == [OLD]


def test_nor_is_one_that_was_given_the_name(filled, mail, source):
    mail.shell(f"cp {source} INBOX/a.eml")
    for _ in range(2):  # on its way, and there
        assert error_of(open, mail / "INBOX/a.eml", "xb") == errno.EEXIST
        mail.shell(f"cp {source} INBOX/.a")
        assert error_of(os.rename, mail / "INBOX/.a", mail / "INBOX/a.eml") == errno.EEXIST
        assert mail.shell(f"cat {source} > INBOX/a.eml", check=False).returncode != 0
        mail.sync()
        assert new(filled) == [MAIL]
        assert (mail / "INBOX/a.eml").read_bytes() == MAIL


def test_local_files_replace_each_other(filled, mail):
    (mail / "INBOX/.a").write_bytes(MAIL)
    (mail / "INBOX/.b").write_bytes(OLD)
    os.rename(mail / "INBOX/.a", mail / "INBOX/.b")
    assert (mail / "INBOX/.b").read_bytes() == MAIL
    assert not (mail / "INBOX/.a").exists()
    mail.sync()
    assert bodies(filled) == [OLD]


def test_write_fsync_rename(filled, mail):
    with open(mail / "INBOX/tmp.eml", "wb") as file:
        file.write(MAIL)
        file.flush()
        os.fsync(file.fileno())
    os.rename(mail / "INBOX/tmp.eml", mail / "INBOX/final.eml")
    assert (mail / "INBOX/final.eml").read_bytes() == MAIL
    assert not (mail / "INBOX/tmp.eml").exists()
    mail.sync()
    assert new(filled) == [MAIL]
    assert (mail / "INBOX/final.eml").read_bytes() == MAIL


def test_into_another_folder_while_it_is_written(filled, mail):
    with open(mail / "INBOX/a.eml", "wb", buffering=0) as file:
        file.write(MAIL[:30])
        os.rename(mail / "INBOX/a.eml", mail / "Other/b.eml")
        file.write(MAIL[30:])
    mail.sync()
    assert bodies(filled) == [OLD]
    assert bodies(filled, "Other") == [MAIL]


def test_flags_of_rename(filled, mail):
    libc = ctypes.CDLL(None, use_errno=True)

    def renameat2(old, new, flags):
        done = libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags)
        return 0 if done == 0 else ctypes.get_errno()

    (mail / "INBOX/.a").write_bytes(MAIL)
    (mail / "INBOX/.b").write_bytes(MAIL)
    assert renameat2(mail / "INBOX/.a", mail / "INBOX/.b", 2) == errno.EINVAL  # exchange
    assert renameat2(mail / "INBOX/.a", mail / "INBOX/.b", 1) == errno.EEXIST  # no replace
    assert renameat2(mail / "INBOX/.a", mail / "INBOX/.c", 1) == 0
    assert (mail / "INBOX/.c").read_bytes() == MAIL


def test_names_that_others_forbid(filled, mail, source):
    long = "x" * 251 + ".eml"
    mail.shell(f"cp {source} 'INBOX/{long}'")
    odd = "a\tb\n\"'\\ \u00e9\u202e.eml"
    (mail / "INBOX" / odd).write_bytes(MAIL)
    mail.sync()
    assert new(filled) == [MAIL, MAIL]
    assert (mail / "INBOX" / long).read_bytes() == (mail / "INBOX" / odd).read_bytes() == MAIL
    assert error_of(open, mail / "INBOX" / (long + "x"), "wb") == errno.ENAMETOOLONG


def test_names_survive_a_remount(filled, mount, mail, source):
    mail.shell(f"cp {source} INBOX/")
    mail.sync()
    mail.stop()
    again = mount(filled)
    assert (again / "INBOX/letter.eml").read_bytes() == MAIL
    assert "letter.eml" not in again.names()
    os.unlink(again / "INBOX/letter.eml")
    assert not (again / "INBOX/letter.eml").exists()
    assert len(again.names()) == 1


def test_no_other_name_of_a_removed_message_stays(mail):
    proper = mail.message(1)
    assert (mail / "INBOX/1.eml").read_bytes() == OLD
    assert proper.read_bytes() == OLD
    proper.unlink()
    wait_until(lambda: not (mail / "INBOX/1.eml").exists(), what="the end of its other name")


# ---- attributes ----

def test_what_copying_programs_set(filled, mail):
    """Accepted where a file was just put; but nothing of a message can be changed."""
    path = mail / "INBOX/a.eml"
    path.write_bytes(MAIL)
    for _ in range(2):  # on its way, and there
        os.chmod(path, 0o644)
        os.chown(path, os.getuid(), os.getgid())
        os.utime(path, (1_650_000_000, 1_650_000_000))
        mail.sync()
    assert error_of(os.truncate, path, 3) == errno.EPERM
    old = mail.message(1)
    os.chmod(old, 0o600)
    os.chown(old, os.getuid(), os.getgid())
    os.utime(old, (1_700_000_000, 1_700_000_000))
    assert error_of(os.chmod, old, 0o644) == errno.EPERM
    assert error_of(os.utime, old) == errno.EPERM
    assert error_of(os.utime, old, (1, 1)) == errno.EPERM
    os.chmod(mail / "INBOX", 0o755)
    os.utime(mail / "INBOX", (1, 1))
    assert old.stat().st_mtime == 1_700_000_000


def test_no_extended_attributes_of_a_new_file(filled, mount):
    mail = mount(filled, xattr=True)
    path = mail / "INBOX/.a"
    path.write_bytes(MAIL)
    assert os.listxattr(path) == []
    assert error_of(os.getxattr, path, "user.mail.flags") == errno.ENODATA


def test_a_new_file_is_mine(mail):
    path = pathlib.Path(mail / "INBOX/.a")
    path.write_bytes(MAIL)
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())
    assert status.st_mode == 0o100600
    assert status.st_nlink == 1
