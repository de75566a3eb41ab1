"""Random tight fleets, each with another placement of the same VMs as the plan: most of them need an order, many a
spare host.
"""

from __future__ import annotations

import random
from dataclasses import replace

from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.plan import Change, Plan, PlanCell, PlanVm
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Cell, CellMode, CpuPolicy, Current, ThreadPolicy, Vm, VmSpec

GIB = 1024 * 1024
NODE_CPUS = 4
POOL_GIB = 4
"""Each node has as much memory in huge pages, beside 8 GiB of ordinary memory."""


def tight_fleet(seed: int) -> tuple[Fleet, Plan]:
    """Return a live fleet and a plan of it that keeps capacity and rules, with many VMs in others' places."""
    rng = random.Random(seed)
    full = tuple(_host(number) for number in range(rng.randint(2, 4)))
    hosts = (*full, _host(len(full)))[: len(full) + rng.choice((0, 1, 1))]
    vms = [_vm(rng, number) for number in range(40)]
    now = _fill(rng, full, vms)
    there = [vm for vm in vms if vm.name in now]
    kept = there[: len(there) - rng.randint(0, len(there) // 2)]
    rules = (Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "db"}, scope="rack", max_per=rng.choice((1, 3))),)
    for _ in range(50):
        then = _fill(rng, full, rng.sample(kept, len(kept)))
        if len(then) == len(kept):
            break
    else:
        then = {vm.name: now[vm.name] for vm in kept}
    known = rng.random() < 0.7
    live = tuple(replace(vm, current=_current(now[vm.name], known)) for vm in kept)
    fleet = Fleet(hosts=hosts, vms=live, rules=rules, digest="d")
    placed = []
    for vm in live:
        planned = then[vm.name]
        assert vm.current is not None
        change = _change(vm, vm.current, planned)
        moved = vm.current.host if vm.current.host != planned.host else None
        placed.append(replace(planned, change=change, from_host=moved))
    plan = Plan(
        fleet_path=None,
        fleet_digest="d",
        seed=0,
        rounds=0,
        status="feasible",
        goals=(),
        vms=tuple(placed),
        unplaced=(),
    )
    return fleet, plan


def _host(number: int) -> Host:
    nodes = tuple(
        Node(
            id=n,
            cpus=frozenset(range(n * NODE_CPUS, (n + 1) * NODE_CPUS)),
            memory_kib=(8 + POOL_GIB) * GIB,
            pages={2048: POOL_GIB * 512},
        )
        for n in range(2)
    )
    cores = tuple(frozenset((cpu, cpu + 1)) for cpu in range(0, 2 * NODE_CPUS, 2))
    topology = Topology(nodes=nodes, distances=((10.0, 21.0), (21.0, 10.0)), cores=cores)
    return Host(name=f"h{number}", topology=topology, cpu_ratio=4.0, labels={"rack": f"r{number % 3}"})


