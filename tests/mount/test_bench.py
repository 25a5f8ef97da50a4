"""The benchmarks work: a run with hardly any data. What it measures is asserted nowhere."""

import os
import re
import subprocess
import xml.etree.ElementTree

import pytest
from support.mounting import BINARY, ROOT


@pytest.mark.deadline(240)
def test_smoke(tmp_path):
    tools = BINARY.parent.parent / "bench"
    done = subprocess.run([ROOT / "bench/run", "--smoke", "--out", tmp_path], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=240,
                          env=os.environ | {"MAILFS": str(BINARY), "BENCH_TOOLS": str(tools)})
    assert done.returncode == 0, done.stderr
    names = re.findall(r"^([\w-]+): ", done.stdout, re.M)
    assert len(names) == len(set(names)) >= 18
    table = (tmp_path / "RESULTS.md").read_text()
    assert table.count("\n| ") == len(names) + 1
    chart = xml.etree.ElementTree.parse(tmp_path / "results.svg")
    assert len(chart.findall(".//{*}text")) > 10
