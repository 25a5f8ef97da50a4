"""df shows the server's quota; a full account says so."""

import errno
import os

import pytest
from support.mounting import wait_until

MIB = 1 << 20
QUOTA = """
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=4M
}
protocol imap {
  mail_plugins = $mail_plugins imap_quota
}
"""


def message(size):
    head = b"From: bob@example.com\r\nSubject: one\r\n\r\n"
    return head + b"x" * (size - len(head) - 2) + b"\r\n"


def space(mail):
    stat = os.statvfs(mail.path)
    return stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize


def test_df(own_dovecot, mount):
    account = own_dovecot(plugins="quota", extra=QUOTA)
    account.client.append(message(MIB))
    mail = mount(account)
    wait_until(lambda: space(mail) == (4 * MIB, 3 * MIB), what="the quota in df")
    assert mail.status()["quota"] == f"{MIB} of {4 * MIB} bytes"
    account.client.append(message(MIB))
    wait_until(lambda: space(mail) == (4 * MIB, 2 * MIB), what="what is used now")
    assert "50%" in mail.shell("df --output=pcent .").stdout.decode()


def test_without_quota(account, mount):
    """Ample: programs look before they copy."""
    total, available = space(mount(account))
    assert total == available == 1 << 42


def test_df_offline(own_dovecot, mount):
    account = own_dovecot(plugins="quota", extra=QUOTA)
    mail = mount(account)
    wait_until(lambda: space(mail)[0] == 4 * MIB, what="the quota in df")
    account.close()
    account.server.kill()
    wait_until(lambda: mail.status()["state"] == "offline", what="that the server is missed")
    assert space(mail)[0] == 4 * MIB
