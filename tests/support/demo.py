"""The server of scripts/demo: python3 -m support.demo start|running|stop|password DIRECTORY.

`start` leaves Dovecot running behind it; `stop` ends it by the process id kept beside it.
"""

import os
import pathlib
import signal
import sys
import time

from . import dovecot, samples


def start(base):
    # Dovecot is not root: it has to be able to enter, and only its user may.
    server = dovecot.Dovecot(home=base / "server", users=("alice",))
    base.chmod(0o711)
    server.start()
    try:
        (base / "pid").write_text(f"{server.pid} {started(server.pid)}\n")
        with server.client() as client:
            samples.load(client)
    except BaseException:
        server.stop()
        raise
    print(f"url={server.url()}")
    print(f"pop3_url={server.url(scheme='pop3s')}")


def started(pid):
    """When a process began, in ticks: a number used again by another process differs in it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def process(base):
    """The id of our server if it runs, else None."""
    try:
        pid, ticks = (base / "pid").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if started(pid) == ticks else None


def stop(base):
    pid = process(base)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while process(base) and time.monotonic() < deadline:
        time.sleep(0.05)
    if process(base):
        os.killpg(pid, signal.SIGKILL)


def main(words):
    if words == ["password"]:
        print(dovecot.PASSWORD)
        return 0
    if len(words) != 2 or words[0] not in ("start", "running", "stop"):
        print(__doc__, file=sys.stderr)
        return 2
    base = pathlib.Path(words[1])
    if words[0] == "start":
        start(base)
    elif words[0] == "stop":
        stop(base)
    else:
        return 0 if process(base) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
