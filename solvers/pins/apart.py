"""vCPUs that had more cores where they come from, put on as many where free whole ones are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from solvers.pins.cores import Core, Item, PinResult


def pins_apart(cores: Sequence[Core], items: Sequence[Item], found: PinResult, wanted: Mapping[int, int]) -> PinResult:
    """Return pins in which items have as many cores as `wanted` says (item -> cores) where that takes nothing away.

    One thread after the other, the last first, goes from a core that its item has twice to a core that nobody has
    anything of, in an L3 domain that the item is in already; as many CPUs stay to float over. Items with a thread
    policy stay as they are.
    """
    core_of = {cpu: number for number, core in enumerate(cores) for cpu in core.cpus}
    pinned, held = list(found.items), set(found.held)
    for index, most in wanted.items():
        item, mine = items[index], list(pinned[index].cpus)
        if item.policy != "prefer" or item.current is not None or not set(mine) <= core_of.keys():
            continue
        domains = {cores[core_of[cpu]].l3 for cpu in mine}
        for position in reversed(range(len(mine))):
            used = [core_of[cpu] for cpu in mine]
            if len(set(used)) >= most:
                break
            if used.count(used[position]) < 2:
                continue
            old = cores[used[position]]
            better = (
                cpu
                for core in cores
                if core.whole and core.l3 in domains and core.slow is old.slow and not held & set(core.cpus)
                for cpu in core.cpus
                if (cpu in core.floats) <= (mine[position] in old.floats)
            )
            free = next(better, None)
            if free is None:
                break
            held.discard(mine[position])
            held.add(free)
            mine[position] = free
        pinned[index] = replace(pinned[index], cpus=tuple(mine))
    return PinResult(items=tuple(pinned), held=frozenset(held))
