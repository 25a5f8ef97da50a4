"""Names of messages and folders: readable, safe, bounded, and always the same."""

import base64
import os
import re
import unicodedata

import pytest
from support.compare import component, folder_path
from support.imapclient import encode_name
from support.scripted import PASSWORD, Folder, MailServer, Message

DATE = 1_781_159_880  # 2026-06-11 06:38 UTC


def message(subject=b"", sender=b"Alice Example <alice@example.org>"):
    head = b"From: " + sender + b"\r\n" if sender is not None else b""
    head += b"Subject: " + subject + b"\r\n" if subject is not None else b""
    return head + b"\r\nbody\r\n"


def utf8(text):
    return b"=?utf-8?B?" + base64.b64encode(text.encode()) + b"?="


EXACT = {
    b"Quarterly report": "20260611-0638_Alice-Example_Quarterly-report.1.eml",
    b"Re: [list] a/b \\ c": "20260611-0638_Alice-Example_Re-list-a-b-c.1.eml",
    b"...---...": "20260611-0638_Alice-Example.1.eml",
    b"": "20260611-0638_Alice-Example.1.eml",
    utf8("Grüße aus Zürich"): "20260611-0638_Alice-Example_Grüße-aus-Zürich.1.eml",
    utf8("会議の件"): "20260611-0638_Alice-Example_会議の件.1.eml",
    utf8("a\u0301"): "20260611-0638_Alice-Example_á.1.eml",
    b"=?iso-8859-1?Q?caf=E9_1+1=3D2?=": "20260611-0638_Alice-Example_café-1+1=2.1.eml",
    b"snake_case_name": "20260611-0638_Alice-Example_snake-case-name.1.eml",
    b"v1.2.eml": "20260611-0638_Alice-Example_v1.2.eml.1.eml",
}


def names_by_uid(mail):
    return sorted(mail.names(), key=lambda name: int(name.rsplit(".", 2)[1]))


def test_exact_names(account, mount):
    account.client.append_many((message(subject), (), DATE) for subject in EXACT)
    expected = [name.replace(".1.eml", f".{uid}.eml") for uid, name in enumerate(EXACT.values(), 1)]
    assert names_by_uid(mount(account)) == expected


SENDERS = {
    b"bob@example.com": "_bob@example.com", b'"Ops, Night" <o@example.org>': "_Ops,-Night",
    b"=?utf-8?Q?J=C3=BCrgen_Wei=C3=9F?= <j@example.org>": "_Jürgen-Weiß", None: "", b"<>": "",
    b"a@example.org, b@example.org": "_a@example.org",
}


def test_senders(account, mount):
    account.client.append_many((message(b"S", sender), (), DATE) for sender in SENDERS)
    assert names_by_uid(mount(account)) == [f"20260611-0638{field}_S.{uid}.eml" for uid, field in
                                            enumerate(SENDERS.values(), 1)]


ODD = [
    b"a/b/../../etc/passwd", utf8("nul\0inside"), utf8("line\r\nbreak\nand\ttab"),
    utf8("\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c"), utf8("\x1b[31mred\x07\x7f\x9b"),
    utf8("🎉" * 1000), b"x" * 4000, utf8("a" + "\u0301" * 3000), b"=?no-such-charset?B?/////w==?=",
    b"=?utf-8?B?//79?=", b"=?utf-8?Q?=FF=FE=00?=", b"\xff\xfe raw \x80 bytes", b"=?utf-8?B?bad",
    b"=?utf-8?B??=", "raw utf-8: grüße".encode(), b"-rf", b".hidden", b"..", b"%2F%00",
    utf8("\ufeffBOM \u2028 \u2029 \u00a0 \u3000"), utf8("\U000e0041\U000e0042 tags"),
    utf8("\ud7ff \uf8ff \U0010ffff"), b"=?utf-8?Q?" + b"=E2=80=AE" * 20 + b"?=",
    b" ".join([utf8("long encoded words, one after another ")] * 60), None,
]

NAME = re.compile(r"20260611-0638(_[^_]+){0,2}\.[0-9]+\.eml")


def check_names(names):
    for name in names:
        assert NAME.fullmatch(name), name
        assert len(name.encode()) <= 200, name
        assert unicodedata.normalize("NFC", name) == name
        for one in name:
            category = unicodedata.category(one)
            assert category[0] in "LMN" or one in "-_.@+=,", (name, hex(ord(one)), category)
        fields = name.rsplit(".", 2)[0].split("_")[1:]
        assert not any(field.startswith(("-", ".")) for field in fields), name


def test_odd_subjects(home):
    """By the scripted server, which passes on what a careful one would not."""
    messages = [Message(message(subject), ["\\Seen"]) for subject in ODD]
    with MailServer({"INBOX": messages}) as server:
        mail = home.mount(server.url(), password=PASSWORD)
        names = mail.names()
        assert len(names) == len(ODD)
        check_names(names)
        for uid, one in enumerate(messages, 1):
            assert mail.message(uid).read_bytes() == one.raw
        mail.stop()
        again = home.mount(server.url(), password=PASSWORD)
        assert again.names() == names
        home.close()


def test_names_do_not_depend_on_flags(account, mount):
    account.client.append(message(b"flagged later"), date=DATE)
    mail = mount(account)
    before = mail.names()
    account.client.store(1, "\\Flagged \\Seen keyword")
    mail.stop()
    assert mount(account).names() == before


