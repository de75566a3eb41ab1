"""What has no place in a fleet as it runs now, worst first."""

from __future__ import annotations

from placer.check.findings import Findings
from placer.measure.as_now import places_now
from placer.measure.cpu_use import cpu_use
from placer.measure.shortage import HostTaken, Short, shortages
from placer.model.fleet import Fleet
from placer.model.goals import PART_WORDS
from placer.model.plan import PlanVm
from placer.model.sets import shares_cpus
from placer.model.units import format_kib
from placer.model.vm import Vm

MOST = 20
"""Lines that are written; more are counted."""


def warn_of_excess(fleet: Fleet, found: Findings) -> None:
    """Warn of what VMs take now that their hosts have not: memory first, the most first."""
    placed: dict[str, list[tuple[Vm, PlanVm]]] = {}
    for vm, planned in places_now(fleet):
        if planned is not None:
            placed.setdefault(planned.host, []).append((vm, planned))
    parts = list(PART_WORDS)
    lines: list[tuple[int, float, str, Short]] = []
    for name, here in placed.items():
        had = any(shares_cpus(vm) for vm, _ in here)
        for short in shortages(HostTaken.of(cpu_use(fleet.host_by_name[name], here), had_shared=had)):
            if short.part != "others":  # devices that VMs have now are not told
                lines.append((parts.index(short.part), -short.units, name, short))
    lines.sort(key=lambda line: line[:3])
    for _, _, name, short in lines[:MOST]:
        where = "" if short.nodes is None else f", nodes {', '.join(map(str, sorted(short.nodes)))}"
        amount = format_kib(int(short.units)) if short.part == "memory" else f"{short.units:g}"
        found.warn(f"host {name!r}{where}: {amount} of {short.what} have no place now")
    if len(lines) > MOST:
        found.warn(f"{len(lines) - MOST} more places hold more than they have room for")
