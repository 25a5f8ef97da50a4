"""SIGKILL at the steps of a day's work; scripts/soak crash takes every one of them."""

import os

import pytest
from support import crashing

CASES = int(os.environ.get("MAILFS_TEST_CRASHES", "24"))  # of several hundred, for each variant


@pytest.mark.parametrize("variant", crashing.VARIANTS)
def test_killed_at_any_step(variant):
    with crashing.Crashes(crashing.VARIANTS[variant]) as crashes:
        points = crashes.points()
        assert len(points) > 150
        died, failures = crashing.run(
            crashes, crashing.sample(crashing.cases(points), CASES), workers=4)
    assert not failures, f"{len(failures)} of {CASES}: {sorted(failures)}\n" + \
        next(iter(failures.values()))
    assert died > CASES / 2, "the fault points are not where the first run found them"
