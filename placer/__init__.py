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
    from placer.planner import solve_fleet as solve
    from placer.read.documents.plan_file import read_plan
    from placer.read.inventory.inventory import read_fleet

    __version__: str

__all__ = ["PlacerError", "__version__", "check", "read_fleet", "read_plan", "solve", "write_plan"]

_PLACES = {
    "PlacerError": ("placer.errors", "PlacerError"),
    "check": ("placer.check.check", "check"),
    "read_fleet": ("placer.read.inventory.inventory", "read_fleet"),
    "read_plan": ("placer.read.documents.plan_file", "read_plan"),
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
