"""Files on disk: names that never leave their folder, all or nothing, and nothing overwritten unless asked."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
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
    contents: Mapping[Path, bytes | Iterable[bytes]],
    *,
    force: bool = False,
    mode: int = 0o666,
    durable: bool = False,
) -> list[Path]:
    """Write files beside their places and then rename them there, so that no reader ever sees half a file.

    Parameters
    ----------
    contents
        The bytes of each file, whole or in pieces; folders are made. All are written before the first is renamed, in
        this order: pieces may depend on what was written before them.
    force
        Overwrite what is there.
    mode
        Permission bits of the files, before the umask.
    durable
        Wait until the disk has them, before they are renamed.

    Returns
    -------
    list of Path
        The files, in the order of `contents`.

    Raises
    ------
    InputError
        A file is there already (each is named, and nothing is written), a folder is there, or a file cannot be written.
    """
    _refuse_existing(contents, force)
    token = secrets.token_hex(6)
    made: set[Path] = set()
    waiting: deque[tuple[str, Path]] = deque()
    try:
        for number, (path, data) in enumerate(contents.items()):
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            beside = os.path.join(path.parent, f".placer-{token}-{number}")
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            waiting.append((beside, path))
            with open(handle, "wb") as file:
                file.writelines((data,) if isinstance(data, bytes) else data)
                if durable:
                    file.flush()
                    os.fsync(handle)
        while waiting:
            os.replace(*waiting[0])
            waiting.popleft()
    except OSError as error:
        name = error.filename2 or error.filename
        raise InputError(f"cannot be written: {error.strerror}", file=None if name is None else str(name)) from None
    finally:
        for beside, _ in waiting:
            Path(beside).unlink(missing_ok=True)
    return list(contents)


def _refuse_existing(paths: Iterable[Path], force: bool) -> None:
    there = [path for path in paths if os.path.lexists(path)]
    faults = [Fault(message="a folder is there, not a file", file=str(path)) for path in there if path.is_dir()]
    if not force:
        faults += [
            Fault(message="the file is there already", file=str(path), cure="give --force to overwrite it")
            for path in there
            if not path.is_dir()
        ]
    if faults:
        raise InputError(faults)
