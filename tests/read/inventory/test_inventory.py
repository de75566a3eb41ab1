"""Reading inventories: what each key becomes in the model."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.measure.rule_excess import rule_index
from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind
from placer.model.rules import RuleKind
from placer.model.vm import Bound, CellMode, CpuPolicy, EmulatorPolicy, Movable, PinPolicy, ThreadPolicy, Vm
from placer.read.inventory.inventory import parse_fleet, read_fleet
from tests.effort import no_more_than

TWO_NODES = """
    nodes:
      - {id: 0, cpus: "0-3,8-11", memory: 64GiB, pages: {1GiB: 8}}
      - {id: 1, cpus: "4-7,12-15", memory: 32GiB}
"""


def fleet_of(hosts: str, vms: str = "", rules: str = "", base_dir: Path = Path(".")) -> Fleet:
    """Read an inventory made of these sections."""
    text = f"schema: placer.inventory/v1\nhosts:\n{hosts}\n"
    text += f"vms:\n{vms}\n" if vms else ""
    text += f"rules:\n{rules}\n" if rules else ""
    return parse_fleet(text.encode(), "fleet.yaml", base_dir)


def host_of(keys: str) -> Host:
    """Read one host of two nodes with these further keys."""
    return fleet_of(f"  - name: a{TWO_NODES}{keys}").hosts[0]


def vm_of(keys: str, hosts: str = f"  - name: a{TWO_NODES}") -> Vm:
    """Read one VM on a host of two nodes."""
    return fleet_of(hosts, keys).vms[0]


def test_count_names_hosts_that_share_one_topology() -> None:
    """``count: 3`` makes a-1 to a-3 of one topology object; left out, the name stands alone."""
    fleet = fleet_of(f"  - name: a\n    count: 3{TWO_NODES}  - name: b{TWO_NODES}")
    assert [host.name for host in fleet.hosts] == ["a-1", "a-2", "a-3", "b"]
    assert len({id(host.topology) for host in fleet.hosts}) == 1


def test_count_of_one_is_numbered_and_of_zero_is_nothing() -> None:
    """A count says that names are numbered, however small it is."""
    fleet = fleet_of(f"  - name: a\n    count: 1{TWO_NODES}  - name: b\n    count: 0{TWO_NODES}")
    assert [host.name for host in fleet.hosts] == ["a-1"]


def test_vms_of_one_entry_share_one_spec() -> None:
    """Interchangeable VMs hold the same spec object, and so do entries that say the same."""
    fleet = fleet_of(
        f"  - name: a{TWO_NODES}",
        "  - {name: v, count: 2, vcpus: 2, memory: 1GiB}\n  - {name: w, vcpus: 2, memory: 1GiB, host: a, nodes: [1]}",
    )
    assert [vm.name for vm in fleet.vms] == ["v-1", "v-2", "w"]
    assert len({id(vm.spec) for vm in fleet.vms}) == 1


def test_threads_per_core_pairs_as_linux_numbers_them() -> None:
    """CPU n and n + half of the host are siblings: 0 and 8, not 0 and 4."""
    topology = host_of("    threads_per_core: 2").topology
    assert topology.cores == tuple(frozenset({n, n + 8}) for n in range(8))
    assert not any("threads per core" in said for said in topology.assumptions)


def test_siblings_listed_in_part_leave_the_rest_alone() -> None:
    """CPUs in no sibling list are cores of one thread, and that is said."""
    topology = host_of('    siblings: ["0,8", "1,9"]').topology
    assert frozenset({0, 8}) in topology.cores and frozenset({2}) in topology.cores
    assert any("2-7,10-15" in said for said in topology.assumptions)


def test_distances_follow_the_order_of_the_nodes_in_the_file() -> None:
    """Rows and columns stand as the nodes are listed; the model sorts nodes by id and keeps asymmetry."""
    topology = (
        fleet_of(
            '  - name: a\n    nodes:\n      - {id: 8, cpus: "0", memory: 1GiB}\n'
            '      - {id: 2, cpus: "1", memory: 1GiB}\n'
            "    distances: [[10, 28], [23, 10]]"
        )
        .hosts[0]
        .topology
    )
    assert topology.node_ids == (2, 8)
    assert topology.distances == ((10, 23), (28, 10))


def test_missing_distances_are_filled_and_flagged() -> None:
    """Without distances any two nodes are 20 apart, as in the kernel, and the topology says that it assumes so."""
    topology = host_of("").topology
    assert topology.distances == ((10, 20), (20, 10))
    assert any("distances are not told" in said for said in topology.assumptions)


def test_a_diagonal_of_zero_is_mended() -> None:
    """Firmware that says 0 for a node's own memory means local."""
    assert host_of("    distances: [[0, 21], [21, 0]]").topology.distances == ((10, 21), (21, 10))


