"""Reserve rules against all placements and all failures of small fleets, counted by hand-written search."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from placer.failures.kept import impossible_reserve
from placer.failures.refit import fitted_failures
from placer.failures.sweep import settled, sweep_failures
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.model.plan import Plan
from placer.model.vm import Current
from placer.options import SweepOptions
from placer.planner import solve_fleet, solve_with
from placer.read.inventory.inventory import parse_fleet
from placer.sweeps.tasks import Variant
from placer.whatif.headroom import headroom
from placer.whatif.headroom_ruled import ruled_headroom
from placer.whatif.minfleet import smallest_fleet
from placer.whatif.runway import solve_month

OPTIONS = SweepOptions(time_limit_s=20, rounds=2)


def made(caps: Sequence[int], vms: Sequence[int], rule: str = "fail: 1, scope: host") -> Fleet:
    """Return hosts of so many CPUs and VMs of so many vCPUs, under a reserve rule."""
    hosts = [
        f'  - {{name: h-{n}, nodes: [{{id: 0, cpus: "0-{cap - 1}", memory: 64GiB}}], labels: {{rack: r{n % 2}}}}}'
        for n, cap in enumerate(caps, start=1)
    ]
    guests = [
        f"  - {{name: v{n}, vcpus: {size}, memory: 1GiB, cells: none, labels: {{odd: {'yes' if n % 2 else 'no'}}}}}"
        for n, size in enumerate(vms)
    ]
    text = "\n".join(["schema: placer.inventory/v1", "hosts:", *hosts, "vms:", *guests])
    return parse_fleet(f"{text}\nrules: [{{reserve: {{{rule}}}}}]\n".encode(), "fleet.yaml", Path())


def fits(free: Sequence[int], sizes: Sequence[int]) -> bool:
    """Tell whether VMs of these sizes go into this room, by search."""
    if not sizes:
        return True
    first, rest = sizes[0], sizes[1:]
    return any(room >= first and fits([*free[:n], room - first, *free[n + 1 :]], rest) for n, room in enumerate(free))


def survives(caps: Sequence[int], vms: Sequence[int], where: Sequence[int]) -> bool:
    """Tell whether after every failure of one host its VMs fit on the others, where nothing moves."""
    free = free_of(caps, vms, where)
    lost = [[size for size, host in zip(vms, where, strict=True) if host == n] for n in range(len(caps))]
    return min(free) >= 0 and all(
        fits([room for n, room in enumerate(free) if n != failed], gone) for failed, gone in enumerate(lost)
    )


def free_of(caps: Sequence[int], vms: Sequence[int], where: Sequence[int]) -> list[int]:
    """Return the CPUs that each host has left, below 0 where its VMs do not fit."""
    return [cap - sum(size for size, host in zip(vms, where, strict=True) if host == n) for n, cap in enumerate(caps)]


def fewest_lost(caps: Sequence[int], vms: Sequence[int], where: Sequence[int]) -> int:
    """Return how many VMs have no place after the worst failure of one host, at the fewest."""
    free = free_of(caps, vms, where)
    worst = 0
    for failed in range(len(caps)):
        gone = [size for size, host in zip(vms, where, strict=True) if host == failed]
        rest = [room for n, room in enumerate(free) if n != failed]
        kept = (
            len(some)
            for many in range(len(gone) + 1)
            for some in itertools.combinations(gone, many)
            if fits(rest, some)
        )
        worst = max(worst, len(gone) - max(kept))
    return worst


def places(plan: Plan, vms: Sequence[int]) -> list[int]:
    """Return the host number of each VM."""
    return [int(plan.vm_by_name[f"v{n}"].host.partition("-")[2]) - 1 for n in range(len(vms))]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_called_survived_is_survived(seed: int) -> None:
    """A reserve that is said to be kept is kept in every failure; one proven impossible is kept by no placement."""
    rng = random.Random(seed)
    caps = [rng.choice([4, 6, 8]) for _ in range(3)]
    vms = [rng.choice([1, 2, 3, 4]) for _ in range(rng.randint(3, 5))]
    possible = any(survives(caps, vms, where) for where in itertools.product(range(3), repeat=len(vms)))
    fleet = made(caps, vms)
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2)
    kept = not plan.unplaced and all(one["proven"] for one in plan.summary["reserve"])
    rules = plan.goal("rules")
    if kept:
        assert survives(caps, vms, places(plan, vms))
        assert (rules.value, rules.status) == (0, "optimal")
    elif not plan.unplaced:
        # A plan that loses VMs is the best one only where no other loses fewer.
        least = min(
            fewest_lost(caps, vms, where)
            for where in itertools.product(range(3), repeat=len(vms))
            if min(free_of(caps, vms, where)) >= 0
        )
        assert rules.bound <= least <= rules.value and rules.value > 0
        assert rules.value == rules.bound or rules.status != "optimal"
    if impossible_reserve(fleet, fleet.rules[0], OPTIONS, solve_with) is not None:
        assert not possible
    # These seeds are small enough for the heuristic to find what there is.
    assert kept == possible


def test_room_is_kept_for_all_of_a_failure_where_room_for_the_lost_does_not_do() -> None:
    """Both VMs of the first host must go to one other: the third is emptied with the one move allowed."""
    text = """\
