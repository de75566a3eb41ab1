"""What a planner of many hosts sees: the answer first, ten rows, and how to see the others."""

from __future__ import annotations

import csv
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
            # With a thread policy it is open which of the two goes: else vCPUs go to their memory, and none is copied.
            away = number % 3 == 0
            memory, policy = (1 - at, "isolate") if away else (at, "prefer")
            lines.append(
                f"  - {{name: vm{number:02d}-{at}, vcpus: 2, memory: {1 + number % 7}GiB, cells: none, "
                f"host: h{number:02d}, nodes: [{at}], memory_nodes: [{memory}], thread_policy: {policy}}}"
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
        (["check", fleet, "--placement"], "40 of 120 VMs on known nodes are away from memory: remote access 80 vCPUs"),
        (["moves", fleet, plan], "move memory"),
        (["diff", fleet, plan], "elsewhere"),
        (["explain", plan, "vm00-0"], "vm00-0 is on"),
        (
            ["explain", plan],
            "Remote access of the plan is 20 vCPUs, 80 now where it is known; no plan within its goals",
        ),
        (["headroom", fleet, "--by", "host"], "240 more of 1x4GiB, or 0 more of 4x16GiB fit"),
    ):
        run = placer(*arguments)
        lines = run.out.splitlines()
        assert run.code in (0, 6) and len(lines) <= MOST_LINES, (arguments, len(lines))
        assert answer in lines[0], (arguments, lines[0])
        tables = [line for line in lines if "  " in line.strip()]
        assert max(map(len, tables)) <= int(width), (arguments, max(tables, key=len))


DOCUMENTS = {"export", "collect", "schema"}
"""Verbs whose answer is a document of its own length."""
ELSEWHERE = {"import", "report", "serve", "apply", "verify", "rollback", "bench", "demo"}
"""Verbs that write files, or ask hosts: their screens are of their own tests."""


