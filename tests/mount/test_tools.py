"""The shell's tools behave as they do on an ordinary disk: each runs on both, and must say the
same. The reference is a copy of the mail with the mount's names, sizes and times."""

import os
import pathlib
import subprocess

import pytest
from support import samples


@pytest.fixture(scope="module")
def mounted(module_mount):
    return module_mount(samples.load, seen="never", refresh=3600)


@pytest.fixture(scope="module")
def mail(mounted):
    return mounted[1]


@pytest.fixture(scope="module")
def mirror(mounted, tmp_path_factory):
    """The same tree on a disk, its contents taken from the server and not from the mount."""
    account, mail = mounted
    top = tmp_path_factory.mktemp("mirror")
    for folder, _, files in os.walk(mail.path):
        where = os.path.relpath(folder, mail.path)
        os.makedirs(top / where, exist_ok=True)
        if not files:
            continue
        name = where.replace("%25", "%")
        raw = account.client.raw_many(folder=name)
        attributes = account.client.attributes(name)
        for file in files:
            uid = int(file.rsplit(".", 2)[1])
            path = top / where / file
            path.write_bytes(raw[uid])
            path.chmod(0o600)
            os.utime(path, (attributes[uid][2],) * 2)
    return top


def run(command, where):
    return subprocess.run(["bash", "-c", command], cwd=where, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, env=os.environ | {
                              "LC_ALL": "C.UTF-8", "TZ": "UTC", "RIPGREP_CONFIG_PATH": ""})


COMMANDS = {
    "ls": "ls INBOX",
    "ls -l": "ls -l --time-style=full-iso INBOX | awk '/^-/ {print $1, $2, $5, $6, $7, $9}'",
    "ls -R": "ls -R",
    "ls by time": "ls -t INBOX | sort",
    "find": "find . | sort",
    "find -type": "find . -type f | sort; find . -type d | sort",
    "find -name": "find . -name '*Attached*' | sort",
    "find -newermt": "find . -type f -newermt 2025-01-01 ! -newermt 2025-06-01 | sort",
    "find -size": "find . -type f -size +4k | sort; find . -type f -size -1k | sort",
    "find -exec": "find INBOX -name '*.eml' -exec wc -c {} + | sort",
    "find -inum is unique": "find . -type f -printf '%i\\n' | sort | uniq -d",
    "grep -rl": "grep -rl lighthouse . | sort",
    "grep -rc": "grep -rci '^subject:' . | sort",
    "grep binary": "grep -rl $'\\xce\\xce' --binary-files=text . | sort",
    "rg -l": "rg -l --no-ignore --hidden --sort path harbour",
    "rg count": "rg -c --no-ignore --sort path -i '^from:'",
    "rg mmap": "rg -c --mmap --no-ignore --sort path tide",
    "tar": "tar c --sort=name --mtime=@0 --owner=0 --group=0 --mode=u=rwX,go= . | sha256sum",
    "tar times": "tar c --sort=name INBOX/*.eml | tar tv | awk '{print $1, $3, $4, $5, $6}'",
    "wc -c": "wc -c */*.eml",
    "wc": "cat INBOX/*.eml | wc",
    "cat": "cat INBOX/*.eml | sha256sum",
    "less": "for f in INBOX/*.eml; do less $f; done | sha256sum",
    "head and tail": "head -c 100 -q INBOX/*.eml | sha256sum; tail -n 1 -q INBOX/*.eml | sha256sum",
    "sha256sum": "find . -type f | sort | xargs -d '\\n' sha256sum",
    "cmp": "for f in INBOX/*.eml; do cmp $f $f || echo differs; done",
    "dd with an offset": "for f in INBOX/*.eml; do dd if=$f bs=100 skip=1 status=none; done | md5sum",
    "sort and uniq": "cat Archive/*.eml | sort | uniq -c | sha256sum",
    "du": "du -b --apparent-size -- INBOX/*.eml",
    "completion": "compgen -f INBOX/2024 | sort",
    "completion of folders": "compgen -d | sort",
    "glob": "shopt -s globstar; printf '%s\\n' **/*.eml",
    "awk": "awk 'FNR == 1 {n++} END {print n}' INBOX/*.eml",
    "file kinds": "stat -c '%F %a %s %Y %n' INBOX/*.eml",
    "no such file": "cat INBOX/nothing; ls nowhere",
    "cp out": "d=$(mktemp -d); cp -p INBOX/*.eml $d && cd $d && sha256sum *; rm -r $d",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_as_on_a_disk(mail, mirror, command):
    expected, got = run(command, mirror), run(command, mail.path)
    assert got.stdout.decode(errors="replace") == expected.stdout.decode(errors="replace")
    assert got.stderr == expected.stderr
    assert got.returncode == expected.returncode


def test_names_sort_by_arrival(mail):
    listed = os.listdir(mail.path / "INBOX")
    dates = [os.stat(mail.path / "INBOX" / name).st_mtime // 60 for name in sorted(listed)
             if name.endswith(".eml")]
    assert dates == sorted(dates)


def test_the_other_views_are_not_listed(mail):
    assert ".mailfs" not in os.listdir(mail.path)


def test_no_folder_claims_links(mail):
    """With a link count of 1, find looks at every entry and trusts no arithmetic."""
    for folder, _, _ in os.walk(mail.path):
        assert pathlib.Path(folder).stat().st_nlink == 1
