"""Which hosts are out together in a wave of maintenance, and how few waves there can be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.model.fleet import Fleet
from placer.model.rules import RuleKind
from placer.model.sets import known_nodes

TOLERANCE = 1e-6
MOST_FIRST = 24
MOST_WEIGHED = 2_000
"""So many sizes of a first wave are weighed against each other at most, of many hosts fewer: so many hosts in all."""


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that leave together next, and those that leave later but not in the last wave: who moves now had better not
    come to these.
    """

    hosts: tuple[str, ...]
    soon: tuple[str, ...]


class OutTogether:
    """How many hosts can be out together while the others have the CPUs and memory for all VMs, and for a failure.

    Of each resource the hosts that are out have no more than all have beyond what VMs ask for, and beyond what the
    largest of the others have that a reserve over hosts lets fail besides.
    """

    def __init__(self, fleet: Fleet) -> None:
        working = [host for host in fleet.hosts if not host.failed]
        self.ratio = max((host.cpu_ratio for host in working), default=1.0)
        loads = self._loads(fleet)
        # A host that carries more than it has may go on doing so.
        cpus = {host.name: max(float(len(host.usable_cpus)), loads[host.name][1]) for host in working}
        memory = {
            host.name: host.memory_ratio * sum(node.memory_kib for node in host.topology.nodes) for host in working
        }
        spare = (
            sum(cpus.values()) - sum(cpus_taken for _, cpus_taken, _ in loads.values()),
            sum(memory.values()) - sum(kib for _, _, kib in loads.values()),
        )
        self.resources = tuple(zip((cpus, memory), spare, strict=True))
        reserves = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE and not rule.holds]
        self.fail = max((one.fail for one in reserves if one.scope == "host" and one.members is None), default=0)

    def _loads(self, fleet: Fleet) -> dict[str, tuple[float, ...]]:
        """Return host -> its VMs, and the CPUs and KiB that they take."""
        loads = {host.name: [0.0, 0.0, 0.0] for host in fleet.hosts}
        for vm in fleet.vms:
            if vm.current is None:
                continue
            own = loads.setdefault(vm.current.host, [0.0, 0.0, 0.0])
            own[0] += 1
            own[2] += vm.spec.memory_kib
            pins, bound = vm.current.pins, known_nodes(vm) is not None
            for vcpu in range(vm.spec.vcpus):
                # Shared vCPUs count as if all ran where most of them share a CPU, and only those that are online.
                alone = vm.spec.is_dedicated(vcpu) and (bound or len(pins.get(vcpu, ())) == 1)
                if alone or vm.spec.is_online(vcpu):
                    own[1] += 1 if alone else 1 / self.ratio
        return {name: tuple(own) for name, own in loads.items()}

    def _allowed(self, room: dict[str, float], spare: float, out: int) -> float:
        """Return what so many hosts that are out have together at most, whichever they are."""
        others = sorted(room.values(), reverse=True)[out : out + self.fail]
        return spare - sum(others) + TOLERANCE

    def most(self, hosts: Sequence[str]) -> int:
        """Return how many of these hosts can be out at once at most: the smallest are the most that can."""
        best = len(hosts)
        for room, spare in self.resources:
            sizes = sorted(room[name] for name in hosts)
            # What fails besides is taken for small, as if the largest were out: of so many hosts no fewer can be.
            while best and sum(sizes[:best]) > self._allowed(room, spare, best):
                best -= 1
        return best

    def next_group(self, fleet: Fleet, pending: Sequence[str], most: int, *, many_first: bool = False) -> Group:
        """Return which of these hosts leave next, of a fleet as it stands, so that no more waves follow than must.

        While few hosts are done who leaves has nowhere to stay: of the first waves that leave no more to the others
        the one is taken after which fewest VMs are reckoned to move. Reckoned by sums: what the hosts that are done
        have no room for is spread over those to come and moves again.
        """
        loads = self._loads(fleet)
        order = sorted(pending, key=lambda name: (loads[name][0], loads[name][-1], name))
        if most < 2:
            return Group(tuple(order[:1]), ())
        packed = self._packed(order, most)
        if many_first or len(packed) == 1:
            return Group(tuple(packed[0]), ())
        out = set(pending)
        room = [
            sum(size[name] - loads[name][1 + number] for name in size if name not in out)
            for number, (size, _) in enumerate(self.resources)
        ]
        firsts = [min(packed, key=lambda group: sum(loads[name][0] for name in group)), packed[0]]
        low, high = self._fewest_first(order, most, len(packed)), self._fits(order, most)
        if low is not None:
            step = max(1, (high - low) // max(3, min(MOST_FIRST, MOST_WEIGHED // len(order))))
            firsts += [order[:many] for many in range(low, high + 1, step)]
        reckoned = [self._reckoned(order, first, loads, room, most, len(packed)) for first in firsts]
        best = min(range(len(firsts)), key=lambda number: (reckoned[number][0], len(firsts[number])))
        return Group(tuple(firsts[best]), tuple(reckoned[best][1]))

    def _reckoned(
        self,
        order: Sequence[str],
        first: Sequence[str],
        loads: Mapping[str, tuple[float, ...]],
        room: Sequence[float],
        most: int,
        waves: int,
    ) -> tuple[float, list[str]]:
        """Return how many VMs move where this group is the first of so many, and who is in neither it nor the last."""
        now, free, group = dict(loads), list(room), list(first)
        left = [name for name in order if name not in set(first)]
        moves = 0.0
        soon: list[str] = []
        while True:
            vms, *takes = (sum(one) for one in zip(*(now[name] for name in group), strict=True))
            moves += vms
            fits = min([1.0, *(max(0.0, rest) / take for rest, take in zip(free, takes, strict=True) if take > 0)])
            free = [
                rest - fits * take + sum(size[name] for name in group)
                for rest, take, (size, _) in zip(free, takes, self.resources, strict=True)
            ]
            if not left:
                return moves + (1.0 - fits) * vms, soon
            share = (1.0 - fits) / len(left)
            for name in left:
                now[name] = tuple(own + share * more for own, more in zip(now[name], (vms, *takes), strict=True))
            waves = max(2, waves - 1)
            left.sort(key=lambda name: now[name][0])
            least = self._fewest_first(left, most, waves)
            if least is None:
                group = self._packed(left, most)[0]
            else:
                group = left[: max(least, min(self._fits(left, most), _taken(left, now, free)))]
            left = [name for name in left if name not in set(group)]
            soon += group if left else []

    def _fewest_first(self, order: Sequence[str], most: int, waves: int) -> int | None:
        """Return how many of the first hosts leave at least so that the others take one wave less; None where those
        that fit out together leave more.
        """
        low, high = 1, self._fits(order, most)
        if not high or len(self._packed(order[high:], most)) > waves - 1:
            return None
        while low < high:
            middle = (low + high) // 2
            few = len(self._packed(order[middle:], most)) <= waves - 1
            low, high = (low, middle) if few else (middle + 1, high)
        return low

    def _fits(self, order: Sequence[str], most: int) -> int:
        """Return how many of the first hosts can be out together."""
        left = [self._allowed(room, spare, 0) for room, spare in self.resources]
        for many, name in enumerate(order[:most]):
            left = [rest - room[name] for rest, (room, _) in zip(left, self.resources, strict=True)]
            if min(left) < 0:
                return many
        return min(most, len(order))

    def _packed(self, hosts: Sequence[str], most: int) -> list[list[str]]:
        """Return the hosts in groups that can be out together: large ones with what fits beside them."""
        largest = max((room for room, _ in self.resources), key=lambda room: len(set(room.values())))
        left = sorted(hosts, key=lambda name: -largest[name])
        groups: list[list[str]] = []
        allowed = [self._allowed(room, spare, 0) for room, spare in self.resources]
        while left:
            group: list[str] = []
            others: list[str] = []
            rest = list(allowed)
            for name in left:
                takes = [room[name] for room, _ in self.resources]
                if len(group) < most and all(size <= one for size, one in zip(takes, rest, strict=True)):
                    group.append(name)
                    rest = [one - size for size, one in zip(takes, rest, strict=True)]
                else:
                    others.append(name)
            groups.append(group or others[:1])
            left = others if group else others[1:]
        return groups

    def fewest_waves(self, hosts: Sequence[str], parallel: int) -> int:
        """Return how many waves of at most so many hosts these take at least."""
        most = min(parallel, self.most(hosts))
        if not hosts or not most:
            return len(hosts)
        packed = [
            fewest_bins([room[name] for name in hosts], self._allowed(room, spare, most))
            for room, spare in self.resources
        ]
        return max(math.ceil(len(hosts) / most), *packed)


def _taken(order: Sequence[str], loads: Mapping[str, tuple[float, ...]], free: Sequence[float]) -> int:
    """Return of how many of the first hosts all VMs have room in what is free."""
    left = list(free)
    for many, name in enumerate(order):
        left = [rest - take for rest, take in zip(left, loads[name][1:], strict=True)]
        if min(left) < 0:
            return many
    return len(order)


def fewest_bins(sizes: Sequence[float], capacity: float) -> int:
    """Return how many bins items take at least: those above half of a bin each take their own (Martello and Toth's L2).

    Items larger than a bin count as one that fills it.
    """
    items = [min(size, capacity) for size in sizes]
    if capacity <= 0:
        return len(items)
    best = 0
    for least in {0.0, *(size for size in items if size <= capacity / 2)}:
        alone = sum(size > capacity - least for size in items)
        large = [size for size in items if capacity / 2 < size <= capacity - least]
        small = sum(size for size in items if least <= size <= capacity / 2)
        over = small - (len(large) * capacity - sum(large))
        best = max(best, alone + len(large) + max(0, math.ceil(over / capacity - TOLERANCE)))
    return best