def test_every_verb_has_its_answer_on_the_first_of_two_screens(
    many: tuple[Path, Path],
    fleet_file: Path,
    placer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """No verb prints more than two screens of fifty lines, nor a table wider than the screen, and all are looked at.

    Verbs that solve many times do it for a small fleet.
    """
    from placer.cli.app import VERBS

    monkeypatch.setenv("COLUMNS", "80")
    fleet, plan = many
    quick = ["--time-limit", "20s", "--executor", "serial"]
    screens = {
        "show": (["show", plan, "h01"], "host h01"),
        "solve": (["solve", fleet, "-o", tmp_path / "p.json"], "Every VM has a place"),
        "check": (["check", fleet, plan], "every constraint holds"),
        "whatif": (
            ["whatif", fleet_file, "--add-hosts", "kvm-a", "--drain-each", "host", *quick],
            "Every VM has a place",
        ),
        "usage": (["usage", fleet], "no VM is known to use so little"),
        "fit": (["fit", fleet, "--flavor", "2x4GiB", "--count", "30"], "30 of 30 VMs fit"),
        "headroom": (["headroom", fleet, "--by", "rack"], "runs out first"),
        "minfleet": (["minfleet", fleet_file, "--shapes", "kvm-a"], "1 host holds all 3 VMs"),
        "moves": (["moves", fleet, plan], "VMs move memory"),
        "maintain": (["maintain", fleet_file], "host"),
        "diff": (["diff", fleet, plan], "elsewhere"),
        "explain": (["explain", plan, "vm00-0"], "vm00-0 is on"),
        "runway": (["runway", fleet_file, "--growth", "90%", *quick], "everything fits through month"),
        "pareto": (["pareto", fleet_file, *quick], "moves"),
        "solvers": (["solvers"], "columns"),
    }
    assert screens.keys() | DOCUMENTS | ELSEWHERE == {verb.name for verb in VERBS}
    for arguments, answer in screens.values():
        run = placer(*arguments)
        lines = run.out.splitlines()
        assert run.code in (0, 6, 8), (arguments, run.err)
        assert len(lines) <= 2 * MOST_LINES, (arguments, len(lines))
        assert any(answer in line for line in lines[:MOST_LINES]), (arguments, lines[:MOST_LINES])
        tables = [line for line in lines if "  " in line.strip()]
        assert max(map(len, tables), default=0) <= 80, (arguments, max(tables, key=len))
        assert "\x1b" not in run.out, arguments


def test_what_a_screen_leaves_out_is_shown_on_demand(many: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """A screen says how many rows are left out; with --all, or as CSV, they are there."""
    fleet, plan = many
    short, whole = (placer("diff", fleet, plan, *more).out for more in ([], ["--all"]))
    changed = whole.count("other node")
    assert changed > 10 and f"and {changed - 11} more: --all, or --format csv" in short
    rows = list(csv.DictReader(placer("moves", fleet, plan, "--format", "csv").out.splitlines()))
    assert len([row for row in rows if float(row["gain"])]) == changed - 1
    assert len(rows) == 2 * HOSTS


def test_two_verbs_that_print_a_figure_print_the_same(many: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """What moves, what it gains and who is down are the same in moves, the summary, the ticket and the data."""
    fleet, plan = many
    screens = [placer("moves", fleet, plan).out, placer("show", plan).out]
    screens.append(placer("export", plan, "--to", "markdown", "-o", "-").out)
    assert len(screens[-1].splitlines()) <= 2 * MOST_LINES, "a ticket is two pages"
    for text in screens[1:]:
        for word in ("move memory", "Remote access:", "Downtime:"):
            (line,) = {line.strip("- ") for line in screens[0].splitlines() if word in line}
            assert line in text
    rows = list(csv.DictReader(placer("moves", fleet, plan, "--format", "csv").out.splitlines()))
    gains = [row["gain"] for row in rows]
    measured = placer("check", fleet, plan, "--json").envelope["result"]["measured"]["goals"]["remote"]
    before = next(line for line in screens[1].splitlines() if line.startswith("remote")).split()[1]
    assert float(before) == pytest.approx(sum(map(float, gains)) + measured)


def test_all_pairs_of_verbs_agree_on_what_they_count(many: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """VMs, hosts, moves, memory, remote access and room, each from every verb that prints it."""
    fleet, plan = many

    def result(*words: object) -> Any:
        return placer(*words, "--json").envelope["result"]

    shown, drawn = result("show", plan), result("show", fleet)
    measured = result("check", fleet, plan)["measured"]
    now = result("check", fleet, "--placement")["placement"]
    totals = result("diff", fleet, plan)["totals"]
    moves = result("moves", fleet, plan)
    explained = result("explain", plan)["locality"]
    beside, alone = result("headroom", plan), result("headroom", fleet)
    goals = {goal["name"]: goal for goal in shown["goals"]}
    steps = [step for wave in moves["waves"] for step in wave["steps"]]
    summary = placer("show", plan).out
    rows = list(csv.DictReader(placer("moves", fleet, plan, "--format", "csv").out.splitlines()))

    same = {
        "VMs": [measured["vms"], len(shown["vms"]), now["floating"] + len(now["vms"]), explained["vms_planned"]],
        "hosts": [
            measured["hosts"],
            sum(len(alike["names"]) for alike in drawn["hosts"]),
            len({vm["host"] for vm in shown["vms"]}),
        ],
        "VMs placed": [measured["placed_vms"], sum(totals.values()) - totals["unplaced"]],
        "moves": [
            measured["node_changes"] + measured["migrations"],
            totals["other node"] + totals["migrated"],
            goals["moves"]["tiers"][1]["value"],
            sum(step["do"] in ("renode", "migrate") for step in steps),
            sum(vm["change"] in ("renode", "migrate") for vm in shown["vms"]),
        ],
        "re-pins": [totals["re-pinned"], sum(step["do"] == "repin" for step in steps)],
        "GiB copied": [moves["memory_gib"], sum(float(row["copied_gib"]) for row in rows)],
        "remote planned": [
            measured["remote_access"],
            measured["goals"]["remote"],
            goals["remote"]["value"],
            explained["remote_access_planned"],
        ],
        "remote now": [
            now["remote_access"],
            explained["remote_access_now"],
            goals["remote"]["value"] + sum(float(row["gain"] or 0) for row in rows),
        ],
        "locality now": [now["locality_score"], explained["locality_now"]],
    }
    assert beside["now"] == {one["flavor"]: one["total"] for one in alone["headroom"]}
    for figure, said in same.items():
        assert all(one == pytest.approx(said[0]) for one in said), (figure, said)
    assert f"{moves['memory_gib']:g} GiB in all" in summary
    # The goal counts VMs that have other CPUs than they are known to have: here nobody knows any.
    assert goals["repins"]["value"] == 0
    assert f"{totals['re-pinned']} whose pins are not all known now" in summary
    assert f"{measured['vms']} VMs on {measured['hosts']} hosts" in summary


def test_the_best_moves_are_the_frontier_with_sums(many: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """More moves never save less; the sums of the rows are what the answer says, and the plan that is written holds."""
    fleet, _ = many
    plan = fleet.with_name("best.json")
    run = placer("moves", fleet, "--best", "3,1", "-o", plan, "--json")
    frontier, moves = (run.envelope["result"][key] for key in ("frontier", "moves"))
    assert [one["limit"] for one in frontier] == [1, 3] and all(one["proven"] for one in frontier)
    assert [one["saved"] for one in frontier] == [2.0, 6.0] and len(moves) == 3
    assert moves[-1]["gain_so_far"] == frontier[-1]["saved"] == sum(move["gain"] for move in moves)
    assert moves[-1]["memory_gib_so_far"] == frontier[-1]["memory_gib"]
    assert placer("check", fleet, plan).code == 0
    assert "3 moves save 6 of 80 remote access" in placer("moves", fleet, "--best", "3").out
    for arguments, said in (
        (["moves", fleet], "either a plan"),
        (["moves", fleet, "--best", "0"], "no number of moves"),
    ):
        run = placer(*arguments)
        assert run.code == 2 and said in run.err


def test_pins_that_overlap_are_named(placer: Callable[..., Any], tmp_path: Path) -> None:
    """A CPU that two VMs are pinned to is told with both."""
    fleet = tmp_path / "fleet.yaml"
    vm = "{name: NAME, vcpus: 1, memory: 1GiB, cells: none, host: h, nodes: [0], pins: {0: '1'}}"
    fleet.write_text(
        "schema: placer.inventory/v1\nhosts:\n  - {name: h, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}]}\n"
        "vms:\n  - " + vm.replace("NAME", "one") + "\n  - " + vm.replace("NAME", "two") + "\n"
    )
    run = placer("check", fleet, "--placement", "--json")
    assert run.envelope["result"]["placement"]["overlaps"] == [{"host": "h", "cpu": 1, "vms": ["one", "two"]}]
    assert "Pins that overlap: 1 CPU on 1 host." in placer("check", fleet, "--placement").out


def test_whatif_without_a_file(placer: Callable[..., Any], fleet_file: Path, tmp_path: Path) -> None:
    """Options are scenarios named by what they say; files saved of them say the same, and a plan of one is checked."""
    plan = fleet_file.with_name("after.json")
    said = ["--add-hosts", "kvm-a*2", "--add-vms", "2*1x1GiB", "--stack", "--executor", "serial", "--time-limit", "20s"]
    run = placer("whatif", fleet_file, *said, "--plan", plan, "--save-scenario", tmp_path / "sc", "--json")
    rows = run.envelope["result"]["scenarios"]
    assert [(row["name"], row["vms"], row["hosts"]) for row in rows] == [
        ("base", 3, 1),
        ("add-hosts kvm-a*2", 3, 3),
        ("add-vms 2*1x1GiB", 5, 3),
    ]
    assert placer("check", plan.with_suffix(".yaml"), plan).code == 0
    again = placer("whatif", fleet_file, *sorted((tmp_path / "sc").iterdir()), *said[4:], "--json")
    assert again.envelope["result"] == run.envelope["result"]
    text = placer("whatif", fleet_file, "--fail", "kvm-a", "--add-hosts", "kvm-a", "--executor", "serial")
    assert text.code == 2 and "no host is left" in text.err