def test_bare_names(account, mount):
    account.client.append(message(b"any"), date=DATE)
    account.client.append(message(b"other"), date=DATE)
    mail = mount(account, names="uid")
    assert mail.names() == ["1.eml", "2.eml"]
    assert (mail.path / "INBOX/1.eml").read_bytes() == message(b"any")


FOLDERS = ["日本語", "Entwürfe & Co", "&", "100%", "%2F", " lead", "trail ", "tab\there", "a'b\"c\\d",
           "*", "x.eml", "12.eml", "Report.7.eml", ".mailfs", ".hidden", "Ελληνικά", "שלום", "🎉",
           "e\u0301", "INBOX/Sub", "deep/er/still", "-rf", "~", "new", "cur", "tmp"]


def test_folders_of_dovecot(account, mount):
    made = []
    for name in FOLDERS:
        try:
            account.client.create(name)
            made.append(name)
        except Exception:  # what this server refuses is shown by the scripted one
            continue
        account.client.append(message(b"in " + name.encode().hex().encode()), name)
    assert len(made) > 15
    mail = mount(account)
    check_folders(mail, made)


def check_folders(mail, names):
    listed = {os.path.relpath(top, mail.path) for top, _, _ in os.walk(mail.path)}
    for name in names:
        path = folder_path(name)
        assert path in listed, (name, sorted(listed))
        files = [one for one in mail.names(path) if not (mail.path / path / one).is_dir()]
        assert len(files) == 1, (name, files)
        raw = (mail.path / path / files[0]).read_bytes()
        assert name.encode().hex().encode() in raw
    for path in listed:
        assert all(len(part.encode()) <= 255 for part in path.split("/"))


def test_a_slash_in_a_name(own_dovecot, mount):
    account = own_dovecot(separator=".", plugins="listescape")
    for name in ("one/two", "a.b.c", "x/y.z"):
        account.client.create(name)
        account.client.append(message(b"in " + name.encode().hex().encode()), name)
    mail = mount(account)
    for path in ("one%2Ftwo", "a/b/c", "x%2Fy/z"):
        assert len(mail.names(path)) == 1, path
    assert "one" not in mail.names("")


def test_two_hundred_levels(account, mount):
    name = "/".join(["d"] * 200)
    account.client.create(name)
    account.client.append(message(b"at the bottom"), name)
    mail = mount(account)
    found = mail.shell("find . -name '*.eml'").stdout.decode().split()
    assert len(found) == 1 and found[0].count("/d") == 200
    assert mail.shell(f"cat {found[0]}").stdout == message(b"at the bottom")


WIRE = {
    encode_name("日本語"): "日本語", "&-": "&", "&AAA-": None, "not&utf7": None,
    "grüße-in-utf-8": None, "a" * 300: None, encode_name("長" * 120): None, "..": "%2E.",
    ".": "%2E", ".mailfs": "%2Emailfs", "ctl\x01x": "ctl%01x", "50%": "50%25",
    "twice": "twice", "inbox-like": "inbox-like", "bell\x07": "bell%07",
}


def test_folders_of_a_careless_server(home):
    folders = {name: [Message(message(b"in " + str(number).encode()))]
               for number, name in enumerate(WIRE)}
    folders["dead"] = Folder(selectable=False)
    folders["dead.alive"] = [Message(message(b"below"))]
    with MailServer(folders, delimiter="^") as server:
        mail = home.mount(server.url(), password=PASSWORD)
        listed = sorted(mail.names(""))
        assert len(listed) == len(server.folders)
        for number, (wire, shown) in enumerate(WIRE.items()):
            if shown is not None:
                assert shown in listed, (wire, listed)
                assert (mail.path / shown / "1.eml").read_bytes() == \
                    message(b"in " + str(number).encode())
        assert all(len(name.encode(errors="surrogateescape")) <= 255 for name in listed)
        assert all(not re.search(r"[\x00-\x1f\x7f/]", name) for name in listed)
        count = 0
        for name in listed:
            count += len(mail.names(name))
        assert count == len(WIRE) + 1
        mail.stop()
        again = home.mount(server.url(), password=PASSWORD)
        assert sorted(again.names("")) == listed
        home.close()


def test_inbox_in_any_case(home):
    with MailServer({"INBOX": [Message(message(b"here"))]}) as server:
        server.hooks["LIST"] = lambda session, tag, rest: (
            session.line('* LIST () "/" Inbox'), session.line('* LIST () "/" "INBOX/Sub"'),
            session.reply(tag))
        server.folders["INBOX/Sub"] = Folder()
        mail = home.mount(server.url(), password=PASSWORD)
        assert mail.names("") == ["INBOX"]
        assert (mail.path / "INBOX/1.eml").read_bytes() == message(b"here")
        assert (mail.path / "INBOX/Sub").is_dir()
        home.close()


def test_components():
    """The rule that the other tests use to predict a folder's name."""
    assert component("50%") == "50%25"
    assert component("..") == "%2E."
    assert component(".mailfs", at_root=True) == "%2Emailfs"
    assert component("12.eml") == "12%2Eeml"
    assert component("Report.7.eml") == "Report.7%2Eeml"
    assert component("x.eml") == "x.eml"
