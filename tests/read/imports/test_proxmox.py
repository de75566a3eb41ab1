"""Importing Proxmox VE: golden cluster resources and VM configurations as its manual prints them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.vm import CellMode, CpuPolicy, Movable
from placer.read.imports.proxmox import import_proxmox
from placer.read.inventory.inventory import parse_fleet

NODE = {"id": "node/pve1", "type": "node", "node": "pve1", "status": "online", "maxcpu": 32, "maxmem": 137438953472}
VM = {
    "id": "qemu/100", "type": "qemu", "vmid": 100, "name": "web", "node": "pve1", "status": "running", "template": 0,
    "maxcpu": 4, "maxmem": 8589934592, "cpu": 0.02, "mem": 4294967296, "tags": "prod;web", "pool": "shop",
}  # fmt: skip
CONFIG = """boot: order=scsi0
cores: 4
memory: 8192
name: web
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0
numa: 0
scsi0: local-lvm:vm-100-disk-0,size=32G
smbios1: uuid=5f1ca0de-0000-4000-8000-000000000100
sockets: 2
vcpus: 6
"""


def take(folder: Path, configs: dict[int, str], resources: list[dict[str, Any]] | None = None) -> Fleet:
    """Import a cluster of one node, and make sure that the inventory reads back as the fleet."""
    if resources is None:
        resources = [NODE, *({**VM, "vmid": vmid, "name": f"vm{vmid}"} for vmid in configs)]
    (folder / "resources.json").write_text(json.dumps(resources))
    (folder / "configs").mkdir(exist_ok=True)
    for vmid, config in configs.items():
        (folder / "configs" / f"{vmid}.{'json' if config.startswith('{') else 'conf'}").write_text(config)
    (folder / "hosts").mkdir(exist_ok=True)
    imported = import_proxmox(
        resources=folder / "resources.json", configs=folder / "configs", topology=folder / "hosts", folder=folder
    )
    read = parse_fleet(imported.text().encode(), "fleet.yaml", folder)
    assert (read.hosts, read.vms) == (imported.fleet.hosts, imported.fleet.vms)
    return imported.fleet


def test_a_cluster_becomes_this_inventory(repository: Path, tmp_path: Path) -> None:
    """The whole text for the golden documents, with a host file joined by the node's name."""
    (tmp_path / "hosts").mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / "hosts/pve1.xml")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/100.conf").write_text(CONFIG + "\n[snapshot]\ncores: 64\n")
    (tmp_path / "resources.json").write_text(json.dumps([NODE, VM]))
    imported = import_proxmox(
        resources=tmp_path / "resources.json",
        configs=tmp_path / "configs",
        topology=tmp_path / "hosts",
        folder=tmp_path,
    )
    assert imported.text().partition("schema:")[2] == (
        " placer.inventory/v1\n"
        "hosts:\n"
        "  - name: pve1\n"
        "    topology: hosts/pve1.xml\n"
        "vms:\n"
        "  - name: web\n"
        "    uuid: 5f1ca0de-0000-4000-8000-000000000100\n"
        '    manager_id: "100"\n'
        "    vcpus: 8\n"
        "    memory: 8GiB\n"
        "    cells: none\n"
        "    cpu_policy: shared\n"
        "    vcpus_current: 6\n"
        '    labels: {pool: shop, "tag:prod": "true", "tag:web": "true"}\n'
        "    host: pve1\n"
    )


def test_cells_with_their_own_cpus_memory_and_host_nodes(repository: Path, tmp_path: Path) -> None:
    """numaN are the guest's cells; bound to one host node each they say where the memory is."""
    (tmp_path / "hosts").mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / "hosts/pve1.xml")
    config = CONFIG.replace("numa: 0", "numa: 1") + (
        "numa0: cpus=0-1;6,hostnodes=2,memory=2048,policy=bind\nnuma1: cpus=2-5;7,hostnodes=3,memory=6144,policy=bind\n"
    )
    vm = take(tmp_path, {100: config}).vms[0]
    assert [(sorted(cell.vcpus), cell.memory_kib) for cell in vm.spec.cells] == [
        ([0, 1, 6], 2 * 1024**2),
        ([2, 3, 4, 5, 7], 6 * 1024**2),
    ]
    assert vm.current is not None and (vm.current.nodes, vm.current.memory_nodes) == (None, (2, 3))


