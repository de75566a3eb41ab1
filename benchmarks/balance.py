"""Fleets of hosts of three sizes, a twentieth of whose VMs may move: how even do CPUs and memory get?

Beside placer a hill climb of single moves and swaps, as planners script it: of the fullest hosts' VMs the change that
gains most, until none gains or the moves are used up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.balance import MEMORY, Load, loads_of, node_memory_kib
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Reserve, Topology
from placer.model.vm import Cell, CellMode, CpuPolicy, Current, Vm, VmSpec

GOAL = "balance"
VMS_A_HOST = 25
MOVED = 20
"""Of so many VMs one may move."""
FULLEST = 20
"""Hosts whose VMs the hill climb looks at in a step."""
_GIB = 1 << 20
_HOSTS = ((32, 256), (64, 384), (96, 1024))
_RATIO = 4.0

Floats = NDArray[np.float64]

_SIZES = {"10": 10, "100": 100, "1000": 1000, SMOKE: 4}
_LIMITS_S = {"10": 20.0, "100": 60.0, "1000": 180.0, SMOKE: 20.0}


def uneven_fleet(seed: int, hosts: int) -> Fleet:
    """Return hosts of three sizes of one node each, with 25 VMs a host that fill them unlike each other."""
    rng = random.Random(seed)
    made: list[Host] = []
    vms: list[Vm] = []
    for number in range(hosts):
        cpus, gib = rng.choice(_HOSTS)
        node = Node(id=0, cpus=frozenset(range(cpus)), memory_kib=gib * _GIB)
        topology = Topology(nodes=(node,), distances=((10.0,),), cores=tuple(frozenset({c}) for c in range(cpus)))
        made.append(Host(name=f"h{number}", topology=topology, reserve=Reserve(), cpu_ratio=_RATIO))
    room = [[_RATIO * len(host.topology.cpus), host.topology.nodes[0].memory_kib] for host in made]
    crowd = [rng.random() ** 2 + 0.05 for _ in made]
    while len(vms) < VMS_A_HOST * hosts:
        at = rng.choices(range(hosts), weights=crowd)[0]
        vcpus, gib = rng.choice((1, 2, 2, 4, 4, 8)), rng.choice((2, 4, 4, 8, 16))
        taken = gib * _GIB + 256 * 1024
        if room[at][0] < vcpus or room[at][1] < taken:
            at = max(range(hosts), key=lambda n: min(room[n][0] / 8, room[n][1] / (16 * _GIB)))
        room[at][0] -= vcpus
        room[at][1] -= taken
        cell = Cell(vcpus=frozenset(range(vcpus)), memory_kib=gib * _GIB)
        spec = VmSpec(
            vcpus=vcpus,
            memory_kib=gib * _GIB,
            cell_mode=CellMode.NONE,
            cells=(cell,),
            overhead_kib=256 * 1024,
            cpu_policy=CpuPolicy.SHARED,
        )
        vms.append(Vm(name=f"v{len(vms)}", spec=spec, current=Current(host=f"h{at}", nodes=(0,), memory_nodes=(0,))))
    return Fleet(hosts=tuple(made), vms=tuple(vms))


@dataclass(slots=True)
class HillClimb:
    """Single moves and swaps on the loads of hosts: `has` and `load` are (2, H), of CPUs and of GiB, `size` (2, V)."""

    loads: Sequence[Load]
    has: Floats
    load: Floats
    room: Floats
    size: Floats
    at: NDArray[np.int64]

    @classmethod
    def of(cls, fleet: Fleet) -> HillClimb:
        """Begin where the fleet is."""
        cpus = [len(host.usable_cpus) for host in fleet.hosts]
        gib = [sum(node_memory_kib(host).values()) / _GIB for host in fleet.hosts]
        number = {host.name: n for n, host in enumerate(fleet.hosts)}
        at = np.array([number[vm.current.host] for vm in fleet.vms if vm.current is not None])
        size = np.array(
            [
                [vm.spec.vcpus / _RATIO for vm in fleet.vms],
                [(vm.spec.memory_kib + vm.spec.overhead_taken_kib) / _GIB for vm in fleet.vms],
            ]
        )
        load = np.array([np.bincount(at, weights=part, minlength=len(cpus)) for part in size])
        has = np.array([cpus, gib], dtype=np.float64)
        # Shared vCPUs may take all that the overcommit gives.
        return cls(loads_of(fleet, GOAL), has, load, has.copy(), size, at)

    def cost(self, load: Floats, hosts: NDArray[np.int64] | slice = slice(None)) -> Floats:
        """Return what hosts that carry so much of CPUs and memory cost."""
        out = np.zeros(load.shape[1:])
        for part, one in ((1 if one.resource == MEMORY else 0, one) for one in self.loads):
            steps = np.array(one.steps)[:, None] / 1000 * self.has[part, hosts]
            out += one.weight / 1000 * np.maximum(0.0, load[part] - steps).sum(axis=0)
        return out

    def run(self, moves: int) -> int:
        """Climb with so many moves; return how many were made."""
        made = 0
        while made < moves:
            costs = self.cost(self.load)
            full = np.argsort(-costs / self.has[0])[:FULLEST]
            best: tuple[float, int, int, int] = (-1e-9, -1, -1, -1)
            # VMs of one size cost every host the same, and those on one host change as much.
            comes: dict[tuple[float, ...], Floats] = {}
            seen: set[tuple[float, ...]] = set()
            ends: list[tuple[int, int]] = []
            for vm in np.flatnonzero(np.isin(self.at, full)).tolist():
                source, own = int(self.at[vm]), self.size[:, vm]
                size = tuple(own.tolist())
                if (source, *size) in seen:
                    continue
                seen.add((source, *size))
                if size not in comes:
                    then = self.load + own[:, None]
                    comes[size] = np.where((then <= self.room).all(axis=0), self.cost(then) - costs, np.inf)
                less = self.load[:, source] - own
                gone = self.cost(less[:, None], np.array([source]))[0] - costs[source]
                change = gone + comes[size]
                change[source] = np.inf
                to = int(change.argmin())
                best = min(best, (float(change[to]), vm, to, -1))
                ends.append((vm, to))
            if made + 2 <= moves:
                best = min(best, self._swap(ends, costs))
            if best[1] < 0:
                break
            _, vm, to, other = best
            self._move(vm, to)
            made += 1
            if other >= 0:
                self._move(other, int(self._from))
                made += 1
        return made

    _from: int = -1

    def _swap(self, ends: Sequence[tuple[int, int]], costs: Floats) -> tuple[float, int, int, int]:
        """Return the best swap of one of these VMs with one of the host beside it: half of what it gains, for it takes
        two moves.
        """
        order = np.argsort(self.at, kind="stable")
        first = np.searchsorted(self.at[order], np.arange(self.load.shape[1] + 1))
        on = [order[first[to] : first[to + 1]] for _, to in ends]
        many = [len(others) if self.at[vm] != to else 0 for (vm, to), others in zip(ends, on, strict=True)]
        if not sum(many):
            return (0.0, -1, -1, -1)
        vms = np.repeat([vm for vm, _ in ends], many)
        to = np.repeat([to for _, to in ends], many)
        others = np.concatenate([some[:count] for some, count in zip(on, many, strict=True)])
        source, own, back = self.at[vms], self.size[:, vms], self.size[:, others]
        here, there = self.load[:, source] - own + back, self.load[:, to] + own - back
        fits = (here <= self.room[:, source]).all(axis=0) & (there <= self.room[:, to]).all(axis=0)
        change = self.cost(here, source) + self.cost(there, to) - costs[source] - costs[to]
        change = np.where(fits, change / 2, np.inf)
        at = int(change.argmin())
        return (float(change[at]), int(vms[at]), int(to[at]), int(others[at]))

    def _move(self, vm: int, to: int) -> None:
        self._from = int(self.at[vm])
        self.load[:, self._from] -= self.size[:, vm]
        self.load[:, to] += self.size[:, vm]
        self.at[vm] = to

    @property
    def value(self) -> float:
        """The goal's value."""
        return float(self.cost(self.load).sum())