def _vm(rng: random.Random, number: int) -> Vm:
    vcpus = rng.choice((1, 1, 2, 2, 3, 4))
    cells = 2 if vcpus == 4 and rng.random() < 0.4 else 1
    each = vcpus // cells
    memory = rng.choice((1, 2, 3)) * cells * GIB
    made = tuple(
        Cell(vcpus=frozenset(range(n * each, n * each + each)), memory_kib=memory // cells) for n in range(cells)
    )
    policy = CpuPolicy.SHARED if rng.random() < 0.2 else CpuPolicy.DEDICATED
    spec = VmSpec(
        vcpus=vcpus,
        memory_kib=memory,
        cell_mode=CellMode.GIVEN if cells > 1 else CellMode.NONE,
        cells=made,
        overhead_kib=0,
        cpu_policy=policy,
        thread_policy=rng.choice((ThreadPolicy.PREFER, ThreadPolicy.PREFER, ThreadPolicy.ISOLATE)),
        page_kib=2048 if rng.random() < 0.3 else None,
        labels={"app": rng.choice(("db", "web", "web", "web", "web"))},
    )
    return Vm(name=f"v{number}", spec=spec)


def _fill(rng: random.Random, hosts: tuple[Host, ...], vms: list[Vm]) -> dict[str, PlanVm]:
    """Place VMs at random, each where it fits; those that fit nowhere are left out. One db a rack, shared ones last."""
    free = {(h.name, n.id): set(n.cpus) for h in hosts for n in h.topology.nodes}
    memory = {(*key, page): room * GIB for key in free for page, room in ((None, 8), (2048, POOL_GIB))}
    floating: dict[tuple[str, int], int] = dict.fromkeys(free, 0)
    racks: set[str] = set()
    placed: dict[str, PlanVm] = {}
    for vm in sorted(vms, key=lambda v: v.spec.cpu_policy is CpuPolicy.SHARED):
        spots = [(h, order) for h in hosts for order in ((0, 1), (1, 0))]
        rng.shuffle(spots)
        for host, order in spots:
            nodes = order[: len(vm.spec.cells)]
            keys = [(host.name, node) for node in nodes]
            db = vm.spec.labels["app"] == "db"
            if db and host.labels["rack"] in racks:
                continue
            page = vm.spec.page_kib
            if any(memory[*k, page] < cell.memory_kib for k, cell in zip(keys, vm.spec.cells, strict=True)):
                continue
            pins = _pins(vm, keys, free, floating)
            if pins is None:
                continue
            for key, cell in zip(keys, vm.spec.cells, strict=True):
                memory[*key, page] -= cell.memory_kib
            if db:
                racks.add(host.labels["rack"])
            cells = tuple(
                PlanCell(id=n, vcpus=c.vcpus, memory_kib=c.memory_kib, mode="strict", nodes={node: c.memory_kib})
                for n, (c, node) in enumerate(zip(vm.spec.cells, nodes, strict=True))
            )
            own = frozenset().union(*pins.values())
            placed[vm.name] = PlanVm(
                name=vm.name, host=host.name, cells=cells, pins=pins, shown=len(cells) > 1, emulator=own
            )
            break
    return placed


def _pins(
    vm: Vm, keys: list[tuple[str, int]], free: dict[tuple[str, int], set[int]], floating: dict[tuple[str, int], int]
) -> dict[int, frozenset[int]] | None:
    pins: dict[int, frozenset[int]] = {}
    taken: dict[tuple[str, int], set[int]] = {}
    for key, cell in zip(keys, vm.spec.cells, strict=True):
        if vm.spec.cpu_policy is CpuPolicy.SHARED:
            if not free[key] or floating[key] + len(cell.vcpus) > 4 * len(free[key]):
                return None
            pins.update(dict.fromkeys(cell.vcpus, frozenset(free[key])))
            continue
        own = sorted(free[key])
        if vm.spec.thread_policy is ThreadPolicy.ISOLATE:
            own = [cpu for cpu in own if cpu % 2 == 0 and cpu + 1 in free[key]]
        own = own[: len(cell.vcpus)]
        if len(own) < len(cell.vcpus):
            return None
        idle = {cpu ^ 1 for cpu in own} if vm.spec.thread_policy is ThreadPolicy.ISOLATE else set()
        taken[key] = {*own, *idle}
        pins.update({vcpu: frozenset({cpu}) for vcpu, cpu in zip(sorted(cell.vcpus), own, strict=True)})
    for key, cpus in taken.items():
        free[key] -= cpus
    if vm.spec.cpu_policy is CpuPolicy.SHARED:
        for key, cell in zip(keys, vm.spec.cells, strict=True):
            floating[key] += len(cell.vcpus)
    return pins


def _current(planned: PlanVm, known: bool) -> Current:
    nodes = tuple(next(iter(cell.nodes)) for cell in planned.cells)
    return Current(host=planned.host, nodes=nodes, pins=planned.pins if known else {})


def _change(vm: Vm, now: Current, planned: PlanVm) -> Change:
    if now.host != planned.host:
        return Change.MIGRATE
    if now.nodes != tuple(next(iter(cell.nodes)) for cell in planned.cells):
        return Change.RENODE
    same = vm.spec.cpu_policy is CpuPolicy.SHARED or now.pins == planned.pins
    return Change.NONE if same else Change.REPIN
