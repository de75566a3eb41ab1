"""What the page shows as files in an archive: the plan with its certificate and its fleet, or any form of it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from placer.emit.export import export_plan
from placer.emit.plan_file import write_plan
from placer.errors import InputError
from placer.read.inventory.write import inventory_text
from placer.serve.desk import Shown

FORMS = ("libvirt", "virsh", "ansible", "csv", "markdown")
"""What can be taken away: what needs no further extra."""
_ENDINGS = {"markdown": "change.md"}


def plan_archive(shown: Shown) -> bytes:
    """Return the plan and its certificate; where the fleet was edited, the inventory that it is a plan of.

    Raises
    ------
    InputError
        There is no plan yet.
    """
    if shown.plan is None:
        raise InputError("there is no plan yet", cure="solve first")
    with tempfile.TemporaryDirectory() as folder:
        write_plan(shown.plan, Path(folder) / "plan.json")
        if shown.changes and shown.fleet.path is not None:
            (Path(folder) / Path(shown.fleet.path).name).write_text(inventory_text(shown.fleet), encoding="utf-8")
        return _zipped(Path(folder))


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
        return _zipped(Path(folder))


def _zipped(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    return out.getvalue()
