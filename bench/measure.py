"""The benchmarks: see bench/run, which sets up what this needs."""

import argparse
import os
import pathlib
import sys

import mailboxes
import report
from cases import QUICK, SMOKE, Cases, Sizes
from world import World

BENCH = pathlib.Path(__file__).parent


def fill(world, sizes):
    write = mailboxes.write_maildir
    world.add_user("mixed", lambda top: write(top, mailboxes.mixed(sizes.mixed)))
    world.add_user("pop", lambda top: write(top, mailboxes.small(sizes.pop)))
    world.add_user("large", lambda top: write(top, mailboxes.large(sizes.large)))

    def listed(top):
        counts = write(top, mailboxes.small(sizes.listed))
        write(top / ".Other", mailboxes.small(5))
        return counts
    world.add_user("listed", listed)
    world.plain = world.directory / "plain"
    mailboxes.write_plain(world.plain, mailboxes.small(sizes.listed))


def measure(case, rounds):
    """One round after the other, each of every contestant."""
    numbers = {name: [] for name in case.contestants}
    for _ in range(rounds):
        for name, function in case.contestants.items():
            numbers[name].append(function())
    return report.Result(case, numbers)


def run_groups(cases, groups, rounds):
    results = []
    for group in groups:
        for case in cases.groups()[group]():
            result = measure(case, min(rounds, case.rounds or rounds))
            results.append(result)
            beside = ", ".join(f"{name} {result.median(name):.2f}" for name in case.contestants)
            print(f"{case.name}: {result.value:.2f} (at most {case.target:g}): {beside}", flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("group", nargs="*", help="cold, list, warm; all of them when none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a fifth of the data")
    parser.add_argument("--smoke", action="store_true", help="hardly any data, one round, no peers")
    parser.add_argument("--out", type=pathlib.Path, default=BENCH,
                        help="the directory of RESULTS.md and results.svg")
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else QUICK if options.quick else Sizes()
    rounds = 1 if options.smoke else options.rounds
    world = World()
    try:
        fill(world, sizes)
        world.start()
        for user in world.counts:
            world.warm(user)
        cases = Cases(world, sizes)
        groups = options.group or list(cases.groups())
        if unknown := set(groups) - set(cases.groups()):
            parser.error(f"no such group: {', '.join(sorted(unknown))}")
        results = run_groups(cases, groups, rounds)
    finally:
        world.close()
    binary = os.environ["MAILFS"]
    (options.out / "RESULTS.md").write_text(report.markdown(results, rounds, binary, sizes))
    (options.out / "results.svg").write_text(report.svg(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
