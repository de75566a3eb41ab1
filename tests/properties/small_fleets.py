"""Random small fleets that use every policy: at most 3 hosts, 4 nodes, 8 CPUs a host, 6 VMs."""

from __future__ import annotations

import dataclasses
import random

from placer.model.fleet import Fleet
from placer.model.host import Device, Host, Node, NodeKind, Reserve, Topology
from placer.model.rules import Rule, RuleKind
from placer.model.vm import (
    Cell,
    CellMode,
    CpuPolicy,
    Current,
    DeviceRequest,
    EmulatorPolicy,
    PinPolicy,
    ThreadPolicy,
    Vm,
    VmSpec,
)

GIB = 1024 * 1024


def small_fleet(seed: int) -> Fleet:
    """Return the fleet of a seed."""
    rng = random.Random(seed)
    shapes = [_topology(rng) for _ in range(rng.choice((1, 1, 2)))]
    hosts = []
    for number in range(rng.randint(1, 3)):
        topology = shapes[number % len(shapes)]
        reserve = Reserve(cpus=frozenset({min(topology.cpus)}) if rng.random() < 0.3 else frozenset())
        hosts.append(
            Host(
                name=f"h{number}",
                topology=topology,
                reserve=reserve,
                cpu_ratio=rng.choice((1.0, 2.0, 1.5)),
                cost=rng.choice((1.0, 1.0, 2.5)),
                labels={"rack": f"r{number % 2}"},
                resources={"disk": 20},
            )
        )
    vms = tuple(_vm(rng, number) for number in range(rng.randint(2, 6)))
    apps = {vm.spec.labels["app"] for vm in vms}
    rules = tuple(rule for rule in _rules(rng) if rule.members is None or rule.members["app"] in apps)
    return Fleet(hosts=tuple(hosts), vms=vms, rules=rules)


def small_live_fleet(seed: int) -> Fleet:
    """Return a fleet of which most VMs are already somewhere feasible, a few of them on unknown nodes, the rest still
    to come.
    """
    from placer.model.goals import parse_goals
    from placer.planning.after import fleet_after
    from placer.planning.compile.compile import compile_fleet
    from placer.planning.decode.plan import plan_from_result
    from solvers.starts.best_fit import solve_greedy

    rng = random.Random(seed)
    fleet = small_fleet(seed)
    empty = dataclasses.replace(fleet, rules=())
    compiled = compile_fleet(empty, parse_goals("placed", empty))
    plan = plan_from_result(compiled, solve_greedy(compiled.problem, seed=seed), seed=seed)
    vms = []
    for vm in fleet_after(fleet, plan).vms:
        draw = rng.random()
        if vm.current is None or draw < 0.15:
            vms.append(dataclasses.replace(vm, current=None))
        elif draw < 0.3:
            vms.append(dataclasses.replace(vm, current=Current(host=vm.current.host), pin=PinPolicy.MUST))
        else:
            vms.append(vm)
    return dataclasses.replace(fleet, vms=tuple(vms), rules=())


