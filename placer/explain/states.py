"""Two states of a fleet, each as it is now or as a plan has it, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass

from placer.explain.diff import Comparison, compare_plans, compare_states, compare_with_now
from placer.model.fleet import Fleet
from placer.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A fleet where its VMs are now, or where a plan of it has them; `name` is what people call it."""

    fleet: Fleet
    plan: Plan | None
    name: str = ""


def between(old: State, new: State) -> Comparison:
    """Return what differs between two states: VM by VM where they are of one fleet, else by name and UUID."""
    if new.plan is not None and old.fleet.digest == new.plan.fleet_digest:
        if old.plan is None:
            return compare_with_now(new.fleet, new.plan)
        return compare_plans(new.fleet, old.plan, new.plan)
    return compare_states(old.fleet, old.plan, new.fleet, new.plan)
