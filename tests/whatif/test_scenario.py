"""Each edit of a scenario, with answers computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind, only
from placer.model.vm import CellMode, ThreadPolicy
from placer.options import SweepOptions
from placer.read.documents.scenario_file import parse_scenario, read_scenarios
from placer.read.inventory.inventory import parse_fleet, read_fleet
from placer.show.scenario_table import answers
from placer.sweeps.tasks import Variant
from placer.whatif.compare import compare
from placer.whatif.scenario import apply_scenario, variants

FLEET = b"""\
schema: placer.inventory/v1
hosts:
  - name: old
    count: 3
    threads_per_core: 2
    nodes:
      - {id: 0, cpus: "0-7,16-23", memory: 64GiB, pages: {1GiB: 10}}
      - {id: 1, cpus: "8-15,24-31", memory: 64GiB, pages: {1GiB: 10}}
    packages: ["0-7,16-23", "8-15,24-31"]
    l3: ["0-3,16-19", "4-7,20-23", "8-11,24-27", "12-15,28-31"]
    distances: [[10, 21], [21, 10]]
    reserve: {cpus: "0,16", nodes: {0: {memory: 3GiB}}}
    labels: {rack: r1}
  - name: new
    nodes: [{id: 0, cpus: "0-31", memory: 256GiB}]
    cost: 2
    labels: {rack: r2}
vms:
  - {name: db, count: 3, vcpus: 4, memory: 8GiB, cells: 2, labels: {app: db}, host: old-1, nodes: [0, 1]}
  - {name: web, count: 5, vcpus: 2, memory: 4GiB, labels: {app: web}}
