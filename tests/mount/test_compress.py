"""COMPRESS=DEFLATE, where the user asks for it and the server offers it."""

import pytest

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


def test_not_unless_it_is_asked_for(own_dovecot, mount):
    account = own_dovecot(plugins="imap_zlib")
    assert mount(account).status()["compression"] == "no"
