"""What a planner of many hosts sees: the answer first, ten rows, and how to see the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOSTS = 60
MOST_LINES = 50


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a fleet of sixty hosts, a VM in three with its memory on the wrong node, and its plan."""
    from placer.emit.plan_file import write_plan
    from placer.planner import solve_fleet
    from placer.read.inventory.inventory import read_fleet

    folder = tmp_path_factory.mktemp("many")
    lines = ["schema: placer.inventory/v1", "hosts:"]
    for number in range(HOSTS):
        # Each host is said for itself, as imports say them.
        nodes = "[{id: 0, cpus: 0-3, memory: 16GiB}, {id: 1, cpus: 4-7, memory: 16GiB}]"
        lines.append(f"  - {{name: h{number:02d}, nodes: {nodes}, labels: {{rack: r{number // 20}}}}}")
    lines.append("vms:")
    for number in range(HOSTS):
        for at in range(2):
            memory = 1 - at if number % 3 == 0 else at
            lines.append(
                f"  - {{name: vm{number:02d}-{at}, vcpus: 2, memory: {1 + number % 7}GiB, cells: none, "
                f"host: h{number:02d}, nodes: [{at}], memory_nodes: [{memory}]}}"
            )
    fleet, plan = folder / "fleet.yaml", folder / "plan.json"
    fleet.write_text("\n".join(lines) + "\n")
    write_plan(solve_fleet(read_fleet(fleet), max_moves=30, max_migrations=0, time_limit_s=20), str(plan))
    return fleet, plan


@pytest.mark.parametrize("width", ["80", "120", "200"])
def test_every_screen_of_many_hosts_is_short_and_leads_with_the_answer(
    many: tuple[Path, Path], placer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    """Fifty lines at most, none of a table broken or wider than the screen, what matters in the first."""
    monkeypatch.setenv("COLUMNS", width)
    fleet, plan = many
    for arguments, answer in (
        (["show", fleet], "60 hosts"),
        (["show", plan], "Every VM has a place"),
        (["check", fleet], "valid"),
        (["check", fleet, plan], "every constraint holds"),
        (["moves", fleet, plan], "move memory"),
        (["diff", fleet, plan], "elsewhere"),
        (["explain", plan, "vm00-0"], "vm00-0 is on"),
        (["headroom", fleet, "--by", "host"], "runs out first"),
    ):
        run = placer(*arguments)
        lines = run.out.splitlines()
        assert run.code in (0, 6) and len(lines) <= MOST_LINES, (arguments, len(lines))
        assert answer in lines[0], (arguments, lines[0])
        tables = [line for line in lines if "  " in line.strip()]
        assert max(map(len, tables)) <= int(width), (arguments, max(tables, key=len))


def test_what_a_screen_leaves_out_is_shown_on_demand(many: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """A screen says how many rows are left out; with --all, or as CSV, they are there."""
    fleet, plan = many
    short, whole = (placer("diff", fleet, plan, *more).out for more in ([], ["--all"]))
    changed = whole.count("other node")
    assert changed > 10 and f"and {changed - 11} more: --all, or --format csv" in short
    rows = placer("moves", fleet, plan, "--format", "csv").out.splitlines()
    assert len([row for row in rows[1:] if float(row.split(",")[-2])]) == changed - 1
    assert len(rows) == 1 + 2 * HOSTS


def test_two_verbs_that_print_a_figure_print_the_same(many: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """What moves, what it gains and who is down are the same in moves, the summary, the ticket and the data."""
    fleet, plan = many
    screens = [placer("moves", fleet, plan).out, placer("show", plan).out]
    screens.append(placer("export", plan, "--to", "markdown", "-o", "-").out)
    for text in screens[1:]:
        for word in ("move memory", "Remote access:", "Downtime:"):
            (line,) = {line.strip("- ") for line in screens[0].splitlines() if word in line}
            assert line in text
    gains = [row.split(",")[-2] for row in placer("moves", fleet, plan, "--format", "csv").out.splitlines()[1:]]
    measured = placer("check", fleet, plan, "--json").envelope["result"]["measured"]["goals"]["remote"]
    before = next(line for line in screens[1].splitlines() if line.startswith("remote")).split()[1]
    assert float(before) == pytest.approx(sum(map(float, gains)) + measured)
