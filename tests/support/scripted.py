"""IMAP servers that misbehave exactly as a test says.

ScriptServer runs one Python function for each connection: it expects commands and sends any bytes.
MailServer is a small correct IMAP4rev1 server in memory; a test hooks the one command, or the one
FETCH item, that it wants to be wrong. Both listen on loopback only, with or without TLS.

    server = MailServer({"INBOX": [Message(b"Subject: x\\r\\n\\r\\n", size=9999)]})
    server.hooks["STORE"] = lambda session, tag, words: session.reply(tag, "NO", "[NOPERM] never")
    with server: ...
"""

import base64
import contextlib
import re
import socket
import ssl
import struct
import threading
import time

USER, PASSWORD = "alice", "open sesame"


class Closed(Exception):
    """The peer went away, or the script is over."""


class Connection:
    """What a script sees of one client."""

    def __init__(self, server, sock, number):
        self.server, self.socket, self.number = server, sock, number
        self._buffer = b""

    # ---- bytes out ----

    def send(self, *parts):
        """Text or bytes, as they are."""
        data = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Closed from error

    def line(self, *parts):
        self.send(*parts, b"\r\n")

    def slowly(self, data, step=1, delay=0.001):
        """The same bytes in small pieces: every cut that a network can make."""
        for first in range(0, len(data), step):
            self.send(data[first:first + step])
            time.sleep(delay)

    def reply(self, tag, kind="OK", text="done"):
        self.line(f"{tag} {kind} {text}")
        return True

    # ---- bytes in ----

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            raise Closed from error
        if not data:
            raise Closed
        self._buffer += data

    def read_line(self):
        while b"\r\n" not in self._buffer:
            self._more()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def read_bytes(self, count):
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def command(self):
        """(tag, NAME, rest): literals are taken into `rest` as quoted strings are, NAME says "UID FETCH"
        for the UID forms."""
        line = self.read_line()
        while match := re.search(rb"\{(\d+)(\+?)\}$", line):
            if not match[2]:
                self.line("+ go on")
            literal = self.read_bytes(int(match[1]))
            escaped = literal.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            line = line[:match.start()] + b'"' + escaped + b'"' + self.read_line()
        words = line.decode("utf-8", "surrogateescape").split(" ", 2)
        tag, name, rest = words[0], words[1].upper() if len(words) > 1 else "", ""
        if len(words) > 2:
            rest = words[2]
        if name == "UID":
            second, _, rest = rest.partition(" ")
            name = "UID " + second.upper()
        shown = "***" if name in ("LOGIN", "AUTHENTICATE") else rest
        self.server.record(self.number, name, shown)
        return tag, name, rest

    def expect(self, *names):
        """The next command, which has to be one of these. Returns (tag, rest)."""
        tag, name, rest = self.command()
        if name not in names:
            raise AssertionError(f"expected {' or '.join(names)}, got {name} {rest}")
        return tag, rest

    def pending(self, seconds):
        """Whether the client sends something within this time."""
        if self._buffer:
            return True
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError as error:
            raise Closed from error
        finally:
            with contextlib.suppress(OSError):
                self.socket.settimeout(None)
        if not data:
            raise Closed
        self._buffer += data
        return True

    # ---- ends ----

    def close(self):
        raise Closed

    def reset(self):
        """Ends with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Closed


class ScriptServer:
    """Calls script(connection) in a thread of its own for each client. What a script raises, other
    than Closed, is kept in `errors` and raised again when the server is left."""

    connection_class = Connection

    def __init__(self, script=None, certificate=None):
        """certificate: (certificate, key) as paths, for TLS from the first byte."""
        self._script = script
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*map(str, certificate))
        self.lock = threading.RLock()
        self.commands = []  # (connection number, NAME, rest) in order of arrival
        self.connections = 0
        self.errors = []
        self.port = 0
        self._listener = None
        self._clients = set()
        self._threads = []

    def script(self, connection):
        self._script(connection)

    def record(self, number, name, rest):
        with self.lock:
            self.commands.append((number, name, rest))

    def named(self, *names):
        """What followed each command of these names so far."""
        with self.lock:
            return [rest for _, name, rest in self.commands if name in names]

    def url(self, user=USER, scheme=None):
        scheme = scheme or ("imaps" if self._tls else "imap")
        host = "localhost" if self._tls else "127.0.0.1"
        return f"{scheme}://{user}@{host}:{self.port}"

    def start(self):
        """Listens; on the same port again after stop()."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._spawn(self._accept, listener)
        return self

    def _spawn(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        with self.lock:
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                number = self.connections
                self._clients.add(client)
            self._spawn(self._serve, client, number)

    def _serve(self, client, number):
        plain = client
        try:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
                with self.lock:
                    self._clients.discard(plain)
                    self._clients.add(client)
            self.script(self.connection_class(self, client, number))
        except (Closed, OSError):
            pass
        except Exception as error:  # a failed expectation belongs to the test, not to this thread
            with self.lock:
                self.errors.append(error)
        finally:
            with self.lock:
                self._clients.discard(client)
                self._clients.discard(plain)
            client.close()

    def disconnect(self):
        """Ends every connection there is; new ones are welcome."""
        with self.lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def stop(self):
        """No longer listens, and ends every connection."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.disconnect()
        with self.lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(5)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop()
        if self.errors and kind is None:
            raise self.errors[0]


# ---- the small correct server ----

class Message:
    """size: what RFC822.SIZE claims; internaldate: sent as it is."""

    def __init__(self, raw, flags=(), internaldate="11-Jun-2026 06:38:00 +0000", size=None):
        self.raw = bytes(raw)
        self.flags = set(flags)
        self.internaldate = internaldate
        self.size = len(self.raw) if size is None else size
        self.uid = 0


class Folder:
    def __init__(self, messages=(), attributes=(), uidvalidity=1, selectable=True):
        self.messages = []
        self.attributes = list(attributes)
        if not selectable:
            self.attributes.append("\\Noselect")
        self.uidvalidity = uidvalidity
        self.uidnext = 1
        for message in messages:
            self.add(message)

    def add(self, message):
        message.uid = message.uid or self.uidnext
        self.uidnext = max(self.uidnext, message.uid + 1)
        self.messages.append(message)
        return message.uid

    def find(self, uid):
        return next((one for one in self.messages if one.uid == uid), None)


CAPABILITIES = "IMAP4rev1 UIDPLUS MOVE IDLE SASL-IR NAMESPACE SPECIAL-USE AUTH=PLAIN"


class MailServer(ScriptServer):
    """folders: {name as on the wire: Folder or list of Messages}.

    hooks[NAME] = function(session, tag, rest): called instead of the command ("FETCH" also stands
    for "UID FETCH"); a falsy result means that the usual answer follows.
    items[NAME] = function(session, message): the value of one FETCH item, such as
    "RFC822.SIZE", as bytes; None leaves the item out.
    """

    def __init__(self, folders=None, capabilities=CAPABILITIES, delimiter="/", certificate=None,
                 greeting="* OK ready"):
        super().__init__(certificate=certificate)
        self.folders = {}
        for name, content in (folders or {"INBOX": []}).items():
            self.folders[name] = content if isinstance(content, Folder) else Folder(content)
        self.folders.setdefault("INBOX", Folder())
        self.capabilities = capabilities
        self.delimiter = delimiter
        self.greeting = greeting
        self.hooks = {}
        self.items = {}
        self.password = PASSWORD

    def script(self, connection):
        Session(connection).run()


class Session:
    """One client's state. A hook may use all of it."""

    def __init__(self, connection):
        self.connection = connection
        self.server = connection.server
        self.authenticated = False
        self.folder = None  # the selected Folder
        self.read_only = False
        self.known = []  # uids in the order of their sequence numbers, as this client was told
        self.send, self.line, self.reply = connection.send, connection.line, connection.reply
        self.close, self.reset = connection.close, connection.reset
        self.slowly = connection.slowly

    def run(self):
        self.line(self.server.greeting)
        while True:
            tag, name, rest = self.connection.command()
            if not self._hooked(tag, name, rest):
                self.usual(tag, name, rest)
            if name == "LOGOUT":
                return

    def _hooked(self, tag, name, rest):
        hook = self.server.hooks.get(name) or self.server.hooks.get(name.removeprefix("UID "))
        return bool(hook and hook(self, tag, rest))

    def usual(self, tag, name, rest):
        """The correct answer; hooks call it, too, before or after their own mischief."""
        method = getattr(self, "do_" + name.removeprefix("UID ").lower(), None)
        if method is None:
            self.reply(tag, "BAD", "unknown command")
        elif not self.authenticated and name not in (
                "CAPABILITY", "NOOP", "LOGOUT", "LOGIN", "AUTHENTICATE", "ID"):
            self.reply(tag, "BAD", "log in first")
        elif self.folder is None and method.__name__ in (
                "do_fetch", "do_store", "do_search", "do_expunge", "do_copy", "do_move"):
            self.reply(tag, "BAD", "no folder is selected")
        else:
            method(tag, rest, name.startswith("UID "))

    # ---- any state ----

    def do_capability(self, tag, rest, uid):
        self.line("* CAPABILITY " + self.server.capabilities)
        self.reply(tag)

    def do_noop(self, tag, rest, uid):
        self._tell_changes()
        self.reply(tag)

    do_check = do_noop

    def do_id(self, tag, rest, uid):
        self.line('* ID ("name" "scripted")')
        self.reply(tag)

    def do_logout(self, tag, rest, uid):
        self.line("* BYE see you")
        self.reply(tag)

    # ---- login ----

    def do_login(self, tag, rest, uid):
        words = parse(rest)
        self._finish_login(tag, words[-2:] == [USER, self.server.password])

    def do_authenticate(self, tag, rest, uid):
        mechanism, _, initial = rest.partition(" ")
        if mechanism.upper() != "PLAIN":
            self.reply(tag, "NO", "[CANNOT] only PLAIN")
            return
        if not initial:
            self.line("+ ")
            initial = self.connection.read_line().decode()
        fields = base64.b64decode(initial).decode().split("\0")
        self._finish_login(tag, fields[1:] == [USER, self.server.password])

    def _finish_login(self, tag, right):
        self.authenticated = right
        if right:
            self.reply(tag, "OK", f"[CAPABILITY {self.server.capabilities}] welcome")
        else:
            self.reply(tag, "NO", "[AUTHENTICATIONFAILED] wrong name or password")

    # ---- folders ----

    def do_namespace(self, tag, rest, uid):
        self.line(f'* NAMESPACE (("" "{self.server.delimiter}")) NIL NIL')
        self.reply(tag)

    def do_enable(self, tag, rest, uid):
        self.line("* ENABLED")
        self.reply(tag)

    def do_list(self, tag, rest, uid):
        for name, folder in self.server.folders.items():
            attributes = " ".join(folder.attributes)
            self.line(f'* LIST ({attributes}) "{self.server.delimiter}" ', string(name))
        self.reply(tag)

    def do_lsub(self, tag, rest, uid):
        self.reply(tag)

    def do_status(self, tag, rest, uid):
        name, items = parse(rest)[:2]
        folder = self.server.folders.get(canonical(name))
        if folder is None:
            self.reply(tag, "NO", "[NONEXISTENT] no such folder")
            return
        values = {"MESSAGES": len(folder.messages), "UIDNEXT": folder.uidnext,
                  "UIDVALIDITY": folder.uidvalidity, "RECENT": 0,
                  "UNSEEN": sum("\\Seen" not in one.flags for one in folder.messages),
                  "HIGHESTMODSEQ": 1, "SIZE": sum(one.size for one in folder.messages)}
        shown = " ".join(f"{item.upper()} {values[item.upper()]}" for item in items)
        self.line(b"* STATUS ", string(name), f" ({shown})")
        self.reply(tag)

    def do_select(self, tag, rest, uid, read_only=False):
        self.folder = None
        folder = self.server.folders.get(canonical(parse(rest)[0]))
        if folder is None or "\\Noselect" in folder.attributes:
            self.reply(tag, "NO", "[NONEXISTENT] no such folder")
            return
        self.folder, self.read_only = folder, read_only
        self.known = [one.uid for one in folder.messages]
        self.line(r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)")
        self.line(r"* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] kept")
        self.line(f"* {len(self.known)} EXISTS")
        self.line("* 0 RECENT")
        self.line(f"* OK [UIDVALIDITY {folder.uidvalidity}] valid")
        self.line(f"* OK [UIDNEXT {folder.uidnext}] next")
        self.reply(tag, "OK", "[READ-ONLY] there" if read_only else "[READ-WRITE] there")

    def do_examine(self, tag, rest, uid):
        self.do_select(tag, rest, uid, read_only=True)

    def do_unselect(self, tag, rest, uid):
        self.folder = None
        self.reply(tag)

    do_close = do_unselect

    def do_idle(self, tag, rest, uid):
        self.line("+ idling")
        while not self.connection.pending(0.1):
            self._tell_changes()
        self.connection.read_line()
        self.reply(tag)

    def _tell_changes(self):
        """Untagged EXPUNGE and EXISTS for what changed since this client was last told."""
        if self.folder is None:
            return
        now = [one.uid for one in self.folder.messages]
        for uid in [one for one in self.known if one not in set(now)]:
            self.line(f"* {self.known.index(uid) + 1} EXPUNGE")
            self.known.remove(uid)
        if len(now) > len(self.known):
            self.known = now
            self.line(f"* {len(now)} EXISTS")

    # ---- messages ----

    def chosen(self, text, uid):
        """The messages of a sequence set, by uid or by number."""
        last = (self.known[-1] if self.known else 0) if uid else len(self.known)
        ranges = []
        for part in text.split(","):
            first, _, second = part.partition(":")
            ends = [last if end == "*" else int(end) for end in (first, second or first)]
            ranges.append((min(ends), max(ends)))
        present = {one.uid: one for one in self.folder.messages}
        for number, one in enumerate(self.known, 1):
            key = one if uid else number
            if one in present and any(low <= key <= high for low, high in ranges):
                yield number, present[one]

    def do_fetch(self, tag, rest, uid):
        which, _, items = rest.partition(" ")
        names = fetch_items(items)
        if uid and "UID" not in names:
            names.insert(0, "UID")
        for number, message in self.chosen(which, uid):
            self.send_fetch(number, message, names)
        self.reply(tag)

    def send_fetch(self, number, message, names):
        parts = []
        for name in names:
            value = self.value(message, name)
            if value is not None:
                shown = re.sub(r"^BODY\.PEEK", "BODY", name)
                shown = re.sub(r"<(\d+)\.\d+>$", r"<\1>", shown)
                parts.append(shown.encode() + b" " + value)
        self.send(f"* {number} FETCH (", b" ".join(parts), ")\r\n")

    def value(self, message, name):
        """The value of one FETCH item as it goes on the wire."""
        hook = self.server.items.get(name) or self.server.items.get(re.sub(r"[\[<].*", "", name))
        if hook:
            return hook(self, message)
        if name == "UID":
            return str(message.uid).encode()
        if name == "FLAGS":
            return ("(" + " ".join(sorted(message.flags)) + ")").encode()
        if name == "INTERNALDATE":
            return f'"{message.internaldate}"'.encode()
        if name == "RFC822.SIZE":
            return str(message.size).encode()
        return self._body(message, name)

    @staticmethod
    def _body(message, name):
        match = re.match(r"BODY(?:\.PEEK)?\[(.*?)\](?:<(\d+)\.(\d+)>)?$", name)
        if not match:
            return b"NIL"
        section = match[1].upper()
        header, blank, text = message.raw.partition(b"\r\n\r\n")
        if section.startswith("HEADER.FIELDS"):
            wanted = re.search(r"\((.*)\)", section)[1].split()
            data = header_fields(header, wanted)
        elif section == "HEADER":
            data = header + blank
        elif section == "TEXT":
            data = text
        else:
            data = message.raw
        if match[2]:
            data = data[int(match[2]):int(match[2]) + int(match[3])]
        return literal(data)

    def do_store(self, tag, rest, uid):
        which, how, flags = rest.split(" ", 2)
        words = set(flags.strip("()").split())
        if self.read_only:
            self.reply(tag, "NO", "[READ-ONLY] examined only")
            return
        for number, message in self.chosen(which, uid):
            with self.server.lock:
                if how.startswith("+"):
                    message.flags |= words
                elif how.startswith("-"):
                    message.flags -= words
                else:
                    message.flags = words
            if "SILENT" not in how.upper():
                self.send_fetch(number, message, ["UID", "FLAGS"] if uid else ["FLAGS"])
        self.reply(tag)

    def do_search(self, tag, rest, uid):
        """ALL, UID sets, and the flags; everything else matches."""
        found = list(self.chosen("1:*", True)) if self.known else []
        words = rest.upper().split()
        if "UID" in words:
            chosen = {one.uid for _, one in self.chosen(words[words.index("UID") + 1], True)}
            found = [pair for pair in found if pair[1].uid in chosen]
        for word in ("SEEN", "DELETED", "FLAGGED", "ANSWERED", "DRAFT"):
            flag = "\\" + word.capitalize()
            if word in words:
                found = [pair for pair in found if flag in pair[1].flags]
            if "UN" + word in words:
                found = [pair for pair in found if flag not in pair[1].flags]
        numbers = [str(one.uid if uid else number) for number, one in found]
        self.line(" ".join(["* SEARCH", *numbers]))
        self.reply(tag)

    def do_expunge(self, tag, rest, uid):
        among = self.chosen(rest, True) if uid else self.chosen("1:*", True)
        self._remove([one for _, one in among if "\\Deleted" in one.flags])
        self.reply(tag)

    def _remove(self, messages):
        with self.server.lock:
            for message in messages:
                if message in self.folder.messages:
                    self.folder.messages.remove(message)
        self._tell_changes()

    def do_copy(self, tag, rest, uid, move=False):
        which, _, name = rest.partition(" ")
        target = self.server.folders.get(canonical(parse(name)[0]))
        if target is None:
            self.reply(tag, "NO", "[TRYCREATE] no such folder")
            return
        sources = [message for _, message in self.chosen(which, uid)]
        with self.server.lock:
            copies = [target.add(Message(one.raw, one.flags, one.internaldate, one.size))
                      for one in sources]
        code = ""
        if sources:
            code = "[COPYUID {} {} {}]".format(target.uidvalidity,
                                               ",".join(str(one.uid) for one in sources),
                                               ",".join(map(str, copies)))
        if move:
            self.line(f"* OK {code} moved")
            self._remove(sources)
            code = ""
        self.reply(tag, "OK", f"{code} done".strip())

    def do_append(self, tag, rest, uid):
        name, *words = parse(rest)
        target = self.server.folders.get(canonical(name))
        if target is None:
            self.reply(tag, "NO", "[TRYCREATE] no such folder")
            return
        added, flags, date = [], (), None
        for word in words:  # of each message: flags and date, which may be missing, and the text
            if isinstance(word, list):
                flags = word
            elif re.fullmatch(r"[ \d]\d-\w{3}-\d{4} [\d:]{8} [-+]\d{4}", word):
                date = word
            else:
                raw = word.encode("utf-8", "surrogateescape")
                message = Message(raw, flags, date) if date else Message(raw, flags)
                with self.server.lock:
                    added.append(target.add(message))
                flags, date = (), None
        uids = ",".join(map(str, added))
        self.reply(tag, "OK", f"[APPENDUID {target.uidvalidity} {uids}] done")

    def do_move(self, tag, rest, uid):
        self.do_copy(tag, rest, uid, move=True)


# ---- the wire ----

def literal(data):
    return b"{%d}\r\n" % len(data) + data


def string(text):
    """A quoted string, or a literal where that is not possible."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if re.search(rb"[\x00-\x1f\x7f-\xff]", data) or len(data) > 1000:
        return literal(data)
    return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def canonical(name):
    return "INBOX" if name.upper() == "INBOX" else name


def parse(text):
    """Atoms, quoted strings and lists of a command's arguments."""
    stack = [[]]
    for match in re.finditer(r'"((?:\\.|[^"\\])*)"|([()])|([^\s()"]+)', text, re.S):
        if match[2] == "(":
            stack.append([])
        elif match[2] == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif match[3] is not None:
            stack[-1].append(match[3])
        else:
            stack[-1].append(re.sub(r"\\(.)", r"\1", match[1], flags=re.S))
    return stack[0]


def fetch_items(text):
    """The names in a FETCH command; the macro ALL and modifiers such as CHANGEDSINCE are not
    known here, as the server does not offer them."""
    return [item.upper() for item in
            re.findall(r"[A-Za-z0-9.]+(?:\[[^\]]*\](?:<\d+\.\d+>)?)?", text)]


def header_fields(header, wanted):
    kept, keep = [], False
    for line in header.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            keep = line.split(b":")[0].strip().decode("latin-1").upper() in wanted
        if keep:
            kept.append(line)
    return b"".join(line + b"\r\n" for line in kept) + b"\r\n"
