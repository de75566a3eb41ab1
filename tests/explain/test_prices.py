"""Prices of rules: by a solve without each, those that bind first, within a limit, and what is not proven said so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from placer.explain import prices as module
from placer.explain.prices import rule_prices
from placer.model.plan import GoalResult
from placer.model.rules import Rule, RuleKind
from placer.planner import solve_fleet

Build = Any
APART = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, name="apart")
IDLE = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "y"}, max_per=9, name="idle")


def goal(name: str, value: float | None, bound: float | None) -> GoalResult:
    """Return a goal that is optimal where value and bound meet."""
    status = "optimal" if value is not None and value == bound else "feasible"
    return GoalResult(name=name, value=value, bound=bound, gap=None, source="test", status=status)


def test_rules_that_bind_come_first_and_the_rest_is_named(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time only the rule that holds a host full is priced; the other is named, not called free."""
    x, y = build.spec(1, 1, labels={"app": "x"}), build.spec(1, 1, labels={"app": "y"})
    vms = [build.vm("x1", x), build.vm("x2", x), build.vm("y1", y)]
    fleet = build.fleet([build.host("a"), build.host("b")], vms, [IDLE, APART])
    plan = solve_fleet(fleet)
    found, left = rule_prices(fleet, plan, time_limit_s=10)
    assert [price.rule for price in found] == ["idle", "apart"] and not left
    assert found[0].costs == () and found[0].at_most is None and "hosts" in found[0].proven
    assert dict(found[1].costs) == {"hosts": 1}
    monkeypatch.setattr(module, "RULES_IN_ALL", 0)
    found, left = rule_prices(fleet, plan, time_limit_s=10)
    assert [price.rule for price in found] == ["apart"] and left == ("idle",)


@pytest.mark.parametrize(
    ("with_rule", "without", "costs", "at_most"),
    [
        ([("remote", 5, 4)], [("remote", 3, 2)], {"remote": 2}, ("remote", 3)),
        ([("remote", 5, 4)], [("remote", 6, 2)], {}, ("remote", 3)),
        ([("remote", 5, 5)], [("remote", 5, 5)], {}, None),
        ([("remote", 5, 5)], [("remote", 5, None)], {}, None),
        ([("placed", 2, 2), ("remote", 1, 0)], [("placed", 0, 0), ("remote", 4, 0)], {"placed": 2, "remote": -3}, None),
        ([("headroom:8x0", 5, 6)], [("headroom:8x0", 7, 9)], {"headroom:8x0": -2}, ("headroom:8x0", -4)),
        ([("headroom:8x0", 5, 6)], [("headroom:8x0", 4, 9)], {}, ("headroom:8x0", -4)),
    ],
)
def test_what_is_not_proven_is_bounded(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    with_rule: list[tuple[str, float, float | None]],
    without: list[tuple[str, float, float | None]],
    costs: dict[str, float],
    at_most: tuple[str, float] | None,
) -> None:
    """A worse answer without the rule is no price; the largest price follows from the bound without it."""
    spec = build.spec(1, 1, labels={"app": "x"})
    fleet = build.fleet([build.host("a")], [build.vm("x1", spec)], [APART])
    plan = dataclasses.replace(solve_fleet(fleet), goals=tuple(goal(*one) for one in with_rule))
    free = dataclasses.replace(plan, goals=tuple(goal(*one) for one in without))
    monkeypatch.setattr(module, "solve_fleet", lambda *_, **__: free)
    ((price,), left) = rule_prices(fleet, plan, time_limit_s=1)
    assert dict(price.costs) == costs and price.at_most == at_most and not left
