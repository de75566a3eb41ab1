"""The files an inventory names: found relative to it, read once, and part of its digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

MAX_REFERENCED_BYTES = 512 * 1024 * 1024


class Files:
    """Resolves the paths of one inventory and hashes what they hold.

    A plan is tied to its fleet by the SHA-256 of the inventory and of all it names, so that an edited domain XML is
    noticed as well as an edited inventory.
    """

    def __init__(self, base_dir: Path) -> None:
        self.base_dir = base_dir
        self.sha256: dict[str, str] = {}

    def path(
        self, name: str, field: tuple[str | int, ...], problems: list[tuple[tuple[str | int, ...], str, str | None]]
    ) -> Path | None:
        """Return the file's path once it is known to be one that can be read; else note why not."""
        if name in self.sha256 or self.content(name, field, problems) is not None:
            return self.base_dir / name
        return None

    def content(
        self, name: str, field: tuple[str | int, ...], problems: list[tuple[tuple[str | int, ...], str, str | None]]
    ) -> bytes | None:
        """Return what the file holds, whose digest is noted; else note why it cannot be read."""
        try:
            # A fleet names thousands of files: each is looked at once.
            path = self.base_dir / name
            status = _status(path)
            if status is None or not stat.S_ISREG(status.st_mode):
                what = "a directory" if path.is_dir() else "no regular file" if path.exists() else "not there"
                problems.append((field, f"file {name!r} is {what}", f"paths are relative to {self.base_dir}"))
                return None
            if status.st_size > MAX_REFERENCED_BYTES:
                problems.append((field, f"file {name!r} has more than {MAX_REFERENCED_BYTES} bytes", None))
                return None
            with path.open("rb", buffering=0) as file:
                data = file.read()
        except (OSError, ValueError) as error:
            problems.append((field, f"file {name!r} cannot be read: {error}", None))
            return None
        self.sha256[name] = hashlib.sha256(data).hexdigest()
        return data

    def digest(self, data: bytes) -> str:
        """Return the SHA-256 over the inventory's bytes and, by name, those of every file it names."""
        whole = hashlib.sha256(data)
        for name in sorted(self.sha256):
            whole.update(f"\0{name}\0{self.sha256[name]}".encode())
        return whole.hexdigest()


def _status(path: Path) -> os.stat_result | None:
    """Return what the system tells of a file; None where there is none."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def texts(values: Sequence[str] | None) -> tuple[str, ...]:
    """Return the list of an entry as the model holds it."""
    return tuple(values or ())
