"""KubeVirt, OpenNebula, oVirt and Incus: documents as their tools print them, and back again after a plan.

The documents of a platform are made from a small state: where VMs are and what they are pinned to. A plan is applied to
that state as the platform's export would, and the import of the new documents is the plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import RuleKind
from placer.model.vm import CellMode, CpuPolicy, Movable
from placer.planner import solve_fleet
from placer.read.imports.gathered import Imported
from placer.read.imports.incus import import_incus
from placer.read.imports.kubevirt import import_kubevirt
from placer.read.imports.opennebula import import_opennebula
from placer.read.imports.ovirt import import_ovirt
from placer.read.inventory.inventory import parse_fleet

UUID = "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f000{}"
GIB = 2**30
State = dict[str, tuple[str, list[int]]]
"""VM -> its host, and a CPU for each vCPU."""
START: State = {"db": ("n1", [0, 1]), "web": ("n1", [4, 5])}
NODES = {0: [0, 1, 2, 3], 1: [4, 5, 6, 7]}


def write(folder: Path, name: str, document: Any) -> Path:
    """Write a JSON document."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def node_of(cpus: list[int]) -> int:
    """Return the NUMA node of CPUs."""
    return 0 if cpus[0] in NODES[0] else 1


def kubevirt(state: State, folder: Path) -> Imported:
    """Two nodes, the first cordoned, with NodeResourceTopologies; guests with dedicated CPUs."""
    items: list[dict[str, Any]] = []
    for number in (1, 2):
        labels = {"kubernetes.io/hostname": f"n{number}", "topology.kubernetes.io/zone": f"z{number}", "gpu": "no"}
        items.append(
            {
                "kind": "Node",
                "metadata": {"name": f"n{number}", "labels": labels},
                "spec": {"unschedulable": True} if number == 1 else {},
                "status": {
                    "capacity": {"cpu": "8", "memory": "33554432Ki"},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }
        )
        zones = [
            {
                "name": f"node-{node}",
                "type": "Node",
                "resources": [{"name": "cpu", "capacity": "4"}, {"name": "memory", "capacity": str(16 * GIB)}],
                "costs": [{"name": f"node-{other}", "value": 10 if other == node else 21} for other in (0, 1)],
            }
            for node in (0, 1)
        ]
        items.append({"kind": "NodeResourceTopology", "metadata": {"name": f"n{number}"}, "zones": zones})
    for number, (name, (host, _)) in enumerate(state.items(), start=1):
        domain = {
            "cpu": {"cores": 2, "sockets": 1, "threads": 1, "dedicatedCpuPlacement": True},
            "memory": {"guest": "2Gi"},
            "firmware": {"uuid": UUID.format(number)},
        }
        items.append(
            {
                "kind": "VirtualMachineInstance",
                "metadata": {"name": name, "namespace": "shop", "labels": {"app": "x", "kubevirt.io/nodeName": "n1"}},
                "spec": {"domain": domain},
                "status": {"phase": "Running", "nodeName": host},
            }
        )
    return import_kubevirt([write(folder, "all.json", {"kind": "List", "items": items})], topology=None, folder=folder)


def opennebula(state: State, folder: Path) -> Imported:
    """Two hosts, the first disabled; VMs pinned by OpenNebula. A list of one is no list."""
    hosts = [
        {
            "ID": str(number),
            "NAME": f"n{number}",
            "STATE": "4" if number == 1 else "2",
            "CLUSTER": "default",
            "HOST_SHARE": {
                "MAX_CPU": "800",
                "MAX_MEM": str(32 * 2**20),
                "NUMA_NODES": {
                    "NODE": [
                        {
                            "NODE_ID": str(node),
                            "CORE": [{"ID": str(cpu), "CPUS": f"{cpu}:-1"} for cpu in cpus],
                            "HUGEPAGE": {"SIZE": "2048", "PAGES": "0"},
                            "MEMORY": {"TOTAL": str(16 * 2**20), "DISTANCE": f"{node} {1 - node}"},
                        }
                        for node, cpus in NODES.items()
                    ]
                },
            },
        }
        for number in (1, 2)
    ]
    vms = [
        {
            "ID": str(40 + number),
            "NAME": name,
            "STATE": "3",
            "LCM_STATE": "3",
            "HISTORY_RECORDS": {"HISTORY": [{"SEQ": "10", "HOSTNAME": host}, {"SEQ": "9", "HOSTNAME": "gone"}]},
            "TEMPLATE": {
                "CPU": "2",
                "VCPU": "2",
                "MEMORY": "2048",
                "OS": {"UUID": UUID.format(number)},
                "TOPOLOGY": {"PIN_POLICY": "THREAD"},
                "NUMA_NODE": {
                    "CPUS": ",".join(map(str, cpus)),
                    "TOTAL_CPUS": "2",
                    "MEMORY": str(2 * 2**20),
                    "NODE_ID": str(node_of(cpus)),
                },
            },
        }
        for number, (name, (host, cpus)) in enumerate(state.items(), start=1)
    ]
    return import_opennebula(
        hosts=write(folder, "hosts.json", {"HOST_POOL": {"HOST": hosts}}),
        vms=write(folder, "vms.json", {"VM_POOL": {"VM": vms}}),
        topology=None,
        folder=folder,
    )


def ovirt(state: State, folder: Path) -> Imported:
    """Two hosts, the first in maintenance; VMs pinned by hand, with a guest node each."""
    hosts = [
        {
            "id": f"id{number}",
            "name": f"n{number}",
            "status": "maintenance" if number == 1 else "up",
            "cluster": {"name": "c"},
            "numa_nodes": {
                "numa_node": [
                    {
                        "index": str(node),
                        "memory": "16384",
                        "cpu": {"cores": {"core": [{"index": str(cpu)} for cpu in cpus]}},
                        "node_distance": "10 21" if node == 0 else "21 10",
                    }
                    for node, cpus in NODES.items()
                ]
            },
        }
        for number in (1, 2)
    ]
    vms = [
        {
            "id": UUID.format(number),
            "name": name,
            "status": "up",
            "host": {"id": f"id{host[1]}"},
            "memory": str(2 * GIB),
            "cpu": {
                "topology": {"sockets": "1", "cores": "2", "threads": "1"},
                "cpu_tune": {
                    "vcpu_pins": {
                        "vcpu_pin": [{"vcpu": str(vcpu), "cpu_set": str(cpu)} for vcpu, cpu in enumerate(cpus)]
                    }
                },
            },
            "placement_policy": {"affinity": "migratable"},
            "numa_nodes": {
                "vm_numa_node": [
                    {
                        "index": "0",
                        "memory": "2048",
                        "cpu": {"cores": {"core": [{"index": "0"}, {"index": "1"}]}},
                        "numa_node_pins": {"numa_node_pin": [{"index": str(node_of(cpus))}]},
                    }
                ]
            },
        }
        for number, (name, (host, cpus)) in enumerate(state.items(), start=1)
    ]
    return import_ovirt(
        hosts=write(folder, "hosts.json", {"host": hosts}),
        vms=write(folder, "vms.json", {"vm": vms}),
        topology=None,
        folder=folder,
    )


def incus(state: State, folder: Path) -> Imported:
    """Two members, the first evacuated; VMs with a CPU set and a node, and a container that takes its part."""
    sockets = [
        {
            "socket": node,
            "cores": [{"core": cpu, "threads": [{"id": cpu, "numa_node": node, "online": True}]} for cpu in cpus],
        }
        for node, cpus in NODES.items()
    ]
    memory = {"nodes": [{"numa_node": node, "total": 16 * GIB} for node in NODES], "total": 32 * GIB}
    for name in ("n1", "n2"):
        write(folder, f"resources/{name}.json", {"cpu": {"sockets": sockets}, "memory": memory})
    members = [
        {"server_name": "n1", "status": "Evacuated", "groups": ["default"], "failure_domain": "default"},
        {"server_name": "n2", "status": "Online", "groups": ["fast"], "failure_domain": "r2"},
    ]
    instances: list[dict[str, Any]] = [
        {
            "name": name,
            "project": "default",
            "type": "virtual-machine",
            "status": "Running",
            "location": host,
            "expanded_config": {
                "limits.cpu": ",".join(map(str, cpus)),
                "limits.cpu.nodes": f"{node_of(cpus)}",
                "limits.memory": "2GiB",
                "migration.stateful": "true",
                "volatile.uuid": UUID.format(number),
            },
        }
        for number, (name, (host, cpus)) in enumerate(state.items(), start=1)
    ]
    return import_incus(
        instances=write(folder, "instances.json", instances),
        members=write(folder, "members.json", members),
        resources=folder / "resources",
        topology=None,
        folder=folder,
    )


PLATFORMS = {"kubevirt": kubevirt, "opennebula": opennebula, "ovirt": ovirt, "incus": incus}
Take = Callable[[State, Path], Imported]


def read_back(made: Imported, folder: Path) -> Fleet:
    """Return the fleet, which its text gives back."""
    back = parse_fleet(made.text().encode(), "fleet.yaml", folder)
    assert (back.hosts, back.vms) == (made.fleet.hosts, made.fleet.vms)
    assert tuple(replace(rule, line=None) for rule in back.rules) == made.fleet.rules
    return back


@pytest.mark.parametrize("platform", PLATFORMS)
def test_documents_become_this_inventory(platform: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    """The whole text for the golden documents."""
    made = PLATFORMS[platform](START, tmp_path)
    read_back(made, tmp_path)
    assert made.text() == snapshot


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_plan_that_is_applied_is_what_is_imported(platform: str, tmp_path: Path) -> None:
    """Import, solve, do what the plan says, import: the VMs are where the plan has them, and nothing is left to do."""
    take: Take = PLATFORMS[platform]
    fleet = read_back(take(START, tmp_path / "before"), tmp_path)
    plan = solve_fleet(fleet, goals=("placed", "rules", "remote"), max_moves=4, rounds=2)
    assert {vm.host for vm in plan.vms} == {"n2"}
    after = read_back(take(applied(plan), tmp_path / "after"), tmp_path)
    for vm in after.vms:
        planned = plan.vm_by_name[vm.name]
        assert vm.current is not None and vm.current.host == planned.host
        if platform != "kubevirt":  # which does not say where on its node a guest is
            assert dict(vm.current.pins) == dict(planned.pins)
    again = solve_fleet(after, goals=("placed", "rules", "moves"), max_moves=4, rounds=2)
    assert all(vm.host == "n2" and vm.from_host is None for vm in again.vms)


def applied(plan: Plan) -> State:
    """Return the state after a plan."""
    return {vm.name: (vm.host, [min(vm.pins[vcpu]) for vcpu in sorted(vm.pins)]) for vm in plan.vms}


def test_kubevirt_is_read_from_yaml_too(tmp_path: Path) -> None:
    """What kubectl prints with -o yaml, and a file of one object, say the same as its JSON."""
    state: State = {"a": ("n1", [0, 1]), "b": ("n2", [4, 5])}
    first = kubevirt(state, tmp_path)
    document = json.loads((tmp_path / "all.json").read_text())
    files = [tmp_path / "list.yaml", tmp_path / "one.yaml"]
    files[0].write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": document["items"][:-1]}))
    files[1].write_text("---\n# kubectl get vmi b -o yaml\n" + yaml.safe_dump(document["items"][-1]))
    made = import_kubevirt(files, topology=None, folder=tmp_path)
    assert made.text().split("hosts:")[1] == first.text().split("hosts:")[1]
    files[1].write_text("kind: VirtualMachineInstance\nmetadata: &x {name: a}\n")
    with pytest.raises(InputError, match=r"one\.yaml:2"):
        import_kubevirt(files, topology=None, folder=tmp_path)


def test_kubevirt_says_what_it_leaves_behind(tmp_path: Path) -> None:
    """Selectors and anti-affinity become rules; what is not live-migratable moves cold; shared VMs have no cells."""
    capacity = {"cpu": "4", "memory": "8Gi"}
    away = [{"type": "Ready", "status": "Unknown"}]
    items: list[dict[str, Any]] = [
        {"kind": "Node", "metadata": {"name": "n1", "labels": {"disk": "ssd"}}, "status": {"capacity": capacity}},
        {"kind": "Node", "metadata": {"name": "n2"}, "status": {"conditions": away, "capacity": capacity}},
        {"kind": "Node", "metadata": {"name": "n3"}, "status": {}},
        {
            "kind": "VirtualMachineInstance",
            "metadata": {"name": "a", "namespace": "x", "labels": {"app": "a"}},
            "spec": {
                "nodeSelector": {"disk": "ssd", "kubernetes.io/arch": "amd64"},
                "affinity": {
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}
                        ]
                    },
                    "nodeAffinity": {},
                },
                "domain": {"resources": {"requests": {"memory": "1500M", "cpu": "1500m"}}},
            },
            "status": {
                "phase": "Running",
                "nodeName": "n1",
                "conditions": [{"type": "LiveMigratable", "status": "False", "message": "a disk is not shared"}],
            },
        },
        {
            "kind": "VirtualMachineInstance",
            "metadata": {"name": "a", "namespace": "y"},
            "spec": {"domain": {"memory": {"guest": "1Gi"}}},
            "status": {"nodeName": "n3"},
        },
        {"kind": "Pod", "metadata": {"name": "p"}},
    ]
    made = import_kubevirt([write(tmp_path, "k.json", {"items": items})], topology=None, folder=tmp_path)
    (vm,) = read_back(made, tmp_path).vms
    assert (vm.name, vm.manager_id, vm.spec.vcpus, vm.spec.memory_kib) == ("x/a", "x/a", 2, 1500 * 10**6 // 1024)
    assert (vm.movable, vm.movable_why) == (Movable.COLD, ("a disk is not shared",))
    assert (vm.spec.cpu_policy, vm.spec.cell_mode) == (CpuPolicy.SHARED, CellMode.NONE)
    assert {rule.kind for rule in made.fleet.rules} == {RuleKind.WITHIN, RuleKind.ANTI_AFFINITY}
    assert [host.failed for host in made.fleet.hosts] == [False, True]
    said = "\n".join(made.fleet.warnings)
    for part in (
        "n3 does not tell",
        "1 VM on node n3",
        "1 objects of kind Pod",
        "node affinity of VM x/a",
        "one is assumed",
    ):
        assert part in said


def test_a_vm_without_memory_is_a_fault(tmp_path: Path) -> None:
    """All faults at once, each by name."""
    vms = [
        {"ID": "1", "NAME": "a", "STATE": "3", "TEMPLATE": {}},
        {"ID": "2", "NAME": "b", "STATE": "3", "TEMPLATE": {}},
    ]
    with pytest.raises(InputError) as caught:
        import_opennebula(
            hosts=write(tmp_path, "h.json", {"HOST": {"NAME": "n", "STATE": "2", "HOST_SHARE": {"MAX_CPU": "400"}}}),
            vms=write(tmp_path, "v.json", vms),
            topology=None,
            folder=tmp_path,
        )
    assert len(caught.value.faults) == 2 and "extended" in (caught.value.faults[0].cure or "")


def test_containers_of_incus_are_load(tmp_path: Path) -> None:
    """A container with a limit takes its part and stays; one without is named."""
    write(
        tmp_path,
        "resources/n1.json",
        {"cpu": {"sockets": [{"cores": [{"threads": [{"id": 0}, {"id": 1}]}]}]}, "memory": {"total": 8 * GIB}},
    )
    base = {"project": "p", "type": "container", "status": "Running", "location": "n1"}
    instances = [
        {**base, "name": "c1", "config": {"limits.cpu": "1", "limits.memory": "512MiB"}},
        {**base, "name": "c2", "config": {}},
        {**base, "name": "c3", "status": "Stopped", "config": {"limits.cpu": "1"}},
    ]
    members = [{"server_name": "n1", "status": "Online"}]
    arguments: dict[str, Any] = {
        "instances": write(tmp_path, "i.json", instances),
        "resources": tmp_path / "resources",
        "topology": None,
        "folder": tmp_path,
    }
    made = import_incus(members=write(tmp_path, "m.json", members), **arguments)
    (vm,) = read_back(made, tmp_path).vms
    assert (vm.name, vm.movable, vm.spec.overhead_kib) == ("c1", Movable.NO, 0)
    assert any("c2" in text for text in made.fleet.warnings)
    with pytest.raises(InputError, match="n9"):
        import_incus(members=write(tmp_path, "m.json", [{"server_name": "n9"}]), **arguments)
