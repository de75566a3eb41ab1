"""The order of `placer moves` carried out step by step, counted by the reader of the third model alone.

From docs/how-to/moves.md: the steps of a wave may be made in any order or at once, and while a VM moves its old and its
new place both carry its memory, pages, CPUs and devices. What is over at the start may stay so and not get worse.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.truth.cases import Case
from benchmarks.truth.floats import PAGE_KIB, Nodes, memory_of, parts_on
from benchmarks.truth.reads.reading import Host, Inventory, Vm, read
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.moves.model import Place, Schedule, Step, StepKind
from placer.moves.schedule import schedule_moves

Pool = tuple[Nodes, int | None]


@dataclass(slots=True)
class Claims:
    """What a VM has of a host: memory by nodes and page size (KiB), CPUs of its own, those it keeps idle, devices, and
    whether it `floats` there.
    """

    memory: Counter[Pool] = field(default_factory=Counter)
    own: frozenset[int] = frozenset()
    idle: frozenset[int] = frozenset()
    devices: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    floats: bool = False

    def both(self, other: Claims) -> Claims:
        """Return what is claimed while a VM changes its place within a host: memory that floats over nodes is bound or
        let go page by page, never there twice.
        """
        return Claims(
            memory=other.memory if self.floats or other.floats else self.memory | other.memory,
            own=self.own | other.own,
            idle=(self.idle | other.idle) - self.own - other.own,
            devices=self.devices | other.devices,
        )


def steps(case: Case, fleet: Fleet, plan: Plan) -> tuple[list[str], int]:
    """Return what is wrong with the order in which a plan is carried out, and how many steps were made."""
    inventory = read(case.inventory)
    schedule = schedule_moves(fleet, plan)
    return replay(inventory, schedule, plan), sum(len(wave.steps) for wave in schedule.waves)


def replay(inventory: Inventory, schedule: Schedule, plan: Plan) -> list[str]:
    """Carry out a schedule, and return each way in which it breaks what the documents say."""
    vms = {vm.name: vm for vm in inventory.vms}
    at: dict[str, Place] = {}
    for step in schedule.steps:
        if step.source is not None and not inventory.host(step.source.host).failed:
            at.setdefault(step.vm, step.source)
    moving = frozenset(step.vm for step in schedule.steps)
    for planned in plan.vms:
        # Whom no step names is where the plan has it: it comes from there.
        if planned.name not in moving and vms[planned.name].host == planned.host:
            at[planned.name] = Place(
                host=planned.host,
                nodes=None,
                cells=planned.cells,
                pins=planned.pins,
                emulator=planned.emulator,
                devices=planned.devices,
                bound=planned.bound,
            )
    wrong: list[str] = []
    start = {host.name: _on(host, vms, at.items()) for host in inventory.hosts}
    for number, wave in enumerate(schedule.waves, start=1):
        under_way = [*at.items(), *((step.vm, step.target) for step in wave.steps)]
        sharing = {frozenset((step.vm, other)) for step in wave.steps for other in step.shares_with}
        for host in inventory.hosts:
            then = _on(host, vms, under_way)
            wrong += [f"STEPS wave {number}: {text}" for text in _breaks(host, then, start[host.name], sharing)]
        for step in wave.steps:
            if (left := _left_from(step, at)) is not None:
                wrong.append(f"STEPS wave {number}: {left}")
            at[step.vm] = step.target
    stuck = {blocked.vm for blocked in schedule.blocked}
    for planned in plan.vms:
        there = at.get(planned.name)
        if planned.name not in stuck and (there is None or not _same(there, planned.host, planned.pins)) and not stuck:
            wrong.append(f"STEPS {planned.name} ends {'nowhere' if there is None else there.host}, planned elsewhere")
    return wrong


def _left_from(step: Step, at: Mapping[str, Place]) -> str | None:
    """Return what is wrong with where a step begins: it is where the VM is."""
    now = at.get(step.vm)
    if now is None or step.source is None:
        return None if step.kind in (StepKind.START, StepKind.RESTART) else f"{step.vm} moves from nowhere"
    return None if now.host == step.source.host else f"{step.vm} is on {now.host}, not on {step.source.host}"


def _same(there: Place, host: str, pins: Mapping[int, frozenset[int]]) -> bool:
    alone = {vcpu: cpus for vcpu, cpus in pins.items() if len(cpus) == 1}
    return there.host == host and all(there.pins.get(vcpu, cpus) == cpus for vcpu, cpus in alone.items())


def _on(host: Host, vms: Mapping[str, Vm], places: Iterable[tuple[str, Place]]) -> dict[str, Claims]:
    """Return what each VM claims of a host, those twice that are on their way within it."""
    found: dict[str, Claims] = {}
    for name, place in places:
        if place.host == host.name:
            claims = _claims(host, vms[name], place)
            found[name] = found[name].both(claims) if name in found else claims
    return found


def _claims(host: Host, vm: Vm, place: Place) -> Claims:
    out = Claims(devices=Counter(place.devices), floats=bool(place.bound))
    if place.bound:
        out.memory += memory_of(vm, parts_on(vm, host, stays=vm.host == host.name))
    else:
        spots = [(node, kib) for cell in place.cells for node, kib in cell.nodes.items()]
        page = vm.page_kib or PAGE_KIB
        for node, kib in spots:
            out.memory[frozenset({node}), vm.page_kib] += -(-kib // page) * page
            out.memory[frozenset({node}), None] += -(-vm.overhead_kib // len(spots))
    own = {vcpu: min(cpus) for vcpu, cpus in place.pins.items() if vcpu in vm.dedicated and len(cpus) == 1}
    alone = place.emulator if vm.own_emulator and place.emulator is not None and len(place.emulator) == 1 else None
    out.own = frozenset(own.values()) | (alone or frozenset())
    if vm.thread_policy != "prefer":
        out.idle = frozenset[int]().union(*(host.core_of[cpu] for cpu in own.values())) - out.own
    return out


def _breaks(
    host: Host, then: Mapping[str, Claims], start: Mapping[str, Claims], sharing: set[frozenset[str]]
) -> list[str]:
    """Return what a host lacks at one time and did not at the start."""
    wrong = []
    used, before = _memory(then.values()), _memory(start.values())
    for size in {size for _, size in used}:
        rooms = {
            node.id: (0 if node.kind == "device" else node.memory_kib)
            if size is None
            else node.pools.get(size, 0) * size
            for node in host.nodes
        }
        now, had = _lacks(used, size, rooms), _lacks(before, size, rooms)
        wrong += [
            f"{host.name} nodes {nodes}: {kib} KiB of pages {size} have no place, {had[nodes]} at the start"
            for nodes, kib in now.items()
            if kib > had[nodes]
        ]
    wrong += _cpus(host, then, start, sharing)
    devices: Counter[tuple[str, int | None]] = Counter()
    had_devices: Counter[tuple[str, int | None]] = Counter()
    for claims in then.values():
        devices += claims.devices
    for claims in start.values():
        had_devices += claims.devices
    for device, many in devices.items():
        if many > max(host.devices.get(device, 0), had_devices[device]):
            wrong.append(f"{host.name}: {many} devices {device}")
    return wrong


def _cpus(
    host: Host, then: Mapping[str, Claims], start: Mapping[str, Claims], sharing: set[frozenset[str]]
) -> list[str]:
    """Return CPUs that two VMs have which did not share them at the start and are not said to share them."""
    wrong = []
    for one, other in itertools.combinations(sorted(then), 2):
        clash = _clash(then[one], then[other])
        if one in start and other in start:
            clash -= _clash(start[one], start[other])
        if clash and frozenset((one, other)) not in sharing:
            wrong.append(f"{host.name}: {one} and {other} both have CPUs {sorted(clash)}")
    return wrong


def _clash(one: Claims, other: Claims) -> frozenset[int]:
    return (one.own & (other.own | other.idle)) | (one.idle & other.own)


def _memory(claims: Iterable[Claims]) -> Counter[Pool]:
    total: Counter[Pool] = Counter()
    for one in claims:
        total += one.memory
    return total


def _lacks(used: Counter[Pool], size: int | None, rooms: Mapping[int, int]) -> dict[tuple[int, ...], int]:
    """Return what has no place on every set of nodes (KiB): what is over its room there, or on parts of it together.

    What lacks a place on one node lacks it on any set that holds the node, and takes no room of the others.
    """
    out: dict[tuple[int, ...], int] = {}
    ids = sorted(rooms)
    for count in range(1, len(ids) + 1):
        for chosen in itertools.combinations(ids, count):
            asked = sum(kib for (own, page), kib in used.items() if page == size and own <= set(chosen))
            apart = [
                out[part] + out[tuple(node for node in chosen if node not in part)]
                for many in range(1, count)
                for part in itertools.combinations(chosen, many)
            ]
            out[chosen] = max(0, asked - sum(rooms[node] for node in chosen), *apart)
    return out
