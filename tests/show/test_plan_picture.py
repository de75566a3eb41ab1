"""The picture of a plan: its summary, the map of each host, and what is said when the fleet is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.plan import Plan, PlanCell, PlanVm
from placer.model.vm import Bound, Cell, CellMode, CpuPolicy, ThreadPolicy, Vm, VmSpec
from placer.show.plan_map import map_host
from placer.show.plan_picture import draw_plan, plan_host_data
from placer.show.plan_sentences import sentences
from placer.show.plan_summary import draw_summary

Draw = Callable[[Callable[[Console], None]], str]


def test_plan_with_its_fleet(small_plan: Plan, small_host: Host, drawn: Draw, snapshot: SnapshotAssertion) -> None:
    """Summary and map are golden, within 80 columns, with no control character of a VM's name."""
    fleet = Fleet(hosts=(small_host,), vms=())
    text = drawn(lambda console: draw_plan(small_plan, fleet, None, console))
    assert text == snapshot
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_plan_without_its_fleet(small_plan: Plan, drawn: Draw) -> None:
    """Without the fleet the cells are drawn with their CPUs, and no free CPU is claimed."""
    text = drawn(lambda console: draw_plan(small_plan, None, "kvm-a", console))
    assert "db cell 1" in text
    assert "free" not in text
    assert "5,13" in text


def test_marks_of_the_map(small_plan: Plan, small_host: Host) -> None:
    """A CPU is marked once: a VM's letter, reserved, shared or free, core by core."""
    first, second = map_host(small_plan.vms, small_host)
    assert first.row() == "00 aa b. .."
    assert second.row() == "00 aa ~~ .."


def test_a_lone_cpu_of_two_vcpus_is_shared(small_plan: Plan, small_host: Host) -> None:
    """Two vCPUs pinned to the same single CPU float over it: it is nobody's own."""
    web = small_plan.vms[1]
    twice = replace(
        web,
        cells=(replace(web.cells[0], vcpus=frozenset((0, 1))),),
        pins={0: frozenset((2,)), 1: frozenset((2,))},
    )
    first, _ = map_host((twice,), small_host)
    assert first.row() == "00 .. ~. .."


def test_memory_away_from_the_cpus(small_plan: Plan, small_host: Host) -> None:
    """A cell whose memory is on another node than its CPUs stands on both, its memory on one."""
    web = small_plan.vms[1]
    cell = web.cells[0]
    remote = replace(web, cells=(replace(cell, nodes={1: cell.memory_kib}),))
    first, second = map_host((remote,), small_host)
    assert [(entry.vcpus, entry.memory_kib) for entry in first.cells] == [(frozenset((0,)), 0)]
    assert [(entry.vcpus, entry.memory_kib) for entry in second.cells] == [(frozenset(), cell.memory_kib)]


def test_unknown_host_is_refused_by_name(small_plan: Plan, drawn: Draw) -> None:
    """Asking for a host that the plan lacks names those that it has."""
    with pytest.raises(InputError, match=r"no host 'kvm-b'.*it has 'kvm-a'"):
        drawn(lambda console: draw_plan(small_plan, None, "kvm-b", console))


def test_host_data_is_plain(small_plan: Plan, small_host: Host) -> None:
    """The JSON of a planned host tells cells, CPUs and what is free."""
    data = plan_host_data(small_plan, Fleet(hosts=(small_host,), vms=()), "kvm-a")
    assert json.loads(json.dumps(data)) == data
    assert data["nodes"][0]["free_cpus"] == "3,10-11"
    assert data["nodes"][0]["cells"][1] == {
        "vm": "web",
        "cell": 0,
        "vcpus": "0",
        "cpus": "2",
        "affinity": "hard",
        "memory_kib": 4 << 20,
    }


def test_summary_says_unknown(small_plan: Plan, drawn: Draw) -> None:
    """A goal without a bound has an unknown bound and gap, never zero."""
    text = drawn(lambda console: draw_summary(small_plan, console))
    line = next(line for line in text.splitlines() if line.startswith("remote"))
    assert line.split()[:5] == ["remote", "1.25", "unknown", "unknown", "feasible"]
    assert "time limit" in line
    assert "feasible, remote held" in text


@pytest.mark.parametrize("summary", [{}, {"cpus": 3, "largest_free_slot": None}, {"worst_host_failure": {"host": 7}}])
def test_summary_of_a_strange_plan_file(small_plan: Plan, drawn: Draw, summary: dict[str, object]) -> None:
    """A plan file may hold anything as its summary: what is not there is left out or unknown."""
    text = drawn(lambda console: draw_summary(replace(small_plan, summary=summary), console))
    assert "VMs placed" in text


