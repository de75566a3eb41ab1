"""From each importer all the way: what another tool tells becomes a fleet, a checked plan, and domain XML."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from placer.check.check import check
from placer.emit.export import export_plan
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import import_libvirt
from placer.read.imports.openstack import OpenstackFiles, import_openstack
from placer.read.imports.proxmox import import_proxmox
from placer.read.imports.table import import_table
from placer.read.inventory.inventory import read_fleet

UUID = "0f0e0d0c-0b0a-0908-0706-0504030201{:02d}"
GROUP = {"ID": "g", "Name": "apart", "Policy": "anti-affinity", "Members": [UUID.format(2), UUID.format(3)]}


def from_libvirt(data: Path, folder: Path) -> Imported:
    """Import two hosts and the golden guests, spread over them."""
    for number, (host, guests) in enumerate(
        {"epyc1": ["five-sockets", "two-cells"], "epyc2": ["floating", "half-pinned"]}.items()
    ):
        (folder / "domains" / host).mkdir(parents=True)
        (folder / "caps").mkdir(exist_ok=True)
        text = (data / "hosts/epyc-nps4.capabilities.xml").read_text()
        (folder / f"caps/{host}.xml").write_text(text.replace("0a1c01</uuid>", f"0a1c1{number}</uuid>"))
        for guest in guests:
            shutil.copy(data / f"domains/{guest}.xml", folder / f"domains/{host}")
    return import_libvirt(capabilities=folder / "caps", domains=folder / "domains", folder=folder)


def from_openstack(data: Path, folder: Path) -> Imported:
    """Import one hypervisor with pinned, uneven and floating servers in a group."""
    (folder / "hosts").mkdir()
    for name in ("c1", "c2"):
        shutil.copy(data / "hosts/epyc-nps4.capabilities.xml", folder / f"hosts/{name}.xml")
    specs = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"}
    documents = {
        "flavors": [
            {"ID": "1", "Name": "pinned", "VCPUs": 8, "RAM": 16384, "Properties": specs},
            {"ID": "2", "Name": "plain", "VCPUs": 2, "RAM": 2048, "Properties": {}},
        ],
        "servers": [
            {"ID": UUID.format(1), "Name": "db", "Status": "ACTIVE", "Flavor ID": "1", "Host": "c1"},
            {"ID": UUID.format(2), "Name": "web1", "Status": "ACTIVE", "Flavor ID": "2", "Host": "c1"},
            {"ID": UUID.format(3), "Name": "web2", "Status": "BUILD", "Flavor ID": "2"},
        ],
        "hypervisors": [{"Hypervisor Hostname": name, "State": "up"} for name in ("c1", "c2")],
        "server_groups": [GROUP],
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    files = OpenstackFiles(
        flavors=folder / "flavors.json",
        servers=folder / "servers.json",
        hypervisors=folder / "hypervisors.json",
        server_groups=folder / "server_groups.json",
    )
    return import_openstack(files, topology=folder / "hosts", folder=folder)


def from_proxmox(data: Path, folder: Path) -> Imported:
    """Import one node with a guest of two cells and one that floats over some CPUs."""
    (folder / "hosts").mkdir()
    (folder / "configs").mkdir()
    shutil.copy(data / "hosts/epyc-nps4.capabilities.xml", folder / "hosts/pve1.xml")
    (folder / "configs/100.conf").write_text("cores: 2\nsockets: 2\nmemory: 4096\nnuma: 1\n")
    (folder / "configs/101.conf").write_text("cores: 2\nmemory: 2048\naffinity: 8-11\n")
    resources = [{"type": "node", "node": "pve1", "status": "online"}] + [
        {"type": "qemu", "vmid": vmid, "name": f"vm{vmid}", "node": "pve1", "status": "running"} for vmid in (100, 101)
    ]
    (folder / "resources.json").write_text(json.dumps(resources))
    return import_proxmox(
        resources=folder / "resources.json", configs=folder / "configs", topology=folder / "hosts", folder=folder
    )


def from_tables(data: Path, folder: Path) -> Imported:
    """Import two tables by a map."""
    (folder / "hosts.csv").write_text("host,cpus,mem\nh1,8,32\nh2,8,32\n")
    (folder / "vms.csv").write_text("vm,cpu,mem,host,node\na,4,8,h1,0\nb,4,8,h1,1\nc,2,4,,\n")
    (folder / "map.yaml").write_text(
        "schema: placer.map/v1\n"
        'hosts: {file: hosts.csv, entry: {name: "{host}",'
        ' equal_nodes: {count: 2, cpus: "{cpus}", memory: "{mem}GiB"}}}\n'
        'vms: {file: vms.csv, entry: {name: "{vm}", vcpus: "{cpu}", memory: "{mem}GiB", cells: 1, host: "{host}",'
        ' nodes: ["{node}"]}}\n'
    )
    return import_table(folder / "map.yaml", folder=folder)


@pytest.mark.parametrize("importer", [from_libvirt, from_openstack, from_proxmox, from_tables])
def test_imported_fleets_are_solved_and_exported(
    repository: Path, tmp_path: Path, importer: Callable[[Path, Path], Imported]
) -> None:
    """The inventory is written and read, the plan is proven and passes the checker, every VM has its XML."""
    imported = importer(repository / "data", tmp_path)
    (tmp_path / "fleet.yaml").write_text(imported.text())
    fleet = read_fleet(tmp_path / "fleet.yaml")
    assert (fleet.hosts, fleet.vms) == (imported.fleet.hosts, imported.fleet.vms)
    plan = solve_fleet(fleet, time_limit_s=600)
    assert {goal.status for goal in plan.goals} == {"optimal"}
    assert check(fleet, plan).ok
    assert not plan.unplaced
    written = export_plan(plan, fleet, "libvirt", tmp_path / "out")
    assert isinstance(written, list)
    assert {read_domain(path.read_bytes(), path.name).name for path in written} == {vm.name for vm in fleet.vms}


def test_full_load_is_cut_in_pieces_by_greed_alone(repository: Path) -> None:
    """On data/full-load.yaml the greedy engine has to split VMs over nodes; the exact one splits none."""
    fleet = read_fleet(repository / "data/full-load.yaml")
    greedy = solve_fleet(fleet, time_limit_s=600, engine="greedy")
    exact = solve_fleet(fleet, time_limit_s=600, engine="exact")
    assert sum(len(vm.cells) > 1 for vm in greedy.vms) + len(greedy.unplaced) > 0
    assert not exact.unplaced and all(len(vm.cells) == 1 for vm in exact.vms)
    assert {goal.status for goal in exact.goals} == {"optimal"}
