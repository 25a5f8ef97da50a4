"""`mailfs flag` and user.mail.flags: flags of many messages at once, by few commands."""

import errno
import os
import re
import subprocess

import pytest
from support.scripted import PASSWORD, MailServer, Message

RAW = b"From: bob@example.com\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture
def mail(account, mount):
    account.client.append_many((RAW, (), None) for _ in range(5))
    account.client.create("Work/Deep")
    account.client.append_many(((RAW, ("\\Seen",), None) for _ in range(3)), "Work/Deep")
    return mount(account, names="uid", xattr=True)


def flag(mail, *words, **more):
    return mail.home.run("flag", *words, **more)


def flags_after_sync(account, mail, folder="INBOX"):
    mail.sync()
    return {uid: " ".join(sorted(flags)) for uid, flags in account.client.flags(folder).items()}


def stores(account):
    return sum(len(re.findall(r"UID STORE", log)) for log in account.server.rawlogs(account.user))


def test_system_flags_and_keywords(account, mail):
    done = flag(mail, "+flagged", "+todo", mail / "INBOX/1.eml", mail / "INBOX/3.eml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.getxattr(mail / "INBOX/1.eml", "user.mail.flags") == b"flagged todo"
    assert flags_after_sync(account, mail) == {1: "\\Flagged todo", 2: "", 3: "\\Flagged todo",
                                               4: "", 5: ""}
    assert flag(mail, "-FLAGGED", "+\\Seen", mail / "INBOX/1.eml").returncode == 0
    assert flag(mail, "-todo", mail / "INBOX/3.eml").returncode == 0
    assert flags_after_sync(account, mail) == {1: "\\Seen todo", 2: "", 3: "\\Flagged",
                                               4: "", 5: ""}


def test_files_of_several_folders_and_mounts(account, mail, own_dovecot, mount):
    other = own_dovecot()
    other.client.append(RAW)
    second = mount(other, names="uid")
    link = mail.home.directory / "link"
    link.symlink_to(mail / "Work")
    done = flag(mail, "+answered", mail / "INBOX/2.eml", second / "INBOX/1.eml",
                link / "Deep/2.eml", mail / "Work/../INBOX/./4.eml")
    assert done.returncode == 0, done.stderr
    assert flags_after_sync(account, mail) == {1: "", 2: "\\Answered", 3: "", 4: "\\Answered", 5: ""}
    assert flags_after_sync(account, mail, "Work/Deep") == {
        1: "\\Seen", 2: "\\Answered \\Seen", 3: "\\Seen"}
    assert flags_after_sync(other, second) == {1: "\\Answered"}


def test_what_was_just_put_there(account, mail):
    """It is waited for, while it is on its way."""
    mail.shell("mv INBOX/5.eml Work/Deep/")
    assert flag(mail, "+flagged", mail / "Work/Deep/5.eml").returncode == 0
    mail.shell("cp INBOX/2.eml Work/Deep/new.eml")
    done = flag(mail, "+answered", mail / "Work/Deep/new.eml")
    assert done.returncode == 0, done.stderr
    mail.sync()
    flags = account.client.flags("Work/Deep").values()
    assert sorted(" ".join(sorted(one)) for one in flags) == [
        "\\Answered", "\\Flagged", "\\Seen", "\\Seen", "\\Seen"]


def test_what_stays_here(mail):
    (mail / "INBOX/.draft").write_bytes(RAW)
    done = flag(mail, "+flagged", mail / "INBOX/.draft")
    assert done.returncode == 1 and "stay here" in done.stderr


def test_names_relative_to_the_working_directory(account, mail):
    done = subprocess.run([mail.home.run("--version").args[0], "flag", "+draft", "1.eml", "--",
                           "2.eml"], cwd=mail / "INBOX", env=mail.home.environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "--" in done.stderr  # behind the first file it is a file
    assert flags_after_sync(account, mail) == {1: "\\Draft", 2: "\\Draft", 3: "", 4: "", 5: ""}


def test_a_link_beside_others_of_its_name(account, mail, tmp_path):
    """What a link stands for says nothing of the files beside the link."""
    (tmp_path / "1.eml").symlink_to(mail / "INBOX/1.eml")
    (tmp_path / "2.eml").write_bytes(RAW)
    done = flag(mail, "+seen", tmp_path / "1.eml", tmp_path / "2.eml")
    assert done.returncode == 1
    assert done.stderr == f"mailfs: {tmp_path / '2.eml'}: it is in no mount of yours\n"
    assert flags_after_sync(account, mail) == {1: "\\Seen", 2: "", 3: "", 4: "", 5: ""}


def test_many_files_are_one_command(account, mount):
    count = 1000
    account.client.append_many((RAW, (), None) for _ in range(count))
    mail = mount(account, names="uid")
    names = mail.names()
    before = stores(account)
    done = flag(mail, "+flagged", "+$Work", *(mail / "INBOX" / name for name in names))
    assert done.returncode == 0, done.stderr
    flags = flags_after_sync(account, mail)
    assert len(flags) == count and set(flags.values()) == {"$Work \\Flagged"}
    assert stores(account) - before <= 4


def test_what_is_wrong_and_what_is_right(account, mail):
    done = flag(mail, "+seen", mail / "INBOX/1.eml", mail / "INBOX/77.eml", mail / "INBOX",
                mail.path, "/etc/passwd", mail / "Work/Deep/x.eml", mail / "no/1.eml",
                mail / "INBOX/2.eml")
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == sorted([
        f"mailfs: {mail / 'INBOX/77.eml'}: no such file or directory",
        f"mailfs: {mail / 'INBOX'}: it is a folder, not a message",
        f"mailfs: {mail.path}: it is a folder, not a message",
        "mailfs: /etc/passwd: it is in no mount of yours",
        f"mailfs: {mail / 'Work/Deep/x.eml'}: no such file or directory",
        f"mailfs: {mail / 'no/1.eml'}: no such file or directory",
    ])
    assert flags_after_sync(account, mail) == {1: "\\Seen", 2: "\\Seen", 3: "", 4: "", 5: ""}


@pytest.mark.parametrize("words", [["+a b"], ["+"], ["+\\todo"], ["+unseen"], ["+seen", "-seen"],
                                   ["+a(b"], ["+é"], ["+" + "x" * 200]])
def test_wrong_words_change_nothing(account, mail, words):
    done = flag(mail, "+flagged", *words, mail / "INBOX/1.eml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("mailfs: ")
    assert flags_after_sync(account, mail)[1] == ""


@pytest.mark.parametrize("words", [[], ["+seen"], ["file"], ["+seen", "--"], ["--help"]])
def test_usage(mail, words):
    done = flag(mail, *words)
    assert done.returncode == 2
    assert done.stderr == "usage: mailfs flag +WORD|-WORD... FILE...\n"


def test_a_read_only_mount(account, mount):
    account.client.append_many((RAW, (), None) for _ in range(3))
    mail = mount(account, names="uid", ro=True)
    done = flag(mail, "+seen", mail / "INBOX/1.eml", mail / "INBOX/2.eml")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{mail.path}/INBOX: 2 not changed: " in done.stderr and "read-only" in done.stderr
    mail.sync()
    assert not any(account.client.flags().values())


def test_what_the_server_would_not_keep(home):
    def only_seen(session, tag, rest):
        line = session.line
        session.line = lambda text: line(text.replace(
            r"PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)",
            r"PERMANENTFLAGS (\Seen)"))
        session.usual(tag, "SELECT", rest)
        session.line = line
        return True

    with MailServer({"INBOX": [Message(RAW), Message(RAW)]}) as server:
        server.hooks["SELECT"] = only_seen
        mail = home.mount(server.url(), password=PASSWORD, names="uid", xattr=True)
        mail.names()
        for word in ("+todo", "+flagged"):
            done = flag(mail, word, mail / "INBOX/1.eml")
            assert done.returncode == 1 and "/INBOX: 1 not changed: " in done.stderr
        with pytest.raises(OSError) as raised:
            os.setxattr(mail / "INBOX/1.eml", "user.mail.flags", b"flagged")
        assert raised.value.errno == errno.ENOTSUP
        assert flag(mail, "+seen", mail / "INBOX/1.eml").returncode == 0
        mail.sync()
        assert "\\Seen" in server.folders["INBOX"].messages[0].flags


def test_a_folder_that_was_never_listed(account, mail):
    done = flag(mail, "-seen", mail / "Work/Deep/3.eml")
    assert done.returncode == 0, done.stderr
    assert flags_after_sync(account, mail, "Work/Deep")[3] == ""


def test_with_sync_it_is_there_on_return(account, mount):
    account.client.append(RAW)
    mail = mount(account, names="uid", sync=True)
    assert flag(mail, "+flagged", mail / "INBOX/1.eml").returncode == 0
    assert account.client.flags() == {1: {"\\Flagged"}}


# ---- user.mail.flags ----

def test_setfattr_sets_exactly_these(account, mail):
    path = mail / "INBOX/1.eml"
    os.setxattr(path, "user.mail.flags", b"seen flagged todo")
    assert os.getxattr(path, "user.mail.flags") == b"seen flagged todo"
    assert flags_after_sync(account, mail)[1] == "\\Flagged \\Seen todo"
    os.setxattr(path, "user.mail.flags", b"Flagged later", os.XATTR_REPLACE)
    assert flags_after_sync(account, mail)[1] == "\\Flagged later"
    os.removexattr(path, "user.mail.flags")
    assert os.getxattr(path, "user.mail.flags") == b""
    assert flags_after_sync(account, mail)[1] == ""


@pytest.mark.parametrize("name, value, flags, code", [
    ("user.mail.flags", b"a(b", 0, errno.EINVAL),
    ("user.mail.flags", b"unseen", 0, errno.EINVAL),
    ("user.mail.flags", b"\xff", 0, errno.EINVAL),
    ("user.mail.flags", b"a\0b", 0, errno.EINVAL),
    ("user.mail.flags", b"seen", os.XATTR_CREATE, errno.EEXIST),
    ("user.mail.subject", b"x", 0, errno.EPERM),
    ("user.other", b"x", 0, errno.EPERM),
])
def test_setfattr_refused(account, mail, name, value, flags, code):
    with pytest.raises(OSError) as raised:
        os.setxattr(mail / "INBOX/1.eml", name, value, flags)
    assert raised.value.errno == code
    assert flags_after_sync(account, mail)[1] == ""


def test_removexattr_refused(mail):
    for path, name, code in ((mail / "INBOX/1.eml", "user.mail.uid", errno.EPERM),
                             (mail / "INBOX/1.eml", "user.none", errno.ENODATA),
                             (mail / "INBOX", "user.mail.flags", errno.ENODATA)):
        with pytest.raises(OSError) as raised:
            os.removexattr(path, name)
        assert raised.value.errno == code


def test_message_id(account, mount):
    account.client.append(b"Message-ID: <a.b@example.com>\r\n" + RAW)
    account.client.append(RAW)
    mail = mount(account, xattr=True)
    assert os.getxattr(mail.message(1), "user.mail.message-id") == b"<a.b@example.com>"
    assert "user.mail.message-id" in os.listxattr(mail.message(1))
    assert "user.mail.message-id" not in os.listxattr(mail.message(2))
