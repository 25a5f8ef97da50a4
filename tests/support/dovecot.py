"""A real Dovecot of one's own: unprivileged, on loopback ports, in a throw-away home.

It never runs as root: started by root, it becomes the system's `mail` user. Any user name may log
in with the one password and has a mailbox of its own, so that tests can share one server.
"""

import grp
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from . import certificates, imapclient

PASSWORD = "correct-horse,battery\\staple"  # a comma and a backslash must survive quoting

# What Dovecot 2.3 offers after login; tests take words out of it.
CAPABILITIES = (
    "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES "
    "THREAD=REFS THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN "
    "NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN "
    "CONTEXT=SEARCH LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE "
    "SAVEDATE LITERAL+ NOTIFY SPECIAL-USE").split()

_CONFIG = """\
base_dir = {run}
state_dir = {run}
log_path = {log}
protocols = imap pop3
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
default_process_limit = 200
default_vsz_limit = 0
shutdown_clients = yes

ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = {disable_plaintext}

auth_mechanisms = {mechanisms}
auth_failure_delay = 0 secs
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={home}/%u
}}

mail_location = {location}
mail_max_userip_connections = 0
mail_plugins = {plugins}
maildir_very_dirty_syncs = no
namespace inbox {{
  inbox = yes
  separator = {separator}
  mailbox Trash {{
    auto = {auto}
    special_use = \\Trash
  }}
  mailbox Sent {{
    auto = {auto}
    special_use = \\Sent
  }}
  mailbox Drafts {{
    auto = {auto}
    special_use = \\Drafts
  }}
  mailbox Archive {{
    auto = {auto}
    special_use = \\Archive
  }}
  mailbox Junk {{
    auto = {auto}
    special_use = \\Junk
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
protocol imap {{
  {protocol_imap}
}}
{extra}
"""


def free_ports(count):
    """Ports nobody listens on now, nor will before the caller does: they are below those that the
    kernel gives to clients, and each process of tests has a hundred of its own."""
    return list(itertools.islice(filter(_nobody_listens, _own_ports()), count))


_slices = []  # the socket whose name says that this process has a slice, and the ports of it


def _own_ports():
    if not _slices:
        for number in range(200):
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0mailfs-test-ports-{number}")  # goes with the process
            except OSError:
                continue
            first = 10000 + number * 100
            _slices[:] = claim, itertools.cycle(range(first, first + 100))
            break
    return _slices[1]


