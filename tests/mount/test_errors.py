"""A mount that cannot start says why in one line, exits 1, and leaves nothing behind."""

import os
import re
import socket

import pytest
from support import certificates
from support.dovecot import free_ports
from support.mounting import mounted
from support.scripted import PASSWORD, MailServer, ScriptServer


@pytest.fixture
def fails(home):
    """fails(pattern, words…): runs mailfs, which must fail with one line that matches."""
    def check(pattern, *words, password="secret-word", status=1, path=None, **more):
        path = path or home.new_directory()
        done = home.run(*words, path, password=password, **more)
        assert done.returncode == status, done
        lines = done.stderr.strip().splitlines()
        if status == 1:
            assert len(lines) == 1, done.stderr
        assert re.search(pattern, done.stderr, re.I), done.stderr
        assert lines[0].startswith("mailfs: "), done.stderr
        assert done.stdout == ""
        assert not password or password not in done.stderr
        assert not mounted(path)
        return done.stderr
    return check


@pytest.fixture
def words(account):
    """The words of a mount of `account` that would work."""
    return ["-o", f"ca-file={account.server.ca_file}", account.url()]


def test_wrong_password(fails, words):
    fails("password|login|authenticat", *words)


def test_no_password_at_all(fails, words):
    fails("password", *words, password=None)


def test_empty_password(fails, words):
    fails("password", *words, password="")


def test_unknown_host(fails):
    fails(r"nowhere\.invalid", "imaps://alice@nowhere.invalid")


def test_refused_port(fails):
    port, = free_ports(1)
    fails(f"refused|{port}", f"imaps://alice@localhost:{port}")


def test_server_says_bye(fails):
    with ScriptServer(lambda connection: connection.line("* BYE too busy\x1b[31m today")) as server:
        message = fails("too busy", "-o", "tls=no", server.url())
        assert "\x1b" not in message


def test_no_imap_at_all(fails):
    def script(connection):
        connection.line("SSH-2.0-OpenSSH_9.2")
        connection.read_line()
    with ScriptServer(script) as server:
        fails("IMAP|protocol|greeting", "-o", "tls=no", server.url())


def test_untrusted_certificate(fails, account):
    fails("certificate", account.url())


def test_wrong_host_name(fails, tmp_path):
    authority = certificates.Authority(tmp_path)
    pair = authority.issue("other", "DNS:elsewhere.example,IP:192.0.2.1")
    with MailServer(certificate=pair) as server:
        fails("certificate.*(localhost|name)|name.*certificate", "-o",
              f"ca-file={authority.certificate}", server.url(), password=PASSWORD)
        assert server.commands == []


def test_common_name_does_not_count(fails, tmp_path):
    """Only the SAN names a host (RFC 9525)."""
    authority = certificates.Authority(tmp_path)
    with MailServer(certificate=authority.issue("localhost", "DNS:elsewhere.example")) as server:
        fails("certificate|name", "-o", f"ca-file={authority.certificate}", server.url())


def test_expired_certificate(fails, tmp_path):
    authority = certificates.Authority(tmp_path)
    with MailServer(certificate=authority.issue("old", expired=True)) as server:
        fails("expired", "-o", f"ca-file={authority.certificate}", server.url())
        assert server.commands == []


def test_missing_ca_file(fails, account):
    fails("none.pem", "-o", "ca-file=/none.pem", account.url())


@pytest.mark.parametrize("url", ["imaps://alice:hunter2@localhost", "imaps://:hunter2@localhost"])
def test_password_in_the_url(fails, url):
    message = fails("password", url)
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["http://localhost", "imaps://", "imaps://alice@", "imaps:///x",
                                 "imaps://alice@localhost:99999", "imaps://alice@localhost:x",
                                 "imaps://al%zzice@localhost", "nosuchaccount",
                                 "imaps://alice@localhost/path"])
def test_bad_urls(fails, url):
    fails(".", url)


def test_tls_off_is_for_loopback(fails):
    fails("tls|loopback", "-o", "tls=no", "imap://alice@192.0.2.1")


def test_starttls_is_required(fails):
    with MailServer() as server:
        fails("STARTTLS|TLS", server.url())
        assert not server.named("LOGIN", "AUTHENTICATE")


def test_preauth_before_tls(fails):
    def script(connection):
        connection.line("* PREAUTH welcome, whoever you are")
        connection.read_line()
    with ScriptServer(script) as server:
        fails("PREAUTH|TLS", server.url())


def test_bytes_behind_starttls(fails, tmp_path):
    def script(connection):
        connection.line("* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hello")
        while True:
            tag, name, _ = connection.command()
            if name == "STARTTLS":
                connection.send(f"{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN EVIL\r\n")
                connection.read_line()
            connection.line("* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN")
            connection.reply(tag)
    with ScriptServer(script) as server:
        fails("TLS|protocol", server.url())
        assert not server.named("LOGIN", "AUTHENTICATE")


