"""VMs that change node on their host keep their memory where it is, while every goal keeps its value.

To come together with its memory a VM may go to the node of the memory, which takes new pins, or the memory to the node
of the vCPUs, which takes a restart or a copy. Both are one change to the engines, and no goal tells them apart.
"""

from __future__ import annotations

from collections import Counter

from placer.model.sets import known_nodes
from placer.model.vm import ThreadPolicy
from placer.planning.compile.compile import Compiled
from placer.planning.compile.placements import Placement
from placer.planning.decode.names import Assignment, HostAssignment
from placer.planning.decode.same_cost import SameCost


def keep_memory(compiled: Compiled, assignment: Assignment) -> None:
    """Give VMs that change node on their host the place of those that cost the same which leaves most of their memory
    where it is.

    VMs whose rules count nodes are left alone, those with a thread policy too, whose pins could move others', and hosts
    that are over; so are all of a plan that spends free slots, of which the names know nothing.
    """
    if not compiled.fleet.is_live or any(goal.kind == "headroom" for goal in compiled.goals):
        return
    problem = compiled.problem
    tied = {flavor for rule in problem.rules if rule.scope == "node" for flavor in rule.members}
    class_of: dict[int, int] = {}
    for entry in assignment.hosts:
        shape = problem.shapes[entry.shape]
        moved = {
            number: parts
            for number, (placement, vm) in enumerate(entry.vms)
            if (parts := _memory_now(compiled, entry, placement, vm)) and int(shape.flavor[placement]) not in tied
        }
        if not moved:
            continue
        class_of = class_of or {host: n for n, one in enumerate(problem.classes) for host in one.members}
        host_class = problem.classes[class_of[entry.host]]
        if host_class.room is not None:
            continue
        places = SameCost(compiled, entry, host_class, shape)
        for number, parts in moved.items():
            placement = entry.vms[number][0]
            best = min(
                (_away(compiled, entry, other, parts), other) for other in (placement, *places.alternatives(placement))
            )
            if best[0] < _away(compiled, entry, placement, parts):
                places.change(number, best[1])
        entry.vms.sort()


def _memory_now(compiled: Compiled, entry: HostAssignment, placement: int, number: int) -> Counter[int] | None:
    """Return how many parts' memory lies on each node (position) of the host, of a VM whose memory would go to others
    of its nodes; None of all other VMs.
    """
    vm, host = compiled.fleet.vms[number], compiled.fleet.hosts[entry.host]
    place = compiled.placements[entry.shape][placement]
    if vm.current is None or vm.current.host != host.name or not isinstance(place, Placement):
        return None
    nodes = known_nodes(vm)
    if nodes is None or vm.spec.thread_policy is not ThreadPolicy.PREFER:
        return None
    ids = host.topology.node_ids
    then = [ids[node] for node in place.memory_nodes]
    if then == [*nodes[1]] or sorted(then) == sorted(nodes[1]):
        return None
    return Counter(map(ids.index, nodes[1]))


def _away(compiled: Compiled, entry: HostAssignment, placement: int, parts: Counter[int]) -> int:
    """Return of how many parts the memory moves; of places that are not one node a part, of all."""
    place = compiled.placements[entry.shape][placement]
    return sum((parts - Counter(place.memory_nodes if isinstance(place, Placement) else ())).values())
