"""What platforms print in other ways than their documents show: read as it is meant, or refused in words."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.rules import matches
from placer.read.imports.incus import import_incus
from placer.read.imports.kubevirt import import_kubevirt
from placer.read.imports.openstack import OpenstackFiles, import_openstack
from placer.read.imports.proxmox import import_proxmox

NODE = {
    "kind": "Node",
    "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "name": "first"}},
    "status": {"capacity": {"cpu": "16", "memory": "65536Mi"}},
}
VMI = {
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "web", "namespace": "a", "labels": {"name": "webs"}},
    "spec": {"nodeSelector": {}, "domain": {"cpu": {"cores": 2}, "memory": {"guest": "2Gi"}}},
    "status": {"phase": "Running", "nodeName": "n1"},
}


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of an object with another value at a path."""
    made = copy.deepcopy(base)
    *above, last = path.split(".")
    inner = made
    for key in above:
        inner = inner[key]
    inner[last] = value
    return made


def cluster(tmp_path: Path, *objects: dict[str, Any]) -> Fleet:
    """Return what is read of a cluster of these objects."""
    path = tmp_path / "objects.json"
    path.write_text(json.dumps({"kind": "List", "items": objects}))
    return import_kubevirt([path], topology=None, folder=tmp_path).fleet


def test_labels_called_name_hide_nobody(tmp_path: Path) -> None:
    """A node selector holds the VM by its own name, though it and its node have labels of that key."""
    vm = changed(VMI, "spec.nodeSelector", {"kubernetes.io/hostname": "n1"})
    fleet = cluster(tmp_path, NODE, changed(NODE, "metadata.name", "n2"), vm)
    (rule,) = fleet.rules
    assert [matches(rule.hosts, host.name, host.labels) for host in fleet.hosts] == [True, False]
    assert matches(rule.members, fleet.vms[0].name, fleet.vms[0].spec.labels)
    assert fleet.hosts[0].labels["label:name"] == "first"


@pytest.mark.parametrize("path", ["metadata.labels", "spec.nodeSelector"])
def test_a_list_in_place_of_labels_is_none(tmp_path: Path, path: str) -> None:
    """What is no mapping holds no labels."""
    assert [vm.name for vm in cluster(tmp_path, NODE, changed(VMI, path, ["x"])).vms] == ["web"]


def test_a_selector_for_a_node_that_is_gone_is_left_behind(tmp_path: Path) -> None:
    """One VM that waits for a node which is not there does not keep the others from being read."""
    fleet = cluster(tmp_path, NODE, changed(VMI, "spec.nodeSelector", {"kubernetes.io/hostname": "n9"}))
    assert fleet.rules == () and any("a node selector for n9" in text for text in fleet.warnings)


