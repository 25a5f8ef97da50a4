"""The shell's tools that write: each does here what it does on a disk, and leaves nothing else."""

import os
import re
import shutil

import pytest

OLD = b"From: alice@example.com\r\nSubject: old\r\n\r\nhere before\r\n"
RAW = [f"From: bob@example.com\r\nSubject: number {n}\r\n\r\n{'text ' * n * 50}\r\n".encode()
       for n in range(1, 13)]
DATE = 1_600_000_000


@pytest.fixture
def filled(account):
    account.client.append(OLD, date=1_700_000_000)
    account.client.create("Other")
    return account


@pytest.fixture
def mail(filled, mount):
    one = mount(filled)
    assert len(one.names()) == 1
    return one


@pytest.fixture
def corpus(tmp_path):
    """A directory of messages, as a user's own files are."""
    top = tmp_path / "corpus"
    top.mkdir(mode=0o700)
    for number, raw in enumerate(RAW):
        path = top / f"{number}-letter.eml"
        path.write_bytes(raw)
        path.chmod(0o600)
        os.utime(path, (DATE + number,) * 2)
    return top


def bodies(account, folder="Other"):
    return sorted(account.client.raw_many(folder=folder).values()) \
        if account.client.uids(folder) else []


def dates(account, folder="Other"):
    return sorted(date for _, _, date in account.client.attributes(folder).values())


def check_arrived(account, with_dates=True):
    assert bodies(account) == sorted(RAW)
    if with_dates:
        assert dates(account) == [DATE + number for number in range(len(RAW))]
    assert bodies(account, "INBOX") == [OLD]
    assert bodies(account, "Trash") == []


COPIES = {
    "cp": ("cp {corpus}/* Other/", False),
    "cp -p": ("cp -p {corpus}/* Other/", True),
    "cp -a": ("cp -a {corpus}/* Other/", True),
    "cp -a DIR/.": ("cp -a {corpus}/. Other/", True),
    "cp -n": ("cp -n -p {corpus}/* Other/", True),
    "mv": ("mv {corpus}/* Other/", True),
    "tar": ("tar c -C {corpus} . | tar x -C Other", True),
    "tar, names only": ("tar c -C {corpus} . | tar x --no-overwrite-dir -C Other", True),
    "install": ("install -m 644 {corpus}/* Other/", False),
    "install -p": ("install -p -m 600 {corpus}/* Other/", False),
    "rsync -a": ("rsync -a {corpus}/ Other/", True),
    "rsync --inplace": ("rsync -a --inplace {corpus}/ Other/", True),
    "rsync --fsync": ("rsync -a --fsync {corpus}/ Other/", True),
    "find -exec cp": ("find {corpus} -type f -exec cp -p {{}} Other/ \\;", True),
}


@pytest.mark.parametrize("name", COPIES)
def test_copying(filled, mail, corpus, name):
    command, with_dates = COPIES[name]
    mail.shell(command.format(corpus=corpus))
    mail.sync()
    check_arrived(filled, with_dates)
    assert len(mail.names("Other")) == len(RAW)


def transfers(output):
    """The files that rsync -i says it sends."""
    return [line for line in output.decode().splitlines() if re.match(r"[<>]f", line)]


def test_rsync_again_sends_nothing(filled, mail, corpus, mount):
    mail.shell(f"rsync -a {corpus}/ Other/")
    assert transfers(mail.shell(f"rsync -ain {corpus}/ Other/").stdout) == []
    mail.sync()
    assert transfers(mail.shell(f"rsync -ain {corpus}/ Other/").stdout) == []
    mail.shell(f"rsync -a {corpus}/ Other/")
    mail.sync()
    check_arrived(filled)
    mail.stop()
    again = mount(filled)
    assert transfers(again.shell(f"rsync -ai {corpus}/ Other/").stdout) == []
    again.sync()
    check_arrived(filled)


def test_cp_n_again_sends_nothing(filled, mail, corpus):
    mail.shell(f"cp -p {corpus}/* Other/")
    mail.shell(f"cp -np {corpus}/* Other/", check=False)
    mail.sync()
    mail.shell(f"cp -np {corpus}/* Other/", check=False)
    mail.sync()
    check_arrived(filled)