"""


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """Return three hosts of one shape and one of another, eight VMs, three of them placed."""
    return parse_fleet(FLEET, "fleet.yaml", ".")


def edited(fleet: Fleet, *edits: str) -> Variant:
    """Return the fleet after these edits."""
    text = "schema: placer.scenario/v1\nname: s\nedits:\n" + "".join(f"  - {edit}\n" for edit in edits)
    return apply_scenario(fleet, parse_scenario(text.encode(), "s.yaml", Path()))


def faults(fleet: Fleet, *edits: str) -> list[str]:
    """Return the lines of what is wrong with these edits."""
    with pytest.raises(InputError) as caught:
        edited(fleet, *edits)
    return [str(fault) for fault in caught.value.faults]


def conserved(fleet: Fleet, name: str) -> Any:
    """Return what firmware must conserve of a host."""
    topology = fleet.host_by_name[name].topology
    return (
        topology.cpus,
        set(topology.cores),
        set(topology.l3),
        sum(node.memory_kib for node in topology.nodes),
        sum(node.pages.get(1024 * 1024, 0) for node in topology.nodes),
    )


def test_nps4_and_back(fleet: Fleet) -> None:
    """NPS4 makes eight nodes of four CPUs out of two of sixteen, and NPS1 after it gives the host back."""
    cut = edited(fleet, "{nps: 4, hosts: {rack: r1}}")
    host = cut.fleet.host_by_name["old-1"]
    nodes = host.topology.nodes
    assert [len(node.cpus) for node in nodes] == [4] * 8
    assert nodes[0].cpus == {0, 1, 16, 17}
    assert [node.pages[1024 * 1024] for node in nodes] == [3, 3, 2, 2, 3, 3, 2, 2]
    assert host.topology.distances[0] == (10, 12, 12, 12, 21, 21, 21, 21)
    assert sum(value for value in host.reserve.memory_kib.values()) == 3 * 1024 * 1024
    assert conserved(cut.fleet, "old-1") == conserved(fleet, "old-1")
    back = edited(cut.fleet, "{nps: 1, hosts: {rack: r1}}").fleet.host_by_name["old-1"]
    was = fleet.host_by_name["old-1"]
    assert (back.topology.nodes, back.topology.distances, back.reserve) == (
        was.topology.nodes,
        was.topology.distances,
        was.reserve,
    )


def test_a_reshaped_host_keeps_its_vms_on_no_known_node(fleet: Fleet) -> None:
    """VMs of a host whose nodes change stay on it; hosts that are so already are left alone."""
    cut = edited(fleet, "{snc: on, hosts: {rack: r1}}").fleet
    current = cut.vm_by_name["db-1"].current
    assert current is not None and (current.host, current.nodes) == ("old-1", None)
    assert cut.host_by_name["old-1"].topology.distances[0] == (10, 11, 21, 21)
    same = edited(fleet, "{nps: 1, hosts: old-1}").fleet.vm_by_name["db-1"].current
    assert same is not None and same.nodes == (0, 1)


def test_smt_off(fleet: Fleet) -> None:
    """Without SMT half the CPUs are offline: the second thread of every core, reserved ones too."""
    host = edited(fleet, "{smt: off, hosts: old-2}").fleet.host_by_name["old-2"]
    assert host.topology.cpus == frozenset(range(16))
    assert host.topology.offline == frozenset(range(16, 32))
    assert host.reserve.cpus == {0}
    assert all(len(core) == 1 for core in host.topology.cores)


def test_memory_and_pages(fleet: Fleet) -> None:
    """Memory grows a node; a share of it in pages is rounded down to whole ones."""
    more = edited(fleet, "{memory: {add_per_node: 32GiB}, hosts: old-1}").fleet.host_by_name["old-1"]
    assert [node.memory_kib // 1024**2 for node in more.topology.nodes] == [96, 96]
    twice = edited(fleet, "{memory: {factor: 1.5}, hosts: old-1}").fleet.host_by_name["old-1"]
    assert [node.memory_kib // 1024**2 for node in twice.topology.nodes] == [96, 96]
    split = edited(fleet, "{pages: {1GiB: 33%, 2MiB: 100}, hosts: old-1}").fleet.host_by_name["old-1"]
    assert split.topology.nodes[0].pages == {1024 * 1024: 21, 2048: 100}


def test_hosts_come_and_go(fleet: Fleet) -> None:
    """Hosts are added like another, removed with their VMs homeless, failed and drained."""
    after = edited(fleet, "{add_hosts: {like: new, count: 2}}", "{remove_hosts: old-1}").fleet
    assert [host.name for host in after.hosts] == ["old-2", "old-3", "new", "new-new-1", "new-new-2"]
    assert after.vm_by_name["db-1"].current is None
    failed = edited(fleet, "{fail: {rack: r1}}").fleet
    assert [host.failed for host in failed.hosts] == [True, True, True, False]
    drained = edited(fleet, "{drain: {shape: old-2}}").fleet
    assert [rule.hosts for rule in drained.rules if rule.kind is RuleKind.DRAIN] == [
        only(f"old-{number}", {}) for number in (1, 2, 3)
    ]
    written = edited(fleet, '{add_hosts: [{name: x, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}]}]}').fleet
    assert len(written.host_by_name["x"].topology.cpus) == 4


def test_hardware_refresh(fleet: Fleet) -> None:
    """A host takes the shape, cost and settings of another and keeps its name, labels and VMs."""
    after = edited(fleet, "{replace_hosts: old-1, like: new}").fleet
    host = after.host_by_name["old-1"]
    assert (len(host.topology.nodes), host.cost, dict(host.labels)) == (1, 2.0, {"rack": "r1"})
    current = after.vm_by_name["db-2"].current
    assert current is not None and current.host == "old-1"


def test_settings(fleet: Fleet) -> None:
    """Overcommit and reserves are set on the hosts selected, on all where none are named."""
    after = edited(fleet, "{overcommit: {cpu: 4}}", '{reserve: {cpus: "0-1", memory: 2GiB}, hosts: new}').fleet
    assert {host.cpu_ratio for host in after.hosts} == {4.0}
    assert after.host_by_name["new"].reserve.cpus == {0, 1}
    assert after.host_by_name["old-1"].reserve.cpus == {0, 16}


def test_vms_grow_nested(fleet: Fleet) -> None:
    """Growth rounds up for each kind, and a larger share holds every VM of a smaller one."""
    some = edited(fleet, "{grow: 20%}").fleet
    assert [vm.name for vm in some.vms[8:]] == ["db-1+1", "web-1+1"]
    more = edited(fleet, "{grow: 150%}").fleet
    assert len(more.vms) == 8 + 5 + 8
    assert {vm.name for vm in some.vms} < {vm.name for vm in more.vms}
    mix = edited(fleet, "{grow: {16x64GiB: 2, 8x32GiB/2: 1}}").fleet.vms[8:]
    assert [(vm.spec.vcpus, vm.spec.cell_mode) for vm in mix] == [
        (16, CellMode.AUTO),
        (16, CellMode.AUTO),
        (8, CellMode.GIVEN),
    ]


def test_vms_are_added_and_changed(fleet: Fleet) -> None:
    """VMs are added as an inventory writes them; a resized one keeps its number of cells and its host."""
    after = edited(fleet, "{add_vms: [{name: x, count: 2, vcpus: 3, memory: 1GiB}]}").fleet
    assert [vm.name for vm in after.vms[8:]] == ["x-1", "x-2"]
    after = edited(fleet, "{change_vms: {vcpus: 8, thread_policy: isolate}, vms: {app: db}}").fleet
    spec = after.vm_by_name["db-1"].spec
    assert (spec.vcpus, [len(cell.vcpus) for cell in spec.cells], spec.thread_policy) == (
        8,
        [4, 4],
        ThreadPolicy.ISOLATE,
    )
    flat = edited(fleet, "{change_vms: {cells: none}, vms: db-1}").fleet.vm_by_name["db-1"]
    assert flat.spec.cell_mode is CellMode.NONE and flat.current is not None and flat.current.nodes is None


def test_scenarios_stack(fleet: Fleet) -> None:
    """Stacked, the second scenario sees what the first made; apart it does not."""
    texts = ["{add_hosts: {like: new, name: n, count: 1}}", "{add_hosts: {like: new, count: 1}}"]
    scenarios = [
        parse_scenario(f"schema: placer.scenario/v1\nname: s{n}\nedits:\n  - {text}\n".encode(), "s.yaml", Path())
        for n, text in enumerate(texts)
    ]
    assert [len(one.fleet.hosts) for one in variants(fleet, scenarios)] == [4, 5, 5]
    assert [len(one.fleet.hosts) for one in variants(fleet, scenarios, stack=True)] == [4, 5, 6]


def test_bad_edits_are_one_line_each(fleet: Fleet) -> None:
    """What selects nothing, does not divide or contradicts another edit is named with its line; all at once."""
    six = '{add_hosts: [{name: six, nodes: [{id: 0, cpus: "0-5", memory: 8GiB}]}]}'
    assert faults(fleet, "{fail: old-9}", six, "{nps: 4, hosts: six}") == [
        "s.yaml:4: fail: no host has name: old-9; did you mean 'old-3'?",
        "s.yaml:6: nps: host six: 4 nodes a package do not divide its 6 cores",
    ]
    (one,) = faults(fleet, "{nps: 2, hosts: old-1}", "{nps: 4, hosts: {rack: r1}}")
    assert one.startswith("s.yaml:5: nps: the edit on line 4 sets the nodes of host 'old-1' already")
    (one,) = faults(fleet, "{remove_hosts: old-1}", "{drain: old-1}")
    assert "no host has name: old-1" in one
    (one,) = faults(fleet, "{fail: {rack: r1}}", "{fail: new}")[-1:]
    assert "no host is left that works" in one


def test_a_scenario_file_tells_all_its_faults(tmp_path: Path) -> None:
    """Unknown keys, two kinds in one edit and wrong values: every fault with its line, and equal names refused."""
    text = "schema: placer.scenario/v1\nedits:\n  - {nps: 3}\n  - {smt: off, fail: a}\n  - {fial: a}\n  - {grow: 5}\n"
    with pytest.raises(InputError) as caught:
        parse_scenario(text.encode(), "s.yaml", Path())
    assert [fault.line for fault in caught.value.faults] == [3, 4, 5, 6]
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("schema: placer.scenario/v1\nname: same\nedits: [{smt: off}]\n")
    with pytest.raises(InputError, match="the name 'same' is that of"):
        read_scenarios([tmp_path / "a.yaml", tmp_path / "b.yaml"])


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "data/scenarios").glob("*.yaml")), ids=lambda p: p.stem
)
def test_bundled_scenarios_apply(path: Path) -> None:
    """Each scenario under data/ changes the live fleet that is bundled with it."""
    live = read_fleet(path.parents[1] / "mixed-racks.yaml")
    (scenario,) = read_scenarios([path])
    after = apply_scenario(live, scenario)
    assert after.changes and after.fleet.digest != live.digest


REFRESH = """\
schema: placer.inventory/v1
hosts:
  - {name: old, nodes: [{id: 0, cpus: "0-31", memory: 128GiB}], migration_domain: intel}
  - {name: new, nodes: &small [{id: 0, cpus: "0-31", memory: 32GiB}], migration_domain: amd}
  - {name: spare, nodes: [{id: 0, cpus: "0-31", memory: 128GiB}], migration_domain: SPARE}