def test_node_without_cpus_is_memory_only_or_a_device() -> None:
    """A node without CPUs is memory only unless it is said to be a device's."""
    host = fleet_of(
        '  - name: a\n    nodes:\n      - {id: 0, cpus: "0-1", memory: 1GiB}\n      - {id: 1, memory: 8GiB}\n'
        "      - {id: 2, memory: 80GiB, kind: device}"
    ).hosts[0]
    assert [node.kind for node in host.topology.nodes] == [NodeKind.NORMAL, NodeKind.MEMORY_ONLY, NodeKind.DEVICE]


def test_reserve_of_host_and_node() -> None:
    """CPUs of host and node are one set; memory and pages stay apart by node."""
    host = host_of(
        '    reserve: {cpus: "0,8", memory: 4GiB, nodes: {0: {memory: 2GiB, pages: {1GiB: 2}}, 1: {cpus: "4"}}}'
    )
    assert host.reserve.cpus == {0, 4, 8}
    assert dict(host.reserve.memory_kib) == {None: 4 * 1024**2, 0: 2 * 1024**2}
    assert dict(host.reserve.pages) == {0: {1024**2: 2}}


def test_cpu_sets_take_libvirts_and_the_kernels_forms() -> None:
    """Exclusions, strides and 32-bit masks all name CPUs; eight digits after a comma are a word of a mask."""
    host = host_of('    dedicated_cpus: "1-4,^3,6"\n    isolated_cpus: "0-7:2/4"')
    assert host.dedicated_cpus == {1, 2, 4, 6}
    assert host.isolated_cpus == {0, 1, 4, 5}
    assert host_of('    isolated_cpus: "0x0f"').isolated_cpus == {0, 1, 2, 3}
    assert host_of('    isolated_cpus: "00000000,00000003"').isolated_cpus == {0, 1}


@pytest.mark.parametrize(
    ("text", "cpu", "memory"),
    [("overcommit: 4", 4, 1), ("allocation_ratio: 2.5", 2.5, 1), ("overcommit: {cpu: 3, memory: 1.5}", 3, 1.5)],
)
def test_overcommit_is_a_number_or_two(text: str, cpu: float, memory: float) -> None:
    """One number is the CPU's; Nova's word for it is taken too."""
    host = host_of(f"    {text}")
    assert (host.cpu_ratio, host.memory_ratio) == (cpu, memory)


def test_states_of_a_host() -> None:
    """A drained host becomes a rule, a failed one a flag."""
    fleet = fleet_of(f"  - name: a\n    count: 2\n    state: drain{TWO_NODES}  - name: b\n    state: failed{TWO_NODES}")
    assert [(rule.kind, rule.hosts) for rule in fleet.rules] == [
        (RuleKind.DRAIN, {"name": "a-1"}),
        (RuleKind.DRAIN, {"name": "a-2"}),
    ]
    assert [host.failed for host in fleet.hosts] == [False, False, True]


