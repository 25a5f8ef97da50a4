"""What is compared. A case has contestants, functions that return seconds (or another number), one of
which is the yard-stick; they run in turn, so that what disturbs the machine disturbs all of them."""

import contextlib
import dataclasses
import os
import threading
import time

from world import clock, grep, rg, run


@dataclasses.dataclass
class Case:
    name: str
    text: str         # for the table
    contestants: dict  # name -> function; the first is ours
    stick: str        # the one that ours is divided by; None: it is a number by itself
    target: float     # at most
    others: tuple = ()  # contestants that are shown beside
    unit: str = "s"
    rounds: int = 0   # 0: as many as all


@dataclasses.dataclass
class Sizes:
    mixed: int = 10000
    listed: int = 100000
    pop: int = 3000
    large: int = 50 << 20
    naive: int = 200
    rtt: int = 50
    rate: int = 20
    peers: bool = True  # mbsync and neomutt


SMOKE = Sizes(mixed=60, listed=300, pop=40, large=3 << 20, naive=5, rtt=5, peers=False)
QUICK = Sizes(mixed=2000, listed=20000, pop=1000, large=20 << 20, naive=50)


class Cases:
    def __init__(self, world, sizes):
        self.world, self.sizes = world, sizes

    # ---- cold reading ----

    def cold(self, user, reader, scheme, rtt, rate, **options):
        """Nothing is in a cache, and the folder was never listed."""
        with self.world.mounted(user, scheme, rtt, rate, **options) as mail:
            return clock(lambda: reader(mail.path))

    def grep_case(self, name, scheme, rtt, rate, target, naive=False):
        world, sizes = self.world, self.sizes
        contestants = {
            "mailfs": lambda: self.cold("mixed", grep, scheme, rtt, rate),
            "raw fetch": lambda: world.rawfetch("mixed", scheme, "bodies", rtt, rate),
        }
        if naive:
            contestants["one by one"] = lambda: world.rawfetch(
                "mixed", scheme, "naive", rtt, rate, sizes.naive) * sizes.mixed / sizes.naive
        line = f"{rtt} ms" + (f", {rate} Mbit/s" if rate else "")
        return Case(name, f"cold `grep -r` of {sizes.mixed:,} messages, {line}, "
                    f"{'TLS' if scheme == 'imaps' else 'plain'}", contestants, "raw fetch", target,
                    tuple(contestants)[2:])

    def cold_cases(self):
        sizes, world = self.sizes, self.world
        yield self.grep_case("grep-plain", "imap", sizes.rtt, 0, 1.25, naive=True)
        yield self.grep_case("grep-tls", "imaps", sizes.rtt, 0, 1.25)
        yield self.grep_case("grep-near-plain", "imap", 0, 0, 1.4)
        yield self.grep_case("grep-near-tls", "imaps", 0, 0, 1.4)
        yield self.grep_case("grep-slow", "imaps", sizes.rtt, sizes.rate, 0.7)
        yield Case("rg", f"cold `rg` of {sizes.mixed:,} messages, {sizes.rtt} ms, TLS", {
            "mailfs, rg": lambda: self.cold("mixed", rg, "imaps", sizes.rtt, 0),
            "mailfs, grep -r": lambda: self.cold("mixed", grep, "imaps", sizes.rtt, 0)},
            "mailfs, grep -r", 1.1)
        yield Case("pop3", f"POP3: cold `grep -r` of {sizes.pop:,} messages, {sizes.rtt} ms", {
            "mailfs": lambda: self.cold("pop", grep, "pop3", sizes.rtt, 0, poll=0),
            "raw fetch": lambda: world.rawfetch("pop", "pop3", "bodies", sizes.rtt, 0)},
            "raw fetch", 1.5)
        if sizes.peers:
            yield Case("mbsync", f"cold `grep -r` of {sizes.mixed:,} messages, {sizes.rtt} ms, TLS", {
                "mailfs": lambda: self.cold("mixed", grep, "imaps", sizes.rtt, 0),
                "mbsync, then grep": lambda: world.mbsync("mixed", "imaps", sizes.rtt, 0)},
                "mbsync, then grep", 0.2, rounds=3)

    # ---- listing ----

    def first_ls(self):
        return self.cold("listed", lambda path: run("ls", path / "INBOX"), "imap", self.sizes.rtt, 0)

    def list_cases(self):
        sizes, world = self.sizes, self.world
        text = f"first `ls` of {sizes.listed:,} messages, {sizes.rtt} ms"
        yield Case("ls", text, {
            "mailfs": self.first_ls,
            "raw fetch": lambda: world.rawfetch("listed", "imap", "fields", sizes.rtt, 0)},
            "raw fetch", 1.3)
        if sizes.peers:
            yield Case("neomutt", text, {
                "mailfs": self.first_ls,
                "neomutt": lambda: world.neomutt("listed", "imap", sizes.rtt, 0)},
                "neomutt", 0.5, rounds=3)
        yield Case("memory", f"memory for each of {sizes.listed:,} messages listed",
                   {"mailfs": self.memory}, None, 160, unit="bytes", rounds=1)
        yield Case("cat", f"longest `cat` of a cached message while {sizes.listed:,} are being listed",
                   {"mailfs": self.cat_while_listing}, None, 50, unit="ms")
        yield Case("mount-cold", "mount until the first `ls`, without a cache, TLS",
                   {"mailfs": lambda: self.round_trips(False)}, None, 6, unit="round trips")
        yield Case("mount-warm", "mount until the first `ls`, with a cache, TLS",
                   {"mailfs": lambda: self.round_trips(True)}, None, 1, unit="round trips")
        yield Case("head", f"`head -c 1000` of a message of {sizes.large >> 20} MiB, {sizes.rtt} ms, "
                   f"{sizes.rate} Mbit/s", {"mailfs": self.head}, None, 4, unit="round trips")

    def memory(self):
        with self.world.mounted("listed") as mail:
            os.listdir(mail.path)
            before = mail.rss()
            run("ls", mail.path / "INBOX")
            return (mail.rss() - before) / self.sizes.listed

    def cat_while_listing(self):
        """Milliseconds."""
        with self.world.mounted("listed") as mail:
            folder = mail.path / "Other"
            name = os.listdir(folder)[0]
            (folder / name).read_bytes()
            lister = threading.Thread(target=lambda: run("ls", mail.path / "INBOX"))
            longest = 0
            lister.start()
            while lister.is_alive():
                longest = max(longest, clock((folder / name).read_bytes))
                os.stat(folder)
                time.sleep(0.002)
            lister.join()
            return longest * 1000

    def round_trips(self, cached):
        """How many fit into what it takes longer at the far end of a line than near."""
        def seconds(rtt):
            home = self.world.home()
            if cached:
                with self.world.mounted("pop", "imaps", 0, 0, home=home) as mail:
                    run("ls", mail.path / "INBOX")
            begin = time.monotonic()
            with self.world.mounted("pop", "imaps", rtt, 0, home=home) as mail:
                run("ls", mail.path / "INBOX")
                return time.monotonic() - begin
        return (seconds(self.sizes.rtt) - seconds(0)) / self.sizes.rtt * 1000

    def head(self):
        sizes = self.sizes
        with self.world.mounted("large", "imap", sizes.rtt, sizes.rate) as mail:
            path = mail.path / "INBOX" / os.listdir(mail.path / "INBOX")[0]
            return clock(lambda: run("head", "-c", "1000", path)) / sizes.rtt * 1000

    # ---- warm: what ext4 does with the same files ----

    def warm_cases(self):
        """All share one mount, whose bodies are in the cache."""
        sizes, world = self.sizes, self.world
        with contextlib.ExitStack() as stack:
            home = world.home()
            near = {"user": "listed", "home": home, "refresh": 3600}
            with world.mounted(**near) as mail:
                grep(mail.path)
            restart = {
                "mailfs": lambda: self.restarted(near, lambda path: run("ls", "-l", path)),
                "ext4": lambda: clock(lambda: run("ls", "-l", world.plain))}
            yield Case("restart-ls", f"mount + `ls -l` of {sizes.listed:,} messages after a restart",
                       restart, "ext4", 1.5)
            yield Case("restart-grep", f"`grep -r` of {sizes.listed:,} messages after a restart", {
                "mailfs": lambda: self.restarted(near, grep, whole=False),
                "ext4": lambda: clock(lambda: grep(world.plain))}, "ext4", 2.5)
            mail = stack.enter_context(world.mounted(**near))
            inbox = mail.path / "INBOX"
            grep(inbox)
            for name, text, work, target in (
                    ("warm-grep", "warm `grep -r`", grep, 1.2),
                    ("warm-find", "warm `find -size`",
                     lambda path: run("find", path, "-size", "+1M"), 1.2),
                    ("warm-ls", "warm `ls -l`", lambda path: run("ls", "-l", path), 1.2)):
                work(inbox)
                yield Case(name, f"{text} of {sizes.listed:,} messages", {
                    "mailfs": lambda work=work: clock(lambda: work(inbox)),
                    "ext4": lambda work=work: clock(lambda: work(world.plain))}, "ext4", target)

    def restarted(self, near, work, whole=True):
        begin = time.monotonic()
        with self.world.mounted(**near) as mail:
            if not whole:
                begin = time.monotonic()
            work(mail.path / "INBOX")
            return time.monotonic() - begin

    def groups(self):
        return {"cold": self.cold_cases, "list": self.list_cases, "warm": self.warm_cases}
