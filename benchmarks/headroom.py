"""How many more VMs fit on running one-node hosts of which one may fail, beside Ganeti's hspace in the same run.

On `memory` fleets CPUs are plenty and both mean the same; on `cpus` fleets CPUs run out first, which hspace does not
count after a failure. A state of hspace's is judged by an integer program for each failure, one's own.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ortools.sat.python import cp_model

from benchmarks.peers.environment import PeerMissingError
from benchmarks.peers.ganeti import METHOD, Guest, Machine, hspace
from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.fleet import Fleet
from placer.options import SweepOptions
from placer.planning.wanted import wanted_like
from placer.read.inventory.inventory import parse_fleet
from placer.whatif.headroom import headroom
from placer.whatif.headroom_ruled import ruled_headroom

SIZES = ((1, 2), (2, 4), (2, 8), (4, 8), (4, 16), (8, 16))
"""vCPUs and GiB of the VMs that run."""
SECONDS = 60.0


def drawn(size: str, seed: int) -> tuple[list[Machine], list[Guest], tuple[int, int]]:
    """Return hosts, the VMs on them, and the vCPUs and GiB of the VMs to come; one of these runs."""
    rng = random.Random(f"{size} {seed}")
    machines = []
    for _ in range(rng.randint(4, 9)):
        gib = rng.choice((64, 96, 128))
        machines.append(Machine(gib if size == "memory" else rng.choice((16, 24, 32, 48)), gib))
    wanted = (rng.choice((2, 3, 4, 5, 8)), rng.choice((4, 8, 12, 16)))
    if size == "memory":
        wanted = (min(wanted), wanted[1])
    free = [[one.cpus, one.gib] for one in machines]
    guests: list[Guest] = []
    share = rng.uniform(0.2, 0.6)
    while sum(one.gib for one in guests) < share * sum(one.gib for one in machines) or not guests:
        vcpus, gib = rng.choice((*SIZES, wanted)) if guests else wanted
        able = [n for n, room in enumerate(free) if room[0] >= vcpus and room[1] >= gib]
        if not able:
            break
        host = rng.choice(able)
        free[host][0] -= vcpus
        free[host][1] -= gib
        guests.append(Guest(vcpus, gib, host))
    return machines, guests, wanted


def fleet_of(machines: Sequence[Machine], guests: Sequence[Guest], rules: str = "") -> Fleet:
    """Return hosts of one node and VMs of one cell, without overhead, as an inventory."""
    lines = ["schema: placer.inventory/v1", "hosts:"]
    for number, one in enumerate(machines):
        lines.append(f'  - {{name: n{number}, nodes: [{{id: 0, cpus: "0-{one.cpus - 1}", memory: {one.gib}GiB}}]}}')
    lines.append("vms:")
    for number, guest in enumerate(guests):
        needs = f"vcpus: {guest.vcpus}, memory: {guest.gib}GiB, overhead: 0, cells: none"
        lines.append(f"  - {{name: v{number}, {needs}, host: n{guest.host}, nodes: [0]}}")
    if rules:
        lines.append(f"rules: [{rules}]")
    return parse_fleet("\n".join(lines).encode(), "fleet.yaml", Path())


def lost(machines: Sequence[Machine], guests: Sequence[Guest], failed: int) -> int:
    """Return how many VMs of a host have no place on the others at best, while nothing else moves."""
    need = Counter((one.vcpus, one.gib) for one in guests if one.host == failed)
    model = cp_model.CpModel()
    put = {
        (host, kind): model.new_int_var(0, many, "")
        for host in range(len(machines))
        if host != failed
        for kind, many in need.items()
    }
    for kind, many in need.items():
        model.add(sum(put[host, kind] for host in range(len(machines)) if host != failed) <= many)
    for host, one in enumerate(machines):
        if host != failed:
            there = [guest for guest in guests if guest.host == host]
            cpus, gib = one.cpus - sum(g.vcpus for g in there), one.gib - sum(g.gib for g in there)
            model.add(sum(kind[0] * put[host, kind] for kind in need) <= max(0, cpus))
            model.add(sum(kind[1] * put[host, kind] for kind in need) <= max(0, gib))
    model.maximize(sum(put.values()))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    if solver.solve(model) != cp_model.OPTIMAL:
        raise AssertionError("so small a program was not solved")
    return need.total() - round(solver.objective_value)


def rows_of(size: str, seed: int) -> Iterator[Row]:
    """Yield a row of placer and one of hspace for one fleet: how many more, at most, and failures that lose VMs."""
    machines, guests, (vcpus, gib) = drawn(size, seed)
    common = {"instance": f"{len(machines)} hosts, {len(guests)} VMs, {vcpus}x{gib}GiB", "seed": seed}
    began = time.monotonic()
    fleet = fleet_of(machines, guests, "{reserve: {fail: 1, scope: host}}")
    wanted = wanted_like(fleet, "v0")
    (plain,) = headroom(fleet, [wanted])
    found = ruled_headroom(fleet, wanted, plain, SweepOptions(time_limit_s=SECONDS))
    more = [Guest(vcpus, gib, n) for n, many in enumerate(found.counts) for _ in range(many)]
    yield {
        **common,
        "method": "placer",
        "seconds": time.monotonic() - began,
        "status": "optimal" if found.total == found.at_most else "feasible",
        "more": found.total,
        "at_most": found.at_most,
        **_judged(machines, [*guests, *more]),
    }
    began = time.monotonic()
    method = METHOD.format("hspace")
    try:
        after = hspace(machines, guests, vcpus, gib)
    except PeerMissingError as error:
        yield {**common, "method": method, "seconds": math.nan, "status": f"missing: {error}"}
        return
    seconds = time.monotonic() - began
    judged = _judged(machines, after)
    status = "survives" if not judged["harmful"] else "does not survive"
    yield {**common, "method": method, "seconds": seconds, "status": status, "more": len(after) - len(guests), **judged}


def _judged(machines: Sequence[Machine], guests: Sequence[Guest]) -> dict[str, int]:
    """Return how many failures leave VMs without a place, and how many VMs the worst of them does."""
    found = [lost(machines, guests, failed) for failed in range(len(machines))]
    return {"harmful": sum(one > 0 for one in found), "vms_lost": max(found)}


def _measure(job: Job) -> Iterator[Row]:
    for seed in job.seeds:
        yield from rows_of("memory" if job.size == SMOKE else job.size, seed)


SPEC = Spec(
    name="headroom",
    about="How many more VMs fit on one-node hosts of which one may fail, beside Ganeti's hspace?",
    sizes={"memory": "CPUs are plenty", "cpus": "CPUs run out first", SMOKE: "CPUs are plenty"},
    measure=_measure,
    seeds=10,
    columns={"seconds": "{:.3f}", "more": "{:.0f}", "harmful": "{:.0f}"},
)
