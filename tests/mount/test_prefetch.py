"""A program that walks a folder does not pay a round trip for each message."""

import time

import pytest
from support.mounting import wait_until
from support.scripted import MailServer, Message, PASSWORD

COUNT = 400
RAW = [b"Subject: number %d\r\n\r\n" % n + b"text %d\r\n" % n * 50 for n in range(1, COUNT + 1)]


@pytest.fixture
def server():
    with MailServer({"INBOX": [Message(raw, ["\\Seen"]) for raw in RAW]}) as one:
        one.asked = []

        def note(session, tag, rest):
            if "BODY.PEEK[]" in rest:
                one.asked.append(rest.split(" ")[0])
            return False
        one.hooks["FETCH"] = note
        yield one


@pytest.fixture
def mail(server, home):
    mail = home.mount(server.url(), password=PASSWORD, refresh=3600)
    assert len(mail.names()) == COUNT
    wait_until(lambda: mail.status()["sizes"] == "certain", what="trust in the sizes")
    server.asked.clear()
    return mail


@pytest.mark.parametrize("walk", ["cat INBOX/*.eml", "grep -rh '' INBOX", "tar cO INBOX"])
def test_a_walk_takes_few_commands(server, mail, walk):
    done = mail.shell(walk)
    assert all(raw in done.stdout for raw in RAW)
    assert len(server.asked) <= COUNT // 10, server.asked
    assert int(mail.status()["fetched-bodies"]) == COUNT


def test_a_parallel_walk_too(server, mail):
    mail.shell("rg --no-ignore -c text INBOX")
    assert len(server.asked) <= COUNT // 5, server.asked


def test_a_parallel_walk_far_away(server, mail):
    """Several readers wait at a time, and each asks again once its message has come."""
    note = server.hooks["FETCH"]

    def far(session, tag, rest):
        time.sleep(0.02)
        return note(session, tag, rest)
    server.hooks["FETCH"] = far
    mail.shell("rg --no-ignore -j 4 -c text INBOX")
    assert len(server.asked) <= COUNT // 5, server.asked


def test_single_readers_fetch_what_they_read(server, mail):
    """Here and there, or only a few: nothing is fetched that nobody asked for."""
    before = int(mail.status()["fetched-bodies"])
    for uid in (300, 50, 200, 390, 120, 121):
        assert mail.message(uid).read_bytes() == RAW[uid - 1]
    assert int(mail.status()["fetched-bodies"]) == before + 6


def test_it_stops_with_the_reader(server, mail):
    mail.shell("cat INBOX/{30,31,32,33,34}.eml")
    mail.shell("sleep 1")
    fetched = int(mail.status()["fetched-bodies"])
    assert fetched < COUNT
    mail.shell("sleep 1")
    assert int(mail.status()["fetched-bodies"]) == fetched


def test_a_small_cache_keeps_up(server, home):
    """What was read ahead is not thrown out before it is read."""
    mail = home.mount(server.url(), password=PASSWORD, refresh=3600, cache_size="100K")
    assert len(mail.names()) == COUNT
    done = mail.shell("grep -rh '' INBOX")
    assert all(raw in done.stdout for raw in RAW)
    assert int(mail.status()["fetched-bodies"]) <= COUNT + 40
