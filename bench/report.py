"""What was measured, as a table and as a picture."""

import datetime
import html
import platform
import re
import statistics
import subprocess


class Result:
    """The numbers of one case: {contestant: [one a round]}."""

    def __init__(self, case, numbers):
        self.case, self.numbers = case, numbers
        self.ours = next(iter(case.contestants))

    def median(self, name):
        return statistics.median(self.numbers[name])

    def ratios(self, name):
        """Each round by itself: what was slow for one was slow for the other."""
        return [mine / other for mine, other in zip(self.numbers[self.ours], self.numbers[name])]

    @property
    def value(self):
        return statistics.median(self.ratios(self.case.stick)) if self.case.stick \
            else self.median(self.ours)

    @property
    def reached(self):
        return self.value <= self.case.target


def _number(value, unit="s"):
    if unit in ("bytes", "ms"):
        return f"{value:.0f} {unit}"
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.1f} {unit}"


def _version(*words):
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout else None


def versions(binary):
    found = [_version(binary, "--version"), _version("dovecot", "--version"),
             _version("mbsync", "--version"), _version("neomutt", "-v"),
             _version("fusermount3", "--version")]
    names = ["", "Dovecot ", "", "", ""]
    return [name + text for name, text in zip(names, found) if text]


def _processor():
    try:
        text = open("/proc/cpuinfo", encoding="utf-8").read()
        name = re.search(r"model name\s*: (.*)", text)[1]
        return f"{text.count('processor' + chr(9))} × {name}"
    except (OSError, TypeError):
        return platform.machine()


def _row(result):
    case = result.case
    cells = [case.text, f"{_number(result.median(result.ours), case.unit)}"]
    if case.stick:
        cells += [f"{case.stick}: {_number(result.median(case.stick))}", f"**{result.value:.2f}**",
                  f"{case.target:g}"]
    else:
        cells += ["", f"**{_number(result.value, case.unit)}**", f"{case.target:g} {case.unit}"]
    cells.append("yes" if result.reached else "no")
    for name in case.others:
        cells[2] += f"; {name}: {_number(result.median(name))}"
    return "| " + " | ".join(cells) + " |"


def markdown(results, rounds, binary, sizes):
    lines = [
        "# Measurements", "",
        "Written by `bench/run`. Each row was measured in one run, its contestants in turn; numbers are",
        f"medians of {rounds} rounds (of 3 with mbsync or neomutt, which are slow), ratios the median of "
        "each round's own", "ratio. Only the ratios say something: the machine is shared by server, "
        "network and client.", "",
        f"- {datetime.date.today().isoformat()}, {_processor()}, Linux {platform.release()}",
        f"- {'; '.join(versions(binary))}",
        f"- mixed mail: {sizes.mixed:,} messages, log-normal sizes (median 6 KB, mean 30 KB, at most "
        f"5 MB); listed: {sizes.listed:,} of 4 KB", "",
        "| what | mailfs | beside | ratio or value | target | reached |",
        "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, results)]) + "\n"


# ---- the chart ----

_WIDTH, _LABEL, _ROW, _TOP = 1010, 580, 26, 46
_LARGEST = 3  # a ratio beyond it is cut, and its number says so


def svg(results):
    """A bar for each ratio, and where its target is."""
    shown = [result for result in results if result.case.stick]
    height = _TOP + _ROW * len(shown) + 14
    scale = (_WIDTH - _LABEL - 60) / _LARGEST
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
             '<text x="12" y="20" font-size="14">Time of mailfs as a ratio to another way (less is '
             'faster; the mark is the target)</text>']
    one = _LABEL + scale
    parts.append(f'<line x1="{one:.0f}" y1="{_TOP - 8}" x2="{one:.0f}" y2="{height - 8}" '
                 'stroke="#999999" stroke-dasharray="3 3"/>')
    for row, result in enumerate(shown):
        top = _TOP + row * _ROW
        length = min(result.value, _LARGEST) * scale
        mark = _LABEL + min(result.case.target, _LARGEST) * scale
        label = html.escape(f"{result.case.text} : {result.case.stick}".replace("`", ""))
        parts += [
            f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end" font-size="11">{label}</text>',
            f'<rect x="{_LABEL}" y="{top + 2}" width="{length:.1f}" height="16" '
            f'fill="{"#4a7ebb" if result.reached else "#c0772f"}"/>',
            f'<line x1="{mark:.1f}" y1="{top}" x2="{mark:.1f}" y2="{top + 20}" stroke="#222222" '
            'stroke-width="2"/>',
            f'<text x="{_LABEL + length + 6:.1f}" y="{top + 14}">{result.value:.2f}</text>']
    return "\n".join([*parts, "</svg>"]) + "\n"
