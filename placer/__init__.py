"""placer puts KVM virtual machines on hosts, NUMA nodes and CPUs, and proves how good the plan is.

>>> import placer
>>> fleet = placer.read_fleet("fleet.yaml")     # doctest: +SKIP
>>> plan = placer.solve(fleet)                  # doctest: +SKIP
>>> placer.check(fleet, plan).ok                # doctest: +SKIP
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from placer.check.check import check
    from placer.emit.plan_file import write_plan
    from placer.errors import PlacerError
    from placer.explain.diff import compare_plans, compare_states
    from placer.explain.explain import explain_fleet as explain_plan
    from placer.explain.explain import explain_vm
    from placer.explain.placement import placement_now as placement
    from placer.moves.changes import plan_changes as changes
    from placer.moves.schedule import schedule_moves as schedule
    from placer.planner import solve_fleet as solve
    from placer.read.documents.plan_file import read_plan
    from placer.read.documents.scenario_file import read_scenarios
    from placer.read.inventory.inventory import read_fleet
    from placer.whatif.best_moves import best_moves
    from placer.whatif.compare import compare_scenarios
    from placer.whatif.headroom import headroom

    __version__: str

__all__ = [
    "PlacerError",
    "__version__",
    "best_moves",
    "changes",
    "check",
    "compare_plans",
    "compare_scenarios",
    "compare_states",
    "explain_plan",
    "explain_vm",
    "headroom",
    "placement",
    "read_fleet",
    "read_plan",
    "read_scenarios",
    "schedule",
    "solve",
    "write_plan",
]

_PLACES = {
    "PlacerError": ("placer.errors", "PlacerError"),
    "best_moves": ("placer.whatif.best_moves", "best_moves"),
    "changes": ("placer.moves.changes", "plan_changes"),
    "check": ("placer.check.check", "check"),
    "compare_plans": ("placer.explain.diff", "compare_plans"),
    "compare_scenarios": ("placer.whatif.compare", "compare_scenarios"),
    "compare_states": ("placer.explain.diff", "compare_states"),
    "explain_plan": ("placer.explain.explain", "explain_fleet"),
    "explain_vm": ("placer.explain.explain", "explain_vm"),
    "headroom": ("placer.whatif.headroom", "headroom"),
    "placement": ("placer.explain.placement", "placement_now"),
    "read_fleet": ("placer.read.inventory.inventory", "read_fleet"),
    "read_plan": ("placer.read.documents.plan_file", "read_plan"),
    "read_scenarios": ("placer.read.documents.scenario_file", "read_scenarios"),
    "schedule": ("placer.moves.schedule", "schedule_moves"),
    "solve": ("placer.planner", "solve_fleet"),
    "write_plan": ("placer.emit.plan_file", "write_plan"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the solver alone takes a second."""
    if name == "__version__":
        from importlib.metadata import version

        return version("numa-placer")
    if name not in _PLACES:
        raise AttributeError(f"module 'placer' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """Name what the package offers."""
    return list(__all__)
