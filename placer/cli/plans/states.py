"""The state of a fleet that a file has, which is an inventory or a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from placer.cli.inputs import fleet_of_plan, read_bytes, read_fleet
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


def is_plan(file: str) -> bool:
    """Tell a plan from an inventory by its schema."""
    content, _ = read_bytes(file)
    if not content.lstrip().startswith(b"{"):
        return False
    try:
        document = json.loads(content)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("schema") == PLAN_SCHEMA
