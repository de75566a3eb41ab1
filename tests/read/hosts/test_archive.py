"""The tar reader beside Python's own, which is slower and follows what it is told."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from placer.errors import InputError
from placer.read.hosts.archive import ArchiveTree

FOLDER = "sys/devices/system/cpu"


def _tar(files: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./", "/", "a" * 90 + "/" + "b" * 60 + "/", "höst/"])
def test_formats_and_prefixes(kind: int, prefix: str) -> None:
    """All three formats of tar, short and long names, leading dots and slashes: names are those of tarfile."""
    tree = ArchiveTree(_tar({f"{prefix}{FOLDER}/online": b"0-3\n", f"{prefix}other/file": b"x"}, kind), "x")
    folder = f"{prefix.lstrip('./')}{FOLDER}"
    assert tree.text(f"{folder}/online") == "0-3"
    assert tree.names(folder) == {"online"}
    assert tree.text(f"{folder}/possible") is None
    assert tree.names("nowhere") == frozenset()


def test_only_what_is_wanted_is_kept() -> None:
    """Files that no reader asks for are passed over."""
    assert ArchiveTree(_tar({f"{FOLDER}/online": b"0", "etc/shadow": b"secret"}), "x").text("etc/shadow") is None


def test_several_packed_streams() -> None:
    """An archive packed in pieces, as parallel packers do, is one archive."""
    data = _tar({f"{FOLDER}/online": b"0-3"})
    assert ArchiveTree(gzip.compress(data[:700]) + gzip.compress(data[700:]), "x").text(f"{FOLDER}/online") == "0-3"


def test_damage() -> None:
    """Archives that are cut off, changed, empty or none at all are refused for what they are."""
    data = _tar({f"{FOLDER}/online": b"0-3" * 1000})
    packed = gzip.compress(data)
    changed = bytearray(data)
    changed[3] ^= 1
    for content, reason in (
        (data[:1000], "cut off"),
        (data[:700], "cut off"),
        (bytes(changed), "checksum is wrong"),
        (packed[:-20], "damaged: it is cut off"),
        (packed[:40] + b"\xff" * 10 + packed[50:], "damaged"),
        (b"\0" * 1024, "the archive is empty"),
        (gzip.compress(b"hello"), "cut off"),
    ):
        with pytest.raises(InputError, match=reason):
            ArchiveTree(content, "x")
