"""Exports carried out on files as their platform keeps them, and imported again: they are what was planned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from placer.emit.export import export_plan
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.model.rules import drain_of
from placer.planner import solve_fleet
from placer.read.imports.openstack import OpenstackFiles, import_openstack
from placer.read.imports.proxmox import import_proxmox

NODES = ("n1", "n2", "n3")
CONFIGS = {
    101: "cores: 4\nsockets: 2\nmemory: 8192\nnuma: 1\n",
    102: "cores: 2\nmemory: 2048\naffinity: 8-11\n",
    103: "cores: 2\nmemory: 2048\nnuma: 1\nnuma0: cpus=0-1,hostnodes=3,memory=2048,policy=bind\naffinity: 48-63\n",
}
QM = """\
import pathlib, sys
verb, vmid, *words = sys.argv[1:]
path, = pathlib.Path(ROOT).glob(f"*/qemu-server/{vmid}.conf")
config = dict(line.split(": ", 1) for line in path.read_text().splitlines())
if verb == "config":
    print(path.read_text(), end="")
elif verb == "migrate":
    path.rename(path.parents[2] / words[0] / "qemu-server" / path.name)
elif verb == "set":
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "--delete":
            config = {key: text for key, text in config.items() if key not in value.split(",")}
        else:
            config[option.removeprefix("--")] = value
    path.write_text("".join(f"{key}: {text}\\n" for key, text in config.items()))
"""


def proxmox(folder: Path) -> Fleet:
    """Return what is read of the cluster whose configurations are below a folder."""
    configs = folder / "configs"
    shutil.rmtree(configs, ignore_errors=True)
    configs.mkdir()
    listed = [{"type": "node", "node": node, "status": "online"} for node in NODES]
    for path in sorted((folder / "pve/nodes").glob("*/qemu-server/*.conf")):
        shutil.copy(path, configs)
        node = path.parents[1].name
        listed.append({"type": "qemu", "vmid": path.stem, "name": f"v{path.stem}", "node": node, "status": "running"})
    (folder / "resources.json").write_text(json.dumps(listed))
    return import_proxmox(
        resources=folder / "resources.json", configs=configs, topology=folder / "hosts", folder=folder
    ).fleet


def drained(repository: Path, folder: Path) -> tuple[Fleet, Plan]:
    """Return a cluster of three nodes, one of which is emptied, and the plan of it."""
    (folder / "hosts").mkdir()
    for node in NODES:
        (folder / "pve/nodes" / node / "qemu-server").mkdir(parents=True)
        shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", folder / f"hosts/{node}.xml")
    for vmid, text in CONFIGS.items():
        (folder / f"pve/nodes/n1/qemu-server/{vmid}.conf").write_text(text)
    fleet = proxmox(folder)
    fleet = replace(fleet, rules=(drain_of("n1", {}),))
    plan = solve_fleet(fleet, goals="placed,rules,remote", max_moves=3, pin="all", rounds=2)
    assert len(plan.vms) == 3 and all(vm.host != "n1" for vm in plan.vms)
    return fleet, plan


def as_planned(folder: Path, fleet: Fleet, plan: Plan) -> None:
    """Assert that what is read of the cluster now is the plan, and that nothing is left to do."""
    after = proxmox(folder)
    for vm in after.vms:
        wanted = plan.vm_by_name[vm.name]
        assert vm.current is not None
        assert (vm.current.host, len(vm.spec.cells)) == (wanted.host, len(fleet.vm_by_name[vm.name].spec.cells))
        assert frozenset().union(*vm.current.pins.values()) == frozenset().union(*wanted.pins.values()), vm.name
    again = solve_fleet(after, goals="placed,rules,remote,moves", max_moves=3, rounds=2)
    assert {vm.change for vm in again.vms} == {Change.NONE}


def test_a_script_for_proxmox_makes_the_plan(repository: Path, tmp_path: Path) -> None:
    """Cells, affinity and hosts are as planned once the script has run, and nothing is left to do."""
    fleet, plan = drained(repository, tmp_path)
    script = export_plan(plan, fleet, "proxmox", None)
    assert isinstance(script, str)
    (tmp_path / "plan.sh").write_text(script)
    (tmp_path / "bin").mkdir()
    (tmp_path / "qm.py").write_text(QM.replace("ROOT", repr(str(tmp_path / "pve/nodes"))))
    tools = {
        "qm": f'exec {sys.executable} {tmp_path}/qm.py "$@"\n',
        "ssh": 'while [ $# -gt 1 ]; do shift; done\neval "$1"\n',
        "hostname": "echo n9\n",
    }
    for name, body in tools.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PLACER_PVE": str(tmp_path / "pve")}
    done = subprocess.run(
        ["bash", "plan.sh", "--apply"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    as_planned(tmp_path, fleet, plan)


def test_an_override_for_terraform_makes_the_plan(repository: Path, tmp_path: Path) -> None:
    """Applied to the configurations as the provider does it, the resources are the plan."""
    fleet, plan = drained(repository, tmp_path)
    text = export_plan(plan, fleet, "terraform", None)
    assert isinstance(text, str)
    resources = json.loads(text)["resource"]["proxmox_virtual_environment_vm"]
    assert set(resources) == {vm.name for vm in plan.vms}
    for name, resource in resources.items():
        (path,) = (tmp_path / "pve/nodes").glob(f"*/qemu-server/{name.removeprefix('v')}.conf")
        lines = path.read_text().splitlines()
        memory = next(line for line in lines if line.startswith("memory"))
        cpu = resource["cpu"]
        lines = [memory, *(f"{key}: {cpu[key]}" for key in ("cores", "sockets", "affinity")), f"numa: {cpu['numa']:d}"]
        for cell in resource["numa"]:
            keys = ",".join(f"{key}={cell[key]}" for key in ("cpus", "hostnodes", "memory", "policy") if key in cell)
            lines.append(f"{cell['device']}: {keys}")
        path.unlink()
        (path.parents[2] / resource["node_name"] / "qemu-server" / path.name).write_text("\n".join(lines) + "\n")
    as_planned(tmp_path, fleet, plan)


NOVA = """\
import json, pathlib, sys
path = pathlib.Path(SERVERS)
words = [word for word in sys.argv[1:] if not word.startswith("--os-compute-api-version") and word != "2.56"]
servers = json.loads(path.read_text())
server = next((one for one in servers if one["ID"] == words[-1]), None)
match words[:2], words[2:]:
    case ["compute", "service"], _:
        print("n1.cloud\\nn2.cloud\\nn3.cloud")
    case ["server", "show"], _:
        print(server["Host"])
    case ["server", "migrate"], rest:
        (host,) = (word.removeprefix("--host=") for word in rest if word.startswith("--host="))
        assert ("--live-migration" in rest) == (server["Status"] == "ACTIVE")
        server["Host"] = host
    case other:
        assert other == (["server", "migration"], ["confirm", server["ID"]]), other
