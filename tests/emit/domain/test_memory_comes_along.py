"""Memory of a domain that floats on another host: bound to all nodes or some it stays so, or what is lost is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.emit.domain.files import domain_files
from placer.emit.moves.script import schedule_script
from placer.explain.diff import compare_with_now
from placer.model.fleet import Fleet
from placer.moves.changes import plan_changes
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.inventory.inventory import read_fleet
from placer.show.change_words import mode_sentences

XML = "<domain type='kvm'><name>v</name><memory unit='GiB'>2</memory><vcpu>2</vcpu>{}</domain>"
POLICY = "<numatune><memory mode='{}' nodeset='{}'/></numatune>"


def fleet_of(folder: Path, mode: str, nodes: str, there: int = 2) -> Fleet:
    """Return a drained host of two nodes with a domain that has such a policy, and a host of so many nodes."""
    (folder / "v.xml").write_text(XML.format(POLICY.format(mode, nodes)))
    hosts = [
        f"{{name: {name}, uri: 'qemu+ssh://{name}/system', nodes: ["
        + ", ".join(f'{{id: {n}, cpus: "{n * 4}-{n * 4 + 3}", memory: 8GiB}}' for n in range(count))
        + "]}"
        for name, count in (("a", 2), ("b", there))
    ]
    path = folder / "f.yaml"
    vms = "[{domain: v.xml, host: a}]"
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


@pytest.mark.parametrize("mode", ["strict", "restrictive", "interleave"])
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
    ("mode", "nodes", "there"), [("strict", "1", 1), ("preferred", "0", 2), ("interleave", "0-1", 3)]
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
