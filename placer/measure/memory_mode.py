"""VMs whose memory a plan binds in another mode than their XML does, from their next start on."""

from __future__ import annotations

from collections.abc import Sequence

from placer.model.fleet import Fleet
from placer.model.host import Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import Bound, MemoryMode, Vm

UNBOUND = "none"
"""Said in place of a mode where memory is bound to no nodes."""
_INTERLEAVED = "interleave"


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


def mode_everywhere(vm: Vm, old: Topology, new: Topology) -> str | None:
    """Return the mode of memory that is bound to all nodes with memory of the host where the VM runs, and so may be to
    all of a new one: interleaved memory to as many. None where it is bound otherwise, or no XML tells.
    """
    now = vm.current
    modes = set(() if vm.domain is None else vm.domain.memory_modes)
    if now is None or len(modes) != 1 or None in modes:
        return None
    sets = [frozenset(now.memory_nodes)] if now.memory_nodes is not None else [b.memory or b.wish for b in now.bound]
    mode = modes.pop()
    if not sets or any(nodes < old.memory_nodes for nodes in sets):
        return None
    if mode == _INTERLEAVED:
        return mode if len(old.memory_nodes) == len(new.memory_nodes) else None
    return mode if vm.spec.memory_mode is None else vm.spec.memory_mode.value


def memory_of_loose(vm: Vm, bound: Sequence[Bound], old: Topology, new: Topology) -> tuple[str, frozenset[int]] | None:
    """Return the mode and the nodes to which the memory of a VM is bound that comes to a host and has no node a cell
    there, but is `bound` so; None where it is bound to none.
    """
    if nodes := frozenset[int]().union(*(one.memory or () for one in bound)):
        modes = set(() if vm.domain is None else vm.domain.memory_modes) - {None}
        asked = None if vm.spec.memory_mode is None else vm.spec.memory_mode.value
        said = modes.pop() if len(modes) == 1 else None
        return (_INTERLEAVED if said == _INTERLEAVED else asked or said or "strict"), nodes
    mode = mode_everywhere(vm, old, new)
    return None if mode is None else (mode, new.memory_nodes)


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
        bound = {mode for mode in vm.domain.memory_modes if mode is not None}
        if any(one.memory is not None for one in planned.bound):
            return None
        stays = mode_everywhere(vm, old.topology, fleet.host_by_name[planned.host].topology)
        if bound and stays is None:
            return "+".join(sorted(bound)), UNBOUND
    if asked is None:
        return None
    now = replaced_modes(planned.cells, asked, vm.domain.memory_modes)
    return ("+".join(now), asked.value) if now else None
