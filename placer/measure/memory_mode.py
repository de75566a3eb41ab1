"""VMs whose memory a plan binds in another mode than their XML does, from their next start on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placer.model.fleet import Fleet
from placer.model.host import Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.sets import bounds_now, known_nodes
from placer.model.vm import Bound, MemoryMode, Vm

UNBOUND = "none"
"""Said in place of a mode where memory is bound to no nodes."""
_INTERLEAVED = "interleave"
Policy = tuple[str, frozenset[int]]
"""The mode in which memory is bound, and to which nodes."""


def replaced_modes(cells: Sequence[PlanCell], asked: MemoryMode | None, modes: Sequence[str | None]) -> tuple[str, ...]:
    """Return the modes, sorted, that give way to the one `asked` for; none where the memory is bound in that already.

    Parameters
    ----------
    cells : as planned; those of more than one node do not count.
    modes : the mode in which each cell's memory is bound to nodes now, None where it is bound to none.

    Memory that is interleaved, or bound to nothing, stays so.
    """
    if asked is None:
        return ()
    now = {mode for cell, mode in zip(cells, modes, strict=False) if len(cell.nodes) == 1 and mode is not None}
    return () if not now or _INTERLEAVED in now or now == {asked.value} else tuple(sorted(now))


@dataclass(frozen=True, slots=True)
class LooseMemory:
    """How the memory of a VM is bound that has no node a cell: mode and nodes of the whole, and of each cell; None is
    one for which the whole holds, and `cells` is empty where it does for all.
    """

    whole: Policy
    cells: tuple[Policy | None, ...] = ()


def _policies(vm: Vm, bound: Sequence[Bound], old: Topology, new: Topology) -> list[Policy | None]:
    """Return how the memory of each cell (one entry for a flat guest) of a VM is bound that comes to a host and is
    `bound` so there: to the nodes named, or in the mode that it has to all of the host where that holds now too,
    interleaved memory to as many nodes; None where it is bound to none.
    """
    said = () if vm.domain is None else vm.domain.memory_modes
    asked = None if vm.spec.memory_mode is None else vm.spec.memory_mode.value
    was = bounds_now(vm) or tuple(Bound(memory=frozenset((node,))) for node in (known_nodes(vm) or ((), ()))[1])
    out: list[Policy | None] = []
    for cell in range(max(1, len(said), len(bound))):
        mode = said[cell] if cell < len(said) else None
        given = _of_cell(bound, cell)
        now = _of_cell(was, cell)
        # What an inventory alone tells is bound as hard as libvirt binds by itself.
        wanted = (mode or "strict") if mode == _INTERLEAVED or asked is None else asked
        had = now.memory or now.wish
        # Pages that pins let expect somewhere are bound to nothing.
        if nodes := given.memory or (given.wish if mode is not None else frozenset()):
            out.append((wanted, nodes))
            continue
        narrow = bool(had) and had < old.memory_nodes
        fewer = mode == _INTERLEAVED and len(old.memory_nodes) != len(new.memory_nodes)
        out.append(None if mode is None or narrow or fewer else (wanted, new.memory_nodes))
    return out


def _of_cell(bounds: Sequence[Bound], cell: int) -> Bound:
    return bounds[cell] if cell < len(bounds) else bounds[0] if len(bounds) == 1 else Bound()


def memory_of_loose(vm: Vm, bound: Sequence[Bound], old: Topology, new: Topology) -> LooseMemory | None:
    """Return how the memory of a VM is bound that comes to a host and has no node a cell there, but is `bound` so; None
    where it is bound to none.

    Where cells differ the whole has the nodes of all: restrictive memory is that of the whole domain or of no cell of
    it, and of preferred memory the whole is bound to nothing narrower than the host.
    """
    found = _policies(vm, bound, old, new)
    if len(set(found)) == 1:
        return None if found[0] is None else LooseMemory(found[0])
    modes = {one[0] for one in found if one is not None}
    restrictive = modes == {"restrictive"}
    if "restrictive" in modes and not restrictive:
        found = [one and ("strict" if one[0] == "restrictive" else one[0], one[1]) for one in found]
    hard = all(one is not None and one[0] != "preferred" for one in found)
    nodes = frozenset[int]().union(*(one[1] for one in found if one is not None)) if hard else new.memory_nodes
    whole = ("restrictive" if restrictive else "strict", nodes)
    return LooseMemory(whole, tuple(None if one == whole else one for one in found))


def memory_modes_of(vm: Vm, planned: PlanVm, fleet: Fleet) -> tuple[str, str] | None:
    """Return the mode that the XML of a VM binds its memory in (several joined by ``+``) and the one that the inventory
    asks for, or `UNBOUND` where it comes to a host on which it floats, where a plan changes it; None where it does not,
    or no XML tells.
    """
    asked = vm.spec.memory_mode
    if vm.domain is None:
        return None
    comes = vm.current is not None and vm.current.host != planned.host and not any(cell.nodes for cell in planned.cells)
    if comes and vm.current is not None and (old := fleet.host_by_name.get(vm.current.host)) is not None:
        here = fleet.host_by_name[planned.host].topology
        kept = _policies(vm, planned.bound, old.topology, here)
        lost = {mode for mode, policy in zip(vm.domain.memory_modes, kept, strict=False) if mode and policy is None}
        if lost:
            return "+".join(sorted(lost)), UNBOUND
        if any(one.memory is not None for one in planned.bound):
            return None
    if asked is None:
        return None
    now = replaced_modes(planned.cells, asked, vm.domain.memory_modes)
    return ("+".join(now), asked.value) if now else None