vms: [{name: a, vcpus: 8, memory: 64GiB, cells: none, host: old, nodes: [0], movable: MOVABLE, labels: {app: a}}]
rules: [{outside: {app: a}, hosts: {name: new}}]
""".replace("&small ", "")


@pytest.mark.parametrize(
    ("spare", "movable", "moves"),
    [("amd", "live", True), ("intel", "live", True), ("amd", "'false'", False), ("intel", "'false'", False)],
)
def test_a_refresh_moves_what_may_move(spare: str, movable: str, moves: bool, tmp_path: Path) -> None:
    """Smaller nodes take a move, over another migration domain a cold one; what cannot move stays, over its node."""

    text = REFRESH.replace("SPARE", spare).replace("MOVABLE", movable)
    fleet = parse_fleet(text.encode(), "fleet.yaml", tmp_path)
    edits = "schema: placer.scenario/v1\nname: refresh\nedits: [{replace_hosts: old, like: new}]\n"
    scenario = parse_scenario(edits.encode(), "s.yaml", tmp_path)
    row = compare(variants(fleet, [scenario]), SweepOptions(time_limit_s=5, max_moves=2))[1]
    assert (row["placed"], row["migrations"] + row["restarts"]) == (1, int(moves)), row
    excess = next(goal["value"] for goal in row["goals"] if goal["name"] == "excess")
    assert (excess == 0) == moves


def test_an_edit_lists_names(fleet: Fleet) -> None:
    """Hosts and VMs are chosen by lists of names; one that nobody has is no reason to stop while others are there."""
    drained = edited(fleet, "{drain: [old-1, old-3]}").fleet
    assert [rule.hosts for rule in drained.rules] == [only("old-1", {}), only("old-3", {})]
    assert len(edited(fleet, "{remove_vms: {app: [web, db]}}").fleet.vms) == 0
    assert "no host has name: old-8 or old-9" in faults(fleet, "{fail: [old-8, old-9]}")[0]


def test_vms_go_and_rules_about_nobody_else_with_them(tmp_path: Path) -> None:
    """remove_vms takes VMs out by name or label; naming them again in the same file is a contradiction."""

    text = REFRESH.replace("SPARE", "amd").replace("MOVABLE", "live")
    fleet = parse_fleet(text.encode(), "fleet.yaml", tmp_path)
    edits = "schema: placer.scenario/v1\nname: less\nedits: [{remove_vms: {app: a}}]\n"
    less = variants(fleet, [parse_scenario(edits.encode(), "s.yaml", tmp_path)])[1]
    assert (less.fleet.vms, less.fleet.rules, less.changes) == ((), (), ("remove 1 VM",))


REFRESHED = b"""\
schema: placer.inventory/v1
hosts:
  - {name: old, nodes: [{id: 0, cpus: "0-31", memory: 128GiB}], migration_domain: intel}
  - {name: small, nodes: [{id: 0, cpus: "0-15", memory: 32GiB}, {id: 1, cpus: "16-31", memory: 32GiB}]}
  - {name: far, nodes: [{id: 0, cpus: "0-31", memory: 128GiB}], migration_domain: amd}
