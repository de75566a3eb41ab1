"""What a plan mends of broken rules, told in its summary."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from placer.model.rules import Rule, RuleKind
from placer.planner import solve_fleet
from placer.show.plan_summary import draw_summary


def test_broken_rules_are_told_before_and_after(build: Any) -> None:
    """Three of a group on one host: two more hosts mend it with two moves, one move mends half; both are said."""
    spec = build.spec(1, 1, labels={"app": "db"})
    vms = [build.vm(f"v{n}", spec, current=build.now("a", nodes=(0,))) for n in range(3)]
    rules = [Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "db"}, name="db [apart]")]
    fleet = build.fleet([build.host(name) for name in "abc"], vms, rules)
    for moves, left in ((2, 0), (1, 1), (0, 2)):
        plan = solve_fleet(fleet, goals="placed,rules,moves", max_moves=moves, time_limit_s=10)
        assert plan.summary["rules_broken_before"] == [{"rule": "db [apart]", "excess_before": 2, "excess": left}]
        assert plan.goal("rules").value == left
        out = io.StringIO()
        draw_summary(plan, Console(file=out, width=120, markup=False))
        assert f"db [apart]: excess 2 now, {left} in the plan" in out.getvalue()


def test_fleets_that_break_no_rule_say_nothing(build: Any) -> None:
    """No entry where all rules hold now."""
    spec = build.spec(1, 1, labels={"app": "db"})
    rules = [Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "db"})]
    fleet = build.fleet([build.host("a")], [build.vm("v", spec, current=build.now("a", nodes=(0,)))], rules)
    assert "rules_broken_before" not in solve_fleet(fleet, goals="placed,rules,moves", time_limit_s=5).summary
