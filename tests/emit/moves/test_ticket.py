"""The change ticket: its five parts, and names that Markdown shows as they are."""

from __future__ import annotations

from collections.abc import Callable

from placer.emit.moves.ticket import ticket
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Cell, CellMode, Current, Vm, VmSpec

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
