"""POP3 servers of one's own on loopback, and a proxy that watches, delays and cuts what they say.

Dovecot's pop3d is one; popa3d (bare +OK, no CAPA) and GNU mailutils' pop3d (sizes that change) serve
system users from an mbox. Those two conflict with Dovecot as packages: scripts/packages unpacks
them into .servers/. They run by socat in a mount namespace in which /etc/passwd and its like are
the test's own, which takes root.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from . import dovecot

SERVERS = pathlib.Path(__file__).resolve().parents[2] / ".servers/usr/sbin"
PASSWORD = "correct-horse"
_ID = 2000  # of the mail user in the namespace


class Client:
    """Another POP3 client, which takes every byte as it comes."""

    def __init__(self, port, user, password):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"+OK")
        self.command(f"USER {user}")
        self.command(f"PASS {password}")

    def command(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        reply = self.file.readline()
        assert reply.startswith(b"+OK"), (line, reply)
        return reply

    def lines(self, command):
        self.command(command)
        found = []
        while (line := self.file.readline()) != b".\r\n":
            assert line, "the server hung up"
            found.append(line[1:] if line.startswith(b".") else line)
        return found

    def count(self):
        return len(self.lines("LIST"))

    def messages(self):
        """The bytes of each message, as RETR sends them. UIDL makes mailutils write into them."""
        self.lines("UIDL")
        return [b"".join(self.lines(f"RETR {line.split()[0].decode()}"))
                for line in self.lines("LIST")]

    def quit(self):
        self.command("QUIT")
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()


class Maildrop:
    """What the tests ask of a server: url(), deliver(), client(), stop(), start()."""

    user, password, port = "alice", PASSWORD, None

    def url(self, port=None):
        return f"pop3://{self.user}@127.0.0.1:{port or self.port}"

    def client(self):
        deadline = time.monotonic() + 60
        while True:  # a session that has just ended may still hold the maildrop
            try:
                return Client(self.port, self.user, self.password)
            except (AssertionError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def look(self, what):
        """what(client) in a session of its own."""
        client = self.client()
        try:
            result = what(client)
            client.quit()
            return result
        finally:
            client.close()

    def messages(self):
        return self.look(Client.messages)

    def count(self):
        return self.look(Client.count)


class DovecotMaildrop(Maildrop):
    """Of a server of its own, or of one that runs and is shared."""

    name = "dovecot"

    def __init__(self, server=None, user="alice"):
        self.shared, self.user = server is not None, user
        self.server = server or dovecot.Dovecot()
        self.password, self.port = self.server.password, self.server.pop3
        if self.shared:
            self.server.add_user(user)
            self.imap = self.server.client(user)

    def start(self):
        self.server.start()
        self.imap = self.server.client()
        return self

    def deliver(self, *messages):
        for raw in messages:
            self.imap.append(raw)

    def stop(self):
        self.server.stop()

    def restart(self):
        self.server.start()

    def close(self):
        if not self.shared:
            self.server.close()


class InetdMaildrop(Maildrop):
    """A server that speaks on stdin and stdout."""

    program, arguments = None, ""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mailfs-pop3-"))
        self.directory.chmod(0o755)
        self.port = dovecot.free_ports(1)[0]
        self._process = None
        for name, mode in (("mail", 0o1777), ("home", 0o755), ("state", 0o755)):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(mode)
        self.mbox = self.directory / "mail" / self.user
        self.mbox.touch()
        os.chown(self.mbox, _ID, 8)
        self.mbox.chmod(0o660)
        crypted = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=self.password,
                                 capture_output=True, text=True, check=True).stdout.strip()
        (self.directory / "passwd").write_text(
            "root:x:0:0::/root:/bin/sh\nmail:x:8:8::/var/mail:/bin/false\n"
            f"popa3d:x:2001:8::{self.directory}/state:/bin/false\n"
            f"{self.user}:x:{_ID}:8::{self.directory}/home:/bin/sh\n")
        (self.directory / "shadow").write_text(f"{self.user}:{crypted}:19000:0:99999:7:::\n")
        (self.directory / "group").write_text("root:x:0:\nmail:x:8:\n")
        (self.directory / "pop3d.conf").write_text(
            "mailbox { mail-spool /var/mail; };\n"
            "auth { authentication clear; authentication generic:system;\n"
            "       authorization clear; authorization system; };\n"
            "logging { syslog no; };\n")
        (self.directory / "state").mkdir(exist_ok=True)

    @classmethod
    def available(cls):
        return os.geteuid() == 0 and (SERVERS / cls.program).exists() and shutil.which("socat")

    def start(self):
        here = self.directory
        mounts = "".join(f"mount --bind {here}/{name} /etc/{name}\n"
                         for name in ("passwd", "shadow", "group"))
        command = f"{SERVERS / self.program} {self.arguments.format(here)}".rstrip()
        script = (f"{mounts}mount --bind {here}/mail /var/mail\n"
                  f"mount -t tmpfs none /var/lib\nmkdir -m 755 /var/lib/popa3d\n"
                  f"exec socat TCP-LISTEN:{self.port},bind=127.0.0.1,fork,reuseaddr "
                  f"'EXEC:{command}'\n")
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-e", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(here / "log", "ab"), start_new_session=True)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((here / "log").read_text()) from None
                time.sleep(0.05)

    restart = start

    def deliver(self, *messages):
        with open(self.mbox, "ab") as mbox:
            fcntl.lockf(mbox, fcntl.LOCK_EX)
            for raw in messages:
                text = raw.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
                mbox.write(b"From bob@example.org Mon Jun  1 10:00:00 2026\n" + text.rstrip(b"\n") +
                           b"\n\n")

    def stop(self):
        process, self._process = self._process, None
        if process:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Popa3d(InetdMaildrop):
    name, program = "popa3d", "popa3d"


class Mailutils(InetdMaildrop):
    name, program = "mailutils", "pop3d"
    arguments = "--inetd --config-file={}/pop3d.conf"


class Proxy:
    """Between a client and a server: keeps the commands, and cuts the connection where told.

    commands    what clients said, in order, over all sessions
    cut         a function of (command, number) that is asked before each command is passed on;
                "before": the server never gets it; "after": it gets it, the client no answer;
                "within": the client gets the beginning of the answer
    """

    def __init__(self, port, delay=0):
        self.server_port, self.delay = port, delay
        self.commands, self.sessions, self.cut = [], 0, None
        self._lock, self._half = threading.Lock(), set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self._session, args=(client,), daemon=True).start()

    def _session(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.server_port))
        except OSError:
            client.close()
            return
        mute = threading.Event()
        back = threading.Thread(target=self._answers, args=(server, client, mute), daemon=True)
        back.start()
        try:
            for line in client.makefile("rb"):
                if not self._command(line, server, mute):
                    break
        except OSError:
            pass
        _shut(server, socket.SHUT_WR)
        if mute.is_set():
            _shut(client, socket.SHUT_RDWR)
        back.join(30)
        for one in (client, server):
            _shut(one, socket.SHUT_RDWR)
            one.close()

    def _command(self, line, server, mute):
        """FALSE: no more."""
        word = line.strip().decode(errors="replace")
        with self._lock:
            self.commands.append(word)
            number = len(self.commands)
        where = self.cut(word, number) if self.cut else None
        if where == "before":
            mute.set()
            return False
        if where == "within":
            self._half.add(server)
        if where == "after":
            mute.set()
        if where:
            server.sendall(line)
            return False
        if self.delay:
            time.sleep(self.delay)
        server.sendall(line)
        return True

    def _answers(self, server, client, mute):
        try:
            while data := server.recv(65536):
                if server in self._half and not mute.is_set():
                    client.sendall(data[:len(data) // 2])
                    mute.set()
                    _shut(client, socket.SHUT_RDWR)
                elif not mute.is_set():
                    client.sendall(data)
        except OSError:
            pass
        _shut(client, socket.SHUT_RDWR)

    def count(self, word):
        with self._lock:
            return sum(command.split()[0] == word for command in self.commands if command)

    def close(self):
        self._listener.close()


def _shut(one, how):
    try:
        one.shutdown(how)
    except OSError:
        pass


SERVER_KINDS = {kind.name: kind for kind in (DovecotMaildrop, Popa3d, Mailutils)}
