"""rm removes what was named, as the policy says, and nothing else."""

import errno
import mmap
import os
import threading

import pytest
from support.mounting import wait_until
from support.scripted import MailServer, Message, PASSWORD

RAW = [f"From: bob@example.com\r\nSubject: number {n}\r\n\r\nbody {n}\r\n".encode()
       for n in range(1, 9)]


@pytest.fixture
def filled(account):
    fill(account)
    return account


def fill(account):
    account.client.append_many((raw, (), 1_700_000_000 + n) for n, raw in enumerate(RAW))


def bodies(account, folder="INBOX"):
    return sorted(account.client.raw_many(folder=folder).values()) \
        if account.client.uids(folder) else []


def rest(*removed):
    return [raw for n, raw in enumerate(RAW, 1) if n not in removed]


# ---- the policies ----

def test_trash_is_the_default(filled, mount):
    mail = mount(filled)
    mail.shell("rm INBOX/*.3.eml")
    assert len(mail.names()) == 7
    mail.sync()
    assert bodies(filled) == rest(3)
    assert bodies(filled, "Trash") == [RAW[2]]


def test_inside_the_trash_it_expunges(filled, mount):
    mail = mount(filled)
    mail.shell("rm INBOX/*.3.eml")
    mail.sync()
    wait_until(lambda: mail.names("Trash"), what="the message's arrival in Trash")
    mail.shell("rm Trash/*.eml")
    mail.sync()
    assert bodies(filled, "Trash") == []
    assert bodies(filled) == rest(3)


def test_expunge(filled, mount):
    mail = mount(filled, delete="expunge")
    mail.shell("rm INBOX/*.1.eml INBOX/*.8.eml")
    mail.sync()
    assert bodies(filled) == rest(1, 8)
    assert bodies(filled, "Trash") == []


def test_mark(filled, mount):
    mail = mount(filled, delete="mark")
    mail.shell("rm INBOX/*.2.eml")
    mail.sync()
    assert bodies(filled) == RAW
    assert {uid for uid, flags in filled.client.flags().items() if "\\Deleted" in flags} == {2}
    assert len(mail.names()) == 7
    mail.stop()
    assert len(mount(filled).names()) == 7


def test_refuse(filled, mount):
    mail = mount(filled, delete="refuse")
    done = mail.shell("rm -f INBOX/*.2.eml", check=False)
    assert done.returncode != 0
    mail.sync()
    assert bodies(filled) == RAW
    assert len(mail.names()) == 8


def test_without_a_trash_folder_it_expunges(own_dovecot, mount):
    account = own_dovecot(special_use=False)
    fill(account)
    mail = mount(account)
    mail.shell("rm INBOX/*.3.eml")
    mail.sync()
    assert bodies(account) == rest(3)
    assert account.client.folders() == ["INBOX"]


def test_trash_policy_needs_a_trash_folder(own_dovecot, mount):
    account = own_dovecot(special_use=False)
    fill(account)
    mail = mount(account, delete="trash")
    assert mail.shell("rm -f INBOX/*.3.eml", check=False).returncode != 0
    mail.sync()
    assert bodies(account) == RAW


def test_read_only_mount(filled, mount):
    mail = mount(filled, ro=True)
    with pytest.raises(OSError) as caught:
        os.unlink(mail.message(1))
    assert caught.value.errno == errno.EROFS
    assert bodies(filled) == RAW


# ---- how much ----

@pytest.mark.parametrize("policy", ["trash", "expunge"])
def test_a_glob(filled, mount, policy):
    filled.client.create("Other")
    filled.client.append(RAW[0], "Other")
    mail = mount(filled, delete=policy)
    mail.shell("rm INBOX/*.eml")
    mail.sync()
    assert bodies(filled) == []
    assert bodies(filled, "Other") == [RAW[0]]
    assert bodies(filled, "Trash") == (RAW if policy == "trash" else [])
    assert mail.names() == []


