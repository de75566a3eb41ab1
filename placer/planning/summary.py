"""What a plan uses, keeps back and leaves free, and what the failure of one host would do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import PlanVm
from placer.model.units import mib_number
from placer.planning.capacity import reserved_memory
from placer.planning.compile import Compiled
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern, Result


def capacity_summary(fleet: Fleet, vms: Sequence[PlanVm]) -> dict[str, Any]:
    """Return CPUs and MiB used, reserved and free over the hosts that work, and the node with the largest free slot.

    A CPU is used when a vCPU is pinned to it or, isolated, keeps it idle; shared vCPUs count by the overcommit ratio.
    """
    by_host: dict[str, list[PlanVm]] = defaultdict(list)
    for vm in vms:
        by_host[vm.host].append(vm)
    specs = {vm.name: vm.spec for vm in fleet.vms}
    totals: Counter[str] = Counter()
    largest = (-1, -1, "", -1)
    for host in fleet.hosts:
        if host.failed:
            continue
        reserved = reserved_memory(host)
        pinned: set[int] = set()
        shared: Counter[int] = Counter()
        memory: Counter[int] = Counter()
        for vm in by_host.get(host.name, ()):
            _load(vm, specs[vm.name].overhead_taken_kib, host.topology.node_of_cpu, pinned, shared, memory)
        for position, node in enumerate(host.topology.nodes):
            free_memory = node.memory_kib - reserved[position] - memory[node.id]
            usable = node.cpus & host.usable_cpus
            busy = len(usable & pinned) + -(-shared[node.id] // max(1, int(host.cpu_ratio)))
            totals.update(cpus=len(node.cpus), cpus_reserved=len(node.cpus) - len(usable), cpus_used=busy, memory=node.memory_kib,
                          memory_reserved=reserved[position], memory_used=memory[node.id])
            slot = (len(usable) - busy, free_memory, host.name, node.id)
            if node.cpus and slot[0] > 0 and free_memory > 0 and slot[:2] > largest[:2]:
                largest = slot
    free = totals["cpus"] - totals["cpus_reserved"] - totals["cpus_used"]
    return {
        "cpus": {"total": totals["cpus"], "used": totals["cpus_used"], "reserved": totals["cpus_reserved"], "free": free},
        "memory_mib": {"total": mib_number(totals["memory"]), "used": mib_number(totals["memory_used"]), "reserved": mib_number(totals["memory_reserved"]),
                       "free": mib_number(totals["memory"] - totals["memory_used"] - totals["memory_reserved"])},
        "largest_free_slot": None if largest[0] < 0 else
        {"cpus": largest[0], "memory_mib": mib_number(largest[1]), "host": largest[2], "node": largest[3]},
    }


def _load(vm: PlanVm, overhead: int, node_of_cpu: Mapping[int, int], pinned: set[int], shared: Counter[int], memory: Counter[int]) -> None:
    for cpus in vm.pins.values():
        if len(cpus) == 1:
            pinned |= cpus
        else:
            shared[node_of_cpu[min(cpus)]] += 1
    if vm.emulator is not None and len(vm.emulator) == 1:
        pinned |= vm.emulator
    nodes = [node for cell in vm.cells for node in cell.nodes]
    for cell in vm.cells:
        for node, kib in cell.nodes.items():
            memory[node] += kib
    for node in nodes:
        memory[node] += -(-overhead // len(nodes))


@dataclass(frozen=True, slots=True)
class _HostState:
    """A host of the plan for the failure sweep: class, pattern as a sorted tuple, how many hosts are alike, one of them."""

    host_class: int
    pattern: tuple[tuple[int, int], ...]
    count: int
    example: int


def worst_failure(compiled: Compiled, result: Result) -> dict[str, Any]:
    """Return what happens when the worst single host fails: which VMs would find no NUMA-true place on the others.

    VMs of the failed host are fitted greedily on the free rows of the others: where all fit that is a proof; where some do
    not, a solve might still find a place (``proven`` is False).
    """
    problem = compiled.problem
    states = _states(problem, result)
    free = [problem.classes[s.host_class].capacity - _used(problem, s) for s in states]
    worst: dict[str, Any] = {"host": None, "vms_without_place": 0, "vcpus_without_place": 0, "proven": True}
    for number, state in enumerate(states):
        if not state.pattern:
            continue
        lost = _refit(problem, states, free, number)
        vcpus = sum(problem.flavors[flavor].vcpus * count for flavor, count in lost.items())
        if worst["host"] is None or vcpus > worst["vcpus_without_place"]:
            worst = {"host": compiled.fleet.hosts[state.example].name, "vms_without_place": sum(lost.values()), "vcpus_without_place": vcpus,
                     "proven": not lost}
    return worst


def _states(problem: Problem, result: Result) -> list[_HostState]:
    counts: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
    first: dict[tuple[int, tuple[tuple[int, int], ...]], int] = {}
    ordered: dict[int, list[HostPattern]] = defaultdict(list)
    for pattern in result.patterns:
        ordered[pattern.host_class].append(pattern)
    for number, patterns in sorted(ordered.items()):
        members = iter(problem.classes[number].members)
        for pattern in sorted(patterns, key=lambda p: (not p.placements, tuple(sorted(p.placements)))):
            key = (number, tuple(sorted(pattern.placements)))
            hosts = [next(members) for _ in range(pattern.count)]
            counts[key] += pattern.count
            first.setdefault(key, hosts[0])
    return [_HostState(cls, pattern, count, first[cls, pattern]) for (cls, pattern), count in counts.items()]


def _used(problem: Problem, state: _HostState) -> IntArray:
    use = problem.shapes[problem.classes[state.host_class].shape].use
    out = np.zeros(use.shape[1], dtype=np.int64)
    for placement, count in state.pattern:
        out += count * use[placement]
    return out


def _refit(problem: Problem, states: Sequence[_HostState], free: Sequence[IntArray], failed: int) -> dict[int, int]:
    """Place the failed host's VMs on the other hosts, first fit, largest first; return flavor -> VMs that found no place."""
    shape = problem.shapes[problem.classes[states[failed].host_class].shape]
    demand: Counter[int] = Counter()
    for placement, count in states[failed].pattern:
        demand[int(shape.flavor[placement])] += count
    room = [[free[n], state.count - (n == failed)] for n, state in enumerate(states) if state.count - (n == failed) > 0]
    owner = [state for n, state in enumerate(states) if state.count - (n == failed) > 0]
    lost: dict[int, int] = {}
    for flavor in sorted(demand, key=lambda f: (-problem.flavors[f].vcpus, f)):
        left = demand[flavor]
        number = 0
        while left and number < len(room):
            took = _place_one(problem, owner, room, number, flavor)
            if took:
                left -= 1
            else:
                number += 1
        if left:
            lost[flavor] = left
    return lost


