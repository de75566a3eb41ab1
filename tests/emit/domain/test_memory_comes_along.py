"""Memory of a domain that floats on another host: bound to all nodes or some it stays so, or what is lost is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.check.check import check
from placer.emit.domain.files import domain_files
from placer.emit.moves.script import schedule_script
from placer.emit.qemu import qemu_document
from placer.emit.virsh import virsh_script
from placer.explain.diff import compare_with_now
from placer.model.fleet import Fleet
from placer.moves.changes import plan_changes
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.inventory.inventory import read_fleet
from placer.show.change_words import mode_sentences

XML = "<domain type='kvm'><name>v</name><memory unit='GiB'>2</memory><vcpu>2</vcpu>{}</domain>"
CELLS = (
    "<cpu><numa><cell id='0' cpus='0' memory='1' unit='GiB'/><cell id='1' cpus='1' memory='1' unit='GiB'/></numa></cpu>"
)
POLICY = "<numatune><memory mode='{}' nodeset='{}'/></numatune>"


def fleet_of(folder: Path, mode: str, nodes: str, there: int = 2) -> Fleet:
    """Return a drained host of two nodes with a domain that has such a policy, and a host of so many nodes."""
    return moved_fleet(folder, POLICY.format(mode, nodes), there)


def moved_fleet(folder: Path, text: str, there: int, said: str = "movable: live") -> Fleet:
    """Return a drained host of two nodes with a domain of such elements, and a host of so many nodes."""
    (folder / "v.xml").write_text(XML.format(text))
    hosts = [
        f"{{name: {name}, uri: 'qemu+ssh://{name}/system', nodes: ["
        + ", ".join(f'{{id: {n}, cpus: "{n * 4}-{n * 4 + 3}", memory: 8GiB}}' for n in range(count))
        + "]}"
        for name, count in (("a", 2), ("b", there))
    ]
    path = folder / "f.yaml"
    vms = f"[{{domain: v.xml, host: a, {said}}}]"
    path.write_text(f"schema: placer.inventory/v1\nhosts: [{', '.join(hosts)}]\nvms: {vms}\nrules: [{{drain: a}}]\n")
    return read_fleet(path)


@pytest.mark.parametrize("mode", ["interleave", "strict", "preferred", "restrictive"])
def test_all_nodes_stay_all_nodes(tmp_path: Path, mode: str) -> None:
    """In the XML, in the script of the moves, and nothing is said to change."""
    fleet = fleet_of(tmp_path, mode, "0-1")
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    policy = read_domain(xml, "v").numatune.memory
    assert plan.vms[0].host == "b" and policy is not None
    assert (policy.mode, policy.nodeset) == (mode, frozenset({0, 1}))
    script = schedule_script(schedule_moves(fleet, plan), fleet)
    assert f"<memory mode={mode} nodeset=0-1/>" in script.replace("'", "").replace('"', "")
    assert "cpulist" not in script.partition("wave 1")[2]
    assert not plan_changes(fleet, plan).memory_modes


@pytest.mark.parametrize("mode", ["strict", "restrictive", "interleave", "preferred"])
def test_memory_of_one_node_is_bound_to_one_in_its_mode(tmp_path: Path, mode: str) -> None:
    """In the XML and in the script, and nothing is said to change."""
    fleet = fleet_of(tmp_path, mode, "1", 3)
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    policy = read_domain(xml, "v").numatune.memory
    assert plan.vms[0].host == "b" and policy is not None
    assert (policy.mode, policy.nodeset) == (mode, frozenset({1}))
    script = schedule_script(schedule_moves(fleet, plan), fleet)
    assert f"<memory mode={mode} nodeset=1/>" in script.replace("'", "").replace('"', "")
    assert not plan_changes(fleet, plan).memory_modes


@pytest.mark.parametrize(
    ("mode", "nodes", "there"), [("strict", "1", 1), ("preferred", "0", 1), ("interleave", "0-1", 3)]
)
def test_what_is_lost_is_named(tmp_path: Path, mode: str, nodes: str, there: int) -> None:
    """Memory that was bound to some nodes, and interleaved memory on a host of other nodes, is bound to none."""
    fleet = fleet_of(tmp_path, mode, nodes, there)
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    assert plan.vms[0].host == "b" and b"numatune" not in xml
    (said,) = mode_sentences(plan_changes(fleet, plan))
    assert said == f"The memory of 1 VM (v) is bound to nodes now ({mode}), and to none where it comes."
    assert compare_with_now(fleet, plan).vms[0].memory_modes == (mode, "none")


def cells_of(*cells: tuple[str, str]) -> str:
    """Return a numatune over two nodes with a memnode of each mode and node set, before two guest cells."""
    nodes = (f"<memnode cellid='{n}' mode='{mode}' nodeset='{nodes}'/>" for n, (mode, nodes) in enumerate(cells))
    return f"<numatune><memory mode='strict' nodeset='0-1'/>{''.join(nodes)}</numatune>{CELLS}"


@pytest.mark.parametrize("mode", ["strict", "preferred"])
def test_cells_bound_apart_stay_apart(tmp_path: Path, mode: str) -> None:
    """A memnode of each cell comes along in the XML, the script of the moves, virsh's script and the QEMU line."""
    fleet = moved_fleet(tmp_path, cells_of((mode, "0"), (mode, "1")), 3)
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    policies = read_domain(xml, "v").numatune.memnodes
    assert plan.vms[0].host == "b" and check(fleet, plan).ok
    assert {cell: (one.mode, len(one.nodeset or ())) for cell, one in policies.items()} == {0: (mode, 1), 1: (mode, 1)}
    assert len({one.nodeset for one in policies.values()}) == 2
    moves = schedule_script(schedule_moves(fleet, plan), fleet).replace("'", "").replace('"', "")
    pinning = virsh_script(plan, fleet).decode().replace("'", "").replace('"', "")
    line = qemu_document(plan, fleet).decode()
    for cell, one in policies.items():
        (node,) = one.nodeset or ()
        assert f"<memnode cellid={cell} mode={mode} nodeset={node}/>" in moves
        assert f"<memnode cellid={cell} mode={mode} nodeset={node}/>" in pinning
        kind = {"strict": "bind"}.get(mode, mode)
        assert f"id=ram-node{cell},size=1024M,host-nodes={node},policy={kind}" in line
    assert not plan_changes(fleet, plan).memory_modes


