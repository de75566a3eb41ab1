"""The one door out: a plan in any of the forms that other tools take."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from placer.emit.writer import write_files
from placer.errors import Fault, InputError
from placer.model.fleet import Fleet
from placer.model.plan import Plan

SCRIPT_MODE = 0o777
PRIVATE_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """One form of a plan. A module that has one keeps it under the name ``EXPORTER``.

    `document` makes the whole plan one file; `files` makes it several, by path below the output folder, every part of
    it a safe file name. A form that is a `folder` is never written as one file, a `binary` one never to a terminal.
    `mode` holds the permission bits of its files, before the umask.
    """

    files: Callable[[Plan, Fleet], Mapping[str, bytes]]
    document: Callable[[Plan, Fleet], bytes]
    folder: bool = False
    binary: bool = False
    mode: int = 0o666


_MODULES = {
    "libvirt": "placer.emit.domain.files",
    "virsh": "placer.emit.virsh",
    "qemu": "placer.emit.qemu",
    "taskset": "placer.emit.taskset",
    "ansible": "placer.emit.ansible",
    "csv": "placer.emit.tables",
    "xlsx": "placer.emit.workbook",
    "parquet": "placer.emit.parquet",
    "markdown": "placer.emit.moves.ticket",
    "proxmox": "placer.emit.platforms.proxmox",
    "openstack": "placer.emit.platforms.openstack",
    "kubevirt": "placer.emit.platforms.kubevirt",
    "ovirt": "placer.emit.platforms.ovirt",
    "opennebula": "placer.emit.platforms.opennebula",
    "incus": "placer.emit.platforms.incus",
    "terraform": "placer.emit.platforms.terraform",
}
"""The forms by name and the module each is in; a module is loaded when its form is asked for."""


def formats() -> tuple[str, ...]:
    """Return the names of all forms."""
    return tuple(_MODULES)


def export_plan(plan: Plan, fleet: Fleet, to: str, out: Path | None, *, force: bool = False) -> list[Path] | str:
    """Write a plan in another form.

    Parameters
    ----------
    plan, fleet
        The plan and the fleet it was made for.
    to
        The form: one of `formats`.
    out
        Where to: a folder (one that exists, or a name without an ending) gets a file a host or a VM, any other name is
        one file; None returns the text. Domain XML always goes into a folder.
    force
        Overwrite what is there.

    Returns
    -------
    list of Path or str
        The files written, or the text where `out` is None.

    Raises
    ------
    InputError
        No such form, a plan of another fleet, a file that is there already, or a VM that cannot be put into this form:
        every fault is named, and then nothing is written.
    """
    if to not in _MODULES:
        raise InputError(f"there is no form {to!r}", field="--to", cure=f"use one of {', '.join(_MODULES)}")
    _check_same_fleet(plan, fleet)
    exporter: Exporter = importlib.import_module(_MODULES[to]).EXPORTER
    if out is None:
        if exporter.binary:
            raise InputError(f"{to} is no text", field="--to", cure="give -o FILE")
        return exporter.document(plan, fleet).decode()
    if exporter.folder or out.is_dir() or not out.suffix:
        contents = {out / name: data for name, data in exporter.files(plan, fleet).items()}
    else:
        contents = {out: exporter.document(plan, fleet)}
    return write_files(contents, force=force, mode=exporter.mode)


def _check_same_fleet(plan: Plan, fleet: Fleet) -> None:
    if plan.fleet_digest and fleet.digest and plan.fleet_digest != fleet.digest:
        raise InputError(
            f"the plan was made for another fleet than this: digest {plan.fleet_digest[:12]}, not {fleet.digest[:12]}",
            file=fleet.path,
            cure="solve again, or give the fleet it was made for",
        )
    faults = [
        Fault(message=f"the plan has VM {vm.name!r} on host {vm.host!r}, which the fleet lacks", file=fleet.path)
        for vm in plan.vms
        if vm.name not in fleet.vm_by_name or vm.host not in fleet.host_by_name
    ]
    if faults:
        raise InputError(faults)
