"""The change ticket: its five parts, and names that Markdown shows as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from placer.emit.moves.markdown import schedule_markdown
from placer.emit.moves.ticket import ticket
from placer.emit.report.sections import move_sheet
from placer.model.fleet import Fleet
from placer.model.plan import Change, GoalResult, Plan, PlanVm
from placer.model.vm import Cell, CellMode, Current, Vm, VmSpec
from placer.moves.changes import Changes, Spot, VmChange
from placer.moves.model import Place, Schedule, Step, StepKind, Wave
from placer.moves.need import Need
from placer.show.change_words import aside_sentences

SPEC = VmSpec(
    vcpus=1, memory_kib=1 << 20, cell_mode=CellMode.NONE, cells=(Cell(vcpus=frozenset({0}), memory_kib=1 << 20),)
)
NAME = "a|b<script>\n# x"


def test_ticket_says_what_why_risk_steps_and_rollback(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """A VM that changes node is named under Risk and Steps, there with its present node; no name breaks a table."""
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
    assert name in parts[3]
    assert f"| ☐ | {name} | restart or copy | kvm-a node 1 | kvm-a node 0 | 1 → 0 | 1 |" in parts[4]
    assert "from the last to the first" in parts[5]
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


def test_steps_that_only_pin_are_a_row_of_the_ticket() -> None:
    """A row each would say nothing that is done by hand; what must not be interrupted is still said."""
    there = Place(host="kvm-a", nodes=(0,), pins={0: frozenset({0})})
    step = Step(kind=StepKind.REPIN, vm="v", uuid=None, source=there, target=there)
    moved = replace(step, vm="w", kind=StepKind.MIGRATE, target=replace(there, host="kvm-b"))
    schedule = Schedule(
        waves=(Wave(steps=(step,)), Wave(steps=(step, step), complete=False), Wave(steps=(moved, step))),
    )
    lines = schedule_markdown(schedule, brief=True).splitlines()
    pins = "new pins |  |  |  | 0 | while they run: `placer apply PLAN --apply`"
    assert lines[6:] == [
        f"| 1: 1 step, 0 GiB | ☐ | 1 VM | {pins} |",
        f"| 2: 2 steps, 0 GiB | ☐ | 2 VMs | {pins}; do not stop here: a VM is only passing through |",
        "| 3: 2 steps, 0 GiB | ☐ | w | live migration | kvm-a node 0 | kvm-b node 0 |  | 0 |  |",
        f"| 3 | ☐ | 1 VM | {pins} |",
    ]
    assert sum(line.startswith("| 3") for line in schedule_markdown(schedule).splitlines()) == 2


def test_what_is_put_aside_is_reckoned_with() -> None:
    """Screens tell by how much the steps copy more than the changes, and who needs no restart after all."""
    here, there = (Place(host=host, nodes=(0,), cells=()) for host in ("kvm-a", "kvm-b"))
    away = Step(kind=StepKind.MIGRATE, vm="v", uuid=None, source=here, target=there, memory_gib=8.0, parking=True)
    back = replace(away, source=there, target=here, parking=False)
    spot = Spot(host="kvm-a", cpu_nodes=(0,), memory_nodes=(0,), pins={})
    change = VmChange(
        vm="v",
        uuid=None,
        change=Change.RENODE,
        need=Need.REBIND,
        source=replace(spot, memory_nodes=(1,)),
        target=spot,
        memory_gib=8.0,
        gain=1.0,
    )
    waves = (Wave(steps=(away,), complete=False), Wave(steps=(back,)))
    schedule = Schedule(waves=waves, parking_moves=1, parking_bound=1)
    (said,) = aside_sentences(Changes(vms=(change,), stay=0), schedule)
    assert said == (
        "1 VM (v) is put aside on the way and comes back: 8 GiB more than the moves alone, and v needs no restart then."
    )
    sheet = move_sheet(schedule, Changes(vms=(change,), stay=0))
    assert sheet.notes == (said,) and sheet.caption.endswith("1 VM put aside on the way (proven fewest)")
    assert [row[2] for row in sheet.rows] == ["live migration, put aside for a while", "live migration"]
    assert not list(aside_sentences(Changes(vms=(change,), stay=0), replace(schedule, waves=())))