schema: placer.inventory/v1
hosts: [{name: h, count: 3, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}]
vms:
  - {name: a, count: 2, vcpus: 4, memory: 1GiB, cells: none, host: h-1, nodes: [0]}
  - {name: b, vcpus: 5, memory: 1GiB, cells: none, host: h-2, nodes: [0]}
  - {name: c, vcpus: 3, memory: 1GiB, cells: none, host: h-3, nodes: [0]}
rules: [{reserve: {fail: 1, scope: host}}]
"""
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    one = solve_fleet(fleet, goals=("placed", "rules"), max_moves=1, rounds=2)
    assert one.summary["reserve"][0]["proven"] and one.summary["worst_host_failure"]["vms_without_place"] == 0
    # Nothing that survives a failure may move for it, whatever the plan may: without a move nothing is promised.
    none = solve_fleet(fleet, goals=("placed", "rules"), max_moves=0, rounds=2)
    said = none.summary["reserve"][0]
    assert not said["proven"] and said["worst"] == {"domains": ["h-1"], "vms_lost": 1, "vcpus_lost": 4}
    assert (said["bound"], none.goal("rules").value, none.goal("rules").status) == (4, 1, "optimal")


def test_only_members_need_a_place() -> None:
    """Two full hosts lose whatever fails; where one VM alone counts, and it fits, the reserve is kept."""
    vms = (2, 4, 4)
    full = solve_fleet(made((6, 6), vms), goals=("placed", "rules"), rounds=2)
    assert not full.summary["reserve"][0]["proven"]
    rule = "fail: 1, scope: host, members: {name: v0}"
    some = solve_fleet(made((6, 6), vms, rule), goals=("placed", "rules"), rounds=2)
    assert some.summary["reserve"][0]["proven"]


def test_the_fewest_hosts_survive_what_they_are_bought_for() -> None:
    """Ten VMs, two a host: five hold them, and six are needed where one may fail; what is bought survives a sweep."""
    fleet = made((8,), (4,) * 10)
    found = smallest_fleet(dataclasses.replace(fleet, hosts=fleet.hosts[:1]), ["h-1"], time_limit_s=20)
    assert (found.hosts, found.cost, found.bound, found.status) == ({"h-1": 6}, 6, 6, "optimal")
    swept = sweep_failures(Variant(name="bought", fleet=found.fleet), found.plan, "host", OPTIONS)
    assert not swept.harmful and not swept.unknown


def test_growth_ends_where_a_failure_is_no_longer_survived() -> None:
    """Three hosts of four places hold eight VMs where one host may fail: eight fit, ten are proven not to."""
    from fractions import Fraction

    fleet = made((16, 16, 16), (4,) * 8)
    now = solve_month((fleet, Fraction(1, 8), OPTIONS), 0)
    later = solve_month((fleet, Fraction(1, 8), OPTIONS), 1)
    assert (now["vms"], now["reserve"], now["unplaced"]) == (8, True, 0)
    assert (later["vms"], later["reserve"], later["unplaced"], later["proven"]) == (10, False, 0, True)


@pytest.mark.parametrize("seed", range(4))
def test_headroom_is_as_many_as_survive(seed: int) -> None:
    """Beside VMs that are there, as many more of a flavor as some placement survives with; never more."""
    rng = random.Random(seed)
    caps = [rng.choice([4, 8]) for _ in range(3)]
    sizes = [rng.choice([2, 3]) for _ in range(2)]
    fleet = made(caps, sizes)
    fleet = settled(fleet, solve_fleet(fleet, goals=("placed", "rules"), rounds=2))
    known = [int(vm.current.host.partition("-")[2]) - 1 for vm in fleet.vms if vm.current is not None]
    most = max(
        (
            number
            for number in range(7)
            for where in itertools.product(range(3), repeat=number)
            if survives(caps, [*sizes, *[2] * number], [*known, *where])
        ),
        default=0,
    )
    (plain,) = headroom(fleet, [parse_flavor("2x1GiB")])
    from placer.planning.wanted import wanted_flavor

    found = ruled_headroom(fleet, wanted_flavor(parse_flavor("2x1GiB")), plain, OPTIONS)
    assert found.total == most and (found.at_most is None or found.at_most >= most)


def test_the_greedy_fit_promises_only_what_it_found() -> None:
    """Racks whose VMs fit lose none, and where no host is left all are lost; tied VMs are left to the planner."""
    fleet = made((8, 8, 8, 8), (4, 4, 4))
    fleet = settled(fleet, solve_fleet(dataclasses.replace(fleet, rules=()), goals=("placed",), rounds=2))
    racks = {rack: [host.name for host in fleet.hosts if host.labels["rack"] == rack] for rack in ("r0", "r1")}
    assert fitted_failures(fleet, racks, None) == {"r0": [], "r1": []}
    assert fitted_failures(fleet, {"all": [host.name for host in fleet.hosts]}, None) == {"all": ["v0", "v1", "v2"]}
    tied = parse_fleet(
        b"schema: placer.inventory/v1\nhosts: [{name: h, count: 3, nodes: [{id: 0, cpus: '0-7', memory: 8GiB}]}]\n"
        b"vms: [{name: v, count: 2, vcpus: 2, memory: 1GiB, cells: none, host: h-1, nodes: [0], labels: {a: b}}]\n"
        b"rules: [{anti_affinity: {a: b}, scope: host}]\n",
        "fleet.yaml",
        Path(),
    )
    assert fitted_failures(tied, {"one": ["h-1"], "empty": ["h-2"]}, None) == {"empty": []}


def test_hosts_alike_differ_where_one_holds_a_vm_that_counts() -> None:
    """Three full hosts, alike but for who needs a place: the failure of the one with a member is looked at itself."""
    fleet = made((2, 2, 2), (2, 2, 2), "fail: 1, scope: host, members: {name: v1}")
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2)
    said = plan.summary["reserve"][0]
    assert not said["proven"] and said["worst"]["vcpus_lost"] == 2
    assert said["worst"]["domains"] == [plan.vm_by_name["v1"].host]


@pytest.mark.parametrize("seed", range(8))
def test_three_of_five_hosts_fail_at_once(seed: int) -> None:
    """What is lost at worst when any three fail is what trying all of them says."""
    rng = random.Random(seed)
    caps = [rng.choice([4, 6]) for _ in range(5)]
    vms = [rng.choice([1, 2, 3]) for _ in range(5)]
    where = [rng.randrange(5) for _ in vms]
    left = [cap - sum(s for s, at in zip(vms, where, strict=True) if at == n) for n, cap in enumerate(caps)]
    if min(left) < 0:
        where = list(range(5))
        left = [cap - size for cap, size in zip(caps, vms, strict=True)]
    fleet = made(caps, vms, "fail: 3, scope: host")
    now = [Current(host=f"h-{at + 1}", nodes=(0,)) for at in where]
    there = [dataclasses.replace(vm, current=one) for vm, one in zip(fleet.vms, now, strict=True)]
    fleet = dataclasses.replace(fleet, vms=tuple(there))
    swept = sweep_failures(Variant(name="five", fleet=fleet), None, "host", OPTIONS, at_once=3)
    harmful = 0
    for failed in itertools.combinations(range(5), 3):
        gone = [size for size, at in zip(vms, where, strict=True) if at in failed]
        harmful += not fits([room for n, room in enumerate(left) if n not in failed], gone)
    assert swept.combinations == 10 and not swept.unknown
    assert swept.harmful_in_all == harmful


def test_what_is_not_looked_at_of_many_failures_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more combinations than are looked at the others are no proof."""
    monkeypatch.setattr("placer.failures.together.MOST_TOGETHER", 2)
    fleet = made((4, 5, 6, 7), (1, 1, 1, 1))
    fleet = settled(fleet, solve_fleet(dataclasses.replace(fleet, rules=()), goals=("placed",), rounds=2))
    swept = sweep_failures(Variant(name="four", fleet=fleet), None, "host", OPTIONS, at_once=3)
    assert swept.combinations == 4 and [one["domains"] for one in swept.unknown] == [["all others"]]
    assert swept.unknown_in_all == 2


def test_combinations_alike_are_all_counted() -> None:
    """Any three of eight full hosts leave VMs out: 56 failures, of which one speaks for all."""
    fleet = made((4,) * 8, (4,) * 8, "fail: 3, scope: host")
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2)
    said = plan.summary["reserve"][0]
    assert (said["failures"], said["harmful"], said["unknown"]) == (56, 56, 0)
