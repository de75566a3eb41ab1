"""Schedules of random tight fleets, carried out step by step by a simulator of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from tight_fleets import GIB, NODE_CPUS, POOL_GIB, tight_fleet

from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.vm import CpuPolicy, ThreadPolicy, Vm
from placer.moves.model import MoveLimits, Place, Schedule, Step
from placer.moves.schedule import schedule_moves

Spot = tuple[str, tuple[int, ...], tuple[tuple[int, frozenset[int]], ...]]


def spot(place: Place | None) -> Spot | None:
    """Return host, memory node a cell and pins of a place."""
    if place is None:
        return None
    nodes = tuple(next(iter(cell.nodes)) for cell in place.cells)
    return place.host, nodes, tuple(sorted(place.pins.items()))


@dataclass
class Simulator:
    """Where every VM is: one spot, or two while it is on its way. Reads only hosts, specs and the steps' places."""

    fleet: Fleet
    at: dict[str, list[Spot]] = field(default_factory=dict)
    racks: dict[str, int] = field(default_factory=dict)
    sharing: set[frozenset[str]] = field(default_factory=set)
    excused: bool = False
    """The schedule says that the rule is broken in this wave, since no order keeps it."""

    def __post_init__(self) -> None:
        """Start from the fleet's present places."""
        for vm in self.fleet.vms:
            now = vm.current
            assert now is not None and now.nodes is not None
            self.at[vm.name] = [(now.host, now.nodes, tuple(sorted(now.pins.items())))]
        self.racks = self._db_by_rack()

    def _db_by_rack(self) -> dict[str, int]:
        found: dict[str, set[str]] = {}
        for name, spots in self.at.items():
            if self.fleet.vm_by_name[name].spec.labels["app"] == "db":
                for host, _, _ in spots:
                    found.setdefault(self.fleet.host_by_name[host].labels["rack"], set()).add(name)
        return {rack: len(names) for rack, names in found.items()}

    def run(self, schedule: Schedule, rng: random.Random) -> None:
        """Carry out all waves; the steps of a wave begin in any order and end in any order after that."""
        for number, wave in enumerate(schedule.waves, start=1):
            self.excused = any(rule.first <= number <= rule.last for rule in schedule.broken)
            steps = list(wave.steps)
            assert len({step.vm for step in steps}) == len(steps), "a VM is in a wave once"
            rng.shuffle(steps)
            for step in steps:
                assert self.at[step.vm] == [spot(step.source)]
                self.at[step.vm].append(spot(step.target))  # type: ignore[arg-type]
                self.sharing |= {frozenset((step.vm, other)) for other in step.shares_with}
                self.check(moving={s.vm: s for s in steps})
            rng.shuffle(steps)
            for step in steps:
                self.at[step.vm] = [spot(step.target)]  # type: ignore[list-item]
                self.check(moving={s.vm: s for s in steps})

    def check(self, moving: dict[str, Step]) -> None:
        """Assert that memory, CPUs and the rule hold just now."""
        memory: dict[tuple[str, int, int | None], int] = {}
        held: dict[tuple[str, int], set[str]] = {}
        idle: dict[tuple[str, int], set[str]] = {}
        unknown: dict[tuple[str, int], int] = {}
        floating: dict[tuple[str, int], int] = {}
        for name, spots in self.at.items():
            vm = self.fleet.vm_by_name[name]
            same_nodes = len(spots) == 2 and spots[0][:2] == spots[1][:2]
            for number, (host, nodes, pins) in enumerate(spots):
                first = number == 0
                for cell, node in enumerate(nodes):
                    stays = len(spots) == 2 and spots[0][0] == spots[1][0] and spots[0][1][cell] == spots[1][1][cell]
                    if not (stays and first):
                        pool = host, node, vm.spec.page_kib
                        memory[pool] = memory.get(pool, 0) + vm.spec.cells[cell].memory_kib
                    if not (same_nodes and first):
                        self._cpus(vm, cell, host, node, bool(pins), unknown, floating)
                for cpu in {cpu for _, cpus in pins for cpu in cpus} if self._dedicated(vm) else ():
                    held.setdefault((host, cpu), set()).add(name)
                    if vm.spec.thread_policy is ThreadPolicy.ISOLATE:
                        idle.setdefault((host, cpu ^ 1), set()).add(name)
        for pool, kib in memory.items():
            assert kib <= (8 if pool[2] is None else POOL_GIB) * GIB, f"{pool}: {kib / GIB} GiB"
        for key, names in held.items():
            allowed = len(names) == 1 or any(pair <= names for pair in self.sharing)
            assert allowed, f"CPU {key} held by {names}"
            others = idle.get(key, set()) - names
            assert not others or any(frozenset((a, b)) in self.sharing for a in names for b in others), key
        for key, vcpus in floating.items():
            host, node = key
            mine = range(node * NODE_CPUS, (node + 1) * NODE_CPUS)
            # A re-pin leaves one CPU as it takes the next, so that only its new ones count.
            leaving = {c for s in moving.values() if len(self.at[s.vm]) == 2 for c in self._left_behind(s.vm, host)}
            free = [c for c in mine if not (held.get((host, c)) or idle.get((host, c))) or c in leaving]
            assert vcpus <= 4 * (len(free) - unknown.get(key, 0)), f"{key}: {vcpus} shared vCPUs on {free}"
        for rack, count in self._db_by_rack().items():
            most = self.fleet.rules[0].max_per
            assert self.excused or count <= max(most, self.racks.get(rack, 0)), f"{rack}: {count} db"

    def _left_behind(self, name: str, host: str) -> set[int]:
        """Return CPUs that a VM re-pinned within its nodes gives up in exchange for as many others."""
        old, new = self.at[name]
        if old[:2] != new[:2] or old[0] != host or not self._dedicated(self.fleet.vm_by_name[name]):
            return set()
        return {c for _, cpus in old[2] for c in cpus} | {c ^ 1 for _, cpus in old[2] for c in cpus}

    @staticmethod
    def _dedicated(vm: Vm) -> bool:
        return vm.spec.cpu_policy is CpuPolicy.DEDICATED

    def _cpus(
        self,
        vm: Vm,
        cell: int,
        host: str,
        node: int,
        pinned: bool,
        unknown: dict[tuple[str, int], int],
        floating: dict[tuple[str, int], int],
    ) -> None:
        vcpus = len(vm.spec.cells[cell].vcpus)
        if not self._dedicated(vm):
            floating[host, node] = floating.get((host, node), 0) + vcpus
        elif not pinned:
            width = 2 if vm.spec.thread_policy is ThreadPolicy.ISOLATE else 1
            unknown[host, node] = unknown.get((host, node), 0) + width * vcpus


