"""The sample messages are what they claim to be."""

import collections
import email
import email.policy
import hashlib
import io
import zipfile

from support import samples
from support.dovecot import Dovecot


def test_the_same_every_time():
    def digest():
        state = hashlib.sha256()
        for one in samples.build():
            state.update(repr((one.folder, one.raw, one.flags, one.date)).encode())
        return state.hexdigest()
    assert digest() == digest()


def test_variety():
    every = samples.build()
    assert 180 <= len(every) <= 230
    folders = collections.Counter(one.folder for one in every)
    assert set(folders) == set(samples.FOLDERS) - {"Empty"}
    span = max(one.date for one in every) - min(one.date for one in every)
    assert 1.5 * 365 < span / 86400 < 2.5 * 365
    flags = collections.Counter(flag for one in every for flag in one.flags)
    assert {"\\Seen", "\\Flagged", "\\Answered", "\\Draft"} == set(flags)
    assert any("\\Seen" not in one.flags and one.folder == "INBOX" for one in every)
    text = b"".join(one.raw for one in every)
    for kind in (b"quoted-printable", b"base64", b"8bit", b"format=flowed", b"References:",
                 b"iso-2022-jp", b"koi8-r", b"multipart/alternative", b"application/zip"):
        assert kind in text


def test_well_formed():
    for one in samples.build():
        assert b"\n" not in one.raw.replace(b"\r\n", b""), one.raw[:200]
        head = one.raw.partition(b"\r\n\r\n")[0]
        assert max(map(len, head.split(b"\r\n"))) <= 998
        message = email.message_from_bytes(one.raw, policy=email.policy.default)
        for part in message.walk():
            assert not part.defects, (one.raw[:300], part.defects)
            if part.get_content_type() == "text/plain":
                part.get_content()
            if part.get_content_type() == "application/zip":
                assert zipfile.ZipFile(io.BytesIO(part.get_content())).testzip() is None


def test_threads_hang_together():
    known = set()
    for one in samples.build():
        message = email.message_from_bytes(one.raw)
        if message["In-Reply-To"]:
            assert message["In-Reply-To"] in known
            assert message["References"].split()[-1] == message["In-Reply-To"]
        known.add(message["Message-ID"])


def test_they_load():
    with Dovecot() as server, server.client() as client:
        loaded = samples.load(client)
        assert set(samples.FOLDERS) <= set(client.folders())
        for folder in samples.FOLDERS:
            mine = [one for one in loaded if one.folder == folder]
            there = client.raw_many(folder=folder) if mine else {}
            assert [there[uid] for uid in sorted(there)] == [one.raw for one in mine]