def test_many_unplaced_are_cut_with_their_number(small_plan: Plan, drawn: Draw) -> None:
    """Of a thousand VMs without a place some are named, and the rest counted."""
    many = tuple(replace(small_plan.unplaced[0], name=f"vm-{number}") for number in range(1000))
    text = drawn(lambda console: draw_summary(replace(small_plan, unplaced=many), console))
    assert "without a place: 1,000 VMs" in text
    assert "and 980 more" in text


def test_many_hosts_get_a_line_each(small_plan: Plan, small_host: Host, drawn: Draw) -> None:
    """A plan of many hosts lists the ten fullest instead of drawing each map, and all where they are asked for."""
    hosts = tuple(replace(small_host, name=f"kvm-{letter}") for letter in "abcdefghijklmnopq")
    text = drawn(lambda console: draw_plan(small_plan, Fleet(hosts=hosts, vms=()), None, console))
    assert "kvm-a    3      7" in text and "17 hosts, 16 of them empty" in text
    assert "kvm-q" not in text and "and 7 more: --all" in text
    assert "00 aa" not in text
    whole = drawn(lambda console: draw_plan(small_plan, Fleet(hosts=hosts, vms=()), None, console, most=None))
    assert "kvm-q    0      0" in whole


def test_idle_threads_l3_domains_and_sockets(small_plan: Plan, drawn: Draw) -> None:
    """Siblings kept idle are not free, L3 domains stand apart, sockets have headings, free memory knows overhead."""
    cpus = (frozenset(range(8)), frozenset(range(8, 16)))
    topology = Topology(
        nodes=tuple(Node(id=n, cpus=cpus[n], memory_kib=8 << 20) for n in range(2)),
        distances=((10.0, 21.0), (21.0, 10.0)),
        cores=tuple(frozenset({cpu, cpu + 1}) for cpu in range(0, 16, 2)),
        packages=cpus,
        l3=tuple(frozenset(range(cpu, cpu + 4)) for cpu in range(0, 16, 4)),
    )
    spec = VmSpec(
        vcpus=1,
        memory_kib=1 << 20,
        cell_mode=CellMode.NONE,
        cells=(Cell(vcpus=frozenset({0}), memory_kib=1 << 20),),
        overhead_kib=1 << 20,
        thread_policy=ThreadPolicy.ISOLATE,
    )
    cell = PlanCell(id=0, vcpus=frozenset({0}), memory_kib=1 << 20, mode="strict", nodes={0: 1 << 20})
    planned = PlanVm(name="v", host="h", cells=(cell,), pins={0: frozenset({4})})
    fleet = Fleet(hosts=(Host(name="h", topology=topology),), vms=(Vm(name="v", spec=spec),))
    plan = replace(small_plan, vms=(planned,))
    text = drawn(lambda console: draw_plan(plan, fleet, "h", console))
    assert "node 0: 6 of 8 CPUs free, 1 pinned, 1 kept idle; 6 GiB of 8 GiB free" in text
    assert ".. .. | a- .." in text and "- kept idle" in text and "| between L3 domains" in text
    assert text.index("socket 0") < text.index("node 0") < text.index("socket 1") < text.index("node 1")
    data = plan_host_data(plan, fleet, "h")["nodes"][0]
    assert (data["idle_cpus"], data["free_cpus"], data["free_memory_kib"]) == ("5", "0-3,6-7", 6 << 20)


def test_failures_that_were_not_tried_are_not_spoken_for(small_plan: Plan, small_host: Host) -> None:
    """Where only the fullest hosts were let fail, the report says so, and speaks of these alone."""
    fleet = Fleet(hosts=(small_host,), vms=())
    said = {"host": "kvm-a", "vms_without_place": 0, "vcpus_without_place": 0, "proven": False, "states_in_all": 400}
    alone, part, whole = (
        sentences(replace(small_plan, vms=(), summary={"worst_host_failure": {**said, "states": n}}), fleet)
        for n in (1, 64, 400)
    )
    assert alone[-2] == "Of 400 kinds of host the fullest alone was tried."
    assert alone[-1].startswith("If it fails, every VM finds")
    assert whole[-1] == "If one host fails, every VM finds a NUMA-true place on the others; the worst to lose is kvm-a."
    assert part[-2] == "Of 400 kinds of host the fullest 64 were tried, each failing by itself, and no others."
    assert part[-1].startswith("Whichever of these fails, every VM finds")


