"""Orders of moves of random live fleets, replayed step by step by code that shares nothing with who made them.

VMs are bound to nodes, bound to none, or have CPUs, huge pages and devices of their own. Every step must fit when it is
made, beside the old and new places of all others of its wave; and where an order of at most six moves exists, none
may be missing.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import placer
from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.errors import PlacerError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.vm import CpuPolicy, Vm
from placer.moves.model import MoveLimits, Place, Schedule, Step
from placer.moves.schedule import schedule_moves

FEW = 6
"""Moves up to which all orders are tried."""
PAGE_KIB = 2048
_GIB = 1 << 20

Nodes = frozenset[int]


@dataclass(slots=True)
class Load:
    """What is taken of a host: memory (KiB) and shared vCPUs by the nodes that they may be on, CPUs, devices; `own` are
    the CPUs of each VM that has some.
    """

    memory: Counter[tuple[Nodes, int | None]] = field(default_factory=Counter)
    shared: Counter[Nodes] = field(default_factory=Counter)
    cpus: Counter[int] = field(default_factory=Counter)
    devices: int = 0
    own: dict[str, Nodes] = field(default_factory=dict)

    def add(self, vm: Vm, place: Place, host: Host, *, cpus_alone: bool = False) -> None:
        """Add what a VM takes at a place, or CPUs of its own alone."""
        every = frozenset(node.id for node in host.topology.nodes)
        free = bool(place.bound)
        on = [every] if free else [frozenset(cell.nodes) for cell in place.cells]
        whole = vm.spec.memory_kib
        for nodes in () if cpus_alone else on:
            self.memory[nodes, vm.spec.page_kib] += whole // len(on)
            self.memory[nodes, None] += (vm.spec.overhead_kib or 0) // len(on)
        if vm.spec.cpu_policy is CpuPolicy.DEDICATED and not free:
            # Of its own CPUs a VM may keep some.
            self.cpus.update(frozenset().union(*place.pins.values()) - self.own.get(vm.name, frozenset()))
            self.own[vm.name] = frozenset().union(*place.pins.values())
        elif not cpus_alone:
            self.shared[every if free else on[0]] += vm.spec.vcpus

    def over(self, host: Host) -> dict[str, float]:
        """Return what is beyond the host's room, by name: for every set of nodes what can be on no other."""
        out: dict[str, float] = {}
        nodes = [node.id for node in host.topology.nodes]
        for many in range(1, len(nodes) + 1):
            for chosen in map(frozenset, itertools.combinations(nodes, many)):
                for size in (None, PAGE_KIB):
                    need = sum(kib for (on, page), kib in self.memory.items() if page == size and on <= chosen)
                    room = sum(_room(host, node, size) for node in chosen)
                    out[f"memory of {sorted(chosen)} in {size}"] = max(0, need - room)
                held = [sum(1 for cpu in host.topology.node(node).cpus if self.cpus[cpu]) for node in chosen]
                cpus = [len(host.topology.node(node).cpus) - taken for node, taken in zip(chosen, held, strict=True)]
                vcpus = sum(many for on, many in self.shared.items() if on <= chosen)
                out[f"shared vCPUs of {sorted(chosen)}"] = max(0.0, vcpus - host.cpu_ratio * sum(cpus))
        out["CPUs twice"] = sum(many - 1 for many in self.cpus.values() if many > 1)
        out["devices"] = max(0, self.devices - sum(device.count for device in host.topology.devices))
        return out


def _room(host: Host, node: int, size: int | None) -> int:
    found = host.topology.node(node)
    pools = sum(page * count for page, count in found.pages.items())
    return found.memory_kib - pools if size is None else found.pages.get(size, 0) * size


