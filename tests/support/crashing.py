"""A day's work on a mount, killed at every step that matters: what is on the server afterwards?

A first run of the work writes down the fault points (protocol/fault.h) that it passes. Each case is
one further run, of an account and a cache of its own, that ends by SIGKILL at one of them. Then the
account is mounted again, everything pending is sent, and the server is compared with what the shell
was told: what was acknowledged is there, once; what was under way is done or not; nothing else has
changed; and each uid shows the body that the server has under it.

A failure tells everything that is needed to find its cause: the work, the log of both daemons, what
the server was told (its rawlog), and its log, where a crash of its own shows, see `server_trouble`.
"""

import concurrent.futures
import contextlib
import copy
import dataclasses
import os
import pathlib
import re
import subprocess
import threading
import time

from . import mounting
from .account import Account
from .compare import digest, mount_side
from .dovecot import Dovecot
from .filtering import Filter
from .mounting import wait_until

# The two ways in which a message changes its folder: what the server does not offer. Without UIDPLUS
# it does not tell either which uids its messages got.
VARIANTS = {"all": (), "plain": ("MOVE", "UIDPLUS")}

MESSAGES = {"INBOX": 14, "Work": 4, "Work/Deep": 2}
COPIES = 4  # messages that only exist outside at first
TROUBLE = re.compile(r"signal \d+|Panic|Fatal|Corrupted|assert", re.I)


def raw(token):
    return (f"From: Alice <alice@example.org>\r\nSubject: about {token}\r\n"
            f"Message-ID: <{token}@example.org>\r\n\r\nThe body of {token}.\r\n").encode()


def token_of(data):
    return re.search(rb"The body of (\w+)\.", data)[1].decode()


# ---- what ought to be ----

@dataclasses.dataclass
class State:
    """What the server holds: folders, and where each message is with which flags. None: nowhere;
    "?": its file was closed, yet nobody was told that it is complete."""
    folders: set
    place: dict
    flags: dict


class Died(Exception):
    """The daemon is dead, as was wanted."""


class World:
    """One account, mounted, and the state that the shell was told of."""

    def __init__(self, home, account, url=None, **options):
        self.home, self.account = home, account
        self.url = url or account.url()
        self.options = options or account.login()
        self.trace = []
        self.logs = []
        self.mail = None
        self._fill()

    def _fill(self):
        client = self.account.client
        place, flags = {}, {}
        for folder, count in MESSAGES.items():
            if folder != "INBOX":
                client.create(folder)
            tokens = [f"{folder.replace('/', '')}{n}" for n in range(1, count + 1)]
            client.append_many(((raw(token), (), 1_700_000_000 + n)
                                for n, token in enumerate(tokens)), folder)
            place |= dict.fromkeys(tokens, folder)
        for number in range(1, COPIES + 1):
            token = f"Copy{number}"
            (self.home.home / f"{token}.eml").write_bytes(raw(token))
            place[token] = None
        flags = {token: frozenset() for token in place}
        self.before = State(set(client.folders()), place, flags)
        self.after = copy.deepcopy(self.before)
        self.account.close()

    def mount(self, environment=()):
        self.mail = self.home.mount(
            self.url, foreground=True, arguments=["-d"], seen="never", refresh=1,
            env=dict(environment), **self.options)
        self.logs.append(self.mail)
        threading.Thread(target=_abort_at_end, args=(self.mail.path, self.mail.pid),
                         daemon=True).start()
        return self.mail

    def path(self, token):
        return self.mail.path / self.after.place[token] / self.names[token]

    def list_names(self):
        """{token: file name} of all that is there: what a person sees before the work begins."""
        self.names = {}
        for folder in MESSAGES:
            names = wait_until(lambda: self.mail.names(folder), what=f"messages in {folder}")
            for name in names:
                if name.endswith(".eml"):
                    self.names[re.search(r"about-(\w+)", name)[1]] = name
        for number in range(1, COPIES + 1):
            self.names[f"Copy{number}"] = f"copied-{number}.eml"

    def do(self, name, act, effect):
        """One step: `act` on the mount, and its effect on what ought to be, once it returned."""
        effect(self.after)
        self.trace.append(f"{name} ...")
        try:
            act()
        except (OSError, AssertionError) as error:
            self.trace[-1] = f"{name}: {error}"
            if self.mail.process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.mail.process.wait(5)
            if self.mail.process.poll() is None:
                raise AssertionError(f"{name}: {error}") from error
            raise Died from error
        self.trace[-1] = name
        self.before = copy.deepcopy(self.after)

    def command(self, *words):
        done = self.home.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"


