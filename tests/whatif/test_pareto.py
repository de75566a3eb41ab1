"""The plans that none beats in remote access, hosts and moves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from placer.errors import InputError
from placer.model.rules import Rule, RuleKind
from placer.options import SweepOptions
from placer.sweeps.answers import answer_fault
from placer.sweeps.tasks import Variant
from placer.whatif.compare import solve_variant
from placer.whatif.pareto import front, pareto, usual_moves

OPTIONS = SweepOptions(time_limit_s=20)


def row(remote: float, hosts: float, moves: int, *, placed: int = 8, proven: bool = True) -> dict[str, Any]:
    """Return a row with what the front looks at."""
    return {
        "remote_access": remote,
        "host_cost": hosts,
        "moves": moves,
        "vcpus_placed": placed,
        "proven": proven,
    }


def test_the_front_keeps_what_none_beats() -> None:
    """A row worse in one and better in none goes; so does one that places less; of equal ones the proven stays."""
    rows = [row(1, 3, 0), row(2, 3, 0), row(0, 4, 0), row(0, 2, 5, placed=7), row(1, 3, 0, proven=False), row(1, 2, 1)]
    assert front(rows) == (rows[0], rows[2], rows[5])
    assert front([rows[4], rows[0]]) == (rows[0],)


def test_fewer_hosts_against_nearer_memory(build: Any) -> None:
    """A VM of six vCPUs spans the nodes of a small host at cost 1, and fits one node of the host of cost 2."""
    small = build.host("small", build.topology(2, 4), cost=1.0)
    large = build.host("large", build.topology(1, 8), cost=2.0)
    fleet = build.fleet([small, large], [build.vm("v", build.spec(6, 2, cells="auto"))])
    found = pareto(fleet, OPTIONS, slacks=(0, 100))
    assert [(one["host_cost"], one["remote_access"] > 0) for one in found] == [(1.0, True), (2.0, False)]
    assert all(one["proven"] for one in found)


def test_moves_are_weighed_on_a_live_fleet(build: Any) -> None:
    """Two VMs on two hosts: with no move two hosts, with one move one host; limits on moves must be said."""
    vms = [build.vm(f"v{n}", build.spec(2, 1), current=build.now(f"h{n}", (0,))) for n in range(2)]
    fleet = build.fleet([build.host("h0"), build.host("h1")], vms)
    found = pareto(fleet, OPTIONS, moves=(0, 1), slacks=(0,))
    assert [(one["moves"], one["host_cost"]) for one in found] == [(0, 2.0), (1, 1.0)]
    with pytest.raises(InputError, match="needs limits on moves"):
        pareto(fleet, OPTIONS)


def test_points_tell_what_they_keep_free(build: Any) -> None:
    """Two full hosts: whichever fails, its VM has no place, on any plan."""
    hosts = [build.host(f"h{n}", build.topology(1, 4)) for n in range(2)]
    rule = Rule(kind=RuleKind.RESERVE, fail=1)
    fleet = build.fleet(hosts, [build.vm("v", build.spec(4, 2)), build.vm("w", build.spec(4, 2))], [rule])
    (only,) = pareto(fleet, OPTIONS, slacks=(0,))
    said = [(one["rule"], one["proven"], one["value"], one["bound"]) for one in only["reserve"]]
    assert said == [("reserve", False, 4, 4)]


def test_rows_are_what_a_results_file_takes(build: Any) -> None:
    """A row with headroom, failures and held slots comes back from the file that a second run reads."""
    hosts = [build.host(f"h{n}", build.topology(1, 4)) for n in range(2)]
    rules = [
        Rule(kind=RuleKind.RESERVE, fail=1),
        Rule(kind=RuleKind.RESERVE, flavor="2x2GiB", slots=1, scope=""),
    ]
    fleet = build.fleet(hosts, [build.vm("v", build.spec(4, 2)), build.vm("w", build.spec(4, 2))], rules)
    row = solve_variant(([Variant(name="base", fleet=fleet)], replace(OPTIONS, headroom=("2x2GiB",))), 0)
    assert [one["proven"] for one in row["reserve"]] == [False, False]
    assert answer_fault("row", json.loads(json.dumps(row))) is None
    assert "reserve" in (answer_fault("row", {**row, "reserve": [{"rule": "r"}]}) or "")


def test_many_hosts_are_few_plans(build: Any) -> None:
    """Without moves one plan is made, however much slack; on many hosts the others have the ends of the slacks."""
    vms = [build.vm(f"v{n}", build.spec(2, 1), current=build.now(f"h{n}", (0,))) for n in range(2)]
    for hosts, plans in ((2, 1 + 3 * 7), (21, 1 + 2 * 2)):
        fleet = build.fleet([build.host(f"h{n}") for n in range(hosts)], vms)
        totals: list[int] = []
        pareto(fleet, OPTIONS, moves=usual_moves(fleet), on_done=lambda _, of, totals=totals: totals.append(of))
        assert set(totals) == {plans}