@dataclass(slots=True)
class Replay:
    """Where every VM of a fleet is, step by step; `wrong` says what did not fit."""

    fleet: Fleet
    at: dict[str, list[Place]]
    wrong: list[str] = field(default_factory=list)
    start: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: Fleet, schedule: Schedule) -> Replay:
        """Begin where the fleet is; a VM's place is read off the first step that takes it away, or off the fleet."""
        first = {step.vm: step.source for step in reversed((*schedule.steps, *schedule.remaining)) if step.source}
        found = cls(fleet, {vm.name: [first.get(vm.name) or place_of(fleet, vm)] for vm in fleet.vms})
        found.start = {host.name: found.load(host).over(host) for host in fleet.hosts}
        return found

    def load(self, host: Host) -> Load:
        """Return what a host carries: a VM on its way has both its places."""
        out = Load()
        for name, places in self.at.items():
            here = [place for place in places if place.host == host.name]
            # Within a host what is bound to no node is never there twice.
            if len(here) == 2 and any(place.bound for place in here):
                here = here[1:]
            vm = self.fleet.vm_by_name[name]
            on = [[sorted(cell.nodes) for cell in place.cells] for place in here]
            for number, place in enumerate(here):
                # What stays on its nodes is there once, though it has its old and new CPUs.
                out.add(vm, place, host, cpus_alone=number == 1 and on[0] == on[1])
            out.devices += sum(request.count for request in vm.spec.devices) if here else 0
        return out

    def fits(self, names: Iterator[str] | tuple[str, ...]) -> list[str]:
        """Return what of some hosts is beyond its room, and further than at the start."""
        found = []
        for name in set(names):
            host, before = self.fleet.host_by_name[name], self.start[name]
            found += [
                f"{name}: {what} {many:g}" for what, many in self.load(host).over(host).items()
                if many > before.get(what, 0) + 1e-6
            ]  # fmt: skip
        return found

    def run(self, schedule: Schedule) -> list[str]:
        """Carry out all waves, every step of one beside all others' old and new places; return what did not fit."""
        for number, wave in enumerate(schedule.waves):
            for step in wave.steps:
                if [place.host for place in self.at[step.vm]] != ([step.source.host] if step.source else []):
                    self.wrong.append(f"wave {number}: {step.vm} is elsewhere")
                self.at[step.vm].append(step.target)
                self.wrong += [f"wave {number}, {step.vm}: {what}" for what in self.fits(step.hosts)]
            for step in wave.steps:
                self.at[step.vm] = [step.target]
            self.wrong += [f"after wave {number}: {w}" for step in wave.steps for w in self.fits(step.hosts)]
            if wave.complete and any(step.parking or step.passing for step in wave.steps):
                self.wrong.append(f"wave {number} is complete and somebody is put aside")
        return self.wrong


def place_of(fleet: Fleet, vm: Vm) -> Place:
    """Return where a VM is that no step takes away."""
    from placer.moves.places import place_now

    assert vm.current is not None
    return place_now(vm, fleet.host_by_name[vm.current.host])


def order_exists(fleet: Fleet, schedule: Schedule, steps: Mapping[str, Step]) -> bool:
    """Tell whether the steps can be made one after the other, each straight to its place."""
    replay = Replay.of(fleet, schedule)
    dead: set[frozenset[str]] = set()

    def search(left: frozenset[str]) -> bool:
        if not left:
            return True
        if left in dead:
            return False
        for name in sorted(left):
            step, before = steps[name], replay.at[name]
            replay.at[name] = [*before, step.target]
            fits = not replay.fits(step.hosts)
            replay.at[name] = [step.target]
            if fits and search(left - {name}):
                return True
            replay.at[name] = before
        dead.add(left)
        return False

    return search(frozenset(steps))


