"""What an account holds, on the server and in a mount, in the same form."""

import hashlib
import os
import pathlib
import re


def component(name, at_root=False):
    """A folder's own name as the mount shows it: the rule of the manual for the names in use."""
    out = "".join(f"%{ord(one):02X}" if one in "%/" or ord(one) < 32 or ord(one) == 127 else one
                  for one in name)
    if out in (".", "..") or at_root and out.startswith(".mailfs"):
        out = "%2E" + out[1:]
    return re.sub(r"(^|\.)([1-9][0-9]*)\.eml$", r"\1\2%2Eeml", out) or "%"


def folder_path(name, delimiter="/"):
    parts = name.split(delimiter)
    return "/".join(component(part, number == 0) for number, part in enumerate(parts))


def digest(data):
    return hashlib.sha256(data).hexdigest()


def server_side(client, folders=None, delimiter="/"):
    """{folder as a path: {uid: (size, sha256)}} by UID FETCH BODY.PEEK[]."""
    found = {}
    selectable = set(client.folders(selectable=True))
    for name in folders or client.folders():
        raw = client.raw_many(folder=name) if name in selectable and client.uids(name) else {}
        found[folder_path(name, delimiter)] = {uid: (len(data), digest(data))
                                               for uid, data in raw.items()}
    return found


def mount_side(root):
    """The same through the file system: names listed, sizes by stat, contents read to the end."""
    found = {}
    for folder, _, files in os.walk(root):
        here = {}
        for name in files:
            path = os.path.join(folder, name)
            size = os.stat(path).st_size
            here[uid_of(name)] = (size, digest(pathlib.Path(path).read_bytes()))
            assert len(here) <= len(files)
        assert len(here) == len(files), f"two names for one message in {folder}"
        found[os.path.relpath(folder, root)] = here
    found.pop(".", None)
    return found


def uid_of(name):
    stem, dot, suffix = name.rpartition(".")
    assert suffix == "eml", name
    return int(stem.rpartition(".")[2])
