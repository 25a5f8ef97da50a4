"""Starting, ending, and the account's settings from wherever they come."""

import contextlib
import os
import signal
import subprocess

import pytest
from support.account import Account
from support.mounting import mounted, wait_until

RAW = b"From: bob@example.com\r\nSubject: hello\r\n\r\nhello\r\n"


@pytest.fixture
def filled(account):
    account.client.append(RAW, flags=["\\Seen"])
    return account


def works(mail):
    return (mail.path / "INBOX/1.eml").read_bytes() == RAW


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("foreground", [True, False])
def test_signals_unmount(filled, mount, number, foreground):
    mail = mount(filled, foreground=foreground)
    assert works(mail)
    os.kill(mail.pid, number)
    assert mail.await_exit() in (0, None)
    assert not mounted(mail.path)


def test_a_signal_with_a_busy_mount_is_not_lost(filled, mount):
    mail = mount(filled, foreground=True)
    descriptor = os.open(mail.path / "INBOX/1.eml", os.O_RDONLY)
    try:
        os.kill(mail.pid, signal.SIGTERM)
        wait_until(lambda: not mounted(mail.path), what="the unmount")
        assert mail.await_exit() == 0
    finally:
        with contextlib.suppress(OSError):  # the kernel may report the lost connection here
            os.close(descriptor)


def test_fusermount_in_the_foreground(filled, mount):
    mail = mount(filled, foreground=True)
    assert works(mail)
    mail.unmount()
    assert mail.await_exit() == 0


def test_a_background_mount_leaves_the_terminal(filled, mount):
    mail = mount(filled)
    with open(f"/proc/{mail.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    assert fields[4] == "0"  # no controlling terminal
    assert os.readlink(f"/proc/{mail.pid}/cwd") == "/"
    assert mail.stderr == ""


def test_sigkill_then_a_new_mount(filled, mount):
    mail = mount(filled)
    assert works(mail)
    mail.crash()
    assert works(mount(filled))


def test_mount_unmount_many_times(filled, mount):
    for _ in range(5):
        mail = mount(filled)
        assert works(mail)
        mail.stop()


def test_two_accounts_side_by_side(filled, mount, shared_dovecot):
    second = Account(shared_dovecot, filled.user + "-second")
    second.client.append(RAW + b"second\r\n")
    one, two = mount(filled), mount(second)
    assert works(one)
    assert (two.path / "INBOX/1.eml").read_bytes() == RAW + b"second\r\n"
    second.close()


def test_mount_point_with_odd_characters(filled, mount, home):
    path = home.directory / "with space, comma\\and 'quote' ü"
    path.mkdir()
    mail = mount(filled, path=path)
    assert works(mail)
    assert mail.status()["state"] == "online"


def test_relative_mount_point(filled, home):
    (home.directory / "relative").mkdir()
    done = home.run("-o", f"ca-file={filled.server.ca_file}", filled.url(), "relative",
                    password=filled.server.password)
    assert done.returncode == 0, done.stderr
    path = home.directory / "relative"
    assert (path / "INBOX/1.eml").read_bytes() == RAW
    subprocess.run(["fusermount3", "-u", path], check=True, timeout=30)
    wait_until(lambda: not list(home.runtime.rglob("*.sock")), what="the end of the daemon")


# ---- status and sync ----

def test_status(filled, mount):
    mail = mount(filled)
    assert works(mail)
    status = mail.status()
    assert status["state"] == "online"
    assert status["pending"] == "0" and status["refused"] == "0"
    assert mail.kernel()
    assert mail.home.run("status", str(mail.path) + "/").returncode == 0


def test_sync_with_nothing_to_do(filled, mount):
    mail = mount(filled)
    mail.sync()


# ---- transports and logins ----

def test_starttls(filled, mount):
    assert works(mount(filled, url=filled.url("imap")))


def test_plain_on_loopback(filled, mount):
    assert works(mount(filled, url=f"imap://{filled.user}@127.0.0.1:{filled.server.imap}",
                       ca_file=None))


@pytest.mark.parametrize("auth", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
                                  "scram-sha-256"])
def test_mechanisms(filled, mount, auth):
    assert works(mount(filled, auth=auth))


def test_compression(own_dovecot, mount):
    account = own_dovecot(extra="protocol imap {\n  mail_plugins = imap_zlib\n}")
    assert "COMPRESS=DEFLATE" in account.client.capabilities()
    account.client.append(RAW)
    account.client.append(RAW + b"compressible " * 50_000)
    mail = mount(account)
    assert works(mail)
    assert (mail.path / "INBOX/2.eml").stat().st_size == len(RAW) + 13 * 50_000
    assert (mail.path / "INBOX/2.eml").read_bytes()[-13:] == b"compressible "


def test_tunnel(own_dovecot, home):
    """A command instead of a socket: PREAUTH, no password."""
    account = own_dovecot()
    account.client.append(RAW)
    server = account.server
    command = f"env USER=alice HOME={server.home()} doveadm -c {server.config} exec imap"
    if os.geteuid() == 0:
        user = server.account
        command = f"setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --clear-groups {command}"
    mail = home.mount("imap://alice@tunnel.invalid", tunnel=command)
    assert works(mail)


def test_check(filled, home):
    filled.client.create("Projekte/日本語")
    done = home.run("--check", "-o", f"ca-file={filled.server.ca_file}", filled.url(),
                    password=filled.server.password)
    assert done.returncode == 0, done.stderr
    for word in ("TLSv1.", "SCRAM-SHA-256", "INBOX", "日本語", "IDLE", "UIDPLUS", "QRESYNC"):
        assert word in done.stdout, (word, done.stdout)
    assert not home.mounts


def test_check_that_fails(filled, home):
    done = home.run("--check", filled.url(), password=filled.server.password)
    assert done.returncode == 1
    assert "certificate" in done.stderr


# ---- where settings and passwords come from ----

def write_config(home, text):
    path = home.config / "mailfs"
    path.mkdir(exist_ok=True)
    (path / "config").write_text(text)
    (path / "config").chmod(0o600)


def test_config_file(filled, mount, home):
    write_config(home, f"[defaults]\nca-file={filled.server.ca_file}\nseen=never\n"
                       f"[account work]\nurl={filled.url()}\nnames=uid\n")
    mail = mount(filled, url="work", ca_file=None)
    assert mail.names() == ["1.eml"]
    assert (home.cache / "mailfs/work").is_dir()


def test_password_command(filled, home, mount):
    secret = home.directory / "secret"
    secret.write_text(filled.server.password + "\n")
    secret.chmod(0o600)
    write_config(home, f"[account work]\nurl={filled.url()}\nca-file={filled.server.ca_file}\n"
                       f"password-command=cat {secret}\n")
    assert works(mount(filled, url="work", ca_file=None, password=None))


def test_netrc(filled, home, mount):
    netrc = home.home / ".netrc"
    netrc.write_text(f'machine localhost login {filled.user} password '
                     f'"{filled.server.password.replace(chr(92), chr(92) * 2)}"\n')
    netrc.chmod(0o600)
    assert works(mount(filled, password=None))


def test_systemd_credential(filled, home, mount):
    directory = home.directory / "credentials"
    directory.mkdir()
    (directory / "mailfs.password").write_text(filled.server.password)
    assert works(mount(filled, password=None, env={"CREDENTIALS_DIRECTORY": str(directory)}))