def test_logindisabled(fails):
    with MailServer(capabilities="IMAP4rev1 LOGINDISABLED") as server:
        fails("login|authenticat|mechanism", "-o", "tls=no", server.url(), password=PASSWORD)
        assert not server.named("LOGIN", "AUTHENTICATE")


def test_unknown_mechanism(fails, words):
    fails("MAGIC", "-o", "auth=MAGIC", *words)


# ---- files ----

def config(home, text, mode=0o600):
    path = home.config / "mailfs"
    path.mkdir(exist_ok=True)
    file = path / "config"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_config_that_others_may_write(fails, home):
    file = config(home, "[account work]\nurl=imaps://alice@localhost\n", 0o666)
    fails(re.escape(str(file)), "work")


def test_config_with_a_secret_that_others_may_read(fails, home):
    file = config(home, "[account work]\nurl=imaps://alice@localhost\n"
                        "password-command=echo x\n", 0o644)
    fails(f"{re.escape(str(file))}.*|chmod", "work")


@pytest.mark.parametrize("line", ["no-such-key=1", "refresh=soon", "connections=0", "seen=perhaps",
                                  "delete=everything", "cache-size=big"])
def test_config_errors_name_their_line(fails, home, line):
    config(home, f"# a comment\n[account work]\nurl=imaps://alice@localhost\n{line}\n")
    fails(r"config:4|line 4|\b4\b", "work")


def test_netrc_that_others_may_read(fails, words, home):
    netrc = home.home / ".netrc"
    netrc.write_text("machine localhost login alice password secret-word\n")
    netrc.chmod(0o644)
    fails("netrc", *words, password=None)


def test_missing_mount_point(fails, words, account, home):
    fails("nothing-here", *words, password=account.server.password,
          path=home.directory / "nothing-here")


def test_mount_point_that_is_a_file(fails, words, account, home):
    path = home.directory / "file"
    path.write_text("x")
    fails("file", *words, password=account.server.password, path=path)
    assert path.read_text() == "x"


def test_busy_mount_point(own_dovecot, words, account, mount, home):
    other = own_dovecot()
    mail = mount(other)
    done = home.run(*words, mail.path, password=account.server.password)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert mail.names("")  # the first one is untouched


def test_second_mount_of_an_account(fails, words, account, mount):
    mail = mount(account)
    fails("mounted|in use|another", *words, password=account.server.password)
    assert mail.names("")


def test_cache_that_others_may_enter(fails, words, account, home):
    directory = home.directory / "open-cache"
    directory.mkdir()
    directory.chmod(0o755)
    fails("open-cache", "-o", f"cache-directory={directory}", *words,
          password=account.server.password)


def test_cache_of_another_account(fails, words, account, mount, home, shared_dovecot):
    mail = mount(account, cache_directory=home.directory / "mine")
    mail.names("")  # an index that knows no folder would be given up
    mail.stop()
    stranger = shared_dovecot.add_user("stranger")
    fails("mine|account", "-o", f"cache-directory={home.directory / 'mine'}", *words[:2],
          shared_dovecot.url(stranger), password=account.server.password)


# ---- usage ----

@pytest.mark.parametrize("words", [["-o", "nonsense"], ["--nonsense"], ["-o", "refresh"],
                                   ["-Z"]])
def test_wrong_usage_exits_2(home, words):
    done = home.run(*words, "imaps://alice@localhost", home.new_directory())
    assert done.returncode in (1, 2) and done.stderr.startswith("mailfs: ")
    assert words[-1].lstrip("-") in done.stderr


def test_no_arguments(home):
    done = home.run()
    assert done.returncode == 2 and done.stderr


def test_help_and_version(home):
    done = home.run("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) <= 24
    done = home.run("--version")
    assert done.returncode == 0 and re.search(r"mailfs \d+\.\d+", done.stdout)


@pytest.mark.parametrize("command", ["status", "sync"])
def test_commands_without_a_mount(home, command):
    path = home.new_directory()
    done = home.run(command, path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(path) in done.stderr


def test_a_host_that_never_answers(fails):
    """Connecting has a deadline, and the user is told."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        fails("time|answer", "-o", "tls=no", f"imap://alice@127.0.0.1:{listener.getsockname()[1]}")


def test_nothing_is_left_behind(fails, home, words):
    fails("password|login|authenticat", *words)
    assert not any(name.endswith((".sock", ".socket")) for _, _, files in os.walk(home.runtime)
                   for name in files)
