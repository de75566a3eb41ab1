"""All failures of small fleets in one model: what is lost in any plan, and a plan that loses no more."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.reserves import drawn, solved
from placer.failures.few_hosts import MOST_HOSTS, NOTHING, lost_together, most_together
from placer.model.rules import Rule, RuleKind
from placer.options import SweepOptions

OPTIONS = SweepOptions(time_limit_s=600)
RESERVE = Rule(kind=RuleKind.RESERVE, scope="host", fail=1)


@pytest.mark.parametrize("seed", [90001, 90014, 90039, 90077, 90083, 90089, 90123, 90203, 90258])
def test_value_and_bound_are_those_of_all_plans(seed: int) -> None:
    """Two failures at once, racks, members, moves, nodes: what the plan loses is the least, and proven, by counting."""
    assert solved(drawn(seed)) == ([], True)


def test_what_any_plan_loses(build: Any) -> None:
    """Three VMs of three vCPUs on hosts of four, four and eight: the large one loses one of them however they lie."""
    hosts = [*(build.host(f"h{n}", build.topology(1, 4)) for n in range(2)), build.host("large", build.topology(1, 8))]
    vms = [build.vm(f"v{n}", build.spec(3, 1, cells=1)) for n in range(3)]
    found = lost_together(build.fleet(hosts, vms), RESERVE, OPTIONS)
    assert found.at_least == 3 and set(found.hosts) == {"v0", "v1", "v2"}
    assert lost_together(build.fleet(hosts, vms[:2]), RESERVE, OPTIONS).at_least == 0


@pytest.mark.parametrize(("keep", "least"), [("wide", 6), ("narrow", 3), (None, 6)])
def test_only_members_need_a_place(build: Any, keep: str | None, least: int) -> None:
    """Of six vCPUs that only the large host holds, and three on the small one, none fits beside the other."""
    hosts = [build.host(f"h{cpus}", build.topology(1, cpus)) for cpus in (4, 8)]
    sizes = {"wide": 6, "narrow": 3}
    vms = [build.vm(name, build.spec(vcpus, 1, cells=1, labels={"is": name})) for name, vcpus in sizes.items()]
    rule = Rule(kind=RuleKind.RESERVE, scope="host", fail=1, members={"is": keep} if keep else None)
    assert lost_together(build.fleet(hosts, vms), rule, OPTIONS).at_least == least


def test_nothing_is_said_of_large_fleets(build: Any) -> None:
    """The model has every failure, and every host in each."""
    hosts = [build.host(f"h{n}", build.topology(1, 4)) for n in range(MOST_HOSTS + 1)]
    assert lost_together(build.fleet(hosts, [build.vm("v", build.spec(3, 1, cells=1))]), RESERVE, OPTIONS) == NOTHING


def test_how_many_more_survive_a_failure(build: Any) -> None:
    """Two VMs of three vCPUs on hosts of four, four and eight: two more fit on the large one, and none where it fails;
    beside a second large host all four do.
    """
    hosts = [*(build.host(f"h{n}", build.topology(1, 4)) for n in range(2)), build.host("large", build.topology(1, 8))]
    there = [build.vm(f"v{n}", build.spec(3, 1, cells=1), current=build.now(f"h{n}", (0,))) for n in range(2)]
    new = [build.vm(f"n{n}", build.spec(2, 1, cells=1)) for n in range(4)]
    found = most_together(build.fleet(hosts, [*there, *new]), [RESERVE], OPTIONS)
    assert found is not None and (found.at_most, found.hosts) == (0, {})
    roomy = build.fleet([*hosts, build.host("more", build.topology(1, 8))], [*there, *new])
    found = most_together(roomy, [RESERVE], OPTIONS)
    assert found is not None and found.at_most == len(found.hosts) == 4


def test_no_number_survives_what_is_lost_already(build: Any) -> None:
    """A VM that only its own host holds is lost with it: it is not known that none fit, and nothing is said."""
    hosts = [build.host("small", build.topology(1, 2)), build.host("large", build.topology(1, 8))]
    there = build.vm("v", build.spec(6, 1, cells=1), current=build.now("large", (0,)))
    fleet = build.fleet(hosts, [there, build.vm("n", build.spec(1, 1, cells=1))])
    assert most_together(fleet, [RESERVE], OPTIONS) is None