def live_fleet(seed: int) -> Fleet:
    """Return a tight fleet of a seed in which every VM is somewhere."""
    rng = random.Random(seed)
    hosts: list[dict[str, Any]] = []
    room: list[list[list[int]]] = []
    for number in range(rng.randint(2, 4)):
        nodes, gib, pages = rng.choice((1, 1, 2)), rng.choice((16, 24, 32)), rng.choice((0, 0, 2))
        hosts.append(
            {
                "name": f"h{number}",
                "overcommit": rng.choice((1, 2, 4)),
                "labels": {"rack": f"r{number % 2}"},
                "nodes": [
                    {"id": n, "cpus": f"{8 * n}-{8 * n + 7}", "memory": f"{gib}GiB"}
                    | ({"pages": {"2MiB": 512 * pages}} if pages else {})
                    for n in range(nodes)
                ],
            }
        )
        if rng.random() < 0.4:
            hosts[-1]["devices"] = [{"address": "0000:01:00.0", "kind": "nic", "node": 0, "count": 2}]
        room.append([[8 * hosts[-1]["overcommit"], gib - pages, pages] for _ in range(nodes)])
    vms = [vm for number in range(4 * len(hosts)) if (vm := _guest(rng, number, hosts, room)) is not None]
    rules: list[dict[str, Any]] = []
    names = [vm["name"] for vm in vms]
    pairs = [name for name in names if rng.random() < 0.35]
    for name in pairs:
        rules.append({"within": [name], "hosts": [f"h{rng.randrange(len(hosts))}"]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.json"
        whole = {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms, "rules": rules}
        path.write_text(json.dumps(whole), encoding="utf-8")
        return placer.read_fleet(path)


def _guest(
    rng: random.Random, number: int, hosts: list[dict[str, Any]], room: list[list[list[int]]]
) -> dict[str, Any] | None:
    at = rng.randrange(len(hosts))
    node = rng.randrange(len(room[at]))
    gib, vcpus = rng.choice((2, 4, 6, 10, 14)), rng.choice((1, 2, 4))
    kind = rng.choice(("shared", "floating", "floating", "dedicated", "pages"))
    left = room[at][node]
    ratio = hosts[at]["overcommit"]
    if kind == "pages":
        gib = 1
    need = vcpus * (ratio if kind == "dedicated" else 1)
    if left[0] < need or (left[2] if kind == "pages" else left[1]) < gib:
        return None
    vm: dict[str, Any] = {"name": f"v{number}", "vcpus": vcpus, "memory": f"{gib}GiB", "host": f"h{at}"}
    vm |= {"overhead": "0MiB", "cells": "none", "cpu_policy": "dedicated" if kind == "dedicated" else "shared"}
    if kind == "dedicated":
        # CPUs from the top: those below are for the shared ones.
        high = 8 * node + (left[0] // ratio) - 1
        vm["pins"] = {str(vcpu): str(high - vcpu) for vcpu in range(vcpus)}
    if kind == "pages":
        vm["page_size"] = "2MiB"
    if kind != "floating":
        vm["nodes"] = [node]
    if "devices" in hosts[at] and rng.random() < 0.2:
        vm["devices"] = [{"kind": "nic", "policy": "required", "count": 1}]
    left[0] -= need
    left[2 if kind == "pages" else 1] -= gib
    return vm


def planned(fleet: Fleet, seed: int) -> Plan:
    """Return a plan of at most six moves that mends rules and evens the hosts out."""
    goals = ("placed,rules,moves", "placed,rules,balance:memory:hosts,moves", "placed,balance,moves")[seed % 3]
    return placer.solve(fleet, goals=goals, max_moves=FEW, time_limit_s=20, rounds=3)


def judged(seed: int) -> tuple[Schedule | None, list[str]]:
    """Return the order for the plan of a seed, and what is wrong with it; None where there is no plan."""
    try:
        fleet = live_fleet(seed)
        plan = planned(fleet, seed)
    except PlacerError:
        return None, []
    schedule = schedule_moves(fleet, plan, MoveLimits(per_host=1 + seed % 3))
    wrong = Replay.of(fleet, schedule).run(schedule)
    if schedule.blocked or schedule.parking_moves:
        steps = _straight(fleet, plan, schedule)
        if len(steps) <= FEW and order_exists(fleet, schedule, steps):
            wrong.append("an order without putting anybody aside exists")
    return schedule, wrong


def _straight(fleet: Fleet, plan: Plan, schedule: Schedule) -> dict[str, Step]:
    """Return a step for each VM that a plan changes, straight from where it is to where it shall be."""
    from placer.moves.model import StepKind
    from placer.moves.places import place_planned

    out = {}
    for vm in plan.vms:
        if not vm.change.stays:
            now = fleet.vm_by_name[vm.name]
            target = place_planned(now, vm, fleet.host_by_name[vm.host].topology)
            out[vm.name] = Step(
                vm=vm.name, uuid=None, kind=StepKind(vm.change.value), source=place_of(fleet, now), target=target
            )
    return out


def _measure(job: Job) -> Iterator[Row]:
    """Yield a row for every hundred fleets, or for a few."""
    many = 10 if job.size == SMOKE else 100
    for seed in job.seeds:
        began = time.perf_counter()
        plans = moves = parked = blocked = 0
        faults: list[str] = []
        for number in range(seed * many, (seed + 1) * many):
            schedule, wrong = judged(number)
            if schedule is not None:
                plans, moves = plans + 1, moves + len(schedule.steps)
                parked, blocked = parked + schedule.parking_moves, blocked + len(schedule.blocked)
            faults += [f"{number}: {one}" for one in wrong]
        yield {
            "method": "moves",
            "instance": f"fleets {seed * many}-{(seed + 1) * many - 1}",
            "seed": seed,
            "seconds": time.perf_counter() - began,
            "status": "; ".join(faults[:3]) or "ok",
            "plans": plans,
            "steps": moves,
            "put_aside": parked,
            "without_order": blocked,
            "faults": len(faults),
        }


SPEC = Spec(
    name="move-orders",
    about="Does every step of an order of moves fit when it is made, and is an order found wherever there is one?",
    sizes={"full": "100 fleets a seed, ten seeds: 1,000", SMOKE: "10 fleets a seed"},
    measure=_measure,
    seeds=10,
    columns={"seconds": "{:.1f}", "plans": "{:.0f}", "steps": "{:.0f}", "put_aside": "{:.0f}", "faults": "{:.0f}"},
)
