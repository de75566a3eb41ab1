"""Thousands of applications with limits between two of them on one host: how many hosts does that take?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.rules import Rule, RuleKind
from placer.model.units import KIB_PER_GIB
from placer.model.vm import Cell, CellMode, Vm, VmSpec

GOALS = "placed,rules,hosts"
CPUS, MEMORY_GIB = 64, 128
SIZES_OF_VMS = ((1, 2), (2, 3), (2, 7), (4, 9), (4, 15), (5, 13), (6, 19), (7, 22), (8, 31), (12, 43))
"""(vCPUs, GiB) of the VMs of an application; most are bound by memory, as hosts have 2 GiB a CPU."""
WEIGHTS = (10, 12, 14, 18, 18, 8, 8, 5, 5, 2)
COPIES = ((1, 45), (2, 20), (3, 10), (6, 12), (15, 8), (40, 4), (120, 1))
"""VMs of an application, and how often: most have few, few have most of them."""
LIMITS = ((0, 60), (1, 25), (2, 15))
"""VMs of the second application that a host may hold beside the first one, and how often."""
SELF = 0.1
"""Limits of which so many are of an application's own VMs: one or two a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    apps: int
    limits: int
    hosts: int
    time_limit_s: float = 300.0


_SIZES = {
    "2000": _Size(apps=2_000, limits=6_000, hosts=2_400, time_limit_s=120.0),
    "9000": _Size(apps=9_000, limits=24_000, hosts=10_000),
    SMOKE: _Size(apps=12, limits=24, hosts=30, time_limit_s=20.0),
}


def limited_fleet(*, seed: int, apps: int, limits: int, hosts: int) -> Fleet:
    """Return an empty fleet of hosts alike, and VMs of applications with so many limits between two of them."""
    rng = random.Random(f"{seed} {apps} {limits}")
    vms: list[Vm] = []
    for app in range(apps):
        vcpus, memory = rng.choices(SIZES_OF_VMS, WEIGHTS)[0]
        cell = Cell(vcpus=frozenset(range(vcpus)), memory_kib=memory * KIB_PER_GIB)
        spec = VmSpec(
            vcpus=vcpus,
            memory_kib=cell.memory_kib,
            cell_mode=CellMode.NONE,
            cells=(cell,),
            overhead_kib=0,
            labels={"app": f"app-{app}"},
        )
        many = rng.choices([copies for copies, _ in COPIES], [weight for _, weight in COPIES])[0]
        vms += [Vm(name=f"vm-{app}-{number}", spec=spec) for number in range(many)]
    rules: dict[tuple[int, int], Rule] = {}
    while len(rules) < limits:
        one, other = rng.randrange(apps), rng.randrange(apps)
        if rng.random() < SELF:
            other = one
        if one == other:
            most = rng.choice((1, 1, 2))
            rule = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": f"app-{one}"}, scope="host", max_per=most)
        else:
            most = rng.choices([limit for limit, _ in LIMITS], [weight for _, weight in LIMITS])[0]
            holding, counted = {"app": f"app-{one}"}, {"app": f"app-{other}"}
            rule = Rule(kind=RuleKind.APART, members=holding, others=counted, scope="host", max_per=most)
        rules.setdefault((one, other), rule)
    node = Node(id=0, cpus=frozenset(range(CPUS)), memory_kib=MEMORY_GIB * KIB_PER_GIB)
    topology = Topology(
        nodes=(node,),
        distances=((10.0,),),
        cores=tuple(frozenset((cpu, cpu + 1)) for cpu in range(0, CPUS, 2)),
        l3=(node.cpus,),
    )
    first = Host(name="host-0", topology=topology)
    named = (first, *(replace(first, name=f"host-{number}") for number in range(1, hosts)))
    return Fleet(hosts=named, vms=tuple(vms), rules=tuple(rules.values()))


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.contest import PLACER, compiled, peak_mib, result_row, run_placer
    from placer.check.check import check
    from placer.planning.decode.plan import plan_from_result
    from solvers.choice import Engine

    size = _SIZES[job.size]
    ways: tuple[tuple[str, Engine], ...] = ((PLACER, "auto"), ("placer's greedy engine", "greedy"))
    for seed in job.seeds:
        fleet = limited_fleet(seed=seed, apps=size.apps, limits=size.limits, hosts=size.hosts)
        made, compile_s = compiled(fleet, GOALS)
        for method, engine in ways:
            run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed, engine=engine)
            report = check(fleet, plan_from_result(made, run.result, seed=seed))
            row = result_row(made.problem, run.result, "hosts")
            yield {
                "method": method,
                "instance": f"{size.apps} applications, {len(fleet.vms)} VMs, {len(fleet.rules)} limits",
                "seed": seed,
                "time_limit_s": size.time_limit_s,
                **row,
                "status": row["status"] if report.ok else f"refused: {report.faults[0].message}",
                "rule_excess": report.measured["goals"].get("rules") if report.ok else None,
                "compile_s": compile_s,
                "seconds": run.seconds,
                "peak_mib": peak_mib(),
            }


SPEC = Spec(
    name="pairs",
    about="An empty fleet of hosts alike and thousands of applications: at most k VMs of one beside another on a host.",
    sizes={name: f"{size.apps} applications, {size.limits} limits" for name, size in _SIZES.items()},
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "unplaced_vcpus": "{:.0f}",
        "hosts": "{:.0f}",
        "gap_percent": "{:.3f}",
        "peak_mib": "{:.0f}",
    },
)
