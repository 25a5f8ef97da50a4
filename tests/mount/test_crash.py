"""SIGKILL at the worst moment: what was done is not lost, and nothing else is touched."""

import os
import subprocess
import time

import pytest
from support.compare import mount_side, server_side
from support.mounting import wait_until

RAW = [b"From: bob@example.com\r\nSubject: number %d\r\n\r\nbody %d\r\n" % (n, n)
       for n in range(1, 41)]


@pytest.fixture
def frozen(own_dovecot):
    """An account on a Dovecot of its own, which a test may freeze."""
    account = own_dovecot()
    account.client.append_many((raw, (), 1_700_000_000 + n) for n, raw in enumerate(RAW))
    return account


def seen(account):
    return sorted(uid for uid, flags in account.client.flags().items() if "\\Seen" in flags)


def deleted(account):
    return [uid for uid, flags in account.client.flags().items() if "\\Deleted" in flags]


def kept(account):
    return sorted(account.client.uids("INBOX"))


@pytest.mark.parametrize("policy", ["trash", "expunge", "mark"])
def test_removals_arrive_once(frozen, mount, policy):
    mail = mount(frozen, delete=policy)
    assert len(mail.names()) == 40
    frozen.server.freeze()
    for uid in (3, 7, 8, 40):
        os.unlink(mail.path / f"INBOX/{uid}.eml")
    mail.crash()
    frozen.server.freeze(False)
    mail = mount(frozen, delete=policy)
    assert len(mail.names()) == 36
    mail.sync()
    rest = [uid for uid in range(1, 41) if uid not in (3, 7, 8, 40)]
    if policy == "mark":
        assert sorted(deleted(frozen)) == [3, 7, 8, 40]
        assert kept(frozen) == list(range(1, 41))
    else:
        assert kept(frozen) == rest
        assert deleted(frozen) == []
    trash = frozen.client.raw_many(folder="Trash").values() if policy == "trash" else []
    assert sorted(trash) == sorted(RAW[uid - 1] for uid in (3, 7, 8, 40)) * (policy == "trash")
    mail.crash()  # all has been done: a third run has nothing left
    mail = mount(frozen, delete=policy)
    assert mail.status()["pending"] == "0"
    assert len(mail.names()) == 36


def test_read_marks_arrive(frozen, mount):
    mail = mount(frozen)
    mail.shell("sha256sum INBOX/*.eml")  # cached, and nothing marked
    time.sleep(1.5)  # until the kernel asks again
    frozen.server.freeze()
    mail.shell("cat INBOX/5.eml INBOX/9.eml")
    wait_until(lambda: mail.status()["pending"] == "2", what="both marks in the journal")
    mail.crash()
    frozen.server.freeze(False)
    mail = mount(frozen)
    mail.sync()
    assert seen(frozen) == [5, 9]
    assert deleted(frozen) == []
    assert kept(frozen) == list(range(1, 41))


def test_while_removals_are_on_their_way(frozen, mount):
    """Wherever the daemon is killed: every message is either in the inbox or in the trash."""
    mail = mount(frozen)
    for number, uid in enumerate(range(1, 31)):
        os.unlink(mail.path / f"INBOX/{uid}.eml")
        if number % 10 == 9:
            time.sleep(0.02 * (number // 10))
            mail.crash()
            mail = mount(frozen)
            assert mail.names() == [name for name in mail.names()
                                    if int(name.rsplit(".", 2)[1]) > uid]
    mail.sync()
    assert kept(frozen) == list(range(31, 41))
    assert sorted(frozen.client.raw_many(folder="Trash").values()) == sorted(RAW[:30])


def test_during_downloads(account, mount):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    account.client.append_many((b"Subject: big %d\r\n\r\n" % n + line * (4000 * n), ("\\Seen",),
                                1_700_000_000 + n) for n in range(1, 13))
    expected = server_side(account.client)
    mail = mount(account)
    for delay in (0.0, 0.02, 0.1, 0.3):
        reader = subprocess.Popen(["sh", "-c", "cat INBOX/*.eml"], cwd=mail.path,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        mail.crash()
        reader.wait(20)
        mail = mount(account)
    assert mount_side(mail.path) == expected
