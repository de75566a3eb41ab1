"""VMs whose memory a plan binds in another mode than their XML does, from their next start on."""

from __future__ import annotations

from collections.abc import Sequence

from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import MemoryMode, Vm

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


def memory_modes_of(vm: Vm, planned: PlanVm) -> tuple[str, str] | None:
    """Return the mode that the XML of a VM binds its memory in (several joined by ``+``) and the one that the inventory
    asks for, where a plan changes it; None where it does not, or no XML tells.
    """
    asked = vm.spec.memory_mode
    if asked is None or vm.domain is None:
        return None
    now = replaced_modes(planned.cells, asked, vm.domain.memory_modes)
    return ("+".join(now), asked.value) if now else None