path.write_text(json.dumps(servers))
"""
SPECS = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "1"}


def openstack(folder: Path) -> Fleet:
    """Return what is read of the cloud whose servers are listed in a folder: three hosts, the first disabled."""
    services = [
        {"Binary": "nova-compute", "Host": f"{node}.cloud", "State": "up", "Status": "enabled"} for node in NODES
    ]
    services[0]["Status"] = "disabled"
    documents = {
        "flavors": [{"ID": "1", "Name": "m4", "VCPUs": 4, "RAM": 4096, "Properties": SPECS}],
        "hypervisors": [{"Hypervisor Hostname": f"{node}.cloud", "State": "up"} for node in NODES],
        "services": services,
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    files = {name: folder / f"{name}.json" for name in (*documents, "servers")}
    return import_openstack(OpenstackFiles(**files), topology=folder / "hosts", folder=folder).fleet


def test_a_script_for_openstack_makes_the_plan(repository: Path, tmp_path: Path) -> None:
    """Running servers move live, those that are shut off cold, to the hosts of the plan, and nothing is left to do."""
    (tmp_path / "hosts").mkdir()
    for node in NODES:
        shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / f"hosts/{node}.cloud.xml")
    idents = [f"0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f000{number}" for number in range(4)]
    servers = [
        {
            "ID": ident,
            "Name": f"it's {n}",
            "Status": "ACTIVE" if n % 2 else "SHUTOFF",
            "Flavor ID": "1",
            "Host": "n1.cloud",
        }
        for n, ident in enumerate(idents)
    ]
    (tmp_path / "servers.json").write_text(json.dumps(servers))
    fleet = openstack(tmp_path)
    plan = solve_fleet(fleet, goals="placed,rules,remote", max_moves=4, rounds=2)
    assert len(plan.vms) == 4 and all(vm.host != "n1.cloud" for vm in plan.vms)
    script = export_plan(plan, fleet, "openstack", None)
    assert isinstance(script, str)
    (tmp_path / "plan.sh").write_text(script)
    (tmp_path / "bin").mkdir()
    (tmp_path / "nova.py").write_text(NOVA.replace("SERVERS", repr(str(tmp_path / "servers.json"))))
    (tmp_path / "bin/openstack").write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/nova.py "$@"\n')
    (tmp_path / "bin/openstack").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "plan.sh", "--apply"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    after = openstack(tmp_path)
    assert {vm.name: vm.current.host for vm in after.vms if vm.current is not None} == {
        vm.name: vm.host for vm in plan.vms
    }
    again = solve_fleet(after, goals="placed,rules,moves", max_moves=4, rounds=2)
    assert all(vm.from_host is None for vm in again.vms)