def _abort_at_end(path, pid):
    """A call that the dead daemon has left may wait for ever, see mounting.abort()."""
    while mounting.running(pid):
        time.sleep(0.05)
    mounting.abort(path)


# ---- the work ----

def remove(world, *tokens):
    for token in tokens:
        path = world.path(token)

        def effect(state, token=token):
            state.place[token] = "Trash"
        world.do(f"rm {path.name}", path.unlink, effect)


def move(world, folder, *tokens):
    for token in tokens:
        path = world.path(token)

        def effect(state, token=token):
            state.place[token] = folder
        world.do(f"mv {path.parent.name}/{path.name} {folder}/",
                 lambda path=path: os.rename(path, world.mail.path / folder / path.name), effect)


def flag(world, *tokens, add=(), remove=()):
    words = [f"+{one.lower().lstrip(chr(92))}" for one in add] + \
            [f"-{one.lower().lstrip(chr(92))}" for one in remove]

    def effect(state):
        for token in tokens:
            state.flags[token] = (state.flags[token] | set(add)) - set(remove)
    paths = [world.path(token) for token in tokens]
    world.do(f"flag {' '.join(words)} {' '.join(tokens)}",
             lambda: world.command("flag", *words, *paths), effect)


def make(world, folder):
    world.do(f"mkdir {folder}", (world.mail.path / folder).mkdir,
             lambda state: state.folders.add(folder))


def unmake(world, folder):
    world.do(f"rmdir {folder}", (world.mail.path / folder).rmdir,
             lambda state: state.folders.discard(folder))


def rename(world, folder, name):
    def new(path):
        below = path and (path + "/").startswith(folder + "/")
        return name + path[len(folder):] if below else path

    def effect(state):
        state.folders = {new(one) for one in state.folders}
        state.place = {token: new(one) for token, one in state.place.items()}
    world.do(f"mv {folder} {name}",
             lambda: os.rename(world.mail.path / folder, world.mail.path / name), effect)


def bring(world, folder, *tokens, fsync=False):
    """cp, of a file that the server has not seen. Only fsync says that it is there."""
    for token in tokens:
        source = world.home.home / f"{token}.eml"

        def effect(state, token=token):
            state.place[token] = folder if fsync else f"?{folder}"

        def act(token=token, source=source):
            target = world.mail.path / folder / world.names[token]
            with open(target, "xb") as file:
                file.write(source.read_bytes())
                file.flush()
                if fsync:
                    os.fsync(file.fileno())
        world.do(f"cp {token} {folder}/{' with fsync' if fsync else ''}", act, effect)


def sync(world):
    def effect(state):
        state.place = {token: one and one.lstrip("?") for token, one in state.place.items()}
    world.do("sync", lambda: world.command("sync", world.mail.path), effect)


def work(world):
    """Everything that changes something, alone, chained, and across each other."""
    flag(world, "INBOX1", "INBOX2", "Work1", add=["\\Flagged"])
    remove(world, "INBOX3", "INBOX4", "Work2")
    move(world, "Work", "INBOX5", "INBOX6")
    sync(world)
    bring(world, "INBOX", "Copy1", fsync=True)
    bring(world, "Work", "Copy2")
    make(world, "New")
    move(world, "New", "INBOX7", "Work1", "INBOX8")
    flag(world, "INBOX7", add=["\\Seen"], remove=["\\Flagged"])  # while it is on its way
    remove(world, "INBOX8")
    rename(world, "New", "Renamed")
    move(world, "INBOX", "Work3")
    sync(world)
    flag(world, "Work1", "INBOX9", add=["\\Answered"], remove=["\\Flagged"])
    make(world, "Renamed/Sub")
    move(world, "Renamed/Sub", "INBOX9")
    rename(world, "Renamed", "Work/Moved")
    bring(world, "Work/Moved", "Copy3")
    sync(world)
    make(world, "Empty")
    unmake(world, "Empty")
    remove(world, "INBOX9")
    unmake(world, "Work/Moved/Sub")
    move(world, "Work/Deep", "INBOX10")
    move(world, "INBOX", "INBOX10")  # there and back
    remove(world, "WorkDeep1")
    bring(world, "Work/Deep", "Copy4", fsync=True)
    sync(world)


