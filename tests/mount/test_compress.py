"""COMPRESS=DEFLATE, where the server offers it, and the user asks for it or the line is slow."""

import subprocess

import pytest
from support.mounting import BINARY

TEXT = b"From: bob@example.com\r\nSubject: well packed\r\n\r\n" + b"the same line again\r\n" * 20_000


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not-offered"])
def test_compressed_mail_is_the_same_mail(own_dovecot, mount, offered):
    account = own_dovecot(plugins="imap_zlib") if offered else own_dovecot()
    account.client.append_many((TEXT + b"%d\r\n" % n, (), 1_700_000_000) for n in range(5))
    mail = mount(account, compress="yes")
    assert mail.status()["compression"] == ("DEFLATE" if offered else "no")
    for uid in range(1, 6):
        assert mail.message(uid).read_bytes() == TEXT + b"%d\r\n" % (uid - 1)
    mail.shell("rm INBOX/1.eml")
    mail.sync()
    assert account.client.uids() == [2, 3, 4, 5]


def test_never(own_dovecot, mount):
    account = own_dovecot(plugins="imap_zlib")
    assert mount(account, compress="no").status()["compression"] == "no"


@pytest.mark.parametrize("rate, compression", [(8, "DEFLATE"), (0, "no")], ids=["slow", "fast"])
def test_by_itself_where_the_line_is_slow(own_dovecot, mount, rate, compression):
    """And the messages that are on their way meanwhile are whole."""
    account = own_dovecot(plugins="imap_zlib")
    account.client.append_many((TEXT + b"%d\r\n" % n, (), 1_700_000_000) for n in range(8))
    proxy = subprocess.Popen([BINARY.parent.parent / "bench/bench-proxy",
                              str(account.server.imaps), "5", str(rate)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(proxy.stdout.readline())
        mail = mount(account, url=f"imaps://{account.user}@localhost:{port}", connections=1)
        assert mail.status()["compression"] == "no"
        mail.shell("cat INBOX/*.eml | wc -c")
        for uid in range(1, 9):
            assert mail.message(uid).read_bytes() == TEXT + b"%d\r\n" % (uid - 1)
        assert mail.status()["compression"] == compression
    finally:
        proxy.kill()
        proxy.communicate()
