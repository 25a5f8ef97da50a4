"""A day's work with servers that can do less: the same comes of it."""

import os

import pytest
from support import crashing
from support.filtering import Filter
from support.mounting import wait_until

EACH = ["UIDPLUS", "MOVE", "CONDSTORE", "QRESYNC", "IDLE", "NOTIFY", "ESEARCH", "LITERAL+",
        "SPECIAL-USE", "LIST-STATUS", "MULTIAPPEND"]
# A server without CONDSTORE cannot have QRESYNC.
WITHOUT = [[], *([one] if one != "CONDSTORE" else [one, "QRESYNC"] for one in EACH), EACH]


@pytest.fixture(params=WITHOUT, ids=lambda words: "+".join(words) if len(words) < 3 else "all")
def world(request, own_dovecot, home):
    account = own_dovecot(without=request.param)
    if "UIDPLUS" not in request.param:
        yield crashing.World(home, account)
        return
    with Filter(account.server.imap) as less:
        yield crashing.World(home, account, f"imap://alice@localhost:{less.port}",
                             password=account.server.password)


def test_a_days_work(world):
    mail = world.mount()
    world.list_names()
    crashing.work(world)
    crashing.check(world)
    name = next(name for name in mail.names() if name.endswith(".eml"))
    assert (mail.path / "INBOX" / name).read_bytes() == crashing.raw(crashing.token_of(
        (mail.path / "INBOX" / name).read_bytes()))
    what_others_do_shows(world, mail)


def what_others_do_shows(world, mail):
    with world.account.server.client(world.account.user) as client:
        # Of another time, so that its flags change at a later second than it came.
        uid = client.append(crashing.raw("Later"), date=1_700_000_000)
        wait_until(lambda: (mail.path / f"INBOX/{uid}.eml").exists(), what="the new message")
        assert (mail.path / f"INBOX/{uid}.eml").read_bytes() == crashing.raw("Later")
        before = os.stat(mail.message(uid)).st_ctime
        client.store(uid, "\\Flagged")
        wait_until(lambda: os.listdir(mail.path / "INBOX") and
                   os.stat(mail.message(uid)).st_ctime > before, what="the flag")
        client.expunge(uid)
        wait_until(lambda: not any(name.endswith(f".{uid}.eml") for name in mail.names()),
                   what="its end")
        client.create("Theirs")
        wait_until(lambda: "Theirs" in mail.names(""), what="the new folder")
