"""What the server refuses, or what was not complete, is not lost: it lies in .mailfs/failed."""

import contextlib
import errno
import os
import stat

import pytest
from support.mounting import wait_until
from support.scripted import MailServer, Message, PASSWORD

MAIL = b"From: bob@example.com\r\nSubject: new\r\n\r\nhello\r\n"
OLD = b"From: alice@example.com\r\nSubject: old\r\n\r\nhere before\r\n"


@pytest.fixture
def server():
    with MailServer({"INBOX": [Message(OLD)], "Other": []}) as one:
        one.hooks["APPEND"] = lambda session, tag, rest: session.reply(
            tag, "NO", "[OVERQUOTA] the mailbox is full")
        yield one


@pytest.fixture
def mail(home, server):
    one = home.mount(server.url(), password=PASSWORD)
    assert len(one.names()) == 1
    return one


def failed(mail):
    return sorted(os.listdir(mail / ".mailfs/failed"))


def error_of(function, *arguments):
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return caught.value.errno


def test_refused_by_the_server(mail):
    (mail / "INBOX/a.eml").write_bytes(MAIL)
    mail.home.run("sync", mail.path)
    name, = wait_until(lambda: failed(mail), what="the refusal")
    assert name.endswith("-a.eml")
    path = mail / ".mailfs/failed" / name
    assert path.read_bytes() == MAIL
    assert path.stat().st_size == len(MAIL)
    assert len(mail.names()) == 1
    status = mail.status()
    assert int(status["refused"]) == 1
    assert "the mailbox is full" in status["refusal"]


def test_fsync_and_close_say_it(home, server, mail):
    descriptor = os.open(mail / "INBOX/a.eml", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, MAIL)
    assert error_of(os.fsync, descriptor) == errno.EDQUOT
    os.close(descriptor)
    assert len(failed(mail)) == 1
    mail.stop()
    waiting = home.mount(server.url(), password=PASSWORD, sync=True)
    descriptor = os.open(waiting / "INBOX/b.eml", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, MAIL)
    assert error_of(os.close, descriptor) == errno.EDQUOT
    assert len(failed(waiting)) == 2


def test_moved_back_once_there_is_room(server, mail):
    (mail / "INBOX/a.eml").write_bytes(MAIL)
    mail.home.run("sync", mail.path)
    name, = wait_until(lambda: failed(mail), what="the refusal")
    del server.hooks["APPEND"]
    mail.shell(f"mv .mailfs/failed/{name} Other/a.eml")
    assert failed(mail) == []
    mail.sync()
    assert [one.raw for one in server.folders["Other"].messages] == [MAIL]


def test_no_mail(mail):
    (mail / "INBOX/a.eml").write_bytes(b"nothing of the kind\n")
    mail.home.run("sync", mail.path)
    name, = wait_until(lambda: failed(mail), what="the refusal")
    assert (mail / ".mailfs/failed" / name).read_bytes() == b"nothing of the kind\n"
    assert len(mail.names()) == 1


def test_not_complete_when_the_daemon_dies(home, server, mail):
    descriptor = os.open(mail / "INBOX/a.eml", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, MAIL[:30])
    os.listdir(mail / "INBOX")
    mail.crash()
    with contextlib.suppress(OSError):
        os.close(descriptor)
    again = home.mount(server.url(), password=PASSWORD)
    name, = failed(again)
    assert name.endswith("-a.eml")
    assert (again / ".mailfs/failed" / name).read_bytes() == MAIL[:30]
    assert len(again.names()) == 1
    again.sync()
    assert server.named("APPEND") == []


def test_what_can_be_done_there(mail):
    for name in ("a.eml", "b.eml"):
        (mail / "INBOX" / name).write_bytes(MAIL)
    mail.home.run("sync", mail.path)
    names = wait_until(lambda: len(failed(mail)) == 2 and failed(mail), what="the refusals")
    assert ".mailfs" not in os.listdir(mail.path)
    assert os.listdir(mail / ".mailfs") == ["failed"]
    assert stat.S_ISDIR((mail / ".mailfs/failed").stat().st_mode)
    directory = mail / ".mailfs/failed"
    assert error_of(open, directory / "x", "wb") == errno.EPERM
    with open(directory / names[0], "ab", buffering=0) as file:
        assert error_of(file.write, b"more") == errno.EPERM
    assert error_of(os.truncate, directory / names[0], 0) == errno.EPERM
    assert error_of(os.rename, directory / names[0], directory / "x") == errno.EPERM
    assert not (directory / "x").exists()
    mail.shell("cat .mailfs/failed/* > /dev/null; find .mailfs -type f | wc -l | grep -qx 2")
    (directory / names[0]).unlink()
    assert failed(mail) == names[1:]
    mail.shell("rm .mailfs/failed/*")
    assert failed(mail) == []


def test_there_is_always_one(account, mount):
    mail = mount(account)
    assert failed(mail) == []
    mail.shell("ls -la .mailfs .mailfs/failed && test -d .mailfs/../INBOX")