def test_recursively_and_many(account, mount):
    """Deleting while listing skips nothing, over several buffers of names."""
    account.client.create("Big")
    account.client.create("Big/Inner")
    account.client.append_many(((RAW[n % 8], (), 1_700_000_000 + n) for n in range(1500)), "Big")
    account.client.append(RAW[0], "Big/Inner")
    mail = mount(account, delete="expunge")
    assert len(mail.names("Big")) == 1501
    mail.shell("rm -rf Big/*")
    assert mail.names("Big") == []
    mail.sync()
    assert account.client.uids("Big") == []


def test_the_name_has_to_be_right(filled, mount):
    mail = mount(filled)
    with pytest.raises(FileNotFoundError):
        os.unlink(mail.path / "INBOX/20240101-0000_Bob_something-else.1.eml")
    os.unlink(mail.path / "INBOX/1.eml")
    with pytest.raises(FileNotFoundError):
        os.unlink(mail.path / "INBOX/1.eml")
    mail.sync()
    assert bodies(filled) == rest(1)


@pytest.mark.parametrize("policy", ["expunge", "trash"])
@pytest.mark.parametrize("without", [["UIDPLUS"], ["UIDPLUS", "MOVE"], ["MOVE"]])
def test_others_deleted_messages_survive(own_dovecot, mount, without, policy):
    account = own_dovecot(without=without)
    fill(account)
    account.client.store("2,5", "\\Deleted")
    mail = mount(account, delete=policy)
    mail.shell("rm INBOX/*.7.eml")
    mail.sync()
    there = account.client.flags()
    assert {1, 2, 3, 4, 5, 6, 8} <= set(there)
    assert 7 not in there or "\\Deleted" in there[7]
    if policy == "trash":
        assert bodies(account, "Trash") == [RAW[6]]
    assert not [name for name in mail.names() if name.endswith(".7.eml")]
    mail.stop()
    assert not [name for name in mount(account, delete=policy).names()
                if name.endswith(".7.eml")]


@pytest.mark.parametrize("policy", ["trash", "expunge"])
def test_uncached_but_open(account, mount, policy):
    fill(account)
    big = b"Subject: big\r\n\r\n" + b"0123456789abcd\r\n" * 200_000
    account.client.append(big)
    mail = mount(account, delete=policy)
    done = mail.shell("exec 3< INBOX/9.eml; rm INBOX/9.eml; cat <&3")
    assert done.stdout == big
    mail.sync()
    assert bodies(account) == RAW


# ---- the server says no, or nothing ----

def scripted(**options):
    server = MailServer({"INBOX": [Message(raw) for raw in RAW], "Trash": []}, **options)
    server.folders["Trash"].attributes.append("\\Trash")
    return server


@pytest.mark.parametrize("policy,command", [("trash", "MOVE"), ("expunge", "STORE"),
                                            ("expunge", "EXPUNGE"), ("mark", "STORE")])
def test_no_brings_it_back(home, policy, command):
    with scripted() as server:
        server.hooks[command] = lambda session, tag, rest: session.reply(tag, "NO",
                                                                         "[NOPERM] not yours")
        mail = home.mount(server.url(), password=PASSWORD, delete=policy)
        before = mail.names()
        mail.shell("rm INBOX/*.3.eml")
        home.run("sync", mail.path)
        wait_until(lambda: mail.names() == before, what="the message's return")
        assert int(mail.status()["refused"]) >= 1
        assert mail.message(3).read_bytes() == RAW[2]
        home.close()


def test_many_become_few_commands(home):
    """What is removed while a command is under way goes with the next one."""
    removed = threading.Event()
    with scripted() as server:
        server.hooks["MOVE"] = lambda session, tag, rest: not removed.wait(30)
        mail = home.mount(server.url(), password=PASSWORD)
        mail.shell("rm INBOX/*.eml")
        removed.set()
        mail.sync()
        assert len(server.folders["Trash"].messages) == len(RAW)
        assert server.folders["INBOX"].messages == []
        # How few depends on the disk: what has not reached it is not sent.
        assert len(server.named("UID MOVE")) < len(RAW)
        home.close()


