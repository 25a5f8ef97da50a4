"""The long tests of scripts/soak: python3 -m support.soak crash [VARIANT...] | stress [SECONDS]."""

import pathlib
import sys
import tempfile
import time

from . import crashing, dovecot, mounting, stress
from .account import Account


def crash(variants):
    """Every fault point of the work, for each variant of the server."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mailfs-soak-"))
    failed = 0
    for variant in variants or crashing.VARIANTS:
        with crashing.Crashes(crashing.VARIANTS[variant]) as crashes:
            faults = crashing.cases(crashes.points())
            print(f"{variant}: {len(faults)} points", flush=True)

            def report(fault, error):
                if error:
                    path = directory / f"{variant}-{fault.replace(' ', '-')}"
                    path.write_text(str(error))
                    print(f"{variant}, {fault}: {str(error).splitlines()[0]}: see {path}",
                          flush=True)

            died, failures = crashing.run(crashes, faults, 4, report)
            failed += len(failures)
            print(f"{variant}: {len(faults) - len(failures)} of {len(faults)} cases held, "
                  f"{died} died at their point", *crashes.trouble(), sep="\n  ", flush=True)
    return 1 if failed else 0


def run_stress(seconds):
    """Ten clients change flags, append, expunge and move while eight readers walk the mount."""
    home = mounting.Home()
    with dovecot.Dovecot(users=()) as server:
        account = Account(server, "alice")
        try:
            with mounting.deadline(seconds + 300, home):
                mail = home.mount(account.url(), refresh=1, seen="never", **account.login())
                one = stress.Stress(account, mail, int(time.time()))
                one.fill()
                one.start()
                for left in range(seconds, 0, -1):
                    time.sleep(1)
                    if left % 30 == 0:
                        print(f"{left} s left: {one.report()}, {mail.rss() >> 20} MiB", flush=True)
                one.stop()
                print(*one.problems[:50], one.report(), sep="\n")
                print(f"{mail.rss() >> 20} MiB of memory, status {mail.status()}")
        finally:
            home.close()
            account.close()
    return 1 if one.problems else 0


def main(words):
    if words[:1] == ["crash"] and set(words[1:]) <= set(crashing.VARIANTS):
        return crash(words[1:])
    if words[:1] == ["stress"] and len(words) <= 2:
        return run_stress(int(words[1]) if len(words) == 2 else 600)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