def _nobody_listens(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Dovecot:
    """One server. `start()`, `stop()`, `kill()` and `restart()` keep its ports and its mail.

    without      capabilities not to offer, such as ["UIDPLUS"]
    storage      "sdbox" or "maildir"
    special_use  whether Trash, Sent, Drafts, Archive and Junk exist from the start
    rawlog       keep what each session says, see `rawlogs()`
    home         keep everything here and leave it there at the end; default: a temporary directory
    """

    def __init__(self, *, without=(), storage="sdbox", separator="/", special_use=True,
                 rawlog=False, mechanisms="plain login cram-md5 scram-sha-1 scram-sha-256",
                 plaintext=True, plugins="", extra="", certificate=None, home=None,
                 users=("alice",)):
        self._own_home = home is None
        self.directory = pathlib.Path(home or tempfile.mkdtemp(prefix="mailfs-dovecot-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.account = pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.password = PASSWORD
        self.log = self.directory / "dovecot.log"
        self._process = None
        self._rawlog = rawlog
        for name in ("run", "home", "certificates"):
            (self.directory / name).mkdir(exist_ok=True)
        self.authority = certificates.Authority(self.directory / "certificates")
        self.ca_file = self.authority.certificate
        self.imap, self.imaps, self.pop3, self.pop3s = free_ports(4)
        pair = certificate or self.authority.issue("localhost")
        self._write_config(pair, without, storage, separator, special_use, mechanisms, plaintext,
                           plugins, extra)
        for user in users:
            self.add_user(user)
        self.directory.chmod(0o755)
        self.own(self.directory)

    def _write_config(self, pair, without, storage, separator, special_use, mechanisms, plaintext,
                      plugins, extra):
        protocol = []
        if without:
            kept = [word for word in CAPABILITIES if word not in without]
            protocol.append("imap_capability = " + " ".join(kept))
        if self._rawlog:
            protocol.append("rawlog_dir = %h/rawlog")
        location = {"sdbox": "sdbox:~/sdbox", "maildir": "maildir:~/Maildir"}[storage]
        self.config = self.directory / "dovecot.conf"
        self.config.write_text(_CONFIG.format(
            run=self.directory / "run", log=self.log, home=self.directory / "home",
            user=self.account.pw_name, group=grp.getgrgid(self.account.pw_gid).gr_name,
            certificate=pair[0], key=pair[1], disable_plaintext="no" if plaintext else "yes",
            mechanisms=mechanisms, password=self.password, location=location,
            plugins=plugins, separator=separator, auto="create" if special_use else "no",
            imap=self.imap, imaps=self.imaps, pop3=self.pop3, pop3s=self.pop3s,
            protocol_imap="\n  ".join(protocol), extra=extra))

    # ---- accounts ----

    def add_user(self, user):
        """Makes a home; the one password opens every account."""
        home = self.home(user)
        home.mkdir(exist_ok=True)
        if self._rawlog:
            (home / "rawlog").mkdir(exist_ok=True)
        self.own(home)
        return user

    def home(self, user="alice"):
        return self.directory / "home" / user

    def own(self, path):
        """Gives a tree to the user that Dovecot runs as."""
        if os.geteuid() != 0:
            return
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
        for folder, folders, files in os.walk(path):
            for name in folders + files:
                os.chown(os.path.join(folder, name), self.account.pw_uid, self.account.pw_gid,
                         follow_symlinks=False)

    def url(self, user="alice", scheme="imaps"):
        return f"{scheme}://{user}@localhost:{getattr(self, scheme)}"

    def client(self, user="alice", tls=False):
        """Another client of the same account."""
        if not tls:
            return imapclient.Client("127.0.0.1", self.imap, user, self.password)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return imapclient.Client("localhost", self.imaps, user, self.password, context)

    def rawlogs(self, user="alice"):
        """What clients of this account have sent, one text a session, oldest first."""
        files = sorted((self.home(user) / "rawlog").glob("*.in"), key=lambda f: f.stat().st_mtime)
        return [file.read_text(errors="replace") for file in files]

    # ---- running ----

    @property
    def pid(self):
        return self._process.pid if self._process else None

    def start(self):
        assert self._process is None, "already running"
        identity = {}
        if os.geteuid() == 0:
            identity = {"user": self.account.pw_uid, "group": self.account.pw_gid,
                        "extra_groups": []}
        self._process = subprocess.Popen(
            [_program(), "-F", "-c", str(self.config)], stdin=subprocess.DEVNULL,
            stdout=open(self.directory / "output", "ab"), stderr=subprocess.STDOUT,
            cwd=self.directory, start_new_session=True, **identity)
        try:
            self._await_greeting()
        except BaseException:
            self.kill()
            raise
        return self

    def _await_greeting(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.imap), timeout=5) as probe:
                    if probe.recv(4).startswith(b"* OK"):
                        return
            except OSError:
                time.sleep(0.05)
        log = (self.directory / "output").read_text(errors="replace")
        if self.log.exists():
            log += self.log.read_text(errors="replace")
        raise RuntimeError(f"Dovecot does not start:\n{log}")

    def stop(self):
        """Ends the server and every session of it."""
        self._end(signal.SIGTERM)

    def kill(self):
        """As a crash would: no BYE for anyone."""
        self._end(signal.SIGKILL)

    def _end(self, number):
        process, self._process = self._process, None
        if process is None:
            return
        # The master leads a session of its own: a crash takes its children along.
        if number == signal.SIGKILL:
            _signal_group(process.pid, number)
        else:
            process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        _signal_group(process.pid, signal.SIGKILL)
        process.wait(10)

    def freeze(self, frozen=True):
        """Stops every process of the server in its tracks: the network is fine, answers stop."""
        _signal_group(self._process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        if self._own_home:
            self.kill()  # nobody needs its mail any more, and it takes a second to end in peace
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.stop()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


def _program():
    found = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("dovecot is not installed (Debian: dovecot-imapd)")
    return found


def _signal_group(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass
