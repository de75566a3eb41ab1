"""Decode counts into names: which VM takes which place. Every VM that may stay where it is stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from placer.planning.compile.compile import Compiled
from solvers.problem import IntArray
from solvers.result import Result


@dataclass(slots=True)
class HostAssignment:
    """One host of the plan: its VMs (indices into the fleet) by placement, and its immovable ones."""

    host: int
    shape: int
    vms: list[tuple[int, int]] = field(default_factory=list)
    """(placement, VM), ordered by placement and then by VM."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Names for counts: one entry a host that holds anything movable, and the VMs left out."""

    hosts: tuple[HostAssignment, ...]
    unplaced: tuple[int, ...]


def assign_names(compiled: Compiled, result: Result) -> Assignment:
    """Give every place in the result's patterns a VM of its flavor.

    VMs of one flavor are interchangeable, so the fewest changes are found host by host: first those that are already at
    the place, then those already on the host, then those that leave other hosts, then arrivals, each in the fleet's
    order.
    """
    problem = compiled.problem
    hosts = []
    leaving: dict[int, list[int]] = defaultdict(list)
    wanted: list[tuple[int, int, int, int]] = []
    for host, host_class, pattern in _host_patterns(compiled, result):
        shape = problem.classes[host_class].shape
        flavor_of = problem.shapes[shape].flavor
        entry = HostAssignment(host=host, shape=shape)
        hosts.append(entry)
        open_places = _keep(compiled, entry, dict(pattern), flavor_of, leaving)
        wanted.extend((int(flavor_of[placement]), len(hosts) - 1, placement, count) for placement, count in open_places)
    queues = {
        flavor: iter([*sorted(leaving.get(flavor, ())), *group.arriving])
        for flavor, group in enumerate(compiled.flavors.groups)
    }
    for flavor, number, placement, count in wanted:
        for _ in range(count):
            hosts[number].vms.append((placement, next(queues[flavor])))
    for entry in hosts:
        entry.vms.sort()
    unplaced = sorted(vm for queue in queues.values() for vm in queue)
    return Assignment(
        hosts=tuple(entry for entry in sorted(hosts, key=lambda e: e.host) if entry.vms), unplaced=tuple(unplaced)
    )


def _host_patterns(compiled: Compiled, result: Result) -> Iterator[tuple[int, int, tuple[tuple[int, int], ...]]]:
    """Give every host its pattern: hosts of a class in order, patterns of a class in the order of their placements."""
    by_class: dict[int, list[tuple[tuple[tuple[int, int], ...], int]]] = defaultdict(list)
    for pattern in result.patterns:
        by_class[pattern.host_class].append((tuple(sorted(pattern.placements)), pattern.count))
    for number, cls in enumerate(compiled.problem.classes):
        members = iter(cls.members)
        # The fullest patterns first, so that the hosts that stay empty are the last of their class.
        for placements, count in sorted(by_class.get(number, ()), key=lambda item: (not item[0], item[0])):
            for _ in range(count):
                yield next(members), number, placements


def _keep(
    compiled: Compiled,
    entry: HostAssignment,
    pattern: dict[int, int],
    flavor_of: IntArray,
    leaving: dict[int, list[int]],
) -> list[tuple[int, int]]:
    """Keep on the host what the pattern allows; return the places still open. VMs over are added to `leaving`."""
    here: dict[int, list[int]] = defaultdict(list)
    for placement, vms in sorted(compiled.now.get(entry.host, {}).items()):
        stay = min(len(vms), pattern.get(placement, 0))
        entry.vms.extend((placement, vm) for vm in vms[:stay])
        if stay:
            pattern[placement] -= stay
        here[int(flavor_of[placement])].extend(vms[stay:])
    for flavor, floating in compiled.floating.get(entry.host, {}).items():
        # Floating VMs take the open places of this host first: settling them there is no move.
        here[flavor] = [*floating, *here[flavor]]
    open_places = []
    for placement, count in sorted(pattern.items()):
        mine = here[int(flavor_of[placement])]
        take, here[int(flavor_of[placement])] = mine[:count], mine[count:]
        entry.vms.extend((placement, vm) for vm in take)
        if count > len(take):
            open_places.append((placement, count - len(take)))
    for flavor, rest in here.items():
        leaving[flavor].extend(rest)
    return open_places
