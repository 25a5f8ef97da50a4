"""A second client: imaplib, with folder names in Unicode and messages as bytes."""

import base64
import datetime
import imaplib
import re

imaplib._MAXLINE = 64 << 20  # a FETCH or SEARCH of 100,000 messages is one long line


def encode_name(name):
    """Modified UTF-7, RFC 3501 section 5.1.3."""
    out, run = [], ""

    def flush():
        nonlocal run
        if run:
            encoded = base64.b64encode(run.encode("utf-16-be")).rstrip(b"=").decode()
            out.append("&" + encoded.replace("/", ",") + "-")
        run = ""

    for character in name:
        if " " <= character <= "~":
            flush()
            out.append("&-" if character == "&" else character)
        else:
            run += character
    flush()
    return "".join(out)


def decode_name(name):
    def decode(match):
        if not match[1]:
            return "&"
        text = match[1].replace(",", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-16-be")
    return re.sub(r"&([^-]*)-", decode, name)


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def uid_set(uids):
    if isinstance(uids, int):
        return str(uids)
    return uids if isinstance(uids, str) else ",".join(map(str, uids))


class Client:
    """Logged in from the start. A command that is not answered OK raises imaplib's error."""

    def __init__(self, host, port, user, password, ssl_context=None, timeout=60):
        if ssl_context:
            self.imap = imaplib.IMAP4_SSL(host, port, ssl_context=ssl_context, timeout=timeout)
        else:
            self.imap = imaplib.IMAP4(host, port, timeout=timeout)
        self.imap.login(user, password)
        self._selected = None

    def close(self):
        try:
            self.imap.logout()
        except (OSError, imaplib.IMAP4.error):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _check(self, answer):
        kind, data = answer
        if kind != "OK":
            raise imaplib.IMAP4.error(f"{kind} {data}")
        return data

    # ---- folders ----

    def folders(self, selectable=False):
        """Names in Unicode, with the server's delimiter: every one, or those that hold messages."""
        names = []
        for line in self._check(self.imap.list()):
            head = line[0] if isinstance(line, tuple) else line
            if selectable and re.match(rb"\([^)]*\\(NoSelect|NonExistent)\b", head or b"", re.I):
                continue
            if isinstance(line, tuple):  # the name came as a literal
                names.append(decode_name(line[1].decode()))
            elif line:
                match = re.match(rb'\(.*?\) (?:NIL|"(?:\\.|[^"])*") (.*)$', line, re.S)
                name = match[1].decode()
                if name.startswith('"'):
                    name = re.sub(r"\\(.)", r"\1", name[1:-1])
                names.append(decode_name(name))
        return names

    def create(self, name):
        self._check(self.imap.create(quote(encode_name(name))))

    def delete(self, name):
        self._check(self.imap.delete(quote(encode_name(name))))

    def rename(self, name, target):
        self._check(self.imap.rename(quote(encode_name(name)), quote(encode_name(target))))

    def select(self, name="INBOX"):
        data = self._check(self.imap.select(quote(encode_name(name))))
        self._selected = name
        return int(data[0])

    def _into(self, name):
        if self._selected != name:
            self.select(name)
        else:
            self.imap.noop()

    # ---- messages ----

    def append(self, raw, folder="INBOX", flags=(), date=None):
        """Returns the uid, or None where the server does not tell."""
        when = None if date is None else imaplib.Time2Internaldate(date)
        words = "(" + " ".join(flags) + ")" if flags else None
        data = self._check(self._append(folder, words, when, raw))
        match = re.search(rb"APPENDUID \d+ (\d+)", data[0] or b"")
        return int(match[1]) if match else None

    def _append(self, folder, words, when, raw):
        # Not imaplib's own append(): it makes line ends CRLF, and the bytes are what matters here.
        command = f"APPEND {quote(encode_name(folder))}"
        command += f" {words}" if words else ""
        command += f" {when}" if when else ""
        self.imap.literal = bytes(raw)
        tag = self.imap._command(*command.split(" ", 1))
        return self.imap._command_complete("APPEND", tag)

    def append_many(self, messages, folder="INBOX"):
        """(raw, flags, date) each, in few round trips: needs MULTIAPPEND and LITERAL+."""
        messages = list(messages)
        for first in range(0, len(messages), 100):
            tag = self.imap._new_tag()
            parts = [tag, f" APPEND {quote(encode_name(folder))}".encode()]
            for raw, flags, date in messages[first:first + 100]:
                parts.append(f" ({' '.join(flags)})".encode())
                if date is not None:
                    parts.append(f" {imaplib.Time2Internaldate(date)}".encode())
                parts.append(b" {%d+}\r\n" % len(raw) + bytes(raw))
            self.imap.tagged_commands[tag] = None
            self.imap.send(b"".join(parts) + b"\r\n")
            self._check(self.imap._command_complete("APPEND", tag))

    def uids(self, folder="INBOX", criteria="ALL"):
        self._into(folder)
        data = self._check(self.imap.uid("SEARCH", criteria))
        return [int(word) for word in (data[0] or b"").split()]

    def raw(self, uid, folder="INBOX"):
        return self.raw_many(uid, folder)[uid]

    def raw_many(self, uids="1:*", folder="INBOX"):
        """{uid: bytes}, by BODY.PEEK[]."""
        self._into(folder)
        found = {}
        data = self._check(self.imap.uid("FETCH", uid_set(uids), "(UID BODY.PEEK[])"))
        for number, item in enumerate(data):
            if isinstance(item, tuple):
                after = data[number + 1] if number + 1 < len(data) else b""
                tail = after if isinstance(after, bytes) else b""
                uid = re.search(rb"UID (\d+)", item[0] + tail)
                found[int(uid[1])] = item[1]
            elif item and b'BODY[] ""' in item:
                found[int(re.search(rb"UID (\d+)", item)[1])] = b""
        return found

    def attributes(self, folder="INBOX", uids="1:*"):
        """{uid: (flags as a set, RFC822.SIZE, INTERNALDATE in seconds)}."""
        self._into(folder)
        found = {}
        for line in self._check(self.imap.uid("FETCH", uid_set(uids),
                                              "(UID FLAGS RFC822.SIZE INTERNALDATE)")):
            if not line or b"RFC822.SIZE" not in line:  # told without being asked: a change of flags
                continue
            uid = int(re.search(rb"UID (\d+)", line)[1])
            flags = set(re.search(rb"FLAGS \(([^)]*)\)", line)[1].decode().split())
            size = int(re.search(rb"RFC822\.SIZE (\d+)", line)[1])
            date = re.search(rb'INTERNALDATE "([^"]*)"', line)[1].decode().strip()
            when = datetime.datetime.strptime(date, "%d-%b-%Y %H:%M:%S %z").timestamp()
            found[uid] = (flags, size, int(when))
        return found

    def flags(self, folder="INBOX", uids="1:*"):
        """{uid: flags as a set}, without \\Recent, which is nobody's to keep."""
        return {uid: flags - {"\\Recent"}
                for uid, (flags, _, _) in self.attributes(folder, uids).items()}

    def store(self, uids, flags, folder="INBOX", how="+FLAGS.SILENT"):
        self._into(folder)
        self._check(self.imap.uid("STORE", uid_set(uids), how, f"({flags})"))

    def expunge(self, uids=None, folder="INBOX"):
        """Removes these, or all that are marked \\Deleted when none are named."""
        self._into(folder)
        if uids is None:
            self._check(self.imap.expunge())
        else:
            self.store(uids, "\\Deleted", folder)
            self._check(self.imap.uid("EXPUNGE", uid_set(uids)))

    def capabilities(self):
        return self._check(self.imap.capability())[0].decode().split()