def test_what_is_said_of_a_host() -> None:
    """The keys that stand for themselves arrive in the model."""
    host = host_of(
        "    uuid: 0F0E0D0C-0b0a-0908-0706-050403020100\n    uri: qemu+ssh://{name}/system\n    cost: 2.5\n"
        "    kvm: false\n"
        '    migration_domain: intel\n    labels: {rack: r1, "on": yes}\n    resources: {disk: 10TiB, vf: 64}\n'
        '    devices: [{address: "0000:3b:00.0", node: 1, kind: nic, count: 8}]'
    )
    assert host.uuid == "0f0e0d0c-0b0a-0908-0706-050403020100"
    assert host.uri == "qemu+ssh://a/system"
    assert (host.cost, host.kvm, host.migration_domain) == (2.5, False, "intel")
    assert host.labels == {"rack": "r1", "on": "yes"}
    assert host.resources == {"disk": 10 * 1024**4, "vf": 64}
    device = host.topology.devices[0]
    assert (device.address, device.node, device.kind, device.count) == ("0000:3b:00.0", 1, "nic", 8)


def test_what_a_vm_needs() -> None:
    """The keys of a spec arrive in the model."""
    spec = vm_of(
        "  - {name: v, vcpus: 8, memory: 6GiB, cells: 2, locality: 0.7, page_size: 1GiB,\n"
        '     cpu_policy: mixed, weight: 1.5, dedicated_vcpus: "0-3", thread_policy: require, \n'
        "     emulator_threads: isolate, iothreads: [1, 5], overhead: 0, memory_tier: any,\n"
        "     priority: -2, vcpus_current: 6, devices: [{kind: nic, policy: required, count: 2}],\n"
        "     resources: {vf: 2}, labels: {app: db}, reshape: true, kvm: false, share_node: true}"
    ).spec
    assert (spec.vcpus, spec.memory_kib, spec.cell_mode) == (8, 6 * 1024**2, CellMode.GIVEN)
    assert [sorted(cell.vcpus) for cell in spec.cells] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (spec.locality, spec.page_kib, spec.cpu_policy) == (0.7, 1024**2, CpuPolicy.MIXED)
    assert (spec.dedicated_vcpus, spec.thread_policy) == ({0, 1, 2, 3}, ThreadPolicy.REQUIRE)
    assert (spec.emulator_threads, spec.iothreads, spec.overhead_kib) == (EmulatorPolicy.ISOLATE, (1, 5), 0)
    assert (spec.memory_tier, spec.priority, spec.weight, spec.vcpus_current) == ("any", -2, 1.5, 6)
    assert [(device.kind, device.policy, device.count) for device in spec.devices] == [("nic", "required", 2)]
    assert (spec.resources, spec.labels, spec.reshape, spec.kvm, spec.share_node) == (
        {"vf": 2},
        {"app": "db"},
        True,
        False,
        True,
    )


def test_cells_none_auto_and_listed() -> None:
    """One flat cell, a decision for the solver, or cells as listed with vCPUs counted on or named."""
    flat, auto, listed, named = fleet_of(
        f"  - name: a{TWO_NODES}",
        "  - {name: v, vcpus: 4, memory: 2GiB, cells: none, interleave: 2}\n  - {name: w, vcpus: 4, memory: 2GiB}\n"
        "  - {name: x, cells: [{vcpus: 3, memory: 1GiB}, {vcpus: 1, memory: 3GiB, mem_access: shared}]}\n"
        '  - {name: y, cells: [{cpus: "0,2", memory: 1GiB}, {cpus: "1,3", memory: 1GiB}]}',
    ).vms
    assert (flat.spec.cell_mode, len(flat.spec.cells), flat.spec.interleave) == (CellMode.NONE, 1, 2)
    assert (auto.spec.cell_mode, auto.spec.cells) == (CellMode.AUTO, ())
    assert (listed.spec.vcpus, listed.spec.memory_kib) == (4, 4 * 1024**2)
    assert [sorted(cell.vcpus) for cell in listed.spec.cells] == [[0, 1, 2], [3]]
    assert listed.spec.cells[1].mem_access == "shared"
    assert [sorted(cell.vcpus) for cell in named.spec.cells] == [[0, 2], [1, 3]]


