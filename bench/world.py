"""What is measured, and with what: a Dovecot on loopback, networks played by bench-proxy, mounts, and
the peers. Everything ends with World.close()."""

import contextlib
import os
import pathlib
import pty
import shutil
import subprocess
import tempfile
import time

from support import dovecot, mounting

TOOLS = pathlib.Path(os.environ["BENCH_TOOLS"])
TIMEOUT = 900


class Network:
    """A proxy before one port: rtt in milliseconds, rate in Mbit/s (0: no limit)."""

    def __init__(self, port, rtt, rate):
        self._process = subprocess.Popen([TOOLS / "bench-proxy", str(port), str(rtt), str(rate)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class World:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mailfs-bench-"))
        self.server = dovecot.Dovecot(storage="maildir", users=(), special_use=False,
                                      extra="protocol imap {\n  mail_plugins = imap_zlib\n}")
        self._networks, self._homes, self._number = {}, [], 0
        self.counts, self.bytes = {}, {}

    def start(self):
        self.server.start()
        return self

    def close(self):
        for home in self._homes:
            home.kill()
        for network in self._networks.values():
            network.close()
        self.server.close()
        for home in self._homes:
            home.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- data ----

    def add_user(self, user, fill):
        """fill(Maildir) writes the mail, and returns how much."""
        self.server.add_user(user)
        self.counts[user], self.bytes[user] = fill(self.server.home(user) / "Maildir")
        self.server.own(self.server.home(user))

    def warm(self, user):
        """The server's own indexes and caches are made, and are not what is measured."""
        for mode in ("fields", "bodies"):
            self.rawfetch(user, "imap", mode, 0, 0)

    def scratch(self):
        self._number += 1
        path = self.directory / str(self._number)
        path.mkdir()
        return path

    # ---- the wire ----

    def network(self, scheme, rtt, rate):
        key = scheme, rtt, rate
        if key not in self._networks:
            self._networks[key] = Network(getattr(self.server, scheme), rtt, rate)
        return self._networks[key]

    def rawfetch(self, user, scheme, mode, rtt, rate, count=None):
        """Seconds."""
        port = self.network(scheme, rtt, rate).port
        words = [TOOLS / "bench-rawfetch", f"{scheme}://{user}@127.0.0.1:{port}", mode]
        done = subprocess.run([*words, str(count)] if count else words, check=True, text=True,
                              stdout=subprocess.PIPE, timeout=TIMEOUT,
                              env=os.environ | {"RAWFETCH_PASSWORD": self.server.password})
        seconds, received, messages = done.stdout.split()
        assert int(messages) == (count or self.counts[user]), done.stdout
        assert mode != "bodies" or int(received) >= self.bytes[user], done.stdout
        return float(seconds)

    # ---- mailfs ----

    @contextlib.contextmanager
    def mounted(self, user, scheme="imaps", rtt=0, rate=0, home=None, **options):
        """A mount; with a home of its own, that is without a cache, unless one is given. Nothing is
        removed before the end: for minutes after many files were, ext4 is slow to make others, as it
        passes over inodes that were freed a moment ago."""
        home = home or self.home()
        port = self.network(scheme, rtt, rate).port
        if scheme.endswith("s"):
            options["ca_file"] = self.server.ca_file
        mail = home.mount(f"{scheme}://{user}@localhost:{port}", password=self.server.password,
                          seen="never", **options)
        try:
            yield mail
            mail.stop()
        finally:
            home.mounts.remove(mail)
            mail.kill()

    def home(self):
        home = mounting.Home()
        self._homes.append(home)
        return home

    # ---- peers ----

    def mbsync(self, user, scheme, rtt, rate):
        """Seconds of a pull with its defaults, and of grep on the Maildir that it makes."""
        where = self.scratch()
        port = self.network(scheme, rtt, rate).port
        escaped = self.server.password.replace("\\", "\\\\")
        tls = f"SSLType IMAPS\nCertificateFile {self.server.ca_file}" if scheme == "imaps" \
            else "SSLType None"
        (where / "rc").write_text(
            f"IMAPAccount a\nHost localhost\nPort {port}\nUser {user}\n"
            f'Pass "{escaped}"\n'
            f"AuthMechs LOGIN\n{tls}\n\n"
            f"IMAPStore far\nAccount a\n\nMaildirStore near\nPath {where}/mail/\n"
            f"Inbox {where}/mail/INBOX\n\nChannel c\nFar :far:\nNear :near:\nSync Pull New\n"
            f"Create Near\nSyncState {where}/\n")
        (where / "mail").mkdir()
        seconds = clock(lambda: run("mbsync", "-q", "-c", where / "rc", "c")) + \
            clock(lambda: grep(where / "mail"))
        found = len(os.listdir(where / "mail/INBOX/new")) + len(os.listdir(where / "mail/INBOX/cur"))
        assert found == self.counts[user], found
        return seconds

    def neomutt(self, user, scheme, rtt, rate, cache=None):
        """Seconds until it has opened the folder, and ended."""
        where = cache or self.scratch()
        port = self.network(scheme, rtt, rate).port
        (where / "rc").write_text(
            f'set folder="imap://localhost:{port}/"\nset spoolfile="+INBOX"\n'
            f'set imap_user="{user}"\n'
            f"set imap_pass='{self.server.password}'\n"
            f'set imap_authenticators="login"\nset ssl_starttls=no\nset ssl_force_tls=no\n'
            f'set header_cache="{where}/headers"\nset sort=mailbox-order\nset quit=yes\n'
            f'set mail_check=600\nset tmpdir="{where}"\n')
        (where / "headers").mkdir(exist_ok=True)
        assert scheme == "imap"

        def open_it():
            words = ["neomutt", "-n", "-F", str(where / "rc"), "-f",
                     f"imap://localhost:{port}/INBOX", "-e", 'push "<quit>"']
            pid, terminal = pty.fork()
            if pid == 0:
                os.environ["TERM"] = "xterm"
                os.environ["HOME"] = str(where)
                os.execvp(words[0], words)
            with contextlib.suppress(OSError):  # EIO: it has ended
                while os.read(terminal, 65536):
                    pass
            os.close(terminal)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
        seconds = clock(open_it)
        assert any((where / "headers").iterdir()), "it has opened nothing"
        return seconds


# ---- clocks and commands ----

def clock(function):
    begin = time.monotonic()
    function()
    return time.monotonic() - begin


def run(*words, good=(0,), **more):
    done = subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL,
                          stdout=more.pop("stdout", subprocess.DEVNULL), timeout=TIMEOUT, **more)
    assert done.returncode in good, (words, done.returncode)
    return done


def grep(path):
    """Every byte is looked at: the word does not occur."""
    run("grep", "-r", "no-such-word", path, good=(1,))


def rg(path):
    run("rg", "--no-config", "--no-ignore", "no-such-word", path, good=(1,))