vms: [{name: a, vcpus: 8, memory: 70GiB, cells: none, host: old, nodes: [0]}]
"""


@pytest.mark.parametrize(
    ("edits", "moves", "said"),
    [
        (["{replace_hosts: old, like: small}"], None, "allow moves with --max-moves"),
        (["{change_vms: {memory: 130GiB}, vms: a}"], None, "allow moves with --max-moves"),
        (["{change_vms: {memory: 130GiB}, vms: a}"], 3, "nor could another host hold it"),
        (["{memory: {per_node: 60GiB}, hosts: old}"], 3, "could hold it are in another migration domain"),
        (["{replace_hosts: old, like: small}"], 3, None),
        (["{replace_hosts: old, like: far}"], None, None),
        (["{remove_vms: a}", "{add_vms: [{name: b, vcpus: 8, memory: 100GiB}]}"], None, None),
    ],
)
def test_who_no_longer_fits_is_named_with_why(edits: list[str], moves: int | None, said: str | None) -> None:
    """A VM that its changed host could not hold is told of, with what keeps it there; where it fits all is well."""
    variant = edited(parse_fleet(REFRESHED, "fleet.yaml", "."), *edits)
    row = compare([variant], SweepOptions(time_limit_s=600, max_moves=moves))[0]
    told = list(answers([row]))
    if said is None:
        assert row["over"] is None and told == ["Every VM has a place in s."]
    else:
        assert row["over"]["parts"] and said in row["over"]["why"]
        assert "a on old" in told[0] and "more than their hosts have" in told[0] and len(told) == 1
