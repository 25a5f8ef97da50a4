"""Reading marks a message as read: when a person reads it, and only then."""

import shutil

import pytest

RAW = [f"From: bob@example.com\r\nSubject: number {n}\r\n\r\nneedle {n}\r\n".encode()
       for n in range(1, 7)]

SCRIPT = ("import os\nfor top, _, files in os.walk('.'):\n"
          "    for name in files: open(os.path.join(top, name), 'rb').read()\n")

NOT_READERS = {
    "grep": "grep -r needle .",
    "rg": "rg needle .",
    "tar": "tar c . > /dev/null",
    "sha256sum": "sha256sum */*.eml",
    "wc": "wc -l */*.eml",
    "cp": "d=$(mktemp -d) && cp -r INBOX $d && rm -r $d",
    "python": f"python3 -c \"{SCRIPT}\"",
    "ls and stat": "ls -lR . && stat */*.eml",
    "head": "head -q -c 10 */*.eml",
}


def fill(client):
    client.append_many((raw, (), 1_700_000_000 + n) for n, raw in enumerate(RAW))


@pytest.fixture
def unread(account):
    fill(account.client)
    return account


@pytest.fixture(scope="module")
def untouched(module_mount):
    """For programs that must not mark anything: all of them meet the same unread messages."""
    return module_mount(fill)


def seen(account):
    return sorted(uid for uid, flags in account.client.flags().items() if "\\Seen" in flags)


def test_cat_marks_and_only_that_message(unread, mount):
    mail = mount(unread)
    mail.shell("cat INBOX/*.2.eml INBOX/*.5.eml")
    mail.sync()
    assert seen(unread) == [2, 5]


def test_viewers_by_their_name(unread, mount, tmp_path):
    """A viewer is known by the name of its process; a copy of cat stands for each."""
    mail = mount(unread)
    for uid, viewer in enumerate(("less", "most", "vim", "emacs", "mutt"), 1):
        program = tmp_path / viewer
        shutil.copy("/bin/cat", program)
        mail.shell(f"{program} INBOX/*.{uid}.eml")
        mail.sync()
        assert seen(unread) == list(range(1, uid + 1)), viewer


def test_less_itself(unread, mount):
    mail = mount(unread)
    mail.shell("less INBOX/*.3.eml | wc -c")
    mail.sync()
    assert seen(unread) == [3]


def test_redirection_into_a_viewer(unread, mount):
    mail = mount(unread)
    mail.shell("cat < $(echo INBOX/*.4.eml)")
    mail.sync()
    assert seen(unread) == [4]


@pytest.mark.parametrize("command", NOT_READERS.values(), ids=NOT_READERS.keys())
def test_programs_that_do_not_mark(untouched, command):
    account, mail = untouched
    mail.shell(command)
    mail.sync()
    assert seen(account) == []


def test_cat_marks_after_grep_has_read(unread, mount):
    mail = mount(unread)
    mail.shell("grep -r needle .")
    mail.shell("cat INBOX/*.3.eml")
    mail.sync()
    assert seen(unread) == [3]


def test_seen_any_marks_for_programs_but_not_for_searchers(unread, mount):
    mail = mount(unread, seen="any")
    mail.shell("grep -r needle . && rg needle .")
    mail.sync()
    assert seen(unread) == []
    mail.shell(f"python3 -c \"{SCRIPT}\"")
    mail.sync()
    assert seen(unread) == [1, 2, 3, 4, 5, 6]


def test_seen_never(unread, mount):
    mail = mount(unread, seen="never")
    mail.shell("cat INBOX/*.eml; less INBOX/*.1.eml")
    mail.sync()
    assert seen(unread) == []


def test_own_list_of_viewers(unread, mount):
    mail = mount(unread, seen_by="wc")
    mail.shell("cat INBOX/*.1.eml; wc INBOX/*.2.eml")
    mail.sync()
    assert seen(unread) == [2]


def test_read_only_mount_marks_nothing(unread, mount):
    mail = mount(unread, ro=True)
    mail.shell("cat INBOX/*.eml")
    mail.sync()
    assert seen(unread) == []


def test_unmount_sends_what_is_pending(unread, mount):
    mail = mount(unread)
    mail.shell("cat INBOX/*.eml")
    mail.stop()
    assert seen(unread) == [1, 2, 3, 4, 5, 6]


def test_other_flags_stay(unread, mount):
    unread.client.store(1, "\\Flagged $Label1")
    mail = mount(unread)
    mail.shell("cat INBOX/*.1.eml")
    mail.sync()
    assert unread.client.flags()[1] == {"\\Seen", "\\Flagged", "$Label1"}
