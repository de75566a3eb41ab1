"""The report as text: patterns, figures that add up, names that stay text, and how it stays small."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from placer.emit.report import report as module
from placer.emit.report.boxes import host_boxes, node_line
from placer.emit.report.hosts import find_patterns, plan_now
from placer.emit.report.map import host_map
from placer.emit.report.report import report_html
from placer.emit.report.sections import before_after, goal_sheet, headroom_sheet, now_and_planned, usage_sheet
from placer.measure.before import plan_of_places
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.model.host import Host, Topology
from placer.model.plan import Change, GoalResult, Plan, PlanVm
from placer.model.vm import Cell, CellMode, Current, ThreadPolicy, Usage, Vm, VmSpec
from placer.topology.parts import part_tree
from placer.whatif.headroom import headroom

SPEC = VmSpec(
    vcpus=2, memory_kib=4 << 20, cell_mode=CellMode.NONE, cells=(Cell(vcpus=frozenset({0, 1}), memory_kib=4 << 20),)
)
Hosts = Callable[[int], tuple[Fleet, Plan]]


@pytest.fixture
def alike(place: Callable[..., PlanVm], planned: Callable[..., Plan], topology: Callable[..., Topology]) -> Hosts:
    """Return a maker of fleets of hosts alike with one VM each, and an empty host."""

    def alike(number: int) -> tuple[Fleet, Plan]:
        shape = topology()
        hosts = [Host(name=f"kvm-{at}.example.org", topology=shape) for at in range(number)]
        placed = [place(SPEC, name=f"vm-{at}", host=host.name) for at, host in enumerate(hosts)]
        fleet = Fleet(
            hosts=(*hosts, Host(name="empty", topology=shape)), vms=tuple(Vm(name=vm.name, spec=SPEC) for vm in placed)
        )
        return fleet, planned(*placed)

    return alike


def test_headroom_that_rules_hold_is_no_certain_figure(alike: Hosts) -> None:
    """A host that holds a tenant alone has free CPUs, and no room for others: the count knows no such rule."""
    fleet, _ = alike(1)
    (room,) = headroom(fleet, [parse_flavor("1x1GiB")])
    told = {}
    for tied in (False, True):
        sheet = headroom_sheet([replace(room, tied=tied)])
        assert sheet is not None
        told[tied] = sheet.rows[0][2]
    assert told == {False: f"{room.total}", True: f"at most {room.total}: rules may leave fewer"}


def test_goals_stand_beside_what_they_are_now() -> None:
    """A goal that counts changes has nothing before it; what is not known is said so; where nothing runs, no column."""
    goals = tuple(
        GoalResult(name=name, value=1.5, bound=None, gap=None, source="", status="feasible", stopped="")
        for name in ("remote", "cores", "moves")
    )
    plan = plan_of_places(Fleet(hosts=(), vms=()), ())
    sheet = goal_sheet(replace(plan, goals=goals), {"remote": 4.5, "cores": None})
    assert [column.title for column in sheet.columns][2:4] == ["before", "value"]
    assert [row[2:4] for row in sheet.rows] == [("4.5", "1.5"), ("unknown", "1.5"), ("", "1.5")]
    assert "before" not in [column.title for column in goal_sheet(replace(plan, goals=goals)).columns]


def test_soft_rules_that_are_broken_are_named(alike: Hosts) -> None:
    """The goal tells a sum alone; beside it stands which rule is broken, by how much."""
    fleet, plan = alike(1)
    assert "Soft rules broken" not in report_html(plan, fleet)
    row = {"rule": "far <apart>", "excess": 5, "weight": 3, "priority": 0}
    text = report_html(replace(plan, summary={"soft_rules_broken": [row]}), fleet)
    assert "Soft rules broken: 1 rule" in text
    assert "far &lt;apart&gt;" in text


def test_hosts_alike_are_one_pattern(alike: Hosts) -> None:
    """Hosts of equal shape and content share a pattern that lists them all; other pins or a change part them."""
    fleet, plan = alike(5)
    assert [len(pattern.hosts) for pattern in find_patterns(fleet, plan)] == [5, 1]
    first, *rest = plan.vms
    other = replace(first, pins={0: frozenset({6}), 1: frozenset({4})})
    assert [len(each.hosts) for each in find_patterns(fleet, replace(plan, vms=(other, *rest)))] == [1, 4, 1]
    moved = replace(first, change=Change.REPIN)
    assert [len(each.hosts) for each in find_patterns(fleet, replace(plan, vms=(moved, *rest)))] == [1, 4, 1]
    text = report_html(plan, fleet)
    assert text.count("<details class=host") == 2
    assert all(f"vm-{at}" in text and f"kvm-{at}.example.org" in text for at in range(5))


def test_every_cpu_is_drawn_once_with_its_owner(alike: Hosts) -> None:
    """The map holds each CPU of the host once; the VM's two are its letter, the others free."""
    fleet, plan = alike(1)
    pattern = find_patterns(fleet, plan)[0]
    drawn = host_map(host_boxes(part_tree(pattern.topology), pattern.topology, pattern.nodes))
    cpus = re.findall(r"<b class=(\w+)>(.)<i>(\d+)</i></b>", drawn)
    assert sorted(int(cpu) for _, _, cpu in cpus) == list(range(16))
    taken = {int(cpu) for _, mark, cpu in cpus if mark == "a"}
    assert taken == set().union(*plan.vms[0].pins.values())
    assert sum(mark == "." for _, mark, _ in cpus) == 14
    assert "vm-0 vCPU 1" in drawn