def as_planned(plan: Plan) -> dict[str, Spot]:
    """Return the spots of a plan."""
    return {
        vm.name: (vm.host, tuple(next(iter(c.nodes)) for c in vm.cells), tuple(sorted(vm.pins.items())))
        for vm in plan.vms
    }


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_every_prefix_of_a_schedule_fits_and_it_ends_as_planned(first: int) -> None:
    """Memory, CPUs, siblings and rules hold at every moment; the end is the plan; parking is counted right."""
    complete = 0
    for seed in range(first, first + 20):
        fleet, plan = tight_fleet(seed)
        schedule = schedule_moves(fleet, plan, MoveLimits(per_host=1 + seed % 3))
        simulator = Simulator(fleet)
        simulator.run(schedule, random.Random(seed))
        parked = sum(step.parking for step in schedule.steps)
        assert parked == schedule.parking_moves >= (0 if schedule.blocked else schedule.parking_bound), f"seed {seed}"
        if not schedule.blocked:
            complete += 1
            wanted = as_planned(plan)
            for name, spots in simulator.at.items():
                vm = fleet.vm_by_name[name]
                if vm.spec.cpu_policy is CpuPolicy.DEDICATED:
                    assert spots == [wanted[name]], f"seed {seed}: {name}"
                else:
                    assert [s[:2] for s in spots] == [wanted[name][:2]], f"seed {seed}: {name}"
    assert complete >= 10, f"only {complete} of 20 schedules are complete"


@pytest.mark.parametrize("seed", range(20))
def test_undoing_a_schedule_restores_the_start(seed: int) -> None:
    """Each step's source is where its VM was, so that the steps taken back in reverse order end at the start."""
    fleet, plan = tight_fleet(seed)
    schedule = schedule_moves(fleet, plan)
    simulator = Simulator(fleet)
    start = {name: list(spots) for name, spots in simulator.at.items()}
    simulator.run(schedule, random.Random(seed))
    for step in reversed(schedule.steps):
        assert simulator.at[step.vm] == [spot(step.target)]
        simulator.at[step.vm] = [spot(step.source)]  # type: ignore[list-item]
    assert simulator.at == start


@pytest.mark.parametrize("seed", range(20))
def test_limits_on_what_is_under_way_are_kept(seed: int) -> None:
    """No wave has more than k moves or g GiB on a host, coming and going together."""
    fleet, plan = tight_fleet(seed)
    schedule = schedule_moves(fleet, plan, MoveLimits(per_host=1, per_host_gib=4))
    for wave in schedule.waves:
        for host in fleet.hosts:
            here = [s for s in wave.steps if host.name in s.hosts and s.kind.value != "repin"]
            assert len(here) <= 1
            assert sum(s.memory_gib for s in here) <= 4


@pytest.mark.parametrize("seed", range(30))
def test_a_window_ends_where_one_may_stop(seed: int) -> None:
    """The waves within a window take no longer, leave nobody put aside or on passing CPUs, and nothing is lost."""
    fleet, plan = tight_fleet(seed)
    limits = MoveLimits(per_host=1 + seed % 3, per_host_gib=(None, 6.0)[seed % 2], bandwidth_gib_s=0.05)
    whole = schedule_moves(fleet, plan, limits)
    assert whole.minutes is not None
    for share in (0.3, 0.7, 1.0):
        window = max(0.1, share * whole.minutes)
        part = schedule_moves(fleet, plan, limits, window_minutes=window)
        assert part.minutes is not None and part.minutes <= window + 1e-9
        assert [*part.steps, *part.remaining] == list(whole.steps)
        assert part.blocked == whole.blocked
        astray: dict[str, bool] = {}
        for step in part.steps:
            astray[step.vm] = step.parking or step.passing
        assert not any(astray.values()), f"seed {seed}, {share}: {astray}"
        Simulator(fleet).run(part, random.Random(seed))