def test_numa_without_cells_gives_one_a_socket(tmp_path: Path) -> None:
    """As the manual says: guest nodes follow the sockets."""
    spec = take(tmp_path, {100: CONFIG.replace("numa: 0", "numa: 1")}).vms[0].spec
    assert [(len(cell.vcpus), cell.memory_kib) for cell in spec.cells] == [(4, 4 * 1024**2)] * 2


def test_affinity_is_where_all_vcpus_float(tmp_path: Path) -> None:
    """Proxmox ties the whole process to a set of CPUs: every vCPU floats over it."""
    vm = take(tmp_path, {100: CONFIG + "affinity: 0,4-6\n"}).vms[0]
    assert vm.spec.cpu_policy is CpuPolicy.SHARED
    assert vm.current is not None and set(vm.current.pins.values()) == {frozenset({0, 4, 5, 6})}
    assert len(vm.current.pins) == 8


def test_pages_devices_and_guests_without_kvm(tmp_path: Path) -> None:
    """Huge pages, host devices that bind a VM to its node, and emulated guests."""
    fleet = take(
        tmp_path,
        {
            100: CONFIG + "hugepages: 2\nhostpci0: 0000:01:00.0,pcie=1\n",
            101: CONFIG.replace("100\n", "101\n") + "hugepages: any\nkvm: 0\n",
        },
    )
    one, two = fleet.vms
    assert (one.spec.page_kib, one.movable, one.movable_why) == (2048, Movable.COLD, ("host device 0000:01:00.0",))
    assert (two.spec.page_kib, two.spec.kvm) == (1024**2, False)


def test_json_of_the_api_and_defaults(tmp_path: Path) -> None:
    """The API prints JSON; one core, one socket and 512 MiB are Proxmox's defaults; memory has a new form."""
    fleet = take(tmp_path, {100: '{"digest": "x", "name": "a"}', 101: '{"memory": "current=4096", "cores": 2}'})
    assert [(vm.spec.vcpus, vm.spec.memory_kib) for vm in fleet.vms] == [(1, 512 * 1024), (2, 4 * 1024**2)]
    assert fleet.vms[0].spec.cell_mode is CellMode.NONE


def test_what_cannot_be_carried_over_is_listed(tmp_path: Path) -> None:
    """Limits and weights of CPUs, CPU models, soft memory policies, containers, templates, offline nodes."""
    resources = [
        NODE,
        {"type": "node", "node": "pve2", "status": "offline"},
        {**VM, "vmid": 100, "status": "stopped"},
        {**VM, "vmid": 101, "name": "far", "node": "pve2"},
        {**VM, "vmid": 102, "name": "master", "template": 1},
        {"type": "lxc", "vmid": 103, "node": "pve1"},
        {"type": "storage", "storage": "local"},
    ]
    config = CONFIG.replace("numa: 0", "numa: 1") + (
        "cpuunits: 200\ncpu: host\nnuma0: cpus=0-7,hostnodes=0-1,memory=8192,policy=interleave\naffinity: 0,900\n"
    )
    fleet = take(tmp_path, {100: config}, resources)
    assert [(vm.name, vm.running) for vm in fleet.vms] == [("web", False)]
    warnings = "\n".join(fleet.warnings)
    for words in (
        "cpuunits of VM web is not carried over",
        "cpu of VM web is not carried over",
        "numa0 (policy interleave on host nodes 0-1) of VM web",
        "affinity to CPUs 900, which its node lacks, of VM web",
        "1 container without known CPUs",
        "1 template left out",
        "node pve2 is offline",
        "1 VM on node pve2, which is not in the inventory",
        "no host file for pve1: one NUMA node is assumed",
    ):
        assert words in warnings
    assert "scsi0" not in warnings and "net0" not in warnings


