"""What other clients do shows after at most `refresh` seconds."""

import os
import time

import pytest
from support.mounting import wait_until
from support.scripted import Folder, MailServer, Message, PASSWORD

REFRESH = 1

SERVERS = {"qresync": [], "condstore": ["QRESYNC"], "plain": ["QRESYNC", "CONDSTORE"],
           "plainest": ["QRESYNC", "CONDSTORE", "ESEARCH", "LIST-STATUS", "NOTIFY", "IDLE"]}


def raw(number):
    return f"From: bob@example.com\r\nSubject: number {number}\r\n\r\nbody {number}\r\n".encode()


@pytest.fixture(params=SERVERS.values(), ids=SERVERS.keys())
def account(request, own_dovecot):
    one = own_dovecot(without=request.param)
    one.client.append_many((raw(n), (), 1_700_000_000 + n) for n in range(1, 6))
    return one


def uids(mail, folder="INBOX"):
    return sorted(int(name.rsplit(".", 2)[1]) for name in mail.names(folder))


def await_uids(mail, expected, folder="INBOX"):
    wait_until(lambda: uids(mail, folder) == expected, what=f"{expected} in {folder}")


def test_arrivals_removals_and_flags(account, mount):
    mail = mount(account, refresh=REFRESH)
    assert uids(mail) == [1, 2, 3, 4, 5]

    account.client.append(raw(6))
    await_uids(mail, [1, 2, 3, 4, 5, 6])
    assert mail.message(6).read_bytes() == raw(6)

    account.client.expunge([2, 4])
    await_uids(mail, [1, 3, 5, 6])
    assert not (mail.path / "INBOX/2.eml").exists()

    before = os.stat(mail.message(3))
    account.client.store(3, "\\Flagged")
    wait_until(lambda: os.stat(mail.message(3)).st_ctime > before.st_ctime, what="the flag")
    after = os.stat(mail.message(3))
    assert (after.st_mtime, after.st_ino) == (before.st_mtime, before.st_ino)


def test_while_unmounted(account, mount):
    mail = mount(account, refresh=REFRESH)
    assert uids(mail) == [1, 2, 3, 4, 5]
    mail.stop()
    account.client.expunge([1, 5])
    account.client.append(raw(6))
    mail = mount(account, refresh=REFRESH)
    await_uids(mail, [2, 3, 4, 6])


def test_uidvalidity_changes(account, mount):
    """Not under a session that has the folder selected: Dovecot loses the new one's mail then."""
    account.client.create("Notes")
    account.client.append_many(((raw(n), (), 1_700_000_000) for n in range(3)), "Notes")
    mail = mount(account, refresh=REFRESH)
    assert uids(mail, "Notes") == [1, 2, 3]
    assert mail.message(1, "Notes").read_bytes() == raw(0)
    mail.stop()
    account.client.delete("Notes")
    time.sleep(1.1)  # the server takes its UIDVALIDITY from the clock
    account.client.create("Notes")
    account.client.append(raw(77), "Notes")
    mail = mount(account, refresh=REFRESH)
    await_uids(mail, [1], "Notes")  # the first listing may still be from the index
    assert mail.message(1, "Notes").read_bytes() == raw(77)


def test_uidvalidity_changes_while_it_is_mounted(home):
    with MailServer({"INBOX": [Message(raw(n)) for n in range(3)]}) as server:
        mail = home.mount(server.url(), password=PASSWORD, refresh=REFRESH)
        assert uids(mail) == [1, 2, 3]
        assert mail.message(1).read_bytes() == raw(0)
        server.stop()
        server.folders["INBOX"] = Folder([Message(raw(77))], uidvalidity=7)
        server.start()
        wait_until(lambda: mail.status()["state"] == "online", what="the connection")
        await_uids(mail, [1])
        assert mail.message(1).read_bytes() == raw(77)
        home.close()


def test_folders_come_and_go(account, mount):
    mail = mount(account, refresh=REFRESH)
    before = mail.names("")
    account.client.create("Neu/日本語")
    account.client.append(raw(9), "Neu/日本語")
    wait_until(lambda: mail.names("") == sorted([*before, "Neu"]), what="the new folder")
    assert mail.names("Neu") == ["日本語"]
    assert mail.message(1, "Neu/日本語").read_bytes() == raw(9)
    account.client.delete("Neu/日本語")
    account.client.delete("Neu")
    wait_until(lambda: mail.names("") == before, what="its end")


def test_an_open_file_survives_an_expunge(account, mount):
    mail = mount(account, refresh=REFRESH)
    with open(mail.message(1), "rb") as file:
        assert file.read(4) == raw(1)[:4]
        account.client.expunge([1])
        await_uids(mail, [2, 3, 4, 5])
        file.seek(0)
        assert file.read() == raw(1)