def test_where_a_vm_is_now() -> None:
    """Nodes are those of the memory too, unless memory_nodes says else; pins are by vCPU."""
    vm = vm_of(
        "  - {name: v, vcpus: 2, memory: 2GiB, cells: none, host: a, nodes: [0], memory_nodes: [1], \n"
        '     pins: {0: "1", 1: "2-3"}, emulator: "8",\n'
        "     movable: cold, movable_why: [hostdev], running: false, usage: {cpu_p95: 0.25}}"
    )
    assert vm.current is not None
    assert (vm.current.host, vm.current.nodes, vm.current.memory_nodes) == ("a", (0,), (1,))
    assert vm.current.pins == {0: {1}, 1: {2, 3}} and vm.current.emulator == {8}
    assert (vm.movable, vm.movable_why, vm.running, vm.pins_fixed) == (Movable.COLD, ("hostdev",), False, False)
    assert vm.usage is not None and vm.usage.cpu_p95 == 0.25 and vm.usage.memory_p95 is None
    same = vm_of("  - {name: v, vcpus: 2, memory: 2GiB, cells: none, host: a, nodes: [1]}")
    assert same.current is not None and same.current.memory_nodes == (1,)


def test_what_a_vm_is_bound_to() -> None:
    """Sets of nodes for CPUs and memory, one for all cells or one a cell; where its pages lie is only told."""
    vm = vm_of(
        "  - {name: v, vcpus: 2, memory: 2GiB, cells: none, host: a, pin: must,\n"
        "     bound: {cpus: [0, 1], wish: [1]}, memory_on: {0: 1GiB, 1: 1GiB}}"
    )
    assert vm.current is not None and vm.pin is PinPolicy.MUST
    assert vm.current.bound == (Bound(cpus=frozenset({0, 1}), wish=frozenset({1})),)
    assert vm.current.memory_on == {0: 1024**2, 1: 1024**2} and vm.current.nodes is None
    cells = vm_of(
        "  - {name: v, vcpus: 2, memory: 2GiB, cells: 2, host: a,\n"
        "     bound: [{cpus: host, memory: [0]}, {cpus: [1], memory: [1]}]}"
    )
    assert cells.current is not None
    assert cells.current.bound == (
        Bound(memory=frozenset({0})),
        Bound(cpus=frozenset({1}), memory=frozenset({1})),
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("bound: {cpus: [7]}", "the host has no node 7"),
        ("bound: {cpus: []}", "neither host nor a list of nodes"),
        ("bound: {memory: nowhere}", "neither host nor a list of nodes"),
        ("bound: [{cpus: host}, {cpus: host}]", "2 entries for a VM of 1 cell"),
        ("nodes: [0], bound: {cpus: host}", "says a node a cell, and bound says sets of nodes"),
        ("memory_on: {7: 1GiB}", "the host has no node 7"),
        ("pin: perhaps", "is not 'never', 'allowed' or 'must'"),
    ],
)
def test_what_a_vm_cannot_be_bound_to(keys: str, message: str) -> None:
    """Nodes that the host lacks, empty sets and contradictions are faults of the entry."""
    with pytest.raises(InputError, match=re.escape(message)):
        vm_of(f"  - {{name: v, vcpus: 2, memory: 2GiB, cells: none, host: a, {keys}}}")


def test_names_that_look_like_something_else_stay_names() -> None:
    """YAML 1.1 would read these as 8, false, 750 and null-ish things; here they are text."""
    fleet = fleet_of(
        f"  - name: 010{TWO_NODES}", "  - {name: no, vcpus: 1, memory: 1GiB}\n  - {name: 12:30, vcpus: 1, memory: 1GiB}"
    )
    assert fleet.hosts[0].name == "010"
    assert [vm.name for vm in fleet.vms] == ["no", "12:30"]


def test_names_may_hold_anything() -> None:
    """Quotes, slashes, line breaks and emoji are names as any other."""
    fleet = fleet_of(
        f"  - name: a{TWO_NODES}", '  - {name: "a/b\\n\'; rm -rf ~\\U0001F600<&>", vcpus: 1, memory: 1GiB}'
    )
    assert fleet.vms[0].name == "a/b\n'; rm -rf ~\U0001f600<&>"