def _topology(rng: random.Random) -> Topology:
    count, width = rng.choice(((1, 1), (1, 2), (2, 1), (2, 2), (2, 4), (4, 1), (4, 2)))
    cores_per_node = max(1, rng.choice((4, 6, 8)) // (count * width))
    cores, nodes, cpu = [], [], 0
    for node in range(count):
        own: list[int] = []
        for _ in range(cores_per_node):
            cores.append(frozenset(range(cpu, cpu + width)))
            own.extend(range(cpu, cpu + width))
            cpu += width
        pages = {2048: rng.choice((0, 512))} if rng.random() < 0.3 else {}
        nodes.append(Node(id=node, cpus=frozenset(own), memory_kib=rng.choice((4, 6, 8)) * GIB, pages=pages))
    near = rng.choice((12.0, 21.0))
    far = rng.choice((21.0, 32.0))
    rows = [[10.0 if i == j else near if i // 2 == j // 2 else far for j in range(count)] for i in range(count)]
    if count == 4 and rng.random() < 0.3:
        rows[0][3] = 28.0
    if rng.random() < 0.2:
        for row in rows:
            row.append(17.0)
        rows.append([17.0] * count + [10.0])
        nodes.append(Node(id=count, memory_kib=4 * GIB, kind=NodeKind.MEMORY_ONLY))
    devices = (
        (Device(address="0000:01:00.0", kind="nic", node=rng.randrange(count), count=rng.choice((1, 2))),)
        if rng.random() < 0.5
        else ()
    )
    half = max(1, count // 2)
    packages = [frozenset().union(*(n.cpus for n in nodes[p : p + half])) for p in range(0, count, half)]
    return Topology(
        nodes=tuple(nodes),
        distances=tuple(map(tuple, rows)),
        cores=tuple(cores),
        packages=tuple(packages),
        devices=devices,
    )


def _vm(rng: random.Random, number: int) -> Vm:
    vcpus = rng.choice((1, 1, 2, 2, 3, 4))
    memory = vcpus * rng.choice((1, 1, 2)) * GIB
    mode, cells, interleave = rng.choice((CellMode.AUTO, CellMode.AUTO, CellMode.NONE, CellMode.GIVEN)), (), 1
    if mode is CellMode.NONE:
        interleave = 2 if vcpus > 1 and rng.random() < 0.3 else 1
        cells = (Cell(vcpus=frozenset(range(vcpus)), memory_kib=memory),)
    elif mode is CellMode.GIVEN:
        cells = _cells(rng, vcpus, memory)
    policy = rng.choice((CpuPolicy.DEDICATED, CpuPolicy.DEDICATED, CpuPolicy.SHARED, CpuPolicy.MIXED))
    if policy is CpuPolicy.MIXED and vcpus == 1:
        policy = CpuPolicy.DEDICATED
    devices = (DeviceRequest(kind="nic", policy=rng.choice(("required", "preferred"))),) if rng.random() < 0.15 else ()
    spec = VmSpec(
        vcpus=vcpus,
        memory_kib=memory,
        cell_mode=mode,
        cells=cells,
        interleave=interleave,
        overhead_kib=rng.choice((0, 0, 64 * 1024)),
        locality=rng.choice((0.8, 0.8, 0.5, None)),
        page_kib=2048 if rng.random() < 0.15 else None,
        cpu_policy=policy,
        dedicated_vcpus=frozenset(range(1, vcpus)) if policy is CpuPolicy.MIXED else frozenset(),
        thread_policy=rng.choice(
            (ThreadPolicy.PREFER, ThreadPolicy.PREFER, ThreadPolicy.ISOLATE, ThreadPolicy.REQUIRE)
        ),
        emulator_threads=rng.choice((None, None, EmulatorPolicy.ISOLATE)),
        weight=rng.choice((1.0, 1.0, 3.0)),
        priority=rng.choice((0, 0, 0, 5)),
        share_node=rng.random() < 0.1,
        memory_tier="any" if rng.random() < 0.15 else "normal",
        devices=devices,
        resources={"disk": rng.choice((5, 10))} if rng.random() < 0.2 else {},
        labels={"app": rng.choice(("db", "web", "batch"))},
    )
    return Vm(name=f"v{number}", spec=spec)


def _cells(rng: random.Random, vcpus: int, memory: int) -> tuple[Cell, ...]:
    if vcpus == 1 or rng.random() < 0.3:
        return (Cell(vcpus=frozenset(range(vcpus)), memory_kib=memory),)
    first = rng.randint(1, vcpus - 1)
    part = rng.randint(1, memory // GIB - 1) * GIB if memory >= 2 * GIB else memory // 2
    return (
        Cell(vcpus=frozenset(range(first)), memory_kib=part),
        Cell(vcpus=frozenset(range(first, vcpus)), memory_kib=memory - part),
    )


def _rules(rng: random.Random) -> tuple[Rule, ...]:
    rules = []
    if rng.random() < 0.3:
        rules.append(
            Rule(
                kind=RuleKind.ANTI_AFFINITY,
                members={"app": "db"},
                scope=rng.choice(("host", "node", "rack")),
                max_per=rng.choice((1, 1, 2)),
            )
        )
    if rng.random() < 0.2:
        rules.append(Rule(kind=RuleKind.AFFINITY, members={"app": "web"}, scope=rng.choice(("host", "rack", "node"))))
    if rng.random() < 0.2:
        rules.append(
            Rule(kind=rng.choice((RuleKind.WITHIN, RuleKind.OUTSIDE)), members={"app": "batch"}, hosts={"rack": "r0"})
        )
    if rng.random() < 0.1:
        rules.append(Rule(kind=RuleKind.DRAIN, hosts={"name": "h0"}))
    return tuple(rules)
