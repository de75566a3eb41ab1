"""The inventory that goes beside a plan of a fleet that no file holds yet: of hosts to buy, or after edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from placer.cli.inputs import STDIN
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan


def fleet_beside(plan: str) -> str:
    """Return where the inventory of a plan goes."""
    return str(Path(plan).with_suffix(".yaml"))


def refuse_elsewhere(plan: str, inventory: str, option: str) -> None:
    """Refuse a plan whose inventory would go to another folder than the one it comes from.

    Raises
    ------
    InputError
        It would, or the inventory comes from standard input.
    """
    if inventory == STDIN or Path(plan).resolve().parent != Path(inventory).resolve().parent:
        raise InputError(
            "the inventory names files relative to its folder", field=option, cure="name one in the same folder"
        )


def write_beside(fleet: Fleet, plan: str, force: bool) -> Fleet:
    """Write the inventory of a plan and return the fleet that it reads as."""
    from placer.emit.writer import write_files
    from placer.read.inventory.inventory import read_fleet
    from placer.read.inventory.write import inventory_text

    beside = fleet_beside(plan)
    write_files({Path(beside): inventory_text(fleet).encode()}, force=force)
    return read_fleet(beside)


def write_with_plan(fleet: Fleet, plan: Plan, file: str, force: bool, terminal: Terminal) -> None:
    """Write a plan, its fleet beside as an inventory: every verb takes them, for the plan is checked on what is read.

    Raises
    ------
    RefusedPlanError
        The inventory is not the fleet that was planned.
    """
    from placer.emit.plan_file import write_plan
    from placer.planning.accepted import accepted

    read = write_beside(fleet, file, force)
    found = accepted(read, replace(plan, fleet_path=read.path, fleet_digest=read.digest))
    write_plan(found, file, force=force)
    terminal.note(f"wrote {file}, and {fleet_beside(file)}")