def test_rules_of_every_kind() -> None:
    """Each kind becomes a rule with what it takes; a bare name selects by name."""
    fleet = fleet_of(
        f"  - name: a\n    count: 2{TWO_NODES}    labels: {{rack: r1, zone: a}}",
        "  - {name: v, count: 2, vcpus: 1, memory: 1GiB, labels: {app: db}}",
        "  - {anti_affinity: {app: db}, scope: rack, max_per: 2, unless: {zone: a}, name: apart}\n"
        "  - {affinity: {app: db}}\n  - {within: v-1, hosts: {zone: a}}\n"
        "  - {outside: {app: db}, hosts: a-2}\n  - {maintenance: a-1}\n"
        "  - {reserve: {fail: 1, scope: rack}}",
    )
    apart, together, within, outside, drain, reserve = fleet.rules
    assert (apart.kind, apart.members, apart.scope, apart.max_per, apart.name) == (
        RuleKind.ANTI_AFFINITY,
        {"app": "db"},
        "rack",
        2,
        "apart",
    )
    assert apart.unless == {"zone": "a"}
    assert (together.kind, together.scope) == (RuleKind.AFFINITY, "host")
    assert (within.kind, within.members, within.hosts) == (RuleKind.WITHIN, {"name": "v-1"}, {"zone": "a"})
    assert (outside.kind, outside.hosts) == (RuleKind.OUTSIDE, {"name": "a-2"})
    assert (drain.kind, drain.hosts) == (RuleKind.DRAIN, {"name": "a-1"})
    assert (reserve.kind, reserve.fail, reserve.scope) == (RuleKind.RESERVE, 1, "rack")
    assert apart.line == 12


def test_rules_list_names_and_values() -> None:
    """A list of names, or of values of a label, selects what has one of them; each of them must be there."""
    hosts = f"  - name: a\n    count: 3{TWO_NODES}    labels: {{zone: a}}"
    vms = "  - {name: v, count: 3, vcpus: 1, memory: 1GiB, labels: {app: db}}"
    rules = "  - {within: [v-1, v-3], hosts: [a-1, a-2]}\n  - {drain: {name: [a-3], zone: a}}"
    fleet = fleet_of(hosts, vms, rules)
    within, drain = fleet.rules
    index = rule_index(fleet)
    assert (index.vms[0], index.hosts) == ((0, 2), (frozenset({"a-1", "a-2"}), frozenset({"a-3"})))
    assert (within.label, drain.label) == ("within name=v-1/v-3", "drain name=a-3,zone=a")
    with pytest.raises(InputError) as found:
        fleet_of(hosts, vms, "  - {within: [v-1, w-2], hosts: [a-9]}")
    assert [fault.message for fault in found.value.faults] == ["no VM has name: w-2", "no host has name: a-9"]