# ---- what is ----

def server_holdings(client):
    """(folders, {token: [(folder, uid, flags)]}, {folder: {uid: (size, sha256)}}), the last without
    what is marked \\Deleted, which the mount does not show."""
    copies, bodies = {}, {}
    folders = client.folders()
    for folder in folders:
        flags = client.flags(folder) if client.select(folder) else {}
        found = client.raw_many(folder=folder) if flags else {}
        bodies[folder] = {}
        for uid, data in found.items():
            token = token_of(data)
            assert data == raw(token), f"the body of {token} was changed: {data!r}"
            copies.setdefault(token, []).append((folder, uid, frozenset(flags[uid])))
            if "\\Deleted" not in flags[uid]:
                bodies[folder][uid] = (len(data), digest(data))
    return set(folders), copies, bodies


def check_message(world, token, copies, refused):
    """What is wrong with a message; its copies are those that are not marked \\Deleted."""
    copies = [one for one in copies if "\\Deleted" not in one[2]]
    places = {world.before.place[token], world.after.place[token]}
    unsure = {one for one in places if one and one.startswith("?")}
    wanted = {one.lstrip("?") for one in places if one}
    if len(copies) > 1:
        return f"{token} is there {len(copies)} times: {copies}"
    if not copies:
        if None in places or (unsure and token in refused):
            return None
        return f"{token} is lost; it belongs into {wanted}"
    folder, _, flags = copies[0]
    if folder not in wanted:
        return f"{token} is in {folder}; it belongs into {wanted}"
    if flags not in (world.before.flags[token], world.after.flags[token]):
        return f"{token} has the flags {set(flags)}, not {set(world.after.flags[token])}"
    return None


def refused_files(mail):
    """Tokens of what was not sent and is kept for the user."""
    try:
        names = os.listdir(mail.path / ".mailfs/failed")
    except FileNotFoundError:
        return set()
    found = [(mail.path / ".mailfs/failed" / name).read_bytes() for name in names]
    return {token_of(data) for data in found if b"The body of " in data}


def shown(mail):
    """What the mount shows; None while a name is still one that a file was given."""
    try:
        return mount_side(mail.path)
    except (AssertionError, ValueError, OSError):
        return None


def check(world):
    """Waits until all is sent, and compares. Raises for what is wrong."""
    mail = world.mail
    mail.sync()
    status = mail.status()
    with world.account.server.client(world.account.user) as client:
        folders, copies, bodies = server_holdings(client)
    problems = [f"{key}: {status[key]}" for key in ("pending", "refused") if status[key] != "0"]
    kept, known = world.before.folders & world.after.folders, world.before.folders | \
        world.after.folders
    problems += [f"the folder {one} is lost" for one in sorted(kept - folders)]
    problems += [f"there is a folder {one}" for one in sorted(folders - known)]
    refused = refused_files(mail)
    for token in world.after.place:
        problems.append(check_message(world, token, copies.get(token, []), refused))
    problems += [f"there is a message {one}" for one in copies if one not in world.after.place]
    problems = [one for one in problems if one]
    assert not problems, "\n".join(problems)
    try:
        wait_until(lambda: shown(mail) == bodies, what="a mount that shows what the server has")
    except AssertionError as error:
        raise AssertionError(f"{error}\nserver {bodies}\nmount  {shown(mail)}") from error


# ---- runs ----

