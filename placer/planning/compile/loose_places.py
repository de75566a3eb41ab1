"""Which VMs keep a place of sets on their host, and the unions of nodes that have rows of their own for them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.sets import known_nodes, pages_in_eighths
from placer.model.vm import Vm
from placer.planning.compile.devices import known_slots
from placer.planning.compile.loose import Loose, LoosePart, NodeSet, host_sets, loose_now, unions_of
from placer.planning.compile.needs import Needs
from placer.planning.compile.placements import NodeView, nearest_devices


@dataclass(slots=True)
class LoosePlaces:
    """Places of VMs that are present and not bound to one node a cell; those of one spec bound alike share theirs."""

    fleet: Fleet
    _known: dict[Hashable, Loose] = field(default_factory=dict)

    def has(self, number: int) -> bool:
        """Tell whether a VM that is present keeps such a place."""
        return known_nodes(self.fleet.vms[number]) is None

    def of(self, number: int, host: Host, told: bool = False) -> Loose:
        """Return the place of a VM on its host; `told` asks also where its pages are known to lie."""
        vm = self.fleet.vms[number]
        now = vm.current
        assert now is not None, f"{vm.name} is nowhere"
        key = (
            (id(vm.spec), id(host.topology), id(host.reserve), host.dedicated_cpus, host.shared_cpus),
            (host.isolated_cpus, now.bound, now.nodes, now.memory_nodes, tuple(sorted(now.pins.items()))),
            lies := pages_in_eighths(now.memory_on) if told else (),
        )
        if key not in self._known:
            position = {node_id: n for n, node_id in enumerate(host.topology.node_ids)}
            where = tuple((position[node], eighths) for node, eighths in lies)
            self._known[key] = replace(loose_now(vm, host), lies=where)
        return self._known[key]


def unions_on(
    host: Host, loose: Sequence[Loose], *, roams: bool
) -> tuple[tuple[tuple[NodeSet, ...], tuple[NodeSet, ...]], bool]:
    """Return the unions of nodes with rows of their own, for CPUs and for memory, and whether all are there.

    `roams` says that VMs may come which float over the host.
    """
    if not loose and not roams:
        return ((), ()), True
    parts = [part for one in loose for part in one.parts]
    if roams:
        parts.append(LoosePart((), 0, 0, *host_sets(host), 0, 0))
    cpus, all_cpus = unions_of(part.cpus for part in parts)
    memory, all_memory = unions_of(part.memory for part in parts)
    return (cpus, memory), all_cpus and all_memory


def with_devices(loose: Loose, needs: Needs, view: NodeView, vm: Vm | None = None, host: Host | None = None) -> Loose:
    """Return a place with its devices named: those that the VM is known to have on its host, else those nearest to it,
    nowhere where the host has none.
    """
    units = needs.device_units(0)
    if not units:
        return loose
    devices = nearest_devices(needs, view, loose.cpu_nodes) or tuple(None for _ in units)
    known = known_slots(vm, units, host) if vm is not None and host is not None else {}
    return replace(loose, device_nodes=tuple(known.get(slot, node) for slot, node in enumerate(devices)))
