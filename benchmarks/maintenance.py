"""Every host empty once: waves and moves beside Ganeti's hroller and beside draining one host after the other.

One-node hosts whose CPUs are plenty, so that all mean the same by room. hroller asks for no room for failures: placer
runs without a reserve, and once more with one. States are judged by sums, and by a program for each failure.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence

from benchmarks.headroom import SIZES, fleet_of, lost
from benchmarks.peers.environment import PeerMissingError
from benchmarks.peers.ganeti import METHOD, Guest, Machine, hroller
from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.fleet import Fleet
from placer.whatif.maintain import Maintenance, maintain

SECONDS = 10.0
SPAN = {"hosts": (10, 40), SMOKE: (6, 6)}
RESERVE = "{reserve: {fail: 1, scope: host}}"


def drawn(size: str, seed: int) -> tuple[list[Machine], list[Guest]]:
    """Return hosts, and VMs on them such that any host may fail."""
    rng = random.Random(f"maintenance {seed}")
    while True:
        machines = [Machine(gib, gib) for gib in (rng.choice((64, 96, 128)) for _ in range(rng.randint(*SPAN[size])))]
        share = rng.uniform(0.3, 0.75) * sum(one.gib for one in machines)
        free = [one.gib for one in machines]
        guests: list[Guest] = []
        while sum(one.gib for one in guests) < share:
            vcpus, gib = rng.choice(SIZES)
            able = [n for n, room in enumerate(free) if room >= gib]
            if not able:
                break
            guests.append(Guest(vcpus, gib, rng.choice(able)))
            free[guests[-1].host] -= gib
        if not any(lost(machines, guests, failed) for failed in range(len(machines))):
            return machines, guests


def drained(
    machines: Sequence[Machine], guests: Sequence[Guest], groups: Sequence[Sequence[int]] | None = None
) -> tuple[int, int] | None:
    """Return waves and moves when groups of hosts are drained one after the other, each VM to where it fits best, hosts
    that are done first; None where a VM then fits nowhere.

    Without groups the emptiest host is the next.
    """
    at = [one.host for one in guests]
    order = None if groups is None else iter(groups)
    done: set[int] = set()
    waves, moves = 0, 0
    while len(done) < len(machines):
        free = [one.gib for one in machines]
        for guest, host in zip(guests, at, strict=True):
            free[host] -= guest.gib
        left = set(range(len(machines))) - done
        out = set(next(order)) if order is not None else {max(left, key=lambda n: (free[n] - machines[n].gib, -n))}
        for number in sorted((n for n, own in enumerate(at) if own in out), key=lambda n: (-guests[n].gib, n)):
            able = [n for n, room in enumerate(free) if n not in out and room >= guests[number].gib]
            if not able:
                return None
            at[number] = min(able, key=lambda n: (n not in done, free[n], n))
            free[at[number]] -= guests[number].gib
            moves += 1
        done |= out
        waves += 1
    return waves, moves


def _placer(machines: Sequence[Machine], guests: Sequence[Guest], rules: str) -> Row:
    began = time.monotonic()
    fleet = fleet_of(machines, guests, rules)
    found = maintain(fleet, [host.name for host in fleet.hosts], parallel=len(machines), time_limit_s=SECONDS)
    seconds = time.monotonic() - began
    faults = sum(_faults(machines, wave.away, wave.hosts, rules) for wave in found.waves)
    return {
        "method": "placer, one may fail" if rules else "placer",
        "seconds": seconds,
        "status": "stuck" if found.stuck else "wrong" if faults else "within one" if _near(found) else "feasible",
        "waves": len(found.waves),
        "waves_bound": found.waves_bound,
        "moves": found.moves,
        "moves_bound": found.moves_bound,
        "faults": faults,
    }


def _near(found: Maintenance) -> bool:
    return len(found.waves) <= found.waves_bound + 1


def _faults(machines: Sequence[Machine], away: Fleet, gone: Sequence[str], rules: str) -> int:
    """Return what is wrong while these hosts are out: VMs on them, hosts over their memory, failures that lose VMs."""
    number = {host.name: n for n, host in enumerate(away.hosts)}
    out = {number[name] for name in gone}
    there = [
        Guest(vm.spec.vcpus, vm.spec.memory_kib >> 20, number[vm.current.host])
        for vm in away.vms
        if vm.current is not None
    ]
    left = [Machine(0, 0) if n in out else one for n, one in enumerate(machines)]
    load = [sum(one.gib for one in there if one.host == n) for n in range(len(left))]
    wrong = sum(many > one.gib for many, one in zip(load, left, strict=True))
    return wrong + (sum(lost(left, there, n) > 0 for n in range(len(left)) if n not in out) if rules else 0)


def rows_of(size: str, seed: int) -> Iterator[Row]:
    """Yield a row a method for one fleet."""
    machines, guests = drawn(size, seed)
    common = {"instance": f"{len(machines)} hosts, {len(guests)} VMs", "seed": seed}
    for rules in ("", RESERVE):
        yield {**common, **_placer(machines, guests, rules)}
    began = time.monotonic()
    yield {**common, "method": "one by one", **_told(drained(machines, guests), time.monotonic() - began)}
    method = METHOD.format("hroller")
    began = time.monotonic()
    try:
        groups = hroller(machines, guests)
    except PeerMissingError as error:
        yield {**common, "method": method, "seconds": math.nan, "status": f"missing: {error}"}
        return
    seconds = time.monotonic() - began
    # It chooses groups, not where VMs go: moves are those of draining its groups.
    row = _told(drained(machines, guests, groups), seconds)
    yield {**common, "method": method, **row, "waves": len(groups)}


def _told(found: tuple[int, int] | None, seconds: float) -> Row:
    if found is None:
        return {"seconds": seconds, "status": "stuck"}
    return {"seconds": seconds, "status": "feasible", "waves": found[0], "moves": found[1]}


def _measure(job: Job) -> Iterator[Row]:
    for seed in job.seeds:
        yield from rows_of(job.size, seed)


SPEC = Spec(
    name="maintenance",
    about="Every host empty once: how many waves and moves, beside Ganeti's hroller and one host after the other?",
    sizes={"hosts": "10 to 40 hosts", SMOKE: "6 hosts"},
    measure=_measure,
    seeds=20,
    columns={"seconds": "{:.3f}", "waves": "{:.0f}", "moves": "{:.0f}", "faults": "{:.0f}"},
)