def test_what_one_cell_loses_is_named(tmp_path: Path) -> None:
    """A cell bound to a node stays so; one interleaved over two nodes of two is not over three."""
    fleet = moved_fleet(tmp_path, cells_of(("strict", "0"), ("interleave", "0-1")), 3)
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    assert list(read_domain(xml, "v").numatune.memnodes) == [0]
    assert plan_changes(fleet, plan).memory_modes == {"v": ("interleave", "none")}


def test_cells_apart_that_cannot_be_apart_are_named(tmp_path: Path) -> None:
    """On a host of one node no cell has a node of its own: it said that nothing was lost."""
    fleet = moved_fleet(tmp_path, cells_of(("strict", "0"), ("strict", "1")), 1)
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    assert b"memnode" not in xml
    assert plan_changes(fleet, plan).memory_modes == {"v": ("strict", "none")}


def test_enclave_memory_of_all_nodes_stays_so(tmp_path: Path) -> None:
    """The node mask of SGX memory was lost on another host."""
    text = (
        "<devices><memory model='sgx-epc'><source><nodemask>0-1</nodemask></source><target><size unit='MiB'>64</size>"
    )
    fleet = moved_fleet(tmp_path, text + "</target></memory></devices>", 2, "movable: cold, resources: {}")
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    assert plan.vms[0].host == "b" and b"<nodemask>0-1</nodemask>" in xml


def test_pages_that_pins_let_expect_stay_unbound(tmp_path: Path) -> None:
    """A VM with CPUs of its own and no numatune gets none elsewhere, though its pages lie near its CPUs."""
    pins = "".join(f"<vcpupin vcpu='{n}' cpuset='{n + 4}'/>" for n in range(2))
    fleet = moved_fleet(tmp_path, f"<cputune>{pins}</cputune>", 3)
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (xml,) = domain_files(plan, fleet).values()
    assert plan.vms[0].host == "b" and b"vcpupin" in xml and b"numatune" not in xml
    assert "<memory mode=" not in schedule_script(schedule_moves(fleet, plan), fleet)
    assert "policy=" not in qemu_document(plan, fleet).decode()