@pytest.mark.parametrize(
    ("domain", "vcpus", "mib"),
    [
        ({"resources": {"limits": {"cpu": "4", "memory": "4Gi"}}}, 4, 4096),
        ({"resources": {"requests": {"cpu": "2500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}}, 3, 2048),
        ({"cpu": {"cores": 0, "sockets": 3}, "memory": {"guest": "4294967296"}}, 3, 4096),
        ({"cpu": {"cores": 1}, "memory": {"guest": "2e9"}}, 1, 1907),
    ],
)
def test_sizes_are_read_as_kubernetes_means_them(tmp_path: Path, domain: Any, vcpus: int, mib: int) -> None:
    """Requests come before limits, 0 is not said, and exponents are quantities too."""
    spec = cluster(tmp_path, NODE, changed(VMI, "spec.domain", domain)).vms[0].spec
    assert (spec.vcpus, spec.memory_kib // 1024) == (vcpus, mib)


@pytest.mark.parametrize("cores", ["four", -2, 2.5])
def test_cores_that_are_none_are_refused(tmp_path: Path, cores: Any) -> None:
    """A number of cores that cannot be read is not one core: file, line and VM are told, all at once."""
    vm = changed(VMI, "spec.domain.cpu.cores", cores)
    node = changed(changed(NODE, "metadata.name", "n2"), "status.capacity.memory", "lots")
    with pytest.raises(InputError) as caught:
        cluster(tmp_path, NODE, node, vm)
    told = [(fault.message, Path(fault.file or "").name, fault.line) for fault in caught.value.faults]
    assert told == [
        ("node 'n2': 'lots' is no quantity", "objects.json", 1),
        (f"VM 'web': cores is '{cores}', not a whole number", "objects.json", 1),
    ]


@pytest.mark.parametrize("told", [["cpu"], "4"])
def test_resources_that_are_no_mapping_are_refused(tmp_path: Path, told: Any) -> None:
    """A list or a word in place of what a VM asks for is told with its VM and file."""
    with pytest.raises(InputError) as caught:
        cluster(tmp_path, NODE, changed(VMI, "spec.domain", {"resources": {"limits": told}}))
    (fault,) = caught.value.faults
    assert (fault.message, fault.line) == ("VM 'web': resources.limits is no mapping", 1)


def test_yaml_with_carriage_returns_is_yaml(tmp_path: Path) -> None:
    """What kubectl prints as YAML may have been through another system, and may begin with a line of dashes."""
    path = tmp_path / "node.yaml"
    text = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {capacity: {cpu: '4', memory: 8Gi}}\n"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert [host.name for host in import_kubevirt([path], topology=None, folder=tmp_path).fleet.hosts] == ["n1"]


def test_files_without_a_host_are_refused(tmp_path: Path) -> None:
    """VMs alone, or a node that tells nothing, are no fleet, and it is said why."""
    with pytest.raises(InputError, match="no host of KubeVirt is told"):
        cluster(tmp_path, VMI)
    with pytest.raises(InputError) as caught:
        cluster(tmp_path, changed(NODE, "status", {}))
    assert caught.value.faults[0].cure == "node n1 does not tell its CPUs: left out with its VMs"


PVE = {"type": "node", "node": "pve1", "status": "online", "maxcpu": 16, "maxmem": 2**36}
QEMU = {"type": "qemu", "vmid": 100, "name": "web", "node": "pve1", "status": "running"}


def proxmox(tmp_path: Path, resources: Any, config: str, ha: Any = None) -> Fleet:
    """Return what is read of a cluster with one VM's configuration as JSON."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "100.json").write_text(config)
    (tmp_path / "resources.json").write_text(json.dumps(resources))
    (tmp_path / "ha.json").write_text(json.dumps(ha or []))
    return import_proxmox(
        resources=tmp_path / "resources.json",
        configs=tmp_path / "configs",
        topology=None,
        folder=tmp_path,
        ha_rules=tmp_path / "ha.json",
    ).fleet


def test_what_an_api_wraps_is_read(tmp_path: Path) -> None:
    """Answers of the API itself have their data under one key: VMs had one vCPU and 512 MiB, and no host was there."""
    fleet = proxmox(tmp_path, {"data": [PVE, QEMU]}, '{"data": {"cores": 4, "memory": "8192"}}')
    assert [(vm.spec.vcpus, vm.spec.memory_kib >> 20) for vm in fleet.vms] == [(4, 8)]


def test_a_configuration_that_is_none_is_refused(tmp_path: Path) -> None:
    """A list in place of a VM's configuration is told with its file."""
    with pytest.raises(InputError) as caught:
        proxmox(tmp_path, [PVE, QEMU], "[]")
    assert Path(caught.value.faults[0].file or "").name == "100.json"


def test_containers_with_part_of_a_cpu_are_load(tmp_path: Path) -> None:
    """A limit of half a CPU takes one; templates say so with a word too; groups of older releases are named."""
    ct = {"type": "lxc", "vmid": 200, "name": "ct", "node": "pve1", "status": "running", "maxcpu": 0.5, "maxmem": 2**30}
    template = {**QEMU, "vmid": 101, "template": True}
    fleet = proxmox(tmp_path, [PVE, ct, template], "{}", [{"group": "g1", "nodes": "pve1", "type": "group"}])
    assert [(vm.name, vm.spec.vcpus) for vm in fleet.vms] == [("ct", 1)]
    assert any("HA group g1" in text for text in fleet.warnings)


def test_servers_as_the_api_lists_them(tmp_path: Path) -> None:
    """Lists under one key are read as those of the client."""
    parts = {
        "hypervisors": [{"hypervisor_hostname": "c1", "vcpus": 8, "memory_mb": 8192, "state": "up"}],
        "servers": [{"name": "web", "OS-EXT-SRV-ATTR:host": "c1", "flavor": {"original_name": "m1"}}],
        "flavors": [{"id": "1", "name": "m1", "ram": 1024, "vcpus": 2}],
    }
    for name, listed in parts.items():
        (tmp_path / name).write_text(json.dumps({name: listed}))
    files = OpenstackFiles(
        flavors=tmp_path / "flavors", servers=tmp_path / "servers", hypervisors=tmp_path / "hypervisors"
    )
    fleet = import_openstack(files, topology=None, folder=tmp_path).fleet
    assert [(vm.name, vm.spec.vcpus) for vm in fleet.vms] == [("web", 2)]


def test_a_server_of_its_own_is_where_its_instances_are(tmp_path: Path) -> None:
    """Incus without a cluster tells no location: with one server there is one place."""
    threads = [{"id": cpu, "numa_node": 0, "online": True} for cpu in range(4)]
    memory = {"nodes": [{"numa_node": 0, "total": 2**34}], "total": 2**34}
    cpu = {"sockets": [{"socket": 0, "cores": [{"core": 0, "threads": threads}]}]}
    config = {"limits.cpu": "2", "limits.memory": "2GiB"}
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources/i1.json").write_text(json.dumps({"cpu": cpu, "memory": memory}))
    (tmp_path / "members.json").write_text(json.dumps([{"server_name": "i1", "status": "Online"}]))
    web = {"name": "web", "type": "virtual-machine", "location": "none", "expanded_config": config}
    (tmp_path / "instances.json").write_text(json.dumps([web]))
    fleet = import_incus(
        instances=tmp_path / "instances.json",
        members=tmp_path / "members.json",
        resources=tmp_path / "resources",
        topology=None,
        folder=tmp_path,
    ).fleet
    assert [vm.current.host for vm in fleet.vms if vm.current is not None] == ["i1"]
