"""Measured CPU use as whole thousandths of a vCPU, rounded down: coarser where a fleet has many different shares."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from placer.model.fleet import Fleet
from placer.model.vm import Vm

THOUSAND = 1000
STEPS = (1, 10, 20, 50, 100, 200)
"""Grids in thousandths, the finest first; VMs of one flavor and one level stay interchangeable."""
MOST_LEVELS = 16


def usage_levels(fleet: Fleet) -> tuple[int | None, ...]:
    """Return, a VM, its `cpu_p95` in thousandths on the finest grid of at most `MOST_LEVELS` levels; None: not known.

    Rounded down, so that what counts of levels prove bounds what the measured usage comes to.
    """
    exact = [_thousandths(vm) for vm in fleet.vms]
    step = next((step for step in STEPS if _levels(exact, step) <= MOST_LEVELS), STEPS[-1])
    return tuple(None if share is None else share // step * step for share in exact)


def usage_known(vms: Iterable[Vm]) -> int:
    """Return how many of the VMs have a measured CPU use."""
    return sum(vm.usage is not None and vm.usage.cpu_p95 is not None for vm in vms)


def _thousandths(vm: Vm) -> int | None:
    if vm.usage is None or vm.usage.cpu_p95 is None:
        return None
    return int(Fraction(str(vm.usage.cpu_p95)) * THOUSAND)


def _levels(exact: Iterable[int | None], step: int) -> int:
    return len({share // step for share in exact if share is not None})