def test_idle_siblings_are_not_free(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """Threads that an isolated VM keeps empty are told apart from free ones."""
    spec = replace(SPEC, thread_policy=ThreadPolicy.ISOLATE)
    plan = planned(place(spec, pins={0: frozenset({0}), 1: frozenset({2})}))
    (pattern,) = find_patterns(fleet_of(Vm(name="vm", spec=spec)), plan)
    node = pattern.nodes[0]
    assert node.idle == {8, 10}
    assert node.open == {4, 6, 12, 14} and node.free == 4
    assert node_line(node).startswith("4 of 8 CPUs free · 2 kept idle")


def test_before_and_after_measure_the_same_vms(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """Only VMs whose nodes are known count on both sides: one with its memory away is 0 local now, 100 as planned."""
    now = Current(host="kvm-a", nodes=(0,), memory_nodes=(1,))
    known = Vm(name="known", spec=SPEC, current=now)
    unknown = Vm(name="unknown", spec=SPEC, current=Current(host="kvm-a"))
    fleet = fleet_of(known, unknown)
    plan = planned(place(SPEC, name="known", change=Change.RENODE), place(SPEC, name="unknown", pins={0: {4}, 1: {6}}))
    assert [vm.name for vm in plan_now(fleet)] == ["known"]
    sheet = before_after(fleet, plan, now_and_planned(fleet, plan))
    assert sheet is not None
    assert "1 of 2 VMs" in sheet.caption
    assert sheet.rows[0][1:] == ("0", "100")
    assert sheet.rows[2][1:] == ("2.1", "1")


def test_names_are_text(place: Callable[..., PlanVm], planned: Callable[..., Plan]) -> None:
    """A name with tags, quotes, line ends and lone surrogates is escaped wherever it stands, and can be encoded."""
    name = "</pre><script>x</script>\"'\n\udce4{{ 1 }}"
    fleet = Fleet(hosts=(Host(name=name, topology=_topology()),), vms=(Vm(name=name, spec=SPEC),))
    plan = planned(place(SPEC, name=name, host=name), warnings=(name,), fleet_path=name)
    text = report_html(plan, fleet)
    assert text.count("<script>") == 1
    assert text.encode()
    assert "{{ 1 }}" in text


def _topology() -> Topology:
    from placer.model.host import Node

    cpus = frozenset(range(0, 16, 2))
    return Topology(
        nodes=(Node(id=0, cpus=cpus, memory_kib=64 << 20),),
        distances=((10.0,),),
        cores=tuple(frozenset({cpu}) for cpu in sorted(cpus)),
    )


def test_report_stays_small_however_many_patterns(alike: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the room for maps patterns are lines of text, beyond the room for those they are listed only."""
    fleet, plan = alike(40)
    vms = tuple(
        replace(vm, name=vm.name, pins={0: vm.pins[0], 1: frozenset({2 + 2 * (at % 3)})})
        for at, vm in enumerate(plan.vms)
    )
    parted = replace(plan, vms=tuple(replace(vm, change=Change.REPIN) for vm in vms))
    whole = report_html(parted, fleet)
    assert whole.count('role="img"') == 41
    monkeypatch.setattr(module, "MAP_BYTES", 20_000)
    assert 0 < report_html(parted, fleet).count('role="img"') < 20
    monkeypatch.setattr(module, "REPORT_BYTES", 41 * 450 + 4_000)
    least = report_html(parted, fleet)
    assert least.count('role="img"') == 0
    assert 0 < least.count("<pre>") < 41
    assert least.count("Not drawn") == 41 - least.count("<pre>")
    assert all(f"kvm-{at}.example.org" in least for at in range(40))


def test_little_used_vms_are_listed(place: Callable[..., PlanVm], planned: Callable[..., Plan]) -> None:
    """VMs whose measured use is low stand in a table of their own, and nothing is said where no use is known."""
    host = Host(name="kvm-a", topology=_topology())
    idle = Vm(name="idle", spec=SPEC, usage=Usage(cpu_p95=0.1, memory_p95=None))
    busy = Vm(name="busy", spec=SPEC, usage=Usage(cpu_p95=0.9, memory_p95=0.9))
    sheet = usage_sheet(Fleet(hosts=(host,), vms=(idle, busy)))
    assert sheet is not None and "1 VM below 25 % of CPU" in sheet.caption and "of 2 whose use" in sheet.caption
    assert [row[:4] for row in sheet.rows] == [("idle", "2", "0.2", "10 %")]
    assert sheet.rows[0][4:] == ("4 GiB", "unknown", "unknown")
    assert usage_sheet(Fleet(hosts=(host,), vms=(Vm(name="v", spec=SPEC),))) is None
    assert "Little used" in report_html(planned(place(SPEC, name="idle")), Fleet(hosts=(host,), vms=(idle, busy)))
