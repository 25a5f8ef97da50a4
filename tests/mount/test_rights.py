"""What the server does not allow in a folder is refused before anything changes here."""

import errno
import os

import pytest

RAW = b"From: bob@example.com\r\nSubject: one\r\n\r\nbody\r\n"
ACL = """
plugin {
  acl = vfile
}
protocol imap {
  mail_plugins = $mail_plugins imap_acl
}
"""


def refused(call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


@pytest.fixture
def restricted(own_dovecot):
    """restricted(rights): an account whose folder `Shared` holds one message, and allows that."""
    account = own_dovecot(plugins="acl", extra=ACL)

    def make(rights):
        account.client.create("Shared")
        account.client.append(RAW, "Shared")
        kind, said = account.client.imap.setacl("Shared", "alice", rights)
        assert kind == "OK", said
        account.client.close()
        account.reconnect()
        return account

    return make


def test_only_reading(restricted, mount):
    account = restricted("lra")
    mail = mount(account)
    path = mail.message(1, "Shared")
    assert path.read_bytes() == RAW
    assert refused(os.unlink, path) in (errno.EACCES, errno.EROFS)
    assert refused(os.mkdir, mail / "Shared/below") == errno.EACCES
    assert refused(os.rmdir, mail / "Shared") == errno.EACCES
    assert refused(os.rename, mail / "Shared", mail / "Other") == errno.EACCES
    assert mail.status()["pending"] == "0"
    assert mail.message(1, "Shared").read_bytes() == RAW
    assert mail.status()["refused"] == "0"


def test_removing_is_a_right_of_its_own(restricted, mount):
    account = restricted("lrwsia")
    mail = mount(account)
    path = mail.message(1, "Shared")
    assert refused(os.unlink, path) == errno.EACCES
    assert account.client.uids("Shared") == [1]
    assert mail.status()["refused"] == "0"


def test_all_rights(restricted, mount):
    account = restricted("lrwstipekxa")
    mail = mount(account)
    mail.shell("rm Shared/*.eml && mkdir Shared/below && mv Shared Other && rmdir Other/below")
    mail.sync()
    assert account.client.uids("Other") == []


def test_read_only_mount(account, mount):
    account.client.append(RAW)
    mail = mount(account, ro=True)
    assert refused(os.unlink, mail.message(1)) in (errno.EROFS, errno.EACCES)
    assert account.client.uids() == [1]