def test_rules_between_groups_of_hosts_and_of_amounts() -> None:
    """Groups apart are pairs, a share is a rule a limit; soft ones have a weight and a priority, others have not."""
    hosts = f"  - name: a\n    count: 2{TWO_NODES}    labels: {{rack: r1}}"
    vms = "\n".join(f"  - {{name: {app}, vcpus: 1, memory: 1GiB, labels: {{app: {app}}}}}" for app in "abc")
    said = (
        "  - {apart: [{app: a}, {app: b}, c], scope: rack, max_together: 1}\n  - {alone: {app: a}, soft: true}\n"
        "  - {dedicated: {app: a}, hosts: a-1, weight: 5, priority: 2}\n  - {spread: {app: a}, at_least: 3}\n"
        "  - {even: {app: a}, scope: rack}\n  - {share: {app: a}, scope: rack, max_vcpus: 8, max_memory: 2GiB}\n"
    )
    rules = fleet_of(hosts, vms, said).rules
    assert [rule.others for rule in rules[:3]] == [{"app": "b"}, {"name": "c"}, {"name": "c"}]
    assert {(rule.scope, rule.max_per, rule.weight) for rule in rules[:3]} == {("rack", 1, None)}
    alone, dedicated, spread, even, vcpus, memory = rules[3:]
    assert (alone.weight, alone.soft_goal) == (1, "soft") and (dedicated.weight, dedicated.soft_goal) == (5, "soft:2")
    assert (spread.domains_used, even.skew, vcpus.of, vcpus.most) == (3, 1, "vcpus", 8)
    assert (memory.of, memory.most) == ("memory", 2048)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{apart: [{app: a}]}", "names no two groups"),
        ("{even: {app: a}, scope: node}", "even does not go with node"),
        ("{share: {app: a}}", "says no share"),
        ("{alone: {app: a}, priority: 3}", "goes with a soft rule: hard ones stand before all"),
        ("{affinity: {app: a}, scope: l3, soft: true}", "a soft rule does not go with l3"),
        ("{spread: {app: a}, max_per: 2}", "does not go with spread"),
    ],
)
def test_what_a_rule_cannot_say(rule: str, message: str) -> None:
    """Keys and scopes that a kind does not take are faults, each named with what it takes."""
    with pytest.raises(InputError) as found:
        fleet_of(f"  - name: a{TWO_NODES}", "  - {name: a, vcpus: 1, memory: 1GiB, labels: {app: a}}", f"  - {rule}")
    assert message in [fault.message for fault in found.value.faults]


def test_running_only_leaves_out_what_is_shut_off() -> None:
    """Shut-off VMs are part of the fleet unless asked otherwise, and their rules stay valid."""
    text = (
        f"schema: placer.inventory/v1\nhosts:\n  - name: a{TWO_NODES}vms:\n"
        "  - {name: v, vcpus: 1, memory: 1GiB, running: false, labels: {x: y}}\n  - {name: w, vcpus: 1, memory: 1GiB}\n"
        "rules:\n  - {affinity: {x: y}}"
    ).encode()
    assert [vm.name for vm in parse_fleet(text, "f", ".").vms] == ["v", "w"]
    assert [vm.name for vm in parse_fleet(text, "f", ".", running_only=True).vms] == ["w"]


def test_json_is_read_like_yaml() -> None:
    """The same document as JSON gives the same hosts and VMs."""
    document = {
        "schema": "placer.inventory/v1",
        "hosts": [{"name": "a", "nodes": [{"id": 0, "cpus": "0-3", "memory": "4GiB"}], "cost": 1.5}],
        "vms": [{"name": "v", "vcpus": 2, "memory": "1GiB", "host": "a", "nodes": [0], "running": True, "uuid": None}],
    }
    yaml = (
        'schema: placer.inventory/v1\nhosts:\n- name: a\n  nodes: [{id: 0, cpus: "0-3", memory: 4GiB}]\n  cost: 1.5\n'
        "vms:\n- {name: v, vcpus: 2, memory: 1GiB, host: a, nodes: [0], running: true, uuid: null}\n"
    )
    first = parse_fleet(json.dumps(document, indent=1).encode(), "f", ".")
    second = parse_fleet(yaml.encode(), "f", ".")
    assert (first.hosts, first.vms) == (second.hosts, second.vms)


def test_digest_covers_what_the_inventory_names(repository: Path, tmp_path: Path) -> None:
    """A change of a domain XML changes the digest; without files it is the file's own SHA-256."""
    text = f"schema: placer.inventory/v1\nhosts:\n  - name: a{TWO_NODES}"
    assert parse_fleet(text.encode(), "f", tmp_path).digest == hashlib.sha256(text.encode()).hexdigest()
    domain = (repository / "data/domains/floating.xml").read_bytes()
    (tmp_path / "v.xml").write_bytes(domain)
    (tmp_path / "fleet.yaml").write_text(text + "vms: [{domain: v.xml}]\n")
    before = read_fleet(tmp_path / "fleet.yaml").digest
    (tmp_path / "v.xml").write_bytes(domain + b"\n")
    assert read_fleet(tmp_path / "fleet.yaml").digest != before