class Crashes:
    """A server, and runs of the work on it. Each run has a user of its own, so they may be many at
    once."""

    def __init__(self, without=()):
        self.server = Dovecot(without=without, rawlog=True, users=())
        self.filter = Filter(self.server.imap) if "UIDPLUS" in without else None

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        if self.filter:
            self.filter.close()
        self.server.close()

    def _world(self, home, name):
        account = Account(self.server, name)
        if not self.filter:
            return World(home, account)
        return World(home, account, f"imap://{name}@localhost:{self.filter.port}",
                     password=self.server.password)

    def points(self):
        """The names of the points that the work passes, in order; and the run itself is checked."""
        with run_home() as home:
            log = home.directory / "points"
            self._run(self._world(home, "first"), {"MAILFS_FAULT_LOG": str(log)})
            assert log.exists(), "mailfs was built without -Dfaults=true"
            return log.read_text().splitlines()

    def case(self, number, fault):
        """A run that dies at this point, "NAME:N". Returns whether it did."""
        with run_home() as home:
            return self._run(self._world(home, f"case{number}"), {"MAILFS_FAULT": fault})

    def _run(self, world, fault):
        try:
            died = self._work(world, fault)
            world.mount()
            check(world)
            world.mail.stop()
            return died
        except BaseException as error:
            raise AssertionError(self._report(world, fault, error)) from error

    def _work(self, world, fault):
        armed = world.home.directory / "armed"
        world.mount(fault | {"MAILFS_FAULT_ARM": str(armed)})
        world.list_names()
        armed.touch()
        try:
            work(world)
            return False
        except Died:
            return True
        finally:
            # Without a fault it is killed, too: all has been acknowledged, nothing may be lost.
            world.mail.crash()
            wait_until(lambda: not self._sessions(world.account.user), timeout=60,
                       what="the server's end of what it was told")

    def _sessions(self, user):
        """Processes of the server that still work for this user. A client that comes back sooner
        than the server has done what it was told last cannot know of that."""
        log = self.server.log.read_text(errors="replace")
        began = re.findall(rf"Login: user=<{user}>,.* mpid=(\d+)", log)
        ended = re.findall(rf"imap\({user}\)<(\d+)>.*(?:Disconnected|killed with signal)", log)
        return {pid for pid in set(began) - set(ended) if not self._waits(user, pid)}

    def _waits(self, user, pid):
        """Whether a session was told nothing after IDLE. Dovecot's may miss that its client is gone
        when it has just written news to it, and wait on; but it has nothing left to do."""
        told = sorted((self.server.home(user) / "rawlog").glob(f"*.{pid}.*.in"))
        return bool(told) and told[-1].read_bytes().rstrip().endswith(b" IDLE")

    # ---- what a failure says ----

    def trouble(self, user=""):
        """Lines of the server's log that speak of a fault of the server itself."""
        return [line for line in self._server_log(user) if TROUBLE.search(line)]

    def _server_log(self, user):
        text = self.server.log.read_text(errors="replace") if self.server.log.exists() else ""
        return [line for line in text.splitlines()
                if not user or f"({user})" in line or f"<{user}>" in line]

    def _report(self, world, fault, error):
        user = world.account.user
        parts = [f"{user}, {fault}: {error}"]
        trouble = self.trouble(user)
        if trouble:
            parts += ["THE SERVER ITSELF FAILED:", *trouble]
        parts += ["---- the work", *world.trace]
        for mail in world.logs:
            parts += ["---- mailfs", *_interesting(mail.stderr)]
        parts += ["---- sanitizers", world.home.sanitizer_reports()]
        for number, text in enumerate(self.server.rawlogs(user), 1):
            parts += [f"---- session {number}, what the server was told", text]
        parts += ["---- the server's log", *self._server_log(user)]
        return "\n".join(parts)


def _interesting(log):
    """The log without the words of libfuse."""
    return [line for line in log.splitlines() if line.startswith("mailfs: ")]


@contextlib.contextmanager
def run_home():
    home = mounting.Home()
    try:
        with mounting.deadline(120, home):
            yield home
    finally:
        home.close()


def cases(points):
    """The points as "NAME:N", the Nth of its name: that is steadier than a number in the whole, as
    the order of two things that go on at once may differ from run to run."""
    counts, found = {}, []
    for name in points:
        counts[name] = counts.get(name, 0) + 1
        found.append(f"{name}:{counts[name]}")
    return found


def sample(faults, count):
    """So many of them, evenly over the names and over the time."""
    ordered = sorted(faults, key=lambda fault: (fault.rpartition(":")[0],
                                                int(fault.rpartition(":")[2])))
    step = max(1, len(ordered) / count)
    return [ordered[int(number * step)] for number in range(min(count, len(ordered)))]


def run(crashes, faults, workers, report=lambda fault, outcome: None):
    """Runs all cases; returns (how many died as wanted, {fault: why it failed})."""
    died, failures = 0, {}
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(crashes.case, number, fault): fault
                   for number, fault in enumerate(faults, 1)}
        for future in concurrent.futures.as_completed(futures):
            fault = futures[future]
            error = future.exception()
            if error:
                failures[fault] = str(error)
            else:
                died += future.result()
            report(fault, error)
    return died, failures
