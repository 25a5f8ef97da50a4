"""Mailboxes to measure with: generated, and the same in every run."""

import base64
import math
import os
import random

_WORDS = """the of and to in is that for it as was with be by on not he his but at are this have
from or had an they which one you were her all she there would their we him been has when who will
more no if out so said what up its about into than them can only other new some could time these two
may then do first any my now such like our over man me even most made after also did many before
must through back years where much your way well down should because each just those people how too
meeting invoice report server backup weekend holiday review draft update schedule""".split()

# Median and mean of the sizes of mixed mail, in bytes: a log-normal distribution.
MEDIAN, MEAN, LARGEST = 6 << 10, 30 << 10, 5 << 20
SMALL = 4 << 10


def _text(rand, size):
    """Lines of words: it compresses as prose does."""
    lines, length = [], 0
    while length < size:
        line = " ".join(rand.choices(_WORDS, k=12))
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)[:size] + "\n"


def _attachment(rand, size):
    """Base64 of what does not compress."""
    return base64.encodebytes(rand.randbytes(size * 3 // 4)).decode()


def message(rand, number, size):
    head = (f"From: Sender {number % 97} <s{number % 97}@example.org>\n"
            f"To: alice@example.org\nSubject: {' '.join(rand.choices(_WORDS, k=5))}\n"
            f"Date: Thu, 01 Jan 2026 00:00:00 +0000\nMessage-ID: <{number}@bench.example.org>\n"
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n")
    text = min(size, 20000)
    body = _text(rand, max(text - len(head), 40))
    if size > text:
        body += "\n" + _attachment(rand, size - text)
    return (head + body).encode()


def mixed_size(rand):
    spread = math.sqrt(2 * math.log(MEAN / MEDIAN))
    return min(int(rand.lognormvariate(math.log(MEDIAN), spread)), LARGEST)


def mixed(count):
    rand = random.Random(1)
    return (message(rand, number, mixed_size(rand)) for number in range(count))


def small(count):
    """Of one size; the texts repeat, for making them would take longer than measuring."""
    rand = random.Random(2)
    texts = [_text(rand, SMALL - 300) for _ in range(min(count, 200))]
    for number in range(count):
        head = (f"From: Sender {number % 97} <s{number % 97}@example.org>\n"
                f"Subject: {' '.join(rand.choices(_WORDS, k=5))}\n"
                f"Message-ID: <{number}@bench.example.org>\n\n")
        yield (head + texts[number % len(texts)]).encode()


def large(size):
    rand = random.Random(3)
    yield message(rand, 0, size)


def write_maildir(top, messages):
    """All of them read, a minute between two. Returns how many, and the bytes on the wire."""
    for name in ("cur", "new", "tmp"):
        (top / name).mkdir(parents=True, exist_ok=True)
    count = total = 0
    for raw in messages:
        stamp = 1_600_000_000 + count * 60
        wire = len(raw) + raw.count(b"\n")
        path = top / "cur" / f"{stamp}.M{count}.host,S={len(raw)},W={wire}:2,S"
        path.write_bytes(raw)
        os.utime(path, (stamp, stamp))
        count, total = count + 1, total + wire
    return count, total


def write_plain(top, messages):
    """As files of a directory, as the mount shows them."""
    top.mkdir(parents=True)
    for number, raw in enumerate(messages, 1):
        (top / f"{number}.eml").write_bytes(raw.replace(b"\n", b"\r\n"))
