"""A tree of small text files, as the readers of /sys see it: a directory here, or an archive in `archive`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from placer.errors import InputError

MAX_SMALL_FILE_BYTES = 8 * 1024 * 1024
"""No file of /sys or /proc that placer reads is larger; /proc/cpuinfo of 4,096 CPUs has about 6 MB."""
MAX_ENTRIES = 200_000
"""More entries than this in one directory or archive are refused."""


class Tree(Protocol):
    """Read-only access by path relative to the root, parts divided by ``/``. Links are names, never doors."""

    @property
    def source(self) -> str:
        """What messages call the tree."""

    def names(self, path: str) -> frozenset[str]:
        """Return the names in a directory; none where there is no such directory."""

    def text(self, path: str) -> str | None:
        """Return the content of a regular file, stripped; None where there is none or it cannot be read."""


class DirectoryTree:
    """A tree on disk. Nothing outside its root is ever opened, whatever links stand in it."""

    def __init__(self, root: Path, source: str) -> None:
        self._root = os.path.realpath(root)
        self._source = source

    @property
    def source(self) -> str:
        """The path as the person gave it."""
        return self._source

    def names(self, path: str) -> frozenset[str]:
        """Return the names in a directory that is really there, not behind a link."""
        full = self._inside(path)
        if full is None or os.path.realpath(full) != full:
            return frozenset()
        try:
            names = frozenset(os.listdir(full))
        except OSError:
            return frozenset()
        if len(names) > MAX_ENTRIES:
            raise InputError(
                f"the directory {path} has {len(names)} entries, more than {MAX_ENTRIES}", file=self._source
            )
        return names

    def text(self, path: str) -> str | None:
        """Return the content of a regular file; a link that leads out of the root is refused."""
        full = self._inside(path)
        if full is None:
            return None
        real = os.path.realpath(full)
        if not (real == self._root or real.startswith(self._root.rstrip("/") + "/")):
            raise InputError(f"{path} is a link that leads out of the directory", file=self._source)
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, ValueError):
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = b""
            while len(data) <= MAX_SMALL_FILE_BYTES and (chunk := os.read(descriptor, 1 << 20)):
                data += chunk
        except OSError:
            # Files of a live /sys answer some reads with an error: the figure is not there.
            return None
        finally:
            os.close(descriptor)
        if len(data) > MAX_SMALL_FILE_BYTES:
            raise InputError(f"{path} has more than {MAX_SMALL_FILE_BYTES} bytes", file=self._source)
        return as_text(data)

    def _inside(self, path: str) -> str | None:
        if "\0" in path or ".." in path.split("/"):
            return None
        return os.path.join(self._root, path) if path else self._root


def as_text(data: bytes) -> str:
    """Return file content without the NULs with which tar fills up files of /sys that were shorter than announced."""
    return data.decode("utf-8", errors="replace").strip(" \t\r\n\0")
