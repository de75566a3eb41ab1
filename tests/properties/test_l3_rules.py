"""Rules over L3 domains: the counts bound them, pinning keeps them, and together they find what brute force finds."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import placer
from placer.check.check import check
from placer.read.inventory.inventory import parse_fleet

Domains = list[tuple[int, int, int]]
"""Host, node and CPUs of every L3 domain."""
Vms = list[tuple[int, str]]
"""vCPUs and label of every VM."""
Rules = list[tuple[str, str]]


def _random(seed: int) -> tuple[str, Domains, Vms, Rules]:
    draw = random.Random(seed)
    hosts, nodes, sizes = draw.choice([1, 2]), draw.choice([1, 2]), [draw.choice([2, 3, 4]) for _ in range(2)]
    vms = [(draw.randint(1, 4), draw.choice("xyz")) for _ in range(draw.randint(2, 4))]
    rules = [(draw.choice(["affinity", "anti_affinity"]), app) for app in "xy" if draw.random() < 0.7]
    rules = [(kind, app) for kind, app in rules if any(label == app for _, label in vms)]
    return _text(hosts, nodes, sizes, vms, rules), _domains(hosts, nodes, sizes), vms, rules


def _domains(hosts: int, nodes: int, sizes: list[int]) -> Domains:
    return [(host, node, size) for host in range(hosts) for node in range(nodes) for size in sizes]


def _text(hosts: int, nodes: int, sizes: list[int], vms: Vms, rules: Rules) -> str:
    width = sum(sizes)
    lines = ["schema: placer.inventory/v1", "hosts:", "  - name: h", f"    count: {hosts}", "    nodes:"]
    lines += [
        f'      - {{id: {node}, cpus: "{node * width}-{node * width + width - 1}", memory: 64GiB}}'
        for node in range(nodes)
    ]
    starts = [node * width + sum(sizes[:k]) for node in range(nodes) for k in range(len(sizes))]
    ends = [start + size - 1 for start, size in zip(starts, sizes * nodes, strict=True)]
    lines += ["    l3: [" + ", ".join(f'"{a}-{b}"' for a, b in zip(starts, ends, strict=True)) + "]"]
    lines += ["    threads_per_core: 1", "vms:"]
    lines += [
        f"  - {{name: v{n}, vcpus: {vcpus}, memory: 1GiB, cells: none, labels: {{app: {app}}}}}"
        for n, (vcpus, app) in enumerate(vms)
    ]
    lines += ["rules:"] * bool(rules) + [f"  - {{{kind}: {{app: {app}}}, scope: l3}}" for kind, app in rules]
    return "\n".join(lines) + "\n"


def _ways(vcpus: int, domains: Domains) -> Iterator[dict[int, int]]:
    """Yield every split of a VM over the L3 domains of one node."""
    for place in sorted({(host, node) for host, node, _ in domains}):
        here = [n for n, (host, node, _) in enumerate(domains) if (host, node) == place]
        for split in itertools.product(*(range(min(vcpus, domains[n][2]) + 1) for n in here)):
            if sum(split) == vcpus:
                yield {n: share for n, share in zip(here, split, strict=True) if share}


def _kept(chosen: list[dict[int, int]], vms: Vms, rules: Rules) -> bool:
    for kind, app in rules:
        touched = Counter(domain for way, (_, label) in zip(chosen, vms, strict=True) if label == app for domain in way)
        if len(touched) > 1 if kind == "affinity" else any(count > 1 for count in touched.values()):
            return False
    return True


def _least_left_out(domains: Domains, vms: Vms, rules: Rules) -> tuple[int, int]:
    """Return the fewest vCPUs, then VMs, without a place over all ways to place all VMs."""
    best = (sum(vcpus for vcpus, _ in vms), len(vms))
    ways = [[{}, *_ways(vcpus, domains)] for vcpus, _ in vms]

    def place(chosen: list[dict[int, int]], room: list[int], out: tuple[int, int]) -> None:
        nonlocal best
        if out >= best:
            return
        if len(chosen) == len(vms):
            best = min(best, out) if _kept(chosen, vms, rules) else best
            return
        for way in ways[len(chosen)]:
            left = [free - way.get(n, 0) for n, free in enumerate(room)]
            if min(left) >= 0:
                more = (0, 0) if way else (vms[len(chosen)][0], 1)
                place([*chosen, way], left, (out[0] + more[0], out[1] + more[1]))

    place([], [size for _, _, size in domains], (0, 0))
    return best


@pytest.mark.parametrize("seed", [*range(24), 46, 68, 76, 97])
def test_as_many_are_placed_as_can_be(seed: int) -> None:
    """Of small random fleets no more vCPUs or VMs stay out than must, and the goal says that this is proven."""
    text, domains, vms, rules = _random(seed)
    fleet = parse_fleet(text.encode(), None, Path())
    plan = placer.solve(fleet)
    left = [vms[int(one.name.removeprefix("v"))][0] for one in plan.unplaced]
    assert (sum(left), len(left)) == _least_left_out(domains, vms, rules)
    assert plan.goals[0].status == "optimal"


def _live(members: list[str], more: str = "") -> str:
    """Return a host with one node of two L3 domains of four CPUs, an affinity over L3 and these members."""
    return (
        "schema: placer.inventory/v1\nhosts:\n  - name: h\n"
        '    nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]\n    l3: ["0-3", "4-7"]\n    threads_per_core: 1\nvms:\n'
        + "".join(f"  - {{memory: 1GiB, cells: none, labels: {{app: x}}, {member}}}\n" for member in members)
        + more
        + "rules:\n  - {affinity: {app: x}, scope: l3}\n"
    )


@pytest.mark.parametrize(
    "other",
    [
        'name: b, vcpus: 3, host: h, nodes: [0], pins: {0: "4", 1: "5", 2: "6"}',
        "name: b, vcpus: 2, cpu_policy: shared, host: h, nodes: [0]",
    ],
    ids=["pinned", "floating"],
)
def test_an_affinity_that_is_broken_now_may_stay_so(other: str) -> None:
    """What cannot be mended without moves stays as it is beside a newcomer, and the goal says what it is worth."""
    first = 'name: a, vcpus: 3, host: h, nodes: [0], pins: {0: "0", 1: "1", 2: "2"}'
    text = _live([first, other], "  - {name: new, vcpus: 1, memory: 1GiB, cells: none}\n")
    fleet = parse_fleet(text.encode(), None, Path())
    plan = placer.solve(fleet)
    assert not plan.unplaced and check(fleet, plan).ok
    rules = next(goal for goal in plan.goals if goal.name == "rules")
    assert (rules.value, rules.bound, rules.status) == (1, 0, "feasible")


def test_floating_vcpus_share_no_l3_domain_of_several() -> None:
    """A shared VM floats over its node: where that has several L3 domains, an affinity over L3 leaves it out."""
    fleet = parse_fleet(_live(["name: a, vcpus: 1, cpu_policy: shared"]).encode(), None, Path())
    assert [one.name for one in placer.solve(fleet).unplaced] == ["a"]


@pytest.mark.parametrize(("wide", "out"), [(4, ["floats"]), (3, [])])
def test_a_member_that_floats_keeps_a_cpu_only_where_it_is(wide: int, out: list[str]) -> None:
    """A member with all CPUs of the only L3 domain has its place where the one that floats has none beside it."""
    text = (
        "schema: placer.inventory/v1\nhosts:\n  - {name: h, overcommit: 4, threads_per_core: 1, l3: [0-3],\n"
        '     nodes: [{id: 0, cpus: "0-3", memory: 64GiB}]}\nvms:\n'
        f"  - {{name: wide, vcpus: {wide}, memory: 1GiB, cells: none, labels: {{app: x}}}}\n"
        "  - {name: floats, vcpus: 1, memory: 1GiB, cells: none, cpu_policy: shared, labels: {app: x}}\n"
        "rules:\n  - {affinity: {app: x}, scope: l3}\n"
    )
    plan = placer.solve(parse_fleet(text.encode(), None, Path()), goals="placed,rules", rounds=5)
    assert [one.name for one in plan.unplaced] == out and plan.goals[0].status == "optimal"
