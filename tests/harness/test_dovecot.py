"""Dovecot as the mount tests start it."""

import imaplib
import os
import ssl

import pytest
from support.dovecot import Dovecot
from support.mounting import wait_until

RAW = b"Subject: x\r\n\r\nhello\r\n"


def test_an_account_with_folders_and_mail():
    with Dovecot(rawlog=True) as server, server.client() as client:
        assert {"INBOX", "Trash", "Sent", "Drafts", "Archive", "Junk"} == set(client.folders())
        for name in ("日本語", "Entwürfe & Co", "100%", "INBOX/Projects", "trailing "):
            client.create(name)
            assert name in client.folders()
            assert client.append(RAW, name, ["\\Flagged"], 1700000000) == 1
            assert client.attributes(name) == {1: ({"\\Flagged", "\\Recent"}, len(RAW),
                                                  1700000000)}
        client.append_many([(RAW, ("\\Seen",), 1700000000 + number) for number in range(250)])
        assert len(client.raw_many()) == 250
        client.expunge("1:3")
        assert client.uids() == list(range(4, 251))
        assert "UID EXPUNGE 1:3" in server.rawlogs()[0]


def test_restart_and_crash_keep_ports_and_mail():
    with Dovecot() as server:
        port = server.imap
        with server.client() as client:
            client.append(RAW)
        for stop in (server.stop, server.kill):
            stop()
            with pytest.raises(OSError):
                server.client()
            server.start()
            assert server.imap == port
            with server.client(tls=True) as client:
                assert client.uids() == [1]


def test_a_frozen_server_is_silent():
    with Dovecot() as server, server.client() as client:
        client.imap.sock.settimeout(0.5)
        client.imap.noop()
        server.freeze()
        with pytest.raises(TimeoutError):
            client.imap.noop()
        server.freeze(False)
        with server.client() as another:
            assert another.uids() == []


def processes_of_session(session):
    found = []
    for entry in os.scandir("/proc"):
        try:
            fields = open(f"{entry.path}/stat", encoding="ascii", errors="replace").read() \
                .rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(entry.name)
    return found


def test_nothing_is_left():
    with Dovecot() as server, server.client() as client:
        pid, directory = server.pid, server.directory
        assert client.uids() == []
        assert len(processes_of_session(pid)) > 2  # the master, a login process, a session
    wait_until(lambda: processes_of_session(pid) == [], what="the end of every process")
    assert not directory.exists()


def test_capabilities_can_be_left_out():
    with Dovecot(without=["UIDPLUS", "CONDSTORE", "QRESYNC"]) as server:
        with server.client() as client:
            offered = client.capabilities()
            assert "MOVE" in offered
            assert not {"UIDPLUS", "CONDSTORE", "QRESYNC"} & set(offered)


def test_certificate_and_users():
    with Dovecot(users=("alice", "bob")) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=ssl.create_default_context())
        with server.client("bob", tls=True) as client:
            client.append(RAW)
        with server.client("alice") as client:
            assert client.uids() == []
        server.add_user("carol")
        with server.client("carol") as client:
            assert client.uids() == []
        with imaplib.IMAP4("127.0.0.1", server.imap) as imap:
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                imap.login("alice", "wrong")


def test_maildir_and_another_delimiter():
    with Dovecot(storage="maildir") as server, server.client() as client:
        client.append(RAW)
        assert len(list((server.home() / "Maildir/new").iterdir())) + \
               len(list((server.home() / "Maildir/cur").iterdir())) == 1
    with Dovecot(separator=".", plugins="listescape") as server, server.client() as client:
        client.create("one/two.three")
        assert {"one/two", "one/two.three"} <= set(client.folders())