def test_domain_xml_under_the_keys_of_its_entry(repository: Path, tmp_path: Path) -> None:
    """The XML tells name, UUID, cells and pins; what the entry says itself stands above that."""
    (tmp_path / "v.xml").write_bytes((repository / "data/domains/half-pinned.xml").read_bytes())
    hosts = f"  - name: a{TWO_NODES}"
    vm = fleet_of(hosts, "  - {domain: v.xml, host: a, weight: 3}", base_dir=tmp_path).vms[0]
    assert (vm.name, vm.uuid) == ("half-pinned", "5f1ca0de-0000-4000-8000-000000000236")
    assert (vm.spec.cpu_policy, vm.spec.dedicated_vcpus, vm.spec.weight) == (CpuPolicy.MIXED, {0, 1}, 3)
    assert vm.current is not None and vm.current.pins[0] == {2} and vm.current.pins[3] == {1, 2, 4, 6}
    assert vm.current.nodes is None and vm.current.bound == (Bound(cpus=frozenset({0, 1}), memory=frozenset({0})),)
    assert vm.domain is not None and vm.domain.path == "v.xml"
    own = fleet_of(
        hosts,
        "  - {name: n, domain: v.xml, host: a, nodes: [1], cpu_policy: dedicated, vcpus: 2, pins: {}}",
        base_dir=tmp_path,
    ).vms[0]
    assert (own.name, own.spec.vcpus, own.spec.cpu_policy) == ("n", 2, CpuPolicy.DEDICATED)
    assert own.current is not None and own.current.nodes == (1,) and not own.current.pins


def test_an_entry_may_cut_a_guest_anew_over_its_xml(repository: Path, tmp_path: Path) -> None:
    """With other cells, or fewer vCPUs, what the XML says of the old ones no longer holds and is no fault."""
    text = (repository / "data/domains/half-pinned.xml").read_text()
    (tmp_path / "v.xml").write_text(text.replace("mode='strict' nodeset='0'", "mode='interleave' nodeset='0-1'"))
    hosts = f"  - name: a{TWO_NODES}"
    spread = fleet_of(hosts, "  - {domain: v.xml, host: a}", base_dir=tmp_path).vms[0]
    assert spread.spec.interleave == 2
    entry = "  - {domain: v.xml, host: a, vcpus: 2, cells: 2, cpu_policy: dedicated, nodes: [0, 1], reshape: true}"
    cut = fleet_of(hosts, entry, base_dir=tmp_path).vms[0]
    assert (cut.spec.interleave, len(cut.spec.cells)) == (1, 2)
    assert cut.current is not None and set(cut.current.pins) == {0, 1}


def test_cores_and_measured_distances_beside_a_host_file(repository: Path, tmp_path: Path) -> None:
    """numactl tells no threads: threads_per_core does; distances_from replaces the firmware's figures."""
    (tmp_path / "host.txt").write_bytes((repository / "data/hosts/two-node-40cpu.numactl.txt").read_bytes())
    (tmp_path / "mlc.txt").write_text(
        "Measuring idle latencies for random access (in ns)...\n\t\tNuma node\nNuma node\t     0\t     1\n"
        "       0\t  80.0\t 136.0\n       1\t 140.0\t  80.0\n"
    )
    host = fleet_of(
        "  - {name: a, topology: host.txt, threads_per_core: 2, distances_from: mlc.txt, l3: [0-38:2, 1-39:2]}",
        base_dir=tmp_path,
    ).hosts[0]
    assert frozenset({0, 20}) in host.topology.cores
    assert host.topology.distances == ((10, 17), (17.5, 10))
    assert host.topology.l3 == (frozenset(range(0, 40, 2)), frozenset(range(1, 40, 2)))
    assert host.source == "host.txt"


