"""What the page shows as files in an archive: the plan with its certificate and its fleet, or any form of it."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath

from placer.emit.export import export_plan
from placer.emit.plan_file import write_plan
from placer.errors import Fault, InputError
from placer.model.fleet import Fleet
from placer.read.inventory.files import Files
from placer.read.inventory.write import inventory_text, named_files
from placer.serve.desk import Shown

FORMS = ("libvirt", "virsh", "ansible", "csv", "markdown")
"""What can be taken away: what needs no further extra."""
_ENDINGS = {"markdown": "change.md"}


def plan_archive(shown: Shown) -> bytes:
    """Return the plan and its certificate; where the fleet was edited, the inventory that it is a plan of as well.

    Beside that inventory are the files that it names, so that it can be read wherever the archive is unpacked.

    Raises
    ------
    InputError
        There is no plan yet; or the inventory names files that are not below its folder, or not what they were.
    """
    if shown.plan is None:
        raise InputError("there is no plan yet", cure="solve first")
    with tempfile.TemporaryDirectory() as folder:
        write_plan(shown.plan, Path(folder) / "plan.json")
        contents = _contents(Path(folder))
    if shown.changes and shown.fleet.path is not None:
        contents |= _inventory(shown.fleet, Path(shown.fleet.path).name, contents)
    return _zipped(contents)


def export_archive(shown: Shown, to: str) -> bytes:
    """Return the plan in another form, as ``placer export`` writes it.

    Raises
    ------
    InputError
        There is no plan yet, no such form here, or a VM that cannot be put into it.
    """
    if shown.plan is None:
        raise InputError("there is no plan yet", cure="solve first")
    if to not in FORMS:
        raise InputError(f"there is no form {to[:40]!r} here", field="to", cure=f"one of {', '.join(FORMS)}")
    with tempfile.TemporaryDirectory() as folder:
        export_plan(shown.plan, shown.fleet, to, Path(folder) / _ENDINGS.get(to, "out"))
        return _zipped(_contents(Path(folder)))


def _inventory(fleet: Fleet, file: str, taken: Collection[str]) -> dict[str, bytes]:
    """Return an edited inventory and what it names, by their paths in the archive, where `taken` are taken already."""
    text = inventory_text(fleet).encode()
    found, files = {file: text}, Files(Path(fleet.base_dir or os.curdir))
    faults: list[Fault] = []
    for name in named_files(fleet):
        path = PurePath(name)
        if path.is_absolute() or ".." in path.parts or path.parts[0] in (file, *taken):
            message = f"the inventory names {name!r}, which has no place in an archive"
            cure = "keep it below the inventory's folder, by a name of its own"
            faults.append(Fault(message=message, file=file, cure=cure))
            continue
        try:
            data = (files.base_dir / name).read_bytes()
        except OSError as error:
            message = f"the inventory names {name!r}, which cannot be read: {error.strerror}"
            faults.append(Fault(message=message, file=file))
            continue
        found[path.as_posix()] = data
        files.sha256[name] = hashlib.sha256(data).hexdigest()
    if faults:
        raise InputError(faults)
    if files.digest(text) != fleet.digest:
        raise InputError("files that the inventory names have changed since it was read", cure="serve it anew")
    return found


def _contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _zipped(contents: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return out.getvalue()
