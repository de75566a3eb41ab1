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
from placer.planning.decode.same_cost import with_choice


def keep_memory(compiled: Compiled, assignment: Assignment) -> None:
    """Give VMs that change node on their host the place of those that cost the same which leaves most of their memory
    where it is.

    VMs whose rules count nodes are left alone, those with a thread policy too, whose pins could move others', and hosts
    that are over; so are all of a plan that spends free slots, of which the names know nothing.
    """
    if not compiled.fleet.is_live or any(goal.kind == "headroom" for goal in compiled.goals):
        return

    def moves_memory(entry: HostAssignment, placement: int, vm: int) -> bool:
        return _memory_now(compiled, entry, placement, vm).total() > 0

    for places, numbers in with_choice(compiled, assignment, moves_memory):
        for number in numbers:
            placement, vm = places.entry.vms[number]
            now = _memory_now(compiled, places.entry, placement, vm)
            # Of places that are as good the one that the engines chose.
            others = (placement, *places.alternatives(placement))
            best = min(others, key=lambda other: (_away(compiled, places.entry, other, now), other != placement, other))
            if best != placement:
                places.change(number, best)


def _memory_now(compiled: Compiled, entry: HostAssignment, placement: int, number: int) -> Counter[int]:
    """Return how many parts' memory lies on each node (position) of the host, of a VM whose memory would go to others
    of its nodes; none of all other VMs.
    """
    vm, host = compiled.fleet.vms[number], compiled.fleet.hosts[entry.host]
    place = compiled.placements[entry.shape][placement]
    if vm.current is None or vm.current.host != host.name or not isinstance(place, Placement):
        return Counter()
    nodes = known_nodes(vm)
    if nodes is None or vm.spec.thread_policy is not ThreadPolicy.PREFER:
        return Counter()
    ids = host.topology.node_ids
    then = [ids[node] for node in place.memory_nodes]
    if then == [*nodes[1]] or sorted(then) == sorted(nodes[1]):
        return Counter()
    return Counter(map(ids.index, nodes[1]))


def _away(compiled: Compiled, entry: HostAssignment, placement: int, parts: Counter[int]) -> int:
    """Return of how many parts the memory moves; of places that are not one node a part, of all."""
    place = compiled.placements[entry.shape][placement]
    return sum((parts - Counter(place.memory_nodes if isinstance(place, Placement) else ())).values())
