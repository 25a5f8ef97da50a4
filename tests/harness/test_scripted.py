"""The scripted server as imaplib sees it: what the mount tests rely on."""

import imaplib
import socket
import ssl
import time

import pytest
from support import certificates
from support.imapclient import Client
from support.scripted import PASSWORD, USER, Closed, MailServer, Message, ScriptServer

RAW = b"From: a@example.org\r\nSubject: one\r\n  folded\r\nX-Other: y\r\n\r\nbody\r\n"


@pytest.fixture
def server():
    folders = {"INBOX": [Message(RAW, ["\\Seen"]), Message(b"Subject: two\r\n\r\n2\r\n")],
               "Trash": [], "say \"hi\"": []}
    with MailServer(folders) as running:
        running.folders["Trash"].attributes.append("\\Trash")
        yield running


@pytest.fixture
def client(server):
    with Client("127.0.0.1", server.port, USER, PASSWORD) as one:
        yield one


def test_login_is_checked(server):
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        Client("127.0.0.1", server.port, USER, "wrong")
    with imaplib.IMAP4("127.0.0.1", server.port) as imap:
        imap.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
        assert imap.state == "AUTH"
    assert PASSWORD not in repr(server.commands)


def test_folders_and_status(client):
    assert client.folders() == ["INBOX", "Trash", 'say "hi"']
    _, data = client.imap.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")
    assert data == [b'"INBOX" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1 UNSEEN 1)']


def test_fetch(server, client):
    assert client.raw_many() == {1: RAW, 2: b"Subject: two\r\n\r\n2\r\n"}
    assert client.attributes()[1][:2] == ({"\\Seen"}, len(RAW))
    client.select()
    _, data = client.imap.uid("FETCH", "1", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)])")
    assert data[0][1] == b"From: a@example.org\r\nSubject: one\r\n  folded\r\n\r\n"
    _, data = client.imap.uid("FETCH", "1", "(BODY.PEEK[]<5.10>)")
    assert data[0] == (b"1 (UID 1 BODY[]<5> {10}", RAW[5:15])
    assert server.named("UID FETCH")[-1] == "1 (BODY.PEEK[]<5.10>)"


def test_store_search_expunge(server, client):
    client.store(2, "\\Deleted")
    assert client.uids(criteria="DELETED") == [2]
    assert client.uids(criteria="UNSEEN") == [2]
    client.expunge(1)
    assert client.uids() == [2]
    client.expunge()
    assert client.uids() == []
    assert [name for _, name, _ in server.commands if "EXPUNGE" in name] == ["UID EXPUNGE",
                                                                            "EXPUNGE"]


def test_move_and_copy(client):
    client.select()
    assert client.imap.uid("COPY", "1", "Trash")[0] == "OK"
    assert client.imap.uid("MOVE", "1:2", "Trash")[0] == "OK"
    assert client.uids() == []
    assert client.uids("Trash") == [1, 2, 3]
    assert client.imap.uid("COPY", "1", "Nowhere")[0] == "NO"


def test_another_client_sees_a_new_message(server, client):
    client.select()
    server.folders["INBOX"].add(Message(b"\r\n"))
    client.imap.noop()
    assert client.imap.untagged_responses["EXISTS"] == [b"2", b"3"]


def test_idle_tells_and_ends(server, client):
    client.select()
    client.imap.send(b"x IDLE\r\n")
    assert client.imap.readline() == b"+ idling\r\n"
    del server.folders["INBOX"].messages[0]
    assert client.imap.readline() == b"* 1 EXPUNGE\r\n"
    client.imap.send(b"DONE\r\n")
    assert client.imap.readline() == b"x OK done\r\n"


def test_hooks_and_items(server, client):
    server.hooks["STORE"] = lambda session, tag, rest: session.reply(tag, "NO", "[NOPERM] never")
    with pytest.raises(imaplib.IMAP4.error, match="NOPERM"):
        client.store(1, "\\Seen")
    server.hooks["NOOP"] = lambda session, tag, rest: session.line("* OK by the way")
    assert client.imap.noop()[0] == "OK"
    server.items["RFC822.SIZE"] = lambda session, message: b"7"
    assert {size for _, size, _ in client.attributes().values()} == {7}
    server.items["FLAGS"] = lambda session, message: None
    client.select()
    assert client.imap.uid("FETCH", "1", "(FLAGS)")[1] == [b"1 (UID 1)"]


def test_misstated_size_and_empty_message():
    with MailServer({"INBOX": [Message(RAW, size=3), Message(b"")]}) as server:
        with Client("127.0.0.1", server.port, USER, PASSWORD) as client:
            assert [size for _, size, _ in client.attributes().values()] == [3, 0]
            assert client.raw_many() == {1: RAW, 2: b""}


def test_script_with_cut_and_reset():
    def script(connection):
        connection.line("* PREAUTH hello")
        tag, _ = connection.expect("CAPABILITY")
        connection.slowly(f"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n".encode(), step=3)
        tag, _ = connection.expect("NOOP")
        connection.send("* OK half a li")
        connection.reset()

    with ScriptServer(script) as server:
        imap = imaplib.IMAP4("127.0.0.1", server.port)
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            imap.noop()
        imap.shutdown()


def test_a_failed_expectation_fails_the_test():
    def script(connection):
        connection.line("* OK hello")
        connection.expect("LOGIN")

    with pytest.raises(AssertionError, match="expected LOGIN, got CAPABILITY"):
        with ScriptServer(script) as server:
            with pytest.raises(imaplib.IMAP4.abort):
                imaplib.IMAP4("127.0.0.1", server.port)
            time.sleep(0.1)


def test_pending():
    seen = []

    def script(connection):
        connection.line("* OK hello")
        seen.append(connection.pending(0.05))
        connection.line("ready")
        seen.append(connection.pending(5))
        seen.append(connection.read_line())
        with pytest.raises(Closed):
            connection.pending(5)
        seen.append("closed")

    with ScriptServer(script) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            lines = client.makefile("rb")
            assert lines.readline() == b"* OK hello\r\n"
            assert lines.readline() == b"ready\r\n"
            client.sendall(b"a line\r\n")
            lines.close()
        deadline = time.monotonic() + 5
        while "closed" not in seen and time.monotonic() < deadline:
            time.sleep(0.01)
    assert seen == [False, True, b"a line", "closed"]


def test_tls_and_restart_on_the_same_port(tmp_path):
    authority = certificates.Authority(tmp_path)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with MailServer(certificate=authority.issue()) as server:
        port = server.port
        with Client("localhost", port, USER, PASSWORD, context) as client:
            assert client.folders() == ["INBOX"]
            server.stop()
            with pytest.raises((imaplib.IMAP4.abort, OSError)):
                client.imap.noop()
        server.start()
        assert server.port == port
        with Client("localhost", port, USER, PASSWORD, context) as client:
            assert client.uids() == []


@pytest.mark.parametrize("how", [{"expired": True}, {"names": "DNS:elsewhere.example"}])
def test_bad_certificates_are_bad(tmp_path, how):
    authority = certificates.Authority(tmp_path)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with MailServer(certificate=authority.issue(**how)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            Client("localhost", server.port, USER, PASSWORD, context)