def test_equal_names_get_their_number(tmp_path: Path) -> None:
    """Proxmox tells VMs by number; equal names are told apart by it."""
    resources = [NODE, {**VM, "vmid": 100}, {**VM, "vmid": 101}]
    fleet = take(tmp_path, {100: "cores: 1\n", 101: "cores: 1\n"}, resources)
    assert [vm.name for vm in fleet.vms] == ["web/100", "web/101"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "no configuration of VM 100"),
        ("cores: many\n", "cores is 'many'"),
        ("no line at all\n", "no line of a VM's configuration"),
        ("numa: 1\nnuma0: cpus=x,memory=1\n", "numa0"),
        ("numa: 1\ncores: 2\nnuma0: cpus=0,memory=512\n", "the cells hold 1 vCPU, the VM has 2"),
        ("affinity: a-b\n", "affinity"),
        ("hugepages: 3\n", "not a page size"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, config: str | None, words: str) -> None:
    """A configuration that is missing or contradicts itself is named with its file or VM."""
    with pytest.raises(InputError, match=words):
        take(tmp_path, {} if config is None else {100: config}, [NODE, VM])


def test_containers_are_load_that_stays(tmp_path: Path) -> None:
    """A running container takes CPUs and memory on its node and does not move; others take nothing."""
    ct = {"type": "lxc", "vmid": 200, "name": "dns", "node": "pve1", "status": "running", "maxcpu": 2, "maxmem": 2**30}
    resources = [
        NODE,
        {**VM, "vmid": 100},
        ct,
        {**ct, "vmid": 201, "status": "stopped"},
        {**ct, "vmid": 202, "maxcpu": 0},
    ]
    fleet = take(tmp_path, {100: CONFIG}, resources)
    (load,) = [vm for vm in fleet.vms if vm.spec.labels.get("container")]
    assert (load.name, load.manager_id, load.spec.vcpus, load.spec.memory_kib) == ("dns", "200", 2, 2**20)
    assert (load.movable, load.spec.cpu_policy, load.spec.overhead_kib) == (Movable.NO, CpuPolicy.SHARED, 0)
    assert any("1 container without known CPUs" in text for text in fleet.warnings)


def test_ha_rules_are_rules(tmp_path: Path) -> None:
    """Apart, together, and on named nodes; what only prefers, is disabled, or names nobody here is said or left out."""
    nodes = [NODE, {**NODE, "node": "pve2"}]
    resources = [*nodes, *({**VM, "vmid": vmid, "name": f"vm{vmid}"} for vmid in (100, 101))]
    rules = [
        {"rule": "apart", "type": "resource-affinity", "affinity": "negative", "resources": "vm:100,vm:101"},
        {"rule": "near", "type": "resource-affinity", "affinity": "positive", "resources": "vm:100,ct:9,vm:101"},
        {"rule": "home", "type": "node-affinity", "resources": "vm:100", "nodes": "pve1:2,pve2", "strict": 1},
        {"rule": "wish", "type": "node-affinity", "resources": "vm:100", "nodes": "pve1", "strict": 0},
        {"rule": "off", "type": "resource-affinity", "affinity": "negative", "resources": "vm:100", "disable": 1},
        {"rule": "gone", "type": "resource-affinity", "affinity": "negative", "resources": "vm:999"},
    ]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    (tmp_path / "resources.json").write_text(json.dumps(resources))
    (tmp_path / "configs").mkdir()
    for vmid in (100, 101):
        (tmp_path / f"configs/{vmid}.conf").write_text(CONFIG.replace("000100", f"000{vmid}"))
    imported = import_proxmox(
        resources=tmp_path / "resources.json",
        configs=tmp_path / "configs",
        topology=None,
        folder=tmp_path,
        ha_rules=tmp_path / "rules.json",
    )
    fleet = parse_fleet(imported.text().encode(), "fleet.yaml", tmp_path)
    assert [(rule.kind.value, rule.name) for rule in fleet.rules] == [
        ("anti_affinity", "ha:apart"),
        ("affinity", "ha:near"),
        ("within", "ha:home"),
    ]
    assert [host.labels for host in fleet.hosts] == [{"ha:home": "true"}] * 2
    said = "\n".join(imported.fleet.warnings)
    assert "HA rule wish only prefers" in said and "HA rule gone" in said and "off" not in said
