"""The state of a fleet that a file has, which is an inventory or a plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from placer.cli.inputs import STDIN, fleet_of_plan, fleet_path_of, read_bytes, read_fleet
from placer.cli.terminal import Terminal
from placer.model.plan import PLAN_SCHEMA

if TYPE_CHECKING:
    from placer.explain.states import State
    from placer.model.fleet import Fleet


def read_state(file: str, fleet: str | None, terminal: Terminal, *, known: Fleet | None = None) -> State:
    """Return the state that a file has.

    Parameters
    ----------
    fleet : the inventory of a plan, if not where the plan says.
    known : a fleet that was read: a plan of it is of that one, which is not read again.
    """
    from placer.explain.states import State
    from placer.read.documents.plan_file import read_plan

    if not is_plan(file):
        return State(fleet=read_fleet(file, terminal), plan=None, name=file)
    plan = read_plan(file)
    same = known is not None and known.digest == plan.fleet_digest
    return State(fleet=known if known and same else fleet_of_plan(plan, file, fleet, terminal), plan=plan, name=file)


def read_standing(file: str, fleet: str | None, terminal: Terminal) -> tuple[Fleet, str]:
    """Return the fleet of an inventory as it stands, or as a plan leaves it, and the path of the inventory.

    Parameters
    ----------
    fleet : the inventory of a plan, if not where the plan says.
    """
    from placer.planning.after import fleet_after
    from placer.read.documents.plan_file import read_plan

    if not is_plan(file):
        return read_fleet(file, terminal), file
    plan = read_plan(file)
    after = fleet_after(fleet_of_plan(plan, file, fleet, terminal), plan)
    # Results that a sweep keeps are of this plan, not of its fleet.
    said = after.digest.encode() + read_bytes(file)[0]
    return replace(after, digest=hashlib.sha256(said).hexdigest()), fleet_path_of(plan, file, fleet)


def is_plan(file: str) -> bool:
    """Tell a plan from an inventory by its schema; what comes in is read once, as an inventory."""
    if file == STDIN:
        return False
    content, _ = read_bytes(file)
    if not content.lstrip().startswith(b"{"):
        return False
    try:
        document = json.loads(content)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("schema") == PLAN_SCHEMA