def _place_one(problem: Problem, owner: list[_HostState], room: list[list[Any]], number: int, flavor: int) -> bool:
    cls = problem.classes[owner[number].host_class]
    if not cls.allowed[flavor]:
        return False
    shape = problem.shapes[cls.shape]
    rows, count = room[number]
    for placement in np.flatnonzero((shape.flavor == flavor) & ~shape.stay_only):
        if (shape.use[placement] <= rows).all():
            # One host of the group takes it and is from now on a group of its own.
            if count > 1:
                room[number][1] = count - 1
                room.append([rows - shape.use[placement], 1])
                owner.append(owner[number])
            else:
                room[number][0] = rows - shape.use[placement]
            return True
    return False


def capacity_line(summary: Mapping[str, Any]) -> str:
    """Return the summary's figures as one line for people."""
    cpus, memory, slot = summary["cpus"], summary["memory_mib"], summary["largest_free_slot"]
    text = (f"CPUs {cpus['used']} used / {cpus['reserved']} reserved / {cpus['free']} free of {cpus['total']}; memory GiB "
            f"{memory['used'] / 1024:.1f} used / {memory['reserved'] / 1024:.1f} reserved / {memory['free'] / 1024:.1f} free of {memory['total'] / 1024:.1f}")
    if slot is None:
        return f"{text}; no free slot"
    return f"{text}; largest free slot {slot['cpus']} CPUs and {slot['memory_mib'] / 1024:.1f} GiB on {slot['host']} node {format_cpuset([slot['node']])}"
