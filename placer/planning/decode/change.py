"""What a plan does to one VM: nothing, other CPUs, another node, a migration or a restart."""

from __future__ import annotations

from collections.abc import Mapping

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change
from placer.model.sets import known_nodes
from placer.model.vm import CellMode, Movable, Vm
from placer.planning.compile.placements import Placement


def change_of(
    vm: Vm, host: Host, placement: Placement, pins: Mapping[int, frozenset[int]], fleet: Fleet, *, hold: bool
) -> Change:
    """Return what the plan does to a VM; one that is nowhere yet has no change, one whose host failed or whose cells
    become others restarts.

    `pins` are of vCPUs that are given CPUs. With `hold` CPUs that are not known stay so: naming them is no change.
    """
    if vm.current is None:
        return Change.NONE
    old = fleet.host_by_name.get(vm.current.host)
    nodes = known_nodes(vm)
    parts = len(placement.cpu_nodes)
    auto, now_on = vm.spec.cell_mode is CellMode.AUTO, vm.current.nodes
    other_cells = auto and now_on is not None and len(now_on) != parts
    if vm.current.host != host.name:
        cold = vm.movable is Movable.COLD or old is None or old.failed or other_cells
        return Change.RESTART if cold else Change.MIGRATE
    if nodes is None:
        return Change.REPIN
    if other_cells or len(nodes[0]) != parts:
        return Change.RESTART
    ids = host.topology.node_ids
    if nodes != (tuple(ids[n] for n in placement.cpu_nodes), tuple(ids[n] for n in placement.memory_nodes)):
        return Change.RENODE
    now = vm.current.pins
    if hold:
        known = {vcpu: pin for vcpu, pin in pins.items() if vm.spec.is_dedicated(vcpu) and vcpu in now}
        same = all(now[vcpu] == pin or len(pin) > 1 for vcpu, pin in known.items())
        return Change.NONE if same else Change.REPIN
    own = {vcpu: pin for vcpu, pin in pins.items() if vm.spec.is_dedicated(vcpu)}
    return Change.NONE if all(now.get(vcpu) == pin for vcpu, pin in own.items()) else Change.REPIN
