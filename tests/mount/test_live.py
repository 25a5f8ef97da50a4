"""What one client does shows in the others, without a remount and without waiting for a timeout."""

import itertools
import os
import subprocess

import pytest
from support import dovecot, mounting
from support.account import Account
from support.mounting import wait_until

# So long a listing that nobody tells of stays: what shows sooner than that was told.
NEVER = 3600
SERVERS = {"idle": ([], NEVER), "idle-condstore": (["QRESYNC", "NOTIFY"], NEVER),
           "idle-plain": (["QRESYNC", "CONDSTORE", "NOTIFY"], NEVER),
           "poll": (["IDLE", "NOTIFY"], 1)}


_numbers = itertools.count(1)


def raw(number):
    return f"From: bob@example.com\r\nSubject: number {number}\r\n\r\nbody {number}\r\n".encode()


def uids(mail, folder="INBOX"):
    return sorted(int(name.rsplit(".", 2)[1]) for name in mail.names(folder))


def watching(mail):
    """{folder: how} as the status page has it."""
    lines = mail.home.run("status", mail.path).stdout.splitlines()
    words = [line.split(": ", 1)[1].rsplit(" (", 1) for line in lines
             if line.startswith("watching: ")]
    return {name: how.rstrip(")") for name, how in words}


def shows(condition, what):
    wait_until(condition, timeout=30, what=what)


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS.keys())
def server(request):
    """(a Dovecot, the `refresh` of its mounts)."""
    without, refresh = request.param
    with dovecot.Dovecot(without=without, users=()) as one:
        yield one, refresh


@pytest.fixture
def live(server, home):
    """(account, two mounts of it in homes of their own), with five messages in INBOX."""
    dovecot_server, refresh = server
    account = Account(dovecot_server, f"user{next(_numbers)}")
    account.client.append_many((raw(n), (), 1_700_000_000 + n) for n in range(1, 6))
    other = mounting.Home()
    try:
        with mounting.deadline(120, other):
            mounts = [one.mount(account.url(), **account.login(), refresh=refresh)
                      for one in (home, other)]
            for mail in mounts:
                assert uids(mail) == [1, 2, 3, 4, 5]
                if refresh == NEVER:
                    shows(lambda: watching(mail).get("INBOX") == "idle", "IDLE on INBOX")
            yield account, *mounts
    finally:
        account.close()
        other.close()


def test_a_message_comes_and_goes(live):
    """The one that comes is opened by its name first, while nobody lists: that it was not there a
    moment ago must not be remembered."""
    account, one, other = live
    for mail in (one, other):
        assert not (mail / "INBOX/6.eml").exists()
    account.client.append(raw(6))
    for mail in (one, other):
        shows((mail / "INBOX/6.eml").exists, "the new message by its name")
        assert mail.message(6).read_bytes() == raw(6)
    seen = other.message(2)
    os.unlink(one.message(2))
    shows(lambda: not seen.exists(), "the removal by the other mount")
    account.client.expunge([4])
    for mail in (one, other):
        shows(lambda: not (mail / "INBOX/4.eml").exists(), "the removal by the client")
        assert uids(mail) == [1, 3, 5, 6]


def test_flags_change(live):
    account, one, other = live
    paths = [mail.message(3) for mail in (one, other)]
    before = [os.stat(path).st_ctime for path in paths]
    account.client.store(3, "\\Flagged")
    for path, then in zip(paths, before):
        shows(lambda: os.stat(path).st_ctime > then, "the change of flags in ctime")
    path = other.message(1)
    then = os.stat(path).st_ctime
    subprocess.run(["cat", one.message(1)], check=True, stdout=subprocess.DEVNULL)
    shows(lambda: os.stat(path).st_ctime > then, "the mark of what the other mount read")
    assert "\\Seen" in account.client.flags()[1]


def test_a_folder_that_is_read_is_watched(live):
    account, one, other = live
    account.client.append(raw(1), "Archive")
    for mail in (one, other):
        shows(lambda: uids(mail, "Archive") == [1], "the folder's message")
        shows(lambda: "Archive" in watching(mail), "the folder among those watched")
    account.client.append(raw(2), "Archive")
    for mail in (one, other):
        shows((mail / "Archive/2.eml").exists, "the second message")
    account.client.append(raw(6))
    for mail in (one, other):
        shows((mail / "INBOX/6.eml").exists, "one in INBOX")


def test_a_message_is_moved(live):
    account, one, other = live
    for mail in (one, other):
        assert uids(mail, "Archive") == []
    account.client.select()
    account.client.imap.uid("MOVE", "5", "Archive")
    for mail in (one, other):
        shows(lambda: not (mail / "INBOX/5.eml").exists(), "the message gone from where it was")
        shows((mail / "Archive/1.eml").exists, "the message where it went")
        assert (mail / "Archive/1.eml").read_bytes() == raw(5)


def test_a_server_that_comes_back(own_dovecot, mount):
    """What happened while nobody could tell of it is asked for once somebody can again."""
    account = own_dovecot()
    account.client.append(raw(1))
    mail = mount(account, refresh=NEVER)
    assert uids(mail) == [1]
    shows(lambda: watching(mail).get("INBOX") == "idle", "IDLE on INBOX")
    account.server.kill()
    shows(lambda: mail.status()["state"] != "online", "the loss of the connection")
    account.server.start()
    account.reconnect()
    account.client.append(raw(2))
    shows((mail / "INBOX/2.eml").exists, "the message")
