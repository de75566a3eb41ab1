"""Files on disk: names that never leave their folder, all or nothing, and nothing overwritten unless asked."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from placer.errors import Fault, InputError

_PLAIN = frozenset(" ._-+@=,:~()")
_LONGEST_BYTES = 200
_DIGEST_CHARACTERS = 16


def safe_file_name(name: str) -> str:
    """Return a file name that stands for this name and no other.

    Letters, digits and a few signs stay; every other character, and a dot or a dash in front, becomes ``%XX`` by its
    UTF-8 bytes. So a name with slashes, dots or line ends stays one file in its folder, and no tool takes it for an
    option. Very long names are cut and end in a digest.
    """
    safe = "".join(
        char if (char.isalnum() or char in _PLAIN) and not (place == 0 and char in ".-~ ") else _escaped(char)
        for place, char in enumerate(name)
    )
    if safe.endswith(" "):
        safe = safe[:-1] + "%20"
    if len(safe.encode()) <= _LONGEST_BYTES and safe:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    head = safe.encode()[: _LONGEST_BYTES - _DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{head}%{digest}" if head else f"%{digest}"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def write_files(
    contents: Mapping[Path, bytes], *, force: bool = False, modes: Mapping[Path, int] | None = None
) -> list[Path]:
    """Write files beside their places and then rename them there, so that no reader ever sees half a file.

    Parameters
    ----------
    contents
        The bytes of each file; folders are made.
    force
        Overwrite what is there.
    modes
        Permission bits where they are not those of an ordinary file; the umask holds for all.

    Returns
    -------
    list of Path
        The files, in the order of `contents`.

    Raises
    ------
    InputError
        A file is there already (each is named, and nothing is written), or cannot be written.
    """
    there = [path for path in contents if os.path.lexists(path)]
    if there and not force:
        raise InputError(
            Fault(message="the file is there already", file=str(path), cure="give --force to overwrite it")
            for path in there
        )
    waiting: list[tuple[str, Path]] = []
    umask = _umask()
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            waiting.append((_write_beside(path, data, (modes or {}).get(path, 0o666) & ~umask), path))
        for temporary, path in waiting:
            os.replace(temporary, path)
    except OSError as error:
        name = error.filename2 or error.filename
        raise InputError(f"cannot write: {error.strerror}", file=None if name is None else str(name)) from None
    finally:
        for temporary, _ in waiting:
            Path(temporary).unlink(missing_ok=True)
    return list(contents)


def _write_beside(path: Path, data: bytes, mode: int) -> str:
    handle, temporary = tempfile.mkstemp(prefix=".placer-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return temporary


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
