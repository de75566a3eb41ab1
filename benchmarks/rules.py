"""An empty fleet in racks, with groups that must be apart or together: what do rules cost, and are they kept?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.instances import greenfield_hosts, greenfield_specs
from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.model.vm import DEFAULT_LOCALITY, Vm

GOALS = "placed,rules,remote"
GROUP = 6
WIDEST = 16
"""Members of groups have at most so many vCPUs, so that a group can be kept in one rack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    hosts: int
    vms: int
    racks: int
    shares: tuple[float, ...]
    time_limit_s: float = 60.0


_SIZES = {
    "30": _Size(hosts=30, vms=270, racks=6, shares=(0.0, 0.1, 0.3)),
    "100": _Size(hosts=100, vms=900, racks=10, shares=(0.0, 0.1, 0.3)),
    "300": _Size(hosts=300, vms=2700, racks=20, shares=(0.1, 0.3)),
    "1000": _Size(hosts=1000, vms=9000, racks=40, shares=(0.1,)),
    SMOKE: _Size(hosts=10, vms=50, racks=3, shares=(0.3,), time_limit_s=120.0),
}


def ruled_fleet(*, seed: int, hosts: int, vms: int, racks: int, share: float) -> Fleet:
    """Return an empty fleet of which a share of the VMs is in groups of six, each under one rule.

    By turns: at most one a host; at most two a rack; all in one rack; not in the first rack; only in the second.
    """
    random_ = random.Random(f"{seed} {hosts} {share}")
    flat = [spec for _, spec, count in greenfield_specs(vms, DEFAULT_LOCALITY) for _ in range(count)]
    random_.shuffle(flat)
    groups = round(share * len(flat)) // GROUP
    small = [number for number, spec in enumerate(flat) if spec.vcpus <= WIDEST]
    group_of = {number: group for group in range(groups) for number in small[group * GROUP : (group + 1) * GROUP]}
    made, rules = [], []
    for number, spec in enumerate(flat):
        group = group_of.get(number)
        own = spec if group is None else replace(spec, labels={"app": f"app-{group}"})
        made.append(Vm(name=f"vm-{number}", spec=own))
    for group in range(groups):
        members = {"app": f"app-{group}"}
        rules.append(
            (
                Rule(kind=RuleKind.ANTI_AFFINITY, members=members, scope="host"),
                Rule(kind=RuleKind.ANTI_AFFINITY, members=members, scope="rack", max_per=max(2, -(-GROUP // racks))),
                Rule(kind=RuleKind.AFFINITY, members=members, scope="rack"),
                Rule(kind=RuleKind.OUTSIDE, members=members, hosts={"rack": "r0"}),
                Rule(kind=RuleKind.WITHIN, members=members, hosts={"rack": "r1"}),
            )[group % 5]
        )
    labels = [{"rack": f"r{number}"} for number in range(racks)]
    return Fleet(hosts=greenfield_hosts(hosts, labels), vms=tuple(made), rules=tuple(rules))


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.contest import PLACER, compiled, result_row, run_placer
    from placer.check.check import check
    from placer.planning.decode.plan import plan_from_result
    from solvers.choice import Engine

    size = _SIZES[job.size]
    ways: tuple[tuple[str, Engine], ...] = ((PLACER, "auto"), ("placer's greedy engine", "greedy"))
    for seed in job.seeds:
        for share in size.shares:
            fleet = ruled_fleet(seed=seed, hosts=size.hosts, vms=size.vms, racks=size.racks, share=share)
            instance: Row = {
                "instance": f"{len(fleet.hosts)} hosts, {len(fleet.vms)} VMs, {len(fleet.rules)} rules",
                "seed": seed,
                "share": share,
                "time_limit_s": size.time_limit_s,
            }
            made, compile_s = compiled(fleet, GOALS)
            for method, engine in ways:
                run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed, engine=engine)
                report = check(fleet, plan_from_result(made, run.result, seed=seed))
                row = result_row(made.problem, run.result, "remote")
                yield {
                    "method": method,
                    **instance,
                    **row,
                    "status": row["status"] if report.ok else f"refused: {report.faults[0].message}",
                    "rule_excess": report.measured["goals"].get("rules") if report.ok else None,
                    "compile_s": compile_s,
                    "seconds": run.seconds,
                }


SPEC = Spec(
    name="rules",
    about="An empty fleet in racks, up to 30 % of its VMs under anti-affinity, affinity, within and outside.",
    sizes={name: f"{size.hosts} hosts in {size.racks} racks, {size.vms} VMs" for name, size in _SIZES.items()},
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "unplaced_vcpus": "{:.0f}",
        "rule_excess": "{:.0f}",
        "remote": "{:.3f}",
        "gap_percent": "{:.3f}",
    },
)