def test_out_and_in_again(filled, mail, corpus, tmp_path):
    mail.shell(f"cp -p {corpus}/* Other/")
    mail.sync()
    mail.shell(f"mkdir {tmp_path}/out; cp -p Other/* {tmp_path}/out/; rsync -a Other/ {tmp_path}/r")
    for copy in ("out", "r"):
        files = [path.read_bytes() for path in (tmp_path / copy).iterdir()]
        assert sorted(files) == sorted(RAW)
    mail.shell(f"rsync -a {tmp_path}/out/ Other/")  # these are the proper names
    mail.sync()
    check_arrived(filled)


def test_copied_within_the_mount(filled, mail, corpus):
    mail.shell("cp -p INBOX/*.eml Other/")
    mail.sync()
    assert bodies(filled) == [OLD]
    assert dates(filled) == [1_700_000_000]
    assert bodies(filled, "INBOX") == [OLD]


def test_cat_and_rm_right_after_cp(filled, mail, corpus):
    for path in sorted(corpus.iterdir())[:6]:
        done = mail.shell(f"cp {path} Other/ && cat Other/{path.name} && rm Other/{path.name}")
        assert done.stdout == path.read_bytes()
    assert mail.names("Other") == []
    mail.sync()
    assert bodies(filled) == []


def test_rm_of_what_was_just_copied(filled, mail, corpus):
    """-f: what becomes a message while the shell looks is listed under both of its names."""
    mail.shell(f"cp {corpus}/* Other/; rm -f Other/*")
    assert mail.names("Other") == []
    mail.sync()
    assert bodies(filled) == []


@pytest.mark.parametrize("command", ["cp -rp {corpus} .", "rsync -a {corpus} .",
                                     "tar c -C {corpus}/.. corpus | tar x"])
def test_a_directory_in_and_away_again(filled, mail, corpus, command):
    mail.shell(command.format(corpus=corpus))
    mail.sync()
    assert len(mail.names("corpus")) == len(RAW)
    assert bodies(filled, "corpus") == sorted(RAW)
    assert dates(filled, "corpus") == [DATE + number for number in range(len(RAW))]
    mail.shell("rm -r corpus")
    mail.sync()
    assert "corpus" not in filled.client.folders()
    assert bodies(filled, "INBOX") == [OLD]


# ---- editors: nothing of theirs reaches the server ----

needs_vim = pytest.mark.skipif(not shutil.which("vim.tiny"), reason="vim.tiny is not installed")


def vim(mail, commands, name):
    words = " ".join(f"-c '{command}'" for command in commands)
    return mail.shell(f"TERM=dumb vim.tiny -u NONE -i NONE -N -es {words} INBOX/{name}",
                      check=False)


@needs_vim
@pytest.mark.parametrize("commands", [["q"], ["preserve", "q"], ["normal ix", "w", "q!"],
                                      ["set backup", "normal ix", "w", "q!"]])
def test_vim(filled, mail, commands):
    name = mail.message(1).name
    vim(mail, commands, name)
    mail.sync()
    assert bodies(filled, "INBOX") == [OLD]
    assert bodies(filled, "Trash") == []
    assert (mail / "INBOX" / name).read_bytes() == OLD
    assert [one for one in mail.names() if not one.startswith(".")] == [name]


@needs_vim
def test_vim_writes_a_new_message(filled, mail):
    vim(mail, ["normal iSubject: by hand", "normal o", "normal ohello", "w", "q"], "draft.eml")
    mail.sync()
    assert bodies(filled, "INBOX") == [OLD, b"Subject: by hand\r\n\r\nhello\r\n"]


def test_sed_in_place_is_refused(filled, mail):
    name = mail.message(1).name
    assert mail.shell(f"sed -i s/here/there/ INBOX/{name}", check=False).returncode != 0
    assert (mail / "INBOX" / name).read_bytes() == OLD
    assert mail.names() == [name]
    mail.sync()
    assert bodies(filled, "INBOX") == [OLD]


def test_an_editors_lock(filled, mail):
    assert mail.shell("ln -s me@here:1 INBOX/.#x", check=False).returncode != 0
    mail.shell("echo x > INBOX/#x#; echo x > INBOX/.#x; rm INBOX/#x# INBOX/.#x")
    mail.sync()
    assert bodies(filled, "INBOX") == [OLD]
