"""Files that verbs are given: a fleet, a plan and the fleet it was made for; ``-`` is standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan

STDIN = "-"


def read_bytes(file: str) -> tuple[bytes, str]:
    """Return the content of a file or of standard input, and its name in messages.

    Raises
    ------
    InputError
        It cannot be read, or is too large.
    """
    from placer.read.host import read_file

    if file == STDIN:
        return sys.stdin.buffer.read(), "<stdin>"
    return read_file(Path(file), file), file


def read_fleet(file: str, terminal: Terminal | None, *, running_only: bool = False) -> Fleet:
    """Return the fleet of an inventory; paths in standard input are relative to here.

    The reader's warnings are printed where there is a terminal to print them on.

    Raises
    ------
    InputError
        Every fault of the inventory.
    """
    from placer.read import inventory

    if file == STDIN:
        fleet = inventory.parse_fleet(sys.stdin.buffer.read(), None, Path(), running_only=running_only)
    else:
        fleet = inventory.read_fleet(file, running_only=running_only)
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
    fleet = read_fleet(path, terminal, running_only=bool(plan.options.get("running_only")))
    if fleet.digest != plan.fleet_digest:
        raise InputError(
            "this is not the fleet that was planned: it, or a file it names, has changed since",
            file=path,
            cure="solve again, or give the fleet of the plan with --fleet FILE",
        )
    return fleet


def refuse_existing(path: str, force: bool) -> None:
    """Refuse to overwrite a file before work is spent on what would go into it.

    Raises
    ------
    InputError
        Something is there and `force` is not given.
    """
    if path != STDIN and not force and Path(path).is_file():
        raise InputError("is there already", file=path, cure="give --force to overwrite it, or another name")