def _measure(job: Job) -> Iterator[Row]:
    from placer.check.check import check
    from placer.planner import solve_fleet

    hosts, limit_s = _SIZES[job.size], _LIMITS_S[job.size]
    for seed in job.seeds:
        fleet = uneven_fleet(seed, hosts)
        moves = len(fleet.vms) // MOVED
        instance: Row = {
            "instance": f"{hosts} hosts of three sizes, {len(fleet.vms)} VMs, {moves} moves",
            "seed": seed,
            "time_limit_s": limit_s,
        }
        climb = HillClimb.of(fleet)
        yield {**instance, "method": "no moves", "value": climb.value, "status": "feasible", "seconds": 0.0}
        began = time.perf_counter()
        climb.run(moves)
        seconds = time.perf_counter() - began
        yield {
            **instance,
            "method": "hill climb, moves and swaps",
            "value": climb.value,
            "status": "feasible",
            "seconds": seconds,
        }
        began = time.perf_counter()
        plan = solve_fleet(fleet, goals=("placed", GOAL, "moves"), max_moves=moves, time_limit_s=limit_s, seed=seed)
        goal, shares = plan.goal(GOAL), {row["resource"]: row for row in plan.summary["shares"]}
        yield {
            **instance,
            "method": "placer",
            "value": goal.value,
            "bound": goal.bound,
            "gap_percent": None if goal.gap is None else 100 * goal.gap,
            "status": goal.status if check(fleet, plan).ok else "refused",
            "seconds": time.perf_counter() - began,
            "rounds": plan.rounds,
            "cpus_spread_before": _spread(shares["cpus"]["before"]),
            "cpus_spread": _spread(shares["cpus"]),
            "memory_spread_before": _spread(shares["memory"]["before"]),
            "memory_spread": _spread(shares["memory"]),
        }


def _spread(row: dict[str, float]) -> float:
    return 100 * (row["highest"] - row["lowest"])


SPEC = Spec(
    name="balance",
    about="Even CPUs and memory of a running fleet out with few moves, against single moves and swaps, with the bound.",
    sizes={name: f"{hosts} hosts of three sizes, 25 VMs a host, 5 % may move" for name, hosts in _SIZES.items()},
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "value": "{:.2f}",
        "gap_percent": "{:.2f}",
        "cpus_spread_before": "{:.1f}",
        "cpus_spread": "{:.1f}",
        "memory_spread_before": "{:.1f}",
        "memory_spread": "{:.1f}",
    },
)
