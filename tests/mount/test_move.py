"""mv between folders: the message moves on the server, and goes on being there for everybody."""

import errno
import os
import threading

import pytest
from support.mounting import wait_until
from support.scripted import MailServer, Message, PASSWORD

RAW = [f"From: bob@example.com\r\nSubject: number {n}\r\nMessage-ID: <{n}@example.com>\r\n\r\n"
       f"body {n}\r\n".encode() for n in range(1, 9)]


@pytest.fixture
def filled(account):
    fill(account)
    return account


def fill(account):
    account.client.append_many((raw, ("\\Flagged",), 1_700_000_000 + n)
                               for n, raw in enumerate(RAW))
    account.client.create("Other")


def bodies(account, folder="INBOX"):
    return sorted(account.client.raw_many(folder=folder).values()) \
        if account.client.uids(folder) else []


def rest(*moved):
    return [raw for n, raw in enumerate(RAW, 1) if n not in moved]


def error_of(function, *arguments):
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return caught.value.errno


def test_to_another_folder(filled, mount):
    mail = mount(filled)
    name = mail.message(3).name
    mail.shell("mv INBOX/*.3.eml Other/")
    assert (mail / "Other" / name).read_bytes() == RAW[2]
    assert not (mail / "INBOX" / name).exists()
    assert len(mail.names()) == 7
    mail.sync()
    assert len(mail.names("Other")) == 1
    assert bodies(filled) == rest(3)
    assert bodies(filled, "Other") == [RAW[2]]
    assert filled.client.flags("Other") == {1: {"\\Flagged"}}
    assert filled.client.attributes("Other")[1][2] == 1_700_000_002
    assert (mail / "Other" / name).read_bytes() == RAW[2]
    wait_until(lambda: mail.names("Other") == [name.replace(".3.eml", ".1.eml")],
               what="the proper name")
    assert bodies(filled, "Trash") == []


@pytest.mark.parametrize("without", [["MOVE"], ["UIDPLUS"], ["UIDPLUS", "MOVE"]])
def test_without_the_extensions(own_dovecot, mount, without):
    account = own_dovecot(without=without)
    fill(account)
    mail = mount(account)
    name = mail.message(3).name
    mail.shell("mv INBOX/*.3.eml INBOX/*.5.eml Other/")
    assert (mail / "Other" / name).read_bytes() == RAW[2]
    mail.sync()
    assert bodies(account, "Other") == [RAW[2], RAW[4]]
    left = {raw for uid, raw in account.client.raw_many().items()
            if "\\Deleted" not in account.client.flags()[uid]}
    assert left == set(rest(3, 5))
    assert len(mail.names()) == 6
    assert (mail / "Other" / name).read_bytes() == RAW[2]


def test_the_body_moves_along(filled, mount):
    mail = mount(filled)
    name = mail.message(3).name
    mail.shell("cat INBOX/*.eml > /dev/null")
    wait_until(lambda: int(mail.status()["cached-bodies"]) >= 8, what="the bodies")
    before = int(mail.status()["fetched-bodies"])
    mail.shell("mv INBOX/*.3.eml Other/")
    mail.sync()
    assert (mail / "Other" / name).read_bytes() == RAW[2]
    assert int(mail.status()["fetched-bodies"]) == before


def test_many(account, mount):
    raw = [b"Subject: number %d\r\n\r\nbody %d\r\n" % (n, n) for n in range(200)]
    account.client.append_many((one, (), 1_700_000_000 + n) for n, one in enumerate(raw))
    account.client.create("Other")
    mail = mount(account)
    mail.shell("mv INBOX/*.eml Other/")
    assert mail.names() == []
    mail.sync()
    mail.shell("cat Other/*.eml | grep -c ^body | grep -qx 200")
    assert bodies(account) == []
    assert bodies(account, "Other") == sorted(raw)
    assert len(mail.names("Other")) == 200


def test_back_and_forth(filled, mount):
    mail = mount(filled)
    for command in ("mv INBOX/*.3.eml Other/a.eml", "mv Other/a.eml INBOX/b.eml",
                    "mv INBOX/b.eml Other/c.eml"):
        mail.shell(command)
    assert (mail / "Other/c.eml").read_bytes() == RAW[2]
    mail.sync()
    assert bodies(filled) == rest(3)
    assert bodies(filled, "Other") == [RAW[2]]
    assert (mail / "Other/c.eml").read_bytes() == RAW[2]
    mail.shell("mv Other/c.eml INBOX/d.eml")
    mail.sync()
    assert bodies(filled) == sorted(RAW)
    assert bodies(filled, "Other") == []


def test_removed_right_after(filled, mount):
    """A message that was moved is still a message: it goes to the Trash."""
    mail = mount(filled)
    mail.shell("mv INBOX/*.3.eml Other/a.eml && rm Other/a.eml && ! test -e Other/a.eml")
    mail.sync()
    assert bodies(filled) == rest(3)
    wait_until(lambda: bodies(filled, "Trash") == [RAW[2]], what="the message in the Trash")
    assert bodies(filled, "Other") == []
    assert mail.names("Other") == []


