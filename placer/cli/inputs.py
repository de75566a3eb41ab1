"""Files that verbs are given: a fleet, a plan and the fleet it was made for; ``-`` is standard input."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan

STDIN = "-"
MaxHosts = Annotated[
    int | None, typer.Option("--max-hosts", min=1, help="Refuse inventories of more hosts; 1,000,000 if not said.")
]
MaxVms = Annotated[
    int | None, typer.Option("--max-vms", min=1, help="Refuse inventories of more VMs; 1,000,000 if not said.")
]


def read_bytes(file: str) -> tuple[bytes, str]:
    """Return the content of a file or of standard input, and its name in messages.

    Raises
    ------
    InputError
        It cannot be read, or is too large.
    """
    from placer.read.hosts.host import read_file

    if file == STDIN:
        return _standard_input(), "<stdin>"
    return read_file(Path(file), file), file


def _standard_input() -> bytes:
    """Return what comes in, as much of it as a file may hold."""
    from placer.read.hosts.host import MAX_FILE_BYTES

    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"more than {MAX_FILE_BYTES} bytes come in", file="<stdin>")
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What of an inventory is read: VMs that run alone, and how many it may stand for (None: as many as usual)."""

    running_only: bool = False
    max_hosts: int | None = None
    max_vms: int | None = None

    @classmethod
    def of(cls, plan: Plan) -> Reading:
        """Return how the fleet of a plan was read."""
        options = plan.options
        return cls(
            running_only=bool(options.get("running_only")),
            max_hosts=options.get("max_hosts"),
            max_vms=options.get("max_vms"),
        )

    @property
    def options(self) -> dict[str, Any]:
        """What a plan says of it, so that whoever reads the fleet for the plan reads the same."""
        said = {"running_only": self.running_only, "max_hosts": self.max_hosts, "max_vms": self.max_vms}
        return {name: value for name, value in said.items() if value}


def read_fleet(file: str, terminal: Terminal | None, reading: Reading | None = None) -> Fleet:
    """Return the fleet of an inventory; paths in standard input are relative to here.

    The reader's warnings are printed where there is a terminal to print them on.

    Raises
    ------
    InputError
        Every fault of the inventory.
    """
    from placer.read.inventory import inventory
    from placer.read.inventory.entries import MAX_COUNT

    how = reading or Reading()
    hosts, vms = how.max_hosts or MAX_COUNT, how.max_vms or MAX_COUNT

    if file == STDIN:
        data = _standard_input()
        fleet = inventory.parse_fleet(data, None, Path(), running_only=how.running_only, max_hosts=hosts, max_vms=vms)
    else:
        fleet = inventory.read_fleet(file, running_only=how.running_only, max_hosts=hosts, max_vms=vms)
    if terminal is not None:
        terminal.warn(fleet.warnings)
    return fleet


def fleet_path_of(plan: Plan, plan_file: str, given: str | None) -> str:
    """Return the inventory that a plan was made for: the one given, else the one the plan names.

    The plan's path counts from here, then from the folder of the plan.

    Raises
    ------
    InputError
        It is in neither place.
    """
    if given is not None:
        return given
    cure = "give it with --fleet FILE"
    if plan.fleet_path is None:
        raise InputError("the plan does not say which file its fleet came from", file=plan_file, cure=cure)
    places = [Path(plan.fleet_path)]
    if plan_file != STDIN:
        places += [Path(plan_file).parent / plan.fleet_path, Path(plan_file).parent / Path(plan.fleet_path).name]
    for place in places:
        if place.is_file():
            return str(place)
    raise InputError(f"the plan's fleet {plan.fleet_path!r} is not there", file=plan_file, cure=cure)


def fleet_of_plan(plan: Plan, plan_file: str, given: str | None, terminal: Terminal) -> Fleet:
    """Return the fleet that a plan was made for.

    Raises
    ------
    InputError
        It is not there, has faults, or is not the one that was planned.
    """
    path = fleet_path_of(plan, plan_file, given)
    fleet = read_fleet(path, terminal, Reading.of(plan))
    if fleet.digest != plan.fleet_digest:
        raise InputError(
            "this is not the fleet that was planned: it, or a file it names, has changed since",
            file=path,
            cure="solve again, or give the fleet of the plan with --fleet FILE",
        )
    return fleet


def refuse_existing(path: str, force: bool) -> None:
    """Refuse to overwrite a file, or to write where nothing can be written, before work is spent on the content.

    Folders that are missing are no fault: they are made.

    Raises
    ------
    InputError
        Something is there and `force` is not given; a folder is there; or its folder cannot be written to.
    """
    if path != STDIN and Path(path).is_dir():
        raise InputError("is a folder", file=path, cure="name a file in it")
    folder = Path(path).absolute().parent
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    if path != STDIN and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"nothing can be written into {str(folder)!r}", file=path, cure="name another place")
    if path != STDIN and not force and Path(path).is_file():
        raise InputError("is there already", file=path, cure="give --force to overwrite it, or another name")


def refuse_existing_plan(path: str, force: bool) -> None:
    """Refuse to overwrite a plan or the certificate that goes beside it, as `refuse_existing` does.

    Raises
    ------
    InputError
        As `refuse_existing`.
    """
    from placer.read.documents.plan_file import certificate_path

    refuse_existing(path, force)
    if path != STDIN:
        refuse_existing(str(certificate_path(path)), force)
