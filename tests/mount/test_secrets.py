"""After the login the password is nowhere: not in /proc, a log, the cache, or a system call."""

import base64
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from support.mounting import wait_until

RAW = b"From: bob@example.com\r\nSubject: x\r\n\r\nbody\r\n"


def forms(account):
    """The password as it might show, also in the base64 of SASL PLAIN and LOGIN."""
    secret = account.server.password.encode()
    plain = b"\0" + account.user.encode() + b"\0" + secret
    quoted = secret.replace(b"\\", b"\\\\")
    return [secret, quoted, base64.b64encode(secret), base64.b64encode(plain),
            base64.b64encode(account.user.encode() + plain)]


def assert_absent(account, data, where):
    for form in forms(account):
        assert form not in data, f"the password is in {where}"


@pytest.fixture(params=[None, "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def mechanism(request):
    return request.param


def test_proc_logs_and_cache(account, mount, mechanism):
    account.client.append(RAW)
    options = {"auth": mechanism} if mechanism else {}
    mail = mount(account, arguments=["-d"], foreground=True, **options)
    mail.shell("ls -l INBOX; cat INBOX/*.eml")
    mail.sync()
    for name in ("cmdline", "environ"):
        data = pathlib.Path(f"/proc/{mail.pid}/{name}").read_bytes()
        assert_absent(account, data, name)
    status = mail.home.run("status", mail.path).stdout
    assert_absent(account, status.encode(), "mailfs status")
    mail.stop()
    assert mail.stderr, "-d says nothing"
    assert_absent(account, mail.stderr.encode(), "the log of -d")
    # With SCRAM's salt, nonces and the server's signature, passwords could be tried offline.
    assert "< +" in mail.stderr or mechanism == "PLAIN"
    assert not re.search(r"< \+ *(?!idling)[^ \n]", mail.stderr)  # that of IDLE is no secret
    files = 0
    for top, _, names in os.walk(mail.home.directory):
        for name in names:
            path = pathlib.Path(top, name)
            if path.is_file():
                files += 1
                assert_absent(account, path.read_bytes(), path)
    assert files > 1


def test_log_of_a_refused_login(account, home):
    """-d shows the protocol, but not what was sent for a login that fails."""
    path = home.new_directory()
    done = home.run("-d", "-o", f"ca-file={account.server.ca_file},auth=PLAIN", account.url(),
                    path, password="wrong-secret-42")
    assert done.returncode == 1
    text = done.stdout + done.stderr
    for form in (b"wrong-secret-42", base64.b64encode(b"wrong-secret-42"),
                 base64.b64encode(f"\0{account.user}\0wrong-secret-42".encode())):
        assert form.decode() not in text


def test_the_daemon_cannot_be_dumped(account, mount):
    mail = mount(account)
    owner = os.stat(f"/proc/{mail.pid}/mem").st_uid
    limits = pathlib.Path(f"/proc/{mail.pid}/limits").read_text()
    core = re.search(r"Max core file size\s+(\S+)", limits)[1]
    if core != "0" and os.getuid() == 0:
        pytest.skip("root's processes look alike, dumpable or not")
    # An undumpable process belongs to root in /proc, whoever runs it.
    assert core == "0" or owner == 0


def test_system_calls_after_the_login(account, mount, tmp_path):
    """Also while it reconnects: the second login is as silent as the first."""
    if not shutil.which("strace"):
        pytest.fail("strace is not installed")
    account.client.append(RAW)
    mail = mount(account, refresh=1)
    trace = tmp_path / "trace"
    tracer = subprocess.Popen(["strace", "-f", "-x", "-s", "65536", "-o", str(trace), "-p",
                               str(mail.pid)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        if tracer.poll() is not None:
            pytest.skip("strace may not attach here")
        before = len(account.server.log.read_text().split("Login: "))
        subprocess.run(["doveadm", "-c", str(account.server.config), "kick", account.user],
                       capture_output=True, timeout=30)
        time.sleep(1.5)
        mail.shell("ls INBOX; cat INBOX/*.eml", check=False)
        wait_until(lambda: len(account.server.log.read_text().split("Login: ")) > before,
                   timeout=20, what="a second login")
        mail.shell("cat INBOX/*.eml")
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    data = trace.read_bytes()
    assert b"read" in data
    assert_absent(account, data.replace(b"\\0", b"\0"), "a system call")


def test_private_files(account, mount):
    """Directories 0700 and the control socket 0600, whatever the umask says."""
    mask = os.umask(0)
    try:
        account.client.append(RAW)
        mail = mount(account)
        mail.shell("cat INBOX/*.eml")
        account_directory = next((mail.home.cache / "mailfs").iterdir())
        assert account_directory.stat().st_mode & 0o777 == 0o700
        sockets = [path for path in mail.home.runtime.rglob("*") if path.is_socket()]
        assert sockets
        for path in sockets:
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(mask)


def test_terminal_escapes_do_not_reach_the_log(account, mount):
    account.client.append(b"From: \x1b]0;evil\x07 <a@example.org>\r\nSubject: \x1b[2J\r\n\r\nx\r\n")
    mail = mount(account, arguments=["-d"], foreground=True)
    mail.shell("ls -l INBOX; cat INBOX/*.eml > /dev/null")
    mail.stop()
    assert "\x1b" not in mail.stderr and "\x07" not in mail.stderr
