"""The cache on disk: its budget, its damage, and that it can always be made anew."""

import os
import pathlib
import shutil

from support import samples
from support.compare import mount_side, server_side
from support.mounting import wait_until

KILOBYTE = 1 << 10


def messages(count, size):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    for number in range(count):
        yield (b"Subject: number %d\r\n\r\n" % number + line * (size // len(line)), ("\\Seen",),
               1_700_000_000 + number)


def bodies(home):
    return [path for path in pathlib.Path(home.cache).glob("mailfs/*/bodies/*/*")]


def test_the_budget_is_kept(account, mount, home):
    account.client.append_many(messages(60, 64 * KILOBYTE))
    expected = server_side(account.client)
    mail = mount(account, cache_size="1M")
    for _ in range(2):
        assert mount_side(mail.path) == expected
    mail.stop()
    assert 0 < sum(path.stat().st_size for path in bodies(home)) <= 1 << 20


def test_a_message_larger_than_the_budget(account, mount):
    account.client.append_many(messages(2, 3 << 20))
    mail = mount(account, cache_size="1M")
    expected = server_side(account.client)
    assert mount_side(mail.path) == expected


def test_an_open_message_outlives_its_eviction(account, mount):
    account.client.append_many(messages(40, 64 * KILOBYTE))
    raw = account.client.raw_many()
    mail = mount(account, cache_size="256K")
    with open(mail.message(1), "rb") as file:
        assert file.read(100) == raw[1][:100]
        for uid in range(2, 41):
            assert mail.message(uid).read_bytes() == raw[uid]
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        assert file.read() == raw[1]


def test_damaged_bodies_are_fetched_again(account, mount, home):
    account.client.append_many(messages(10, 8 * KILOBYTE))
    expected = server_side(account.client)
    mail = mount(account)
    assert mount_side(mail.path) == expected
    mail.stop()
    found = sorted(bodies(home))
    assert len(found) == 10
    found[0].unlink()
    os.truncate(found[1], 100)
    found[2].write_bytes(found[2].read_bytes() + b"more")
    assert mount_side(mount(account).path) == expected


def test_a_damaged_index_is_made_anew(account, mount, home):
    samples.load(account.client, samples.build()[:30])
    expected = server_side(account.client)
    mail = mount(account)
    assert mount_side(mail.path) == expected
    mail.stop()
    index, = home.cache.glob("mailfs/*/index.sqlite")
    index.write_bytes(b"this is no database" * 1000)
    for path in home.cache.glob("mailfs/*/index.sqlite-*"):
        path.unlink()
    assert mount_side(mount(account).path) == expected


def test_without_its_cache_it_starts_again(account, mount, home):
    samples.load(account.client, samples.build()[:30])
    expected = server_side(account.client)
    mail = mount(account)
    assert mount_side(mail.path) == expected
    mail.stop()
    shutil.rmtree(home.cache / "mailfs")
    assert mount_side(mount(account).path) == expected


def test_left_over_parts_are_removed(account, mount, home):
    account.client.append_many(messages(3, KILOBYTE))
    mail = mount(account)
    mount_side(mail.path)
    mail.stop()
    stray = bodies(home)[0].parent / "77.part"
    stray.write_bytes(b"half")
    mail = mount(account)
    wait_until(lambda: not stray.exists(), what="the removal of the left-over part")


def test_one_connection_is_enough(account, mount):
    samples.load(account.client)
    assert mount_side(mount(account, connections=1).path) == server_side(account.client)