def test_what_floats_over_a_host_is_on_all_its_nodes(small_plan: Plan, small_host: Host, drawn: Draw) -> None:
    """A VM whose CPUs are of both nodes shares those of each, and is listed under both, not on the first alone."""
    web = small_plan.vms[1]
    wide = replace(
        web,
        cells=(replace(web.cells[0], vcpus=frozenset((0,)), nodes={}),),
        pins={0: frozenset((2, 3, 6, 14))},
    )
    first, second = map_host((wide,), small_host)
    assert (first.floating, second.floating) == (frozenset((2, 3)), frozenset((6, 14)))
    plan = replace(small_plan, vms=(wide,))
    text = drawn(lambda console: draw_plan(plan, Fleet(hosts=(small_host,), vms=()), "kvm-a", console))
    assert "over nodes 0-1:" in text and "floats over 2-3,6,14" in text


def test_of_many_that_float_the_largest_are_listed(small_plan: Plan, small_host: Host, drawn: Draw) -> None:
    """Those left out are counted with their vCPUs; with no limit all are listed."""
    web = small_plan.vms[1]
    some = [replace(web, name=f"f{n}", pins={0: frozenset((2, 10))}) for n in range(12)]
    plan = replace(small_plan, vms=tuple(some))
    fleet = Fleet(hosts=(small_host,), vms=())
    text = drawn(lambda console: draw_plan(plan, fleet, "kvm-a", console))
    assert "and 2 more that float, with 2 vCPUs: --all" in text
    assert text.count("floats over") == 10
    assert drawn(lambda console: draw_plan(plan, fleet, "kvm-a", console, most=None)).count("floats over") == 12


def test_pools_and_memory_that_is_not_told(small_plan: Plan, drawn: Draw) -> None:
    """A node draws its page pools beside its ordinary memory, what is too much, and no memory that is not told."""
    cells = (Cell(vcpus=frozenset({0}), memory_kib=1 << 20),)
    spec = VmSpec(vcpus=1, memory_kib=1 << 20, cell_mode=CellMode.NONE, cells=cells, page_kib=2048)
    cell = PlanCell(id=0, vcpus=frozenset({0}), memory_kib=1 << 20, mode="strict", nodes={0: 1 << 20})
    plan = replace(
        small_plan,
        vms=(PlanVm(name="v", host="h", cells=(cell,), pins={0: frozenset({0})}),),
        summary={"memory_mib": {"used": 1024, "reserved": 0, "free": -1024, "total": 0}, "largest_free_slot": None},
    )

    def text(memory_kib: int, pages: dict[int, int]) -> str:
        node = Node(id=0, cpus=frozenset(range(2)), memory_kib=memory_kib, pages=pages)
        topology = Topology(nodes=(node,), distances=((10.0,),), cores=(frozenset({0}), frozenset({1})))
        fleet = Fleet(hosts=(Host(name="h", topology=topology),), vms=(Vm(name="v", spec=spec),))
        return " ".join(drawn(lambda console: draw_plan(plan, fleet, "h", console)).split())

    assert "512 of 1,024 pages of 2 MiB free" in text(8 << 20, {2048: 1024})
    assert "512 more than its 0 pages of 2 MiB" in text(8 << 20, {})
    untold = text(0, {})
    assert "GiB taken" in untold and "0 KiB free" not in untold
    summary = drawn(lambda console: draw_summary(plan, console))
    assert "largest free slot: unknown, no host tells its memory" in summary and "unknown  unknown" in summary


def test_bound_memory_of_a_cell_that_runs_on_several_nodes(small_plan: Plan, drawn: Draw) -> None:
    """The line of a VM over two nodes says on which of them its memory is."""
    node = {n: frozenset(range(n * 2, n * 2 + 2)) for n in range(2)}
    topology = Topology(
        nodes=tuple(Node(id=n, cpus=node[n], memory_kib=8 << 20) for n in range(2)),
        distances=((10.0, 21.0), (21.0, 10.0)),
        cores=tuple(frozenset({cpu}) for cpu in range(4)),
    )
    cells = (Cell(vcpus=frozenset({0}), memory_kib=1 << 20),)
    spec = VmSpec(vcpus=1, memory_kib=1 << 20, cell_mode=CellMode.NONE, cells=cells, cpu_policy=CpuPolicy.SHARED)
    cell = PlanCell(id=0, vcpus=frozenset({0}), memory_kib=1 << 20, mode="strict", nodes={0: 1 << 20})
    bound = (Bound(memory=frozenset({0})),)
    planned = PlanVm(name="v", host="h", cells=(cell,), pins={0: frozenset(range(4))}, bound=bound)
    fleet = Fleet(hosts=(Host(name="h", topology=topology),), vms=(Vm(name="v", spec=spec),))
    text = drawn(lambda console: draw_plan(replace(small_plan, vms=(planned,)), fleet, "h", console))
    assert "v  vCPUs 0  1 GiB on node 0  floats over 0-3" in text