@pytest.mark.parametrize("cached", [True, False])
def test_open_while_it_moves(filled, mount, cached):
    big = b"Subject: big\r\n\r\n" + b"0123456789abcd\r\n" * 100_000
    filled.client.append(big)
    mail = mount(filled)
    if cached:
        assert (mail / "INBOX/9.eml").read_bytes() == big
    done = mail.shell("exec 3< INBOX/9.eml; mv INBOX/9.eml Other/big.eml; cat <&3")
    assert done.stdout == big
    mail.sync()
    assert bodies(filled, "Other") == [big]
    with open(mail / "Other/big.eml", "rb") as file:
        file.read(100)
        os.rename(mail / "Other/big.eml", mail / "INBOX/back.eml")
        mail.sync()
        file.seek(0)
        assert file.read() == big


def test_within_the_folder_it_is_refused(filled, mount):
    mail = mount(filled)
    path = mail.message(1)
    assert error_of(os.rename, path, mail / "INBOX/other.eml") == errno.EPERM
    assert path.read_bytes() == RAW[0]
    assert len(mail.names()) == 8


def test_never_onto_a_message(filled, mount):
    filled.client.append(RAW[7], "Other")
    mail = mount(filled)
    assert error_of(os.rename, mail.message(1), mail / "Other/1.eml") == errno.EEXIST
    assert error_of(os.rename, mail.message(1), mail.message(1, "Other")) == errno.EEXIST
    assert mail.shell("mv -f INBOX/2.eml Other/1.eml", check=False).returncode != 0
    mail.shell("mv INBOX/2.eml Other/a.eml")
    assert error_of(os.rename, mail.message(1), mail / "Other/a.eml") == errno.EEXIST
    mail.sync()
    assert error_of(os.rename, mail.message(1), mail / "Other/a.eml") == errno.EEXIST
    mail.sync()
    assert bodies(filled, "Other") == sorted([RAW[1], RAW[7]])
    assert bodies(filled) == rest(2)


def test_from_and_to_a_disk(filled, mount, tmp_path):
    mail = mount(filled)
    mail.shell(f"mv INBOX/*.3.eml {tmp_path}/a.eml")
    assert (tmp_path / "a.eml").read_bytes() == RAW[2]
    assert (tmp_path / "a.eml").stat().st_mtime == 1_700_000_002
    mail.sync()
    assert bodies(filled) == rest(3)
    mail.shell(f"mv {tmp_path}/a.eml Other/")
    assert not (tmp_path / "a.eml").exists()
    mail.sync()
    assert bodies(filled, "Other") == [RAW[2]]
    assert filled.client.attributes("Other")[1][2] == 1_700_000_002


def test_sync_waits(filled, mount):
    mail = mount(filled, sync=True)
    mail.shell("mv INBOX/*.3.eml Other/")
    assert bodies(filled, "Other") == [RAW[2]]


def test_answers_at_once_and_survives_a_crash(own_dovecot, mount):
    account = own_dovecot()
    fill(account)
    mail = mount(account)
    assert len(mail.names()) == 8
    assert mail.names("Other") == []
    account.server.freeze()
    mail.shell("mv INBOX/*.4.eml Other/", timeout=20)
    assert len(mail.names("Other")) == 1
    mail.crash()
    account.server.freeze(False)
    mail = mount(account)
    assert len(mail.names()) == 7
    mail.sync()
    assert len(mail.names("Other")) == 1
    assert bodies(account) == rest(4)
    assert bodies(account, "Other") == [RAW[3]]


def test_no_brings_it_back(home):
    server = MailServer({"INBOX": [Message(raw) for raw in RAW], "Other": []})
    with server:
        server.hooks["MOVE"] = lambda session, tag, rest: session.reply(tag, "NO",
                                                                        "[NOPERM] not yours")
        mail = home.mount(server.url(), password=PASSWORD)
        before = mail.names()
        mail.shell("mv INBOX/*.3.eml Other/")
        home.run("sync", mail.path)
        wait_until(lambda: mail.names() == before, what="the message's return")
        assert mail.names("Other") == []
        assert int(mail.status()["refused"]) >= 1
        assert mail.message(3).read_bytes() == RAW[2]
        home.close()


def test_many_become_few_commands(home):
    with MailServer({"INBOX": [Message(raw) for raw in RAW], "Other": []}) as server:
        mail = home.mount(server.url(), password=PASSWORD)
        moved = threading.Event()  # the first answer comes when all of them are made
        server.hooks["MOVE"] = lambda session, tag, rest: not moved.wait(60)
        mail.shell("mv INBOX/*.eml Other/")
        moved.set()
        mail.sync()
        assert len(server.folders["Other"].messages) == len(RAW)
        assert server.folders["INBOX"].messages == []
        assert len(server.named("UID MOVE")) <= 2
        home.close()
