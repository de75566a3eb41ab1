"""Scenarios of many hosts on a screen: what matters in lines that can be counted."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from placer.show.scenario_table import answers, comparison_csv, draw_comparison, draw_drains, draw_failures


def row(name: str, **more: Any) -> dict[str, Any]:
    """Return a scenario of which all is proven."""
    plain = {"name": name, "changes": ["drained"], "status": "optimal", "vms": 400, "placed": 400, "goals": []}
    figures = {"remote_access": 1.0, "locality_score": 99.0, "hosts_used": 40, "hosts": 40, "migrations": 0}
    return {**plain, **figures, "node_changes": 0, "restarts": 0, **more}


def drawn(draw: Any, *arguments: Any) -> list[str]:
    """Return the lines that are drawn."""
    out = io.StringIO()
    draw(*arguments, Console(file=out, width=100, color_system=None))
    return out.getvalue().splitlines()


def drain(host: str, left: int = 0) -> dict[str, Any]:
    """Return what became of a host that is to be emptied."""
    stay = [{"vm": f"{host}-{n}", "why": "pinned"} for n in range(left)]
    return {"host": host, "moved": 3, "moved_mib": 2048, "left": stay, "proven": True}


def test_hosts_that_are_emptied_are_one_line() -> None:
    """Twenty hosts that are emptied are told together; one that is not is named, with who stays."""
    base, few = row("base"), row("few", drains=[drain("h0"), drain("h1")])
    assert "few: h1 is emptied: 3 VMs with 2 GiB leave it" in drawn(draw_comparison, [base, few], ())
    many = row("many", drains=[*(drain(f"h{n}") for n in range(20)), drain("stuck", left=1)])
    lines = drawn(draw_comparison, [base, many], ())
    told = [line for line in lines if line.startswith("many: ") and "leave" in line]
    assert told == [
        "many: 20 hosts are emptied: 60 VMs with 40 GiB leave them",
        "many: stuck is not emptied: 3 VMs with 2 GiB leave it, 1 VM left, the fewest (stuck-0: pinned)",
    ]


def test_soft_rules_that_are_broken_are_told() -> None:
    """No column holds them, and a plan that breaks them is not one that breaks none."""
    values = {"soft:2": 2, "soft~1%": 3.0, "hosts": 40}
    broken = [{"name": name, "value": value, "status": "optimal"} for name, value in values.items()]
    lines = drawn(draw_comparison, [row("base"), row("less", goals=broken)], ())
    assert [line for line in lines if "soft" in line] == ["less: soft rules are broken by 5, times their weights"]


def test_reasons_of_few_vms_are_summed_up() -> None:
    """The reasons of most VMs come first; the others are one line, and no VM is forgotten."""
    reasons = {f"reason {n}": n for n in range(1, 9)}
    lines = drawn(draw_comparison, [row("base"), row("out", placed=364, unplaced=reasons)], ())
    told = [line for line in lines if "without a place:" in line or "other reasons" in line]
    assert told[0] == "out: 8 without a place: reason 8" and len(told) == 6
    assert told[-1] == "out: 6 more without a place, for other reasons"


def test_each_host_emptied_is_ten_rows() -> None:
    """Those that cannot be emptied stand first, then those that most VMs leave; the rest is counted."""
    found = [
        {
            "domain": f"h{n:03d}",
            "vms": n,
            "status": "optimal",
            "emptied": n != 50,
            "live_moves": n,
            "restarts": 0,
            "moved_mib": 1024,
            "left": [] if n != 50 else [{"vm": "db", "why": "cannot move"}],
            "proven": True,
        }
        for n in range(200)
    ]
    assert "base: 199 of 200 can be emptied today." in drawn(draw_comparison, [row("base", drain_each=found)], ())
    lines = drawn(draw_drains, [row("base", drain_each=found)])
    assert lines[1] == "base: what emptying each by itself takes"
    assert lines[3].split()[0] == "h050" and "db: cannot move" in lines[3] and lines[4].split()[0] == "h199"
    assert lines[-1] == "and 190 more: --output FILE.json" and len(lines) == 14


def test_failures_that_are_not_known_are_counted() -> None:
    """Ten are named with why; the others are one line."""
    unknown = [{"domains": [f"h{n}"], "why": "no time was left", "ways": 1} for n in range(40)]
    sweep = {"scope": "host", "at_once": 1, "combinations": 40, "solved": 0, "slack": 0, "alike": 0, "harmful": []}
    lines = drawn(draw_failures, [row("base", failures={**sweep, "unknown": unknown, "spares": None})])
    assert len(lines) == 13 and lines[-1] == "  and 30 more that are not known"


def test_failures_alike_are_counted_and_the_worst_is_named() -> None:
    """A failure tells how many are just like it, and the line of those left out counts all of them."""
    harm = {"vms": 2, "vms_lost": 1, "proven": True, "lost": None}
    harmful = [{**harm, "domains": [f"h{n}"], "ways": 1 + 5 * n} for n in range(11)]
    sweep = {"scope": "host", "at_once": 3, "combinations": 99, "solved": 9, "slack": 0, "alike": 0, "unknown": []}
    lines = drawn(draw_failures, [row("base", failures={**sweep, "harmful": harmful, "spares": None})])
    assert lines[2] == "  h0: 1 VM of 2 without a place (proven)"
    assert lines[3] == "  h1 and 5 failures like it: 1 VM of 2 without a place (proven)"
    assert lines[-1] == "  and 51 more failures that leave VMs without a place"


def test_what_a_scenario_keeps_free_is_a_column() -> None:
    """Reserve rules are told row by row, a broken one in words with its bound, and in CSV with value and bound."""
    rule = {"rule": "reserve", "scope": "host", "fail": 1, "proven": True, "value": 0, "bound": 0, "failures": 3}
    worst = {"domains": ["h1"], "vms_lost": 1, "vcpus_lost": 4}
    broken = {**rule, "proven": False, "value": 4, "bound": 4, "harmful": 1, "unknown": 0, "worst": worst}
    rows = [row("base", reserve=[rule]), row("more", reserve=[broken])]
    lines = drawn(draw_comparison, rows, ())
    assert lines[0] == "more: 1 of 1 reserve rule not proven to be kept."
    assert lines[1].split()[:4] == ["scenario", "placed", "rules", "reserve"]
    assert lines[2].split()[3] == "kept" and lines[3].split()[3:7] == ["0", "of", "1", "kept"]
    said = "more: reserve: not kept, the failure of h1 leaves 1 VM with 4 vCPUs without a place; no plan does better"
    assert any(line.startswith(said) for line in lines)
    header, _, last = comparison_csv(rows).splitlines()
    assert dict(zip(header.split(","), last.split(","), strict=True))["reserve bound"] == "4"
    assert "reserve" not in drawn(draw_comparison, [row("base")], ())[1]


def test_what_failures_do_is_said_first() -> None:
    """The worst of those that leave VMs out is named before any table; where all are survived, that is said."""
    harm = {"domains": ["r3"], "ways": 1, "vms": 1520, "vms_lost": 91, "proven": True, "lost": None}
    sweep = {"scope": "rack", "at_once": 1, "combinations": 4, "harmful": [], "unknown": []}
    (_, calm), (_, bad) = (list(answers([row("base", failures={**sweep, "harmful": found})])) for found in ([], [harm]))
    assert calm == "base: failures by rack: after each of 4 every VM finds a NUMA-true place (proven)."
    assert bad == "base: failures by rack: 1 of 4 leave VMs without a place, at worst r3 91 of 1,520 VMs."


def test_broken_rules_say_whether_moves_may_mend_them() -> None:
    """Where nothing runs nothing moves: what is broken is the least possible, where that is proven; drains only where
    there are some.
    """
    rules, moves = {"name": "rules", "value": 12, "bound": 12, "status": "optimal"}, {"name": "moves", "value": 0}
    (new,) = answers([row("must", goals=[rules])])
    assert new == "must: rules stay broken by 12, the least that is possible."
    (open_,) = answers([row("must", goals=[{**rules, "status": "feasible"}])])
    assert open_ == "must: rules stay broken by 12."
    (runs,) = answers([row("must", goals=[rules, moves], drains=[{"host": "h1"}])])
    assert runs == "must: rules, drains among them, stay broken by 12; moves may mend it (--max-moves)."
