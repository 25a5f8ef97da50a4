"""mkdir, rmdir and mv of directories make, remove and rename folders on the server."""

import errno
import os

import pytest
from support.mounting import wait_until
from support.scripted import Folder, MailServer, PASSWORD

RAW = b"From: bob@example.com\r\nSubject: one\r\n\r\nbody\r\n"


def folders(account):
    return set(account.client.folders())


def refused(call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


def await_gone(mail, name):
    """Until the server's list, too, is from after the removal."""
    wait_until(lambda: name not in os.listdir(mail.path), what=f"that {name} is gone")


# ---- mkdir ----

def test_mkdir(account, mount):
    mail = mount(account)
    os.mkdir(mail / "Projects")
    assert "Projects" in folders(account)
    assert "Projects" in os.listdir(mail.path)
    assert os.stat(mail / "Projects").st_nlink == 1
    assert os.listdir(mail / "Projects") == []
    assert b"Projects" in b"".join(account.client.imap.lsub('""', "*")[1])


def test_mkdir_in_folders(account, mount):
    mail = mount(account)
    mail.shell("mkdir -p a/b/c INBOX/d && mkdir -p a/b/c")
    assert {"a", "a/b", "a/b/c", "INBOX/d"} <= folders(account)


@pytest.mark.parametrize("name", ["Entwürfe", "a & b", "50%25", "日本", "-x", "a*b", "UPPER"])
def test_names(account, mount, name):
    mail = mount(account, refresh=0)
    os.mkdir(mail / name)
    inode = os.stat(mail / name).st_ino
    mail.stop()
    mail.start()
    assert name in os.listdir(mail.path)
    assert os.stat(mail / name).st_ino == inode
    os.rmdir(mail / name)
    await_gone(mail, name)


def test_names_that_no_folder_has(account, mount):
    mail = mount(account)
    before = folders(account)
    for name, code in [("x.7.eml", errno.EINVAL), ("7.eml", errno.EINVAL), ("50%", errno.EINVAL),
                       (".git", errno.EPERM), ("a\tb", errno.EINVAL), ("x" * 256, errno.ENAMETOOLONG)]:
        assert refused(os.mkdir, mail / name) == code, name
    assert refused(os.mkdir, mail / "INBOX") == errno.EEXIST
    assert refused(os.mkdir, mail / "inbox") == errno.EEXIST
    assert folders(account) == before


def test_delimiter(own_dovecot, mount):
    mail = mount(own_dovecot(separator="."))
    assert refused(os.mkdir, mail / "a.b") == errno.EINVAL
    mail.shell("mkdir -p a/b && mv a c && rmdir c/b c")


def test_git_init(account, mount):
    mail = mount(account)
    done = mail.shell("git init INBOX 2>&1", check=False)
    assert done.returncode != 0
    assert not any(".git" in name for name in folders(account))
    assert mail.alive()


def test_made_elsewhere(account, mount):
    mail = mount(account, refresh=3600)
    os.listdir(mail.path)
    account.client.create("Theirs")
    assert refused(os.mkdir, mail / "Theirs") == errno.EEXIST


# ---- rmdir ----

def test_rmdir(account, mount):
    account.client.create("Old")
    mail = mount(account)
    os.rmdir(mail / "Old")
    assert "Old" not in folders(account)
    await_gone(mail, "Old")
    assert refused(os.stat, mail / "Old") == errno.ENOENT


def test_rmdir_of_what_is_not_empty(account, mount):
    account.client.create("Full")
    account.client.create("Above/Below")
    account.client.append(RAW, "Full")
    mail = mount(account)
    assert refused(os.rmdir, mail / "Full") == errno.ENOTEMPTY
    assert refused(os.rmdir, mail / "Above") == errno.ENOTEMPTY
    assert refused(os.rmdir, mail / "INBOX") == errno.EBUSY
    assert account.client.raw(1, "Full") == RAW
    os.rmdir(mail / "Above/Below")


def test_rmdir_asks_the_server(account, mount):
    """A message that came a moment ago, and that the mount knows nothing of, is not lost."""
    account.client.create("Folder")
    mail = mount(account, refresh=3600)
    assert os.listdir(mail / "Folder") == []
    account.client.append(RAW, "Folder")
    assert refused(os.rmdir, mail / "Folder") == errno.ENOTEMPTY
    assert account.client.raw(1, "Folder") == RAW


def test_rm_r(account, mount):
    account.client.create("Gone")
    account.client.create("Gone/Below")
    for folder in ("Gone", "Gone/Below"):
        account.client.append_many(((RAW, (), 1_700_000_000 + n) for n in range(5)), folder)
    mail = mount(account)
    mail.shell("rm -r Gone")
    assert not {"Gone", "Gone/Below"} & folders(account)
    assert len(account.client.uids("Trash")) == 10
    await_gone(mail, "Gone")


def test_inode_is_never_reused(account, mount):
    mail = mount(account)
    os.mkdir(mail / "a")
    first = os.stat(mail / "a").st_ino
    os.rmdir(mail / "a")
    await_gone(mail, "a")
    os.mkdir(mail / "a")
    assert os.stat(mail / "a").st_ino > first


# ---- mv ----

def test_rename(account, mount):
    account.client.create("Old")
    account.client.create("Old/Below")
    account.client.append(RAW, "Old")
    account.client.append(RAW, "Old/Below")
    mail = mount(account)
    path = mail.message(1, "Old")
    assert path.read_bytes() == RAW
    inodes = [os.stat(mail / name).st_ino for name in ("Old", "Old/Below", path)]
    mail.shell("mv Old New")
    assert {"New", "New/Below"} <= folders(account)
    assert not {"Old", "Old/Below"} & folders(account)
    path = mail.message(1, "New")
    assert path.read_bytes() == RAW
    assert inodes == [os.stat(mail / name).st_ino for name in ("New", "New/Below", path)]
    assert mail.message(1, "New/Below").read_bytes() == RAW
    await_gone(mail, "Old")
    mail.shell("rm New/Below/*")
    mail.sync()
    assert account.client.uids("New/Below") == []
    mail.stop()
    mail.start()
    assert mail.message(1, "New").read_bytes() == RAW
    assert os.stat(mail / "New").st_ino == inodes[0]


def test_rename_into_another(account, mount):
    for name in ("a", "a/x", "b"):
        account.client.create(name)
    mail = mount(account)
    mail.shell("mv a b && ls b/a/x")
    assert {"b", "b/a", "b/a/x"} <= folders(account)
    mail.shell("mv b/a/x top")
    assert "top" in folders(account)
    assert sorted(os.listdir(mail / "b/a")) == []


def test_subscriptions_follow(account, mount):
    mail = mount(account)
    mail.shell("mkdir -p a/b && mv a c")
    listed = b"".join(account.client.imap.lsub('""', "*")[1])
    assert b" c" in listed and b" c/b" in listed and b" a" not in listed


def test_rename_refused(account, mount):
    for name in ("a", "b", "c"):
        account.client.create(name)
    account.client.append(RAW, "b")
    mail = mount(account)
    os.listdir(mail / "b")
    assert refused(os.rename, mail / "a", mail / "b") in (errno.ENOTEMPTY, errno.EEXIST)
    assert refused(os.rename, mail / "a", mail / "c") == errno.EEXIST
    assert refused(os.rename, mail / "INBOX", mail / "d") == errno.EBUSY
    assert refused(os.rename, mail / "a", mail / ".a") == errno.EPERM
    assert refused(os.rename, mail / "a", mail / "1.eml") == errno.EINVAL
    assert refused(os.rename, mail / "a", mail / "a/b") == errno.EINVAL
    assert {"a", "b", "c"} <= folders(account)


def test_removals_come_first(account, mount):
    """What was removed from a folder is so on the server before the folder has another name."""
    account.client.create("Old")
    account.client.append_many(((RAW, (), 1_700_000_000 + n) for n in range(5)), "Old")
    mail = mount(account)
    mail.shell("rm Old/*.3.eml && mv Old New && rm New/*.4.eml")
    mail.sync()
    assert account.client.uids("New") == [1, 2, 5]
    assert mail.status()["refused"] == "0"


# ---- trouble ----

def test_offline(own_dovecot, mount):
    account = own_dovecot()
    mail = mount(account)
    os.mkdir(mail / "a")
    account.close()
    account.server.kill()
    wait_until(lambda: mail.status()["state"] == "offline", what="that the server is missed")
    for call in (lambda: os.mkdir(mail / "b"), lambda: os.rmdir(mail / "a"),
                 lambda: os.rename(mail / "a", mail / "b")):
        assert refused(call) in (errno.ENETUNREACH, errno.ETIMEDOUT)
    assert "a" in os.listdir(mail.path)


def test_read_only_mount(account, mount):
    account.client.create("a")
    mail = mount(account, ro=True)
    for call in (lambda: os.mkdir(mail / "b"), lambda: os.rmdir(mail / "a"),
                 lambda: os.rename(mail / "a", mail / "b")):
        assert refused(call) in (errno.EROFS, errno.EACCES)


def answer(text):
    def hook(session, tag, rest):
        session.reply(tag, "NO", text)
        return True
    return hook


def test_refused_by_the_server(home):
    """What the server says becomes an errno, and nothing changes here."""
    with MailServer({"INBOX": [], "a": []}) as server:
        for verb in ("CREATE", "DELETE", "RENAME"):
            server.hooks[verb] = answer("[NOPERM] not you")
        mail = home.mount(server.url(), password=PASSWORD)
        assert refused(os.mkdir, mail / "b") == errno.EACCES
        assert refused(os.rmdir, mail / "a") == errno.EACCES
        assert refused(os.rename, mail / "a", mail / "b") == errno.EACCES
        server.hooks["CREATE"] = answer("[OVERQUOTA] full")
        assert refused(os.mkdir, mail / "b") == errno.EDQUOT
        server.hooks["CREATE"] = answer("[CANNOT] no")
        assert refused(os.mkdir, mail / "b") == errno.EINVAL
        assert sorted(os.listdir(mail.path)) == ["INBOX", "a"]


def test_cut_off(home):
    """The connection breaks before the answer: what the second attempt finds was ours. A RENAME is
    not repeated; the next list tells what became of it."""
    with MailServer({"INBOX": [], "a": [], "r": []}) as server:
        tried = set()

        def make(session, tag, rest):
            first = not tried
            tried.add("CREATE")
            if first:
                server.folders["b"] = Folder()
                session.close()
            else:
                session.reply(tag, "NO", "[ALREADYEXISTS] is there")
            return True

        def remove(session, tag, rest):
            if server.folders.pop("a", None):
                session.close()
            else:
                session.reply(tag, "NO", "[NONEXISTENT] is gone")
            return True

        def rename(session, tag, rest):
            server.folders["s"] = server.folders.pop("r")
            session.close()
            return True

        server.hooks.update(CREATE=make, DELETE=remove, RENAME=rename,
                            SUBSCRIBE=answer("no"), UNSUBSCRIBE=answer("no"))
        mail = home.mount(server.url(), password=PASSWORD, refresh=3600)
        os.mkdir(mail / "b")
        os.rmdir(mail / "a")
        assert refused(os.rename, mail / "r", mail / "s") == errno.ENETUNREACH
        assert len(server.named("RENAME")) == 1
        wait_until(lambda: sorted(os.listdir(mail.path)) == ["INBOX", "b", "s"],
                   what="the list as it is")