def test_rm_answers_at_once_and_survives_a_crash(own_dovecot, mount):
    account = own_dovecot()
    fill(account)
    mail = mount(account, delete="expunge")
    assert len(mail.names()) == 8
    account.server.freeze()
    mail.shell("rm INBOX/*.4.eml", timeout=5)
    mail.crash()
    account.server.freeze(False)
    assert bodies(account) == RAW
    mail = mount(account, delete="expunge")
    assert len(mail.names()) == 7
    mail.sync()
    assert bodies(account) == rest(4)


def test_rm_while_offline(own_dovecot, mount):
    account = own_dovecot()
    fill(account)
    mail = mount(account, refresh=1)
    assert len(mail.names()) == 8
    account.close()
    account.server.stop()
    account.reconnect()
    mail.shell("rm INBOX/*.6.eml")
    assert len(mail.names()) == 7
    assert int(mail.status()["pending"]) == 1
    account.server.start()
    wait_until(lambda: mail.status()["state"] == "online", what="online")
    mail.sync()
    assert bodies(account) == rest(6)
    assert bodies(account, "Trash") == [RAW[5]]


def test_a_changed_uidvalidity_drops_the_change(home):
    with scripted() as server:
        mail = home.mount(server.url(), password=PASSWORD, delete="expunge")
        assert len(mail.names()) == len(RAW)
        server.stop()
        mail.shell("rm INBOX/*.3.eml")
        server.folders["INBOX"].uidvalidity = 2
        server.start()
        wait_until(lambda: int(mail.status()["pending"]) == 0, timeout=30, what="the sync")
        assert len(server.folders["INBOX"].messages) == len(RAW)
        assert not any("\\Deleted" in one.flags for one in server.folders["INBOX"].messages)
        home.close()


# ---- messages are immutable ----

REFUSED = [": > $f", "echo more >> $f", "truncate -s 3 $f", "sed -i s/body/BODY/ $f",
           "printf x | dd of=$f conv=notrunc status=none", "mv $f INBOX/other.eml",
           "mv -f $f INBOX/2.eml", "chmod 644 $f", "ln $f INBOX/link.eml", "ln -s x INBOX/link"]


@pytest.fixture(scope="module")
def immutable(module_mount):
    return module_mount(lambda client: client.append_many((raw, (), 1_700_000_000)
                                                          for raw in RAW))


@pytest.mark.parametrize("command", REFUSED)
def test_no_way_to_change_a_message(immutable, command):
    account, mail = immutable
    name = mail.message(1).name
    done = mail.shell(f"f=INBOX/{name}; {command}", check=False)
    assert done.returncode != 0
    assert (mail.path / "INBOX" / name).read_bytes() == RAW[0]
    assert (mail.path / "INBOX" / name).stat().st_size == len(RAW[0])
    mail.sync()
    assert bodies(account) == RAW


def test_writes_fail_with_eperm(filled, mount):
    mail = mount(filled)
    path = mail.message(1)
    for flags in (os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_RDWR):
        with pytest.raises(PermissionError) as caught:
            descriptor = os.open(path, flags)
            try:
                os.write(descriptor, b"x")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        assert caught.value.errno == errno.EPERM
    assert path.read_bytes() == RAW[0]


def test_a_shared_mapping_cannot_write(filled, mount):
    mail = mount(filled)
    path = mail.message(1)
    with pytest.raises(PermissionError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            with mmap.mmap(descriptor, 0, mmap.MAP_SHARED) as view:
                view[0:4] = b"EVIL"
                view.flush()
        finally:
            os.close(descriptor)
    assert path.read_bytes() == RAW[0]
