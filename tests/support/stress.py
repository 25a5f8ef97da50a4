"""Many clients change an account at random while others read it through a mount.

Each change is written down under the uid that the server gave: so every body that was read can be
compared with what has to be under its uid, also when the message is long gone.
"""

import collections
import errno
import os
import pathlib
import random
import re
import threading
import time

from .compare import digest, mount_side, server_side, uid_of
from .mounting import wait_until

FOLDERS = ["INBOX", "Archive", "Lists", "Lists/Deep"]
FEW, MANY = 60, 250  # messages in a folder
GONE = {errno.ENOENT, errno.ESTALE}


class Stress:
    """start(), then stop() after a while; `problems` and `report()` tell what came of it."""

    def __init__(self, account, mail, seed=1):
        self.account, self.mail = account, mail
        self.bodies = {}  # (folder, uid) -> sha256
        self.moved = {}  # (folder, uid) -> what it was before, whose client may be about to tell
        self.seen = set()  # (folder, uid, sha256) that a reader got
        self.counts = collections.Counter()
        self.problems = []
        self._seed = seed
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = []

    def fill(self):
        random_one = random.Random(self._seed)
        client = self.account.client
        for folder in FOLDERS[2:]:
            client.create(folder)
        for folder in FOLDERS:
            messages = [message(random_one) for _ in range(FEW)]
            client.append_many(((raw, (), None) for raw in messages), folder)
            for uid, raw in zip(client.uids(folder), messages):
                self.bodies[folder, uid] = digest(raw)

    def start(self, mutators=10, readers=8):
        for number in range(mutators):
            self._start(self._mutate, random.Random(self._seed * 1000 + number))
        for number in range(readers):
            self._start(self._read, random.Random(self._seed * 2000 + number))

    def _start(self, function, *arguments):
        def run():
            try:
                function(*arguments)
            except Exception as error:
                self._problem(f"{function.__name__}: {error!r}")
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _problem(self, text):
        with self._lock:
            self.problems.append(text)

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a client hangs"
        self._compare()

    def _origin(self, *key):
        while key in self.moved:
            key = self.moved[key]
        return key

    def _compare(self):
        for folder, uid, sha in self.seen:
            known = self.bodies.get(self._origin(folder, uid))
            if known != sha:
                self.problems.append(f"{folder} {uid}: read {sha}, it is {known}")
        expected = server_side(self.account.client)

        def same():
            try:
                return mount_side(self.mail.path) == expected
            except OSError:  # went while it was looked at
                return False
        try:
            wait_until(same, timeout=90, what="a mount that shows what the server has")
        except AssertionError as error:
            self.problems.append(str(error))

    def report(self):
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        return f"{counts}, {len(self.seen)} bodies compared, {len(self.problems)} problems"

    # ---- who changes ----

    def _mutate(self, choice):
        with self.account.server.client(self.account.user) as client:
            while not self._over.is_set():
                folder = choice.choice(FOLDERS)
                uids = client.uids(folder)
                kinds = ["flags"] * 3 + ["move"] + ["append"] * (len(uids) < MANY) + \
                    ["expunge"] * (len(uids) > FEW)
                kind = choice.choice(kinds) if uids else "append"
                getattr(self, f"_{kind}")(client, choice, folder, uids)
                with self._lock:
                    self.counts[kind] += 1
                time.sleep(choice.random() * 0.1)

    def _append(self, client, choice, folder, uids):
        raw = message(choice)
        self.bodies[folder, client.append(raw, folder)] = digest(raw)

    def _flags(self, client, choice, folder, uids):
        client.store(choice.sample(uids, min(3, len(uids))),
                     choice.choice(["\\Seen", "\\Flagged", "\\Answered", "todo"]), folder,
                     choice.choice(["+FLAGS.SILENT", "-FLAGS.SILENT"]))

    def _expunge(self, client, choice, folder, uids):
        client.expunge(choice.choice(uids), folder)

    def _move(self, client, choice, folder, uids):
        target = choice.choice([one for one in FOLDERS if one != folder])
        client.imap.response("COPYUID")  # forget what is left of an earlier one
        client.imap.uid("MOVE", ",".join(map(str, choice.sample(uids, min(2, len(uids))))), target)
        for told in client.imap.response("COPYUID")[1]:
            if told:
                _, old, new = told.decode().split()
                for one, other in zip(numbers(old), numbers(new), strict=True):
                    self.moved[target, other] = folder, one

    # ---- who reads ----

    def _read(self, choice):
        while not self._over.is_set():
            folder = choice.choice(FOLDERS)
            try:
                names = os.listdir(self.mail.path / folder)
            except OSError as error:
                self._problem(f"listing {folder}: {error}")
                continue
            for name in names:
                if name.endswith(".eml") and not self._over.is_set():
                    self._read_one(folder, name)

    def _read_one(self, folder, name):
        try:
            data = pathlib.Path(self.mail.path, folder, name).read_bytes()
        except OSError as error:
            if error.errno not in GONE:
                self._problem(f"reading {folder}/{name}: {error}")
            return
        with self._lock:
            self.counts["read"] += 1
            self.seen.add((folder, uid_of(name), digest(data)))


def message(choice):
    number = choice.getrandbits(64)
    lines = b"".join(b"%016x line of the text\r\n" % choice.getrandbits(64)
                     for _ in range(choice.choice([1, 20, 400])))
    return (f"From: Sender <s{number % 9}@example.org>\r\nSubject: {number:x}\r\n"
            f"Message-ID: <{number:x}@example.org>\r\n\r\n").encode() + lines


def numbers(uids):
    """The uids of a set, in its order."""
    for part in re.split(",", uids):
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)
