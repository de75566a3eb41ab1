"""The change ticket: its five parts, and names that Markdown shows as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from placer.emit.moves.markdown import schedule_markdown
from placer.emit.moves.ticket import ticket
from placer.model.fleet import Fleet
from placer.model.plan import Change, GoalResult, Plan, PlanVm
from placer.model.vm import Cell, CellMode, Current, Vm, VmSpec
from placer.moves.model import Place, Schedule, Step, StepKind, Wave

SPEC = VmSpec(
    vcpus=1, memory_kib=1 << 20, cell_mode=CellMode.NONE, cells=(Cell(vcpus=frozenset({0}), memory_kib=1 << 20),)
)
NAME = "a|b<script>\n# x"


def test_ticket_says_what_why_risk_steps_and_rollback(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """A VM that changes node is named under Risk, Steps and Rollback with its present node; no name breaks a table."""
    now = Current(host="kvm-a", nodes=(1,), memory_nodes=(1,), pins={0: frozenset({1})})
    fleet = fleet_of(Vm(name=NAME, spec=SPEC, current=now))
    plan = planned(place(SPEC, name=NAME, change=Change.RENODE, from_host="kvm-a"))
    text = ticket(plan, fleet).decode()
    parts = text.split("\n## ")
    assert [part.split("\n", 1)[0] for part in parts[1:]] == ["What", "Why", "Risk", "Steps", "Rollback"]
    name = "a\\|b\\<script\\>\\\\n\\# x"
    assert "1 VM moves memory, 1 GiB in all: 1 to another node." in parts[1]
    assert "1 GiB of 1 VM" in parts[3] and "Downtime: none" not in text
    assert parts[3].count("1 VM (") == parts[1].count("1 VM (") == 1, "both tell who is down"
    assert all(name in part for part in parts[3:])
    assert f"| ☐ | {name} | kvm-a | 1 | 1 | restart or copy |" in parts[5]
    assert "\n\n\n" not in text
    assert "<script>" not in text


def test_goals_that_stand_alike_share_a_row_in_their_order(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """Two goals at 0 one behind the other are a row, a third behind another value is one of its own."""
    now = Current(host="kvm-a", nodes=(1,), memory_nodes=(0,), pins={0: frozenset({1})})
    fleet = fleet_of(Vm(name="v", spec=SPEC, current=now))
    goals = tuple(
        GoalResult(name=name, value=value, bound=value, gap=0.0, source="", status="optimal", stopped="")
        for name, value in (("placed", 0.0), ("excess", 0.0), ("remote", 2.0), ("moves", 0.0))
    )
    text = ticket(replace(planned(place(SPEC, name="v")), goals=goals), fleet).decode()
    assert "| goal | meaning | before | value | bound | gap | status |" in text
    meaning = "vCPUs without a place; what VMs take that their hosts have not"
    assert f"| placed, excess | {meaning} | 0 | 0 | 0 | 0 % | optimal |" in text
    rows = [line for line in text.splitlines() if line.endswith("| optimal |")]
    assert [row.split(" |")[0] for row in rows] == ["| placed, excess", "| remote", "| moves"]
    assert " |  | 0 | 0 | 0 % | optimal |" in rows[2], "moves have nothing before them"


def test_a_wave_that_only_pins_is_a_line_of_the_ticket() -> None:
    """A table of such steps would say nothing that is done by hand; what must not be interrupted is still said."""
    there = Place(host="kvm-a", nodes=(0,), pins={0: frozenset({0})})
    step = Step(kind=StepKind.REPIN, vm="v", uuid=None, source=there, target=there)
    moved = replace(step, vm="w", kind=StepKind.MIGRATE, target=replace(there, host="kvm-b"))
    schedule = Schedule(
        waves=(Wave(steps=(step,)), Wave(steps=(step, step), complete=False), Wave(steps=(moved, step))),
    )
    lines = schedule_markdown(schedule, fold_pins=True).splitlines()
    assert lines[4:6] == [
        "- ☐ Wave 1: new pins of 1 VM while they run: `placer apply PLAN --apply`",
        "- ☐ Wave 2: new pins of 2 VMs while they run: `placer apply PLAN --apply`. "
        "Do not stop after this wave: a VM is only passing through.",
    ]
    assert lines[6:8] == ["", "## Wave 3: 2 steps, 0 GiB"]
    assert schedule_markdown(schedule).count("## Wave") == 3
