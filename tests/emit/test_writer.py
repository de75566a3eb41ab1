"""Files stay in their folder, are whole, and overwrite nothing unasked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placer.emit.writer import safe_file_name, write_files
from placer.errors import InputError

names = st.text(st.characters(), max_size=300)


@given(names)
def test_a_name_is_one_file_in_its_folder(name: str) -> None:
    """Whatever the name, the file name is a single part, no option, not hidden, and not too long."""
    safe = safe_file_name(name)
    assert PurePosixPath(safe).name == safe
    assert safe not in ("", ".", "..")
    assert not safe.startswith((".", "-", "~", " "))
    assert safe.isprintable()
    assert len(safe.encode()) <= 200


@given(names, names)
def test_different_names_are_different_files(one: str, other: str) -> None:
    """No two names share a file."""
    assert (safe_file_name(one) == safe_file_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("web-1", "web-1"),
        ("my vm (old)", "my vm (old)"),
        ("kvm-a/db", "kvm-a%2Fdb"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("-rf", "%2Drf"),
        ("a\nb", "a%0Ab"),
        ("$(id)", "%24(id)"),
        ("100%", "100%25"),
        ("größe", "größe"),
    ],
)
def test_plain_names_stay_readable(name: str, safe: str) -> None:
    """Ordinary names are kept; others are escaped by their bytes."""
    assert safe_file_name(name) == safe


def test_writes_all_with_their_mode(tmp_path: Path) -> None:
    """Folders are made, contents are whole, permission bits are as asked under the umask; nothing is left beside."""
    files: dict[Path, bytes | Iterator[bytes]] = {
        tmp_path / "a" / "b.xml": b"<a/>",
        tmp_path / "c.sh": iter([b"#", b"!"]),
    }
    before = os.umask(0o027)
    try:
        written = write_files(files, mode=0o777, durable=True)
    finally:
        os.umask(before)
    assert written == list(files)
    assert [path.read_bytes() for path in written] == [b"<a/>", b"#!"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in written] == [0o750] * 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b.xml", "c.sh"]


def test_overwrites_only_with_force(tmp_path: Path) -> None:
    """One file that is there stops all, each such file is named; with force they are replaced."""
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").symlink_to("nowhere")
    files = {tmp_path / name: b"new" for name in "abc"}
    with pytest.raises(InputError) as caught:
        write_files(files)
    assert [Path(fault.file or "").name for fault in caught.value.faults] == ["a", "b"]
    assert (tmp_path / "a").read_text() == "old"
    assert not (tmp_path / "c").exists()
    write_files(files, force=True)
    assert [(tmp_path / name).read_text() for name in "abc"] == ["new"] * 3
    assert not (tmp_path / "nowhere").exists()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file where a folder must be, or a folder where a file must, is an error with its name and leaves nothing."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        write_files({tmp_path / "a": b"1", tmp_path / "file" / "b": b"2"})
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder is there"):
        write_files({tmp_path / "a": b"1", tmp_path / "folder": b"2"}, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_contents_that_fail_leave_nothing(tmp_path: Path) -> None:
    """Pieces that end in an error leave neither this file nor those before it."""

    def pieces() -> Iterator[bytes]:
        yield b"1"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_files({tmp_path / "a": b"1", tmp_path / "b": pieces()})
    assert list(tmp_path.iterdir()) == []