@pytest.mark.parametrize("name", ["two-node", "epyc-nps4", "four-socket", "memory-only", "mixed-racks", "full-load"])
def test_bundled_inventories_are_read(repository: Path, name: str) -> None:
    """Every inventory under data/ is sound and has VMs to place."""
    fleet = read_fleet(repository / "data" / f"{name}.yaml")
    assert fleet.hosts and any(vm.current is None for vm in fleet.vms)
    assert fleet.path == str(repository / "data" / f"{name}.yaml")


def test_the_two_node_server_is_not_full_of_page_cache(repository: Path) -> None:
    """Free memory of 196 and 117 MB informs; the node's whole memory is what can be planned with."""
    topology = read_fleet(repository / "data/two-node.yaml").hosts[0].topology
    assert [node.memory_kib // 1024 for node in topology.nodes] == [32543, 32768]
    assert topology.distances == ((10, 21), (21, 10))


def test_full_load_needs_every_cpu(repository: Path) -> None:
    """The vCPUs of data/full-load.yaml are as many as the CPUs that are not reserved."""
    fleet = read_fleet(repository / "data/full-load.yaml")
    assert sum(vm.spec.vcpus for vm in fleet.vms) == sum(len(host.usable_cpus) for host in fleet.hosts) == 176


@pytest.mark.slow
def test_large_fleets_are_read_in_seconds(shared_dir: Path, tmp_path: Path) -> None:
    """10,000 hosts and 135,000 VMs by count, and 10,000 hosts and 100,544 VMs each of its own, take seconds."""
    text = subprocess.run(
        [sys.executable, str(shared_dir / "fleets/make_fleet.py"), "10000", "135000"], check=True, capture_output=True
    ).stdout
    with no_more_than(2000):
        fleet = parse_fleet(text, "f", ".")
    assert (len(fleet.hosts), len({id(host.topology) for host in fleet.hosts})) == (10000, 3)
    assert abs(len(fleet.vms) - 135000) < 50 and len({id(vm.spec) for vm in fleet.vms}) == 27
    lines = ["schema: placer.inventory/v1", "hosts:"]
    for n in range(10000):
        lines += [
            f"  - name: pm_{n}",
            "    nodes:",
            "      - {id: 0, cpus: 0-43, memory: 184388MiB}",
            "      - {id: 1, cpus: 44-87, memory: 184388MiB}",
            f'    labels: {{rack: "{n // 40}"}}',
        ]
    lines.append("vms:")
    for n in range(100_000):
        lines += [
            f"  - name: vm_{n}",
            f"    vcpus: {2 + 2 * (n % 4)}",
            "    memory: 8GiB",
            "    cells: 1",
            "    overhead: 0",
            f"    host: pm_{n // 10}",
            f"    nodes: [{n % 2}]",
        ]
    with no_more_than(6000):
        live = parse_fleet("\n".join(lines).encode(), "f", ".")
    assert (len(live.hosts), len(live.vms), len({id(vm.spec) for vm in live.vms})) == (10000, 100_000, 4)


def test_rules_of_one_entry_have_names_of_their_own() -> None:
    """Two limits of a share, and each pair of three groups, are told apart wherever a rule is named."""
    text = """
schema: placer.inventory/v1
hosts: [{name: h, labels: {rack: r}, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}]
vms:
  - {name: a, vcpus: 1, memory: 1GiB, labels: {app: a}}
  - {name: b, vcpus: 1, memory: 1GiB, labels: {app: b}}
  - {name: c, vcpus: 1, memory: 1GiB, labels: {app: c}}
rules:
  - {share: {app: a}, scope: rack, max_vcpus: 4, max_hosts: 1, name: mine}
  - {apart: [{app: a}, {app: b}, {app: c}], name: apart}
  - {share: {app: b}, scope: rack, max_hosts: 1, name: one}
"""
    names = [rule.label for rule in parse_fleet(text.encode(), "fleet.yaml", Path()).rules]
    pairs = ["apart (app=a and app=b)", "apart (app=a and app=c)", "apart (app=b and app=c)"]
    assert names == ["mine (vcpus)", "mine (hosts)", *pairs, "one"]
