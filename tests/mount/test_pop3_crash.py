"""leave=never and rm, killed at every step, and with the connection cut at each command: no message
is lost, none is there twice, and none is removed that was not safely on disk.

Each case has a maildrop and a home of its own. Right after the crash every message is on the server
or whole on disk; after a further mount the server is empty and the mount shows each of them once.
"""

import collections
import concurrent.futures
import contextlib
import itertools

import pytest
from support import mounting, pop3
from support.compare import digest
from support.mounting import wait_until

COUNT = 3
BODIES = {number: (f"From: a@example.org\r\nSubject: number {number}\r\n\r\n" +
                   f"line {number}\r\n" * 20 * number).encode() for number in range(1, COUNT + 1)}
WHOLE = sorted(map(digest, BODIES.values()))
STEPS = ("send", "answer", "body", "flush", "sql COMMIT", "sql REPLACE", "sql INSERT")
WORKERS = 4

_users = itertools.count(1)


@contextlib.contextmanager
def case(server):
    """A maildrop with messages, and a home."""
    maildrop = pop3.DovecotMaildrop(server, f"case{next(_users)}")
    maildrop.deliver(*BODIES.values())
    home = mounting.Home()
    try:
        with mounting.deadline(110, home):
            yield maildrop, home
    finally:
        home.kill()
        maildrop.imap.close()


def mount(home, maildrop, port=None, **options):
    return home.mount(maildrop.url(port), password=maildrop.password, foreground=True, idle=1,
                      poll=1, refresh=0, **options)


def on_disk(home):
    return [digest(path.read_bytes()) for path in home.data.rglob("bodies/*/*")
            if path.name.isdigit()]


def shown(mail):
    return sorted(digest(entry.read_bytes()) for entry in mail.path.iterdir())


def check_after_crash(home, maildrop):
    safe = set(on_disk(home)) | set(map(digest, maildrop.messages()))
    assert safe >= set(WHOLE), "a message is neither on the server nor whole on disk"


def check_end(home, maildrop, **options):
    mail = mount(home, maildrop, leave="never", fetch="all", **options)
    wait_until(lambda: maildrop.count() == 0, timeout=60, what="an empty maildrop")
    wait_until(lambda: shown(mail) == WHOLE, what="each message once")
    mail.stop()
    reports = home.sanitizer_reports()
    assert not reports, reports


def until_dead_or_empty(mail, maildrop):
    wait_until(lambda: not mail.alive() or maildrop.count() == 0, timeout=60,
               what="the daemon's death or its work")


def run_killed(server, environment):
    """Returns what is left of MAILFS_FAULT_LOG."""
    with case(server) as (maildrop, home):
        log = home.directory / "points"
        environment = dict(environment, MAILFS_FAULT_LOG=str(log))
        with contextlib.suppress(AssertionError):  # it may die before it is mounted
            mail = mount(home, maildrop, leave="never", fetch="all", env=environment)
            until_dead_or_empty(mail, maildrop)
        home.kill()
        check_after_crash(home, maildrop)
        check_end(home, maildrop)
        return log.read_text().splitlines() if log.exists() else []


def run_cut(server, number, where):
    """The connection is cut at one command. Returns the commands that were said."""
    with case(server) as (maildrop, home):
        proxy = pop3.Proxy(maildrop.port)
        try:
            proxy.cut = lambda command, count: where if count == number else None
            with contextlib.suppress(AssertionError):  # the first login may fail
                mail = mount(home, maildrop, proxy.port, leave="never", fetch="all")
                until_dead_or_empty(mail, maildrop)
            commands = list(proxy.commands)
            home.kill()
            check_after_crash(home, maildrop)
            check_end(home, maildrop, port=proxy.port)
            return commands
        finally:
            proxy.close()


def run_removal_cut(server, number, where):
    """One message is removed, and the connection cut: that one goes, and no other."""
    with case(server) as (maildrop, home):
        proxy = pop3.Proxy(maildrop.port)
        try:
            mail = mount(home, maildrop, proxy.port)
            first = min(mail.path.iterdir(), key=lambda entry: entry.stat().st_size)
            said = len(proxy.commands)
            proxy.cut = lambda command, count: where if count == said + number else None
            first.unlink()
            wait_until(lambda: maildrop.count() == COUNT - 1, timeout=60, what="the removal")
            commands = proxy.commands[said:]
            wait_until(lambda: mail.status()["pending"] == "0", timeout=60, what="its end")
            left = sorted(digest(BODIES[number]) for number in BODIES if number > 1)
            assert sorted(map(digest, maildrop.messages())) == left
            assert shown(mail) == left
            mail.stop()
            return commands
        finally:
            proxy.close()


def run_all(server, function, cases):
    problems = []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        futures = {pool.submit(function, server, *one): one for one in cases}
        for future in concurrent.futures.as_completed(futures):
            if future.exception():
                problems.append(f"{futures[future]}: {future.exception()!r}")
    assert not problems, "\n".join(problems)


def test_killed_at_every_step(shared_dovecot):
    points = run_killed(shared_dovecot, {})
    if not points:
        pytest.skip("built without -Dfaults=true")
    wanted = [point for point in points if point.startswith(STEPS)]
    assert "answer QUIT" in wanted and "flushed" in wanted
    counts = collections.Counter(wanted)
    cases = [({"MAILFS_FAULT": f"{name}:{number}"},) for name, count in counts.items()
             for number in range(1, count + 1)]
    run_all(shared_dovecot, run_killed, cases)


@pytest.mark.parametrize("where", ["before", "after", "within"])
def test_cut_at_every_command(shared_dovecot, where):
    commands = run_cut(shared_dovecot, 0, where)
    assert "QUIT" in commands and any(one.startswith("DELE") for one in commands)
    last = max(n for n, one in enumerate(commands) if one.startswith(("DELE", "QUIT"))) + 1
    run_all(shared_dovecot, run_cut, [(number, where) for number in range(1, last + 1)])


@pytest.mark.parametrize("where", ["before", "after"])
def test_removal_cut_at_every_command(shared_dovecot, where):
    commands = run_removal_cut(shared_dovecot, 0, where)
    run_all(shared_dovecot, run_removal_cut,
            [(number, where) for number in range(1, len(commands) + 1)])
