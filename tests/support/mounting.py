"""A mailfs of one's own, which always ends, and whose every complaint fails the test.

Nothing here touches the mount from the test's own process without a way out: `deadline` kills the
daemon, upon which the kernel fails every call that still waits for it.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MAILFS") or ROOT / "build/fs/mailfs").resolve()
TIMEOUT = 60
_MNT_FORCE, _MNT_DETACH = 1, 2


def wait_until(condition, timeout=30, step=0.05, what="the condition"):
    """Returns condition()'s first true value, else fails. The time is for a busy machine: nobody
    waits for it when all is well."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout} s"
        time.sleep(step)


def check_fuse():
    """Says what is wrong when nothing can be mounted here."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        raise RuntimeError(f"/dev/fuse cannot be used ({error.strerror}): the mount tests need "
                           "FUSE; in a container, give it --device /dev/fuse and SYS_ADMIN") \
            from error
    if shutil.which("fusermount3") is None:
        raise RuntimeError("fusermount3 is missing (Debian: fuse3)")
    if not os.access(BINARY, os.X_OK):
        raise RuntimeError(f"{BINARY} is missing: build it, or set MAILFS")


def mounted(path):
    """Whether /proc/mounts has it; never asks the file system itself."""
    shown = str(path).replace("\\", "\\134").replace(" ", "\\040")
    with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        return any(line.split(" ")[1] == shown for line in mounts)


class Home:
    """The private directories of one user of mailfs: cache, runtime, configuration, home. A test
    that remounts keeps it."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mailfs-test-"))
        self.home, self.cache = self.directory / "home", self.directory / "cache"
        self.runtime, self.config = self.directory / "run", self.directory / "config"
        self.data, self.logs = self.directory / "data", self.directory / "logs"
        for path in (self.home, self.cache, self.runtime, self.config, self.data, self.logs):
            path.mkdir(mode=0o700)
        self.mounts = []
        self._count = 0

    def environment(self):
        kept = {key: value for key, value in os.environ.items()
                if key in ("PATH", "LANG", "LC_ALL", "TMPDIR", "TERM")}
        # Leak detection traces the process, which only root may do to an undumpable one.
        leaks = int(os.geteuid() == 0)
        return kept | {
            "HOME": str(self.home), "XDG_CACHE_HOME": str(self.cache),
            "XDG_RUNTIME_DIR": str(self.runtime), "XDG_CONFIG_HOME": str(self.config),
            "XDG_DATA_HOME": str(self.data), "G_DEBUG": "fatal-criticals",
            # A small quarantine: what is freed must not count as memory in use.
            "ASAN_OPTIONS": f"log_path={self.logs}/sanitizer:detect_leaks={leaks}:"
                            "quarantine_size_mb=8",
            "UBSAN_OPTIONS": f"log_path={self.logs}/sanitizer:print_stacktrace=1:halt_on_error=1",
        }

    def run(self, *arguments, password=None, timeout=TIMEOUT, input=None, **more):
        """mailfs itself, to its end: --help, --check, status, a mount that fails."""
        arguments, passed = list(map(str, arguments)), ()
        with _password_pipe(password) as descriptor:
            if descriptor is not None:
                arguments = ["--password-fd", str(descriptor), *arguments]
                passed = (descriptor,)
            # Files, not pipes: a daemon that went on by mistake would hold a pipe open.
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                process = subprocess.Popen(
                    [str(BINARY), *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    env=self.environment() | more.pop("env", {}), pass_fds=passed,
                    cwd=self.directory, start_new_session=True, **more)
                try:
                    process.wait(timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise
                finally:
                    for file in (out, err):
                        file.seek(0)
                return subprocess.CompletedProcess(
                    process.args, process.returncode, out.read().decode(errors="replace"),
                    err.read().decode(errors="replace"))

    def mount(self, url, **options):
        mount = Mount(self, url, **options)
        self.mounts.append(mount)
        return mount.start()

    def new_directory(self):
        self._count += 1
        path = self.directory / f"mount{self._count}"
        path.mkdir()
        return path

    def sanitizer_reports(self):
        return "\n".join(path.read_text(errors="replace")
                         for path in sorted(self.logs.glob("sanitizer*")))

    def kill(self):
        for mount in self.mounts:
            mount.kill()

    def close(self):
        """Unmounts everything; raises for what did not end well."""
        problems = []
        for mount in self.mounts:
            try:
                mount.stop()
            except Exception as error:
                problems.append(str(error))
                mount.kill()
        problems += self._sweep()
        reports = self.sanitizer_reports()
        if reports:
            problems.append(reports)
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not problems, "\n".join(problems)

    def _sweep(self):
        """Ends what nobody asked for: a mount that ought to have failed, a daemon without one. A
        daemon that a test has unmounted by hand gets the time to end."""
        found = []
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not _daemons(self.directory))
        for pid in _daemons(self.directory):
            found.append(f"a mailfs was left behind: process {pid}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            points = [line.split(" ")[1] for line in mounts]
        for point in points:
            if point.startswith(f"{self.directory}/"):
                path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
                found.append(f"a mount was left behind: {path}")
                subprocess.run(["fusermount3", "-uz", path], capture_output=True, timeout=TIMEOUT)
        return found


class Mount:
    """One mounted account. `path` is a pathlib.Path of its root.

    options     values of -o: refresh=0, seen_by="cat" for seen-by, ro=True for a bare word.
                Without a ca_file or a tunnel, imap:// gets tls=no; with one it means STARTTLS
    arguments   further words of the command line
    foreground  run with -f: `process` is the daemon then
    """

    def __init__(self, home, url, *, password=None, ca_file=None, arguments=(), foreground=False,
                 path=None, env=None, **options):
        self.home, self.url, self.password = home, str(url), password
        self.path = pathlib.Path(path) if path else home.new_directory()
        self.foreground = foreground
        self.process = None
        self.pid = None
        self._environment = env or {}
        self._log = tempfile.NamedTemporaryFile(dir=home.directory, prefix="stderr-", delete=False)
        words = []
        if ca_file:
            words.append(f"ca-file={ca_file}")
        elif self.url.startswith(("imap://", "pop3://")) and "tunnel" not in options:
            words.append("tls=no")
        for key, value in options.items():
            name = key.replace("_", "-") if key != "allow_other" else key
            words.append(name if value is True else f"{name}={value}")
        self.arguments = [*map(str, arguments)]
        if foreground:
            self.arguments.append("-f")
        for word in words:
            self.arguments += ["-o", word]

    def __truediv__(self, name):
        return self.path / name

    @property
    def stderr(self):
        return pathlib.Path(self._log.name).read_text(errors="replace")

    # ---- start ----

    def start(self):
        with _password_pipe(self.password) as descriptor:
            secret = [] if descriptor is None else ["--password-fd", str(descriptor)]
            self.process = subprocess.Popen(
                [str(BINARY), *secret, *self.arguments, self.url, str(self.path)],
                stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                env=self.home.environment() | self._environment, cwd=self.home.directory,
                pass_fds=() if descriptor is None else (descriptor,), start_new_session=True)
            if self.foreground:
                self.pid = self.process.pid
                self._await_foreground()
            else:
                self._await_parent()
        return self

    def _await_foreground(self):
        deadline = time.monotonic() + TIMEOUT
        while not mounted(self.path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"mailfs -f does not mount: {self.stderr}"
                                     f"{self.home.sanitizer_reports()}")
            time.sleep(0.02)

    def _await_parent(self):
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"mailfs neither mounts nor fails: {self.stderr}") from None
        assert status == 0, (f"mailfs ends with {status}: {self.stderr}"
                             f"{self.home.sanitizer_reports()}")
        daemons = _daemons(self.path)
        assert len(daemons) == 1, f"daemons in the background: {daemons}"
        self.pid = daemons[0]
        assert mounted(self.path), "the parent ended before the mount was there"

    # ---- looking ----

    def status(self):
        """`mailfs status` as a dictionary."""
        done = self.home.run("status", self.path)
        assert done.returncode == 0, done.stderr
        return dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "")
                    for line in done.stdout.splitlines())

    def kernel(self, *names):
        """How many requests of these kinds the kernel has sent; all of them as a dictionary
        when none is named."""
        counts = {key.removeprefix("kernel-"): int(value) for key, value in self.status().items()
                  if key.startswith("kernel-")}
        return sum(counts.get(name, 0) for name in names) if names else counts

    def sync(self):
        done = self.home.run("sync", self.path)
        assert done.returncode == 0, done.stderr
        return done

    def alive(self):
        if self.foreground:
            return self.process.poll() is None
        return running(self.pid)

    def rss(self):
        """Bytes of memory that the daemon holds."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) << 10

    def sanitized(self):
        return "libasan" in pathlib.Path(f"/proc/{self.pid}/maps").read_text()

    def names(self, folder="INBOX"):
        return sorted(os.listdir(self.path / folder))

    def message(self, uid, folder="INBOX", suffix=".eml"):
        """The path of one message by its uid, as it is listed."""
        for name in os.listdir(self.path / folder):
            if name.endswith(f".{uid}{suffix}") or name == f"{uid}{suffix}":
                return self.path / folder / name
        raise AssertionError(f"no message {uid} in {folder}: {os.listdir(self.path / folder)[:20]}")

    def shell(self, command, timeout=TIMEOUT, check=True, **more):
        """A bash command line with the mount as its working directory."""
        done = subprocess.run(["bash", "-c", command], cwd=self.path, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout,
                              env=os.environ | {"LC_ALL": "C.UTF-8"}, **more)
        assert not check or done.returncode == 0, (command, done.returncode, done.stderr)
        return done

    # ---- end ----

    def unmount(self):
        """fusermount3 -u, as a user does it. Retried while a tool is about to let go."""
        for attempt in range(20):
            done = subprocess.run(["fusermount3", "-u", str(self.path)], capture_output=True,
                                  timeout=TIMEOUT)
            if done.returncode == 0 or not mounted(self.path):
                return
            time.sleep(0.1)
        raise AssertionError(f"fusermount3: {done.stderr.decode()}")

    def await_exit(self, timeout=60):
        """The daemon's exit status; None for one that went to the background."""
        if self.foreground:
            return self.process.wait(timeout)
        wait_until(lambda: not running(self.pid), timeout, what="the daemon's end")
        return None

    def stop(self):
        """Unmounts and waits for the daemon's end; again is harmless."""
        if self.pid is None:
            return
        if mounted(self.path):
            assert self.alive(), f"the daemon died: {self.stderr}{self.home.sanitizer_reports()}"
            self.unmount()
        try:
            status = self.await_exit()
        except (AssertionError, subprocess.TimeoutExpired):
            self.kill()
            raise AssertionError("the daemon goes on after the unmount") from None
        self.pid = None
        assert not status, f"the daemon ended with {status}: {self.stderr}"
        reports = self.home.sanitizer_reports()
        assert not reports, reports

    def kill(self):
        """Ends it at any price: waiting calls fail, the mount goes."""
        pid, self.pid = self.pid, None
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process and self.process.poll() is None:
            self.process.kill()
        if mounted(self.path):
            abort(self.path)
        if mounted(self.path):
            subprocess.run(["fusermount3", "-uz", str(self.path)], capture_output=True,
                           timeout=TIMEOUT)
        if self.process:
            self.process.wait()

    def crash(self):
        """SIGKILL, and the mount point free again for the next one."""
        pid = self.pid
        self.kill()
        wait_until(lambda: not running(pid), what="the daemon's death")


def _daemons(path):
    """The processes of mailfs that were started with a mount point at or below `path`: nobody
    else knows that name."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = pathlib.Path(entry.path, "cmdline").read_bytes().split(b"\0")
                if os.fsencode(BINARY) in words[:2] and any(
                        (word + b"/").startswith(os.fsencode(path) + b"/") for word in words[2:]):
                    found.append(int(entry.name))
    return found


def abort(path):
    """Fails every call that waits for a mount. The end of the daemon need not do it: one thread of it
    may wait in the kernel, for a directory whose lock is held by a call that waits for the daemon."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).umount2(os.fsencode(path), _MNT_FORCE | _MNT_DETACH)


def running(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


@contextlib.contextmanager
def _password_pipe(password):
    """The read end of a pipe that holds the password; None for none."""
    if password is None:
        yield None
        return
    reader, writer = os.pipe()
    try:
        os.write(writer, password.encode() + b"\n")
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


@contextlib.contextmanager
def deadline(seconds, *victims):
    """Kills `victims` (anything with kill()) when the block takes longer."""
    expired = threading.Event()

    def expire():
        expired.set()
        for victim in victims:
            victim.kill()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    assert not expired.is_set(), f"took longer than {seconds} s: the daemon was killed"
