"""``placer import libvirt`` and ``placer collect``: files in, an inventory that can be planned at once out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.read.inventory.inventory import read_fleet

Placer = Callable[..., Any]


@pytest.fixture
def gathered(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the capabilities of one host and two domains, and make it the current one."""
    for folder in ("caps", "domains"):
        (tmp_path / folder).mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / "caps/kvm-a.xml")
    for name in ("two-cells", "five-sockets"):
        shutil.copy(repository / f"data/domains/{name}.xml", tmp_path / "domains")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_capabilities_to_domain_xml(placer: Placer, gathered: Path) -> None:
    """Import, solve, check and export run one after the other on a folder of files."""
    steps = (
        ["import", "libvirt", "--capabilities", "caps", "--domains", "domains", "-o", "fleet.yaml"],
        ["solve", "fleet.yaml", "-o", "plan.json"],
        ["check", "fleet.yaml", "plan.json"],
        ["export", "plan.json", "--to", "libvirt", "-o", "OUT"],
    )
    for words in steps:
        run = placer(*words)
        assert run.code == 0, run.err
    assert sorted(path.relative_to("OUT").as_posix() for path in Path("OUT").rglob("*.xml")) == [
        "kvm-a/five-sockets.xml",
        "kvm-a/two-cells.xml",
    ]


def test_update_keeps_what_a_person_wrote(placer: Placer, gathered: Path) -> None:
    """A second import overwrites nothing unless asked; an update keeps a reserve and labels."""
    words = ["import", "libvirt", "--capabilities", "caps", "--domains", "domains", "-o", "fleet.yaml"]
    first = placer(*words, "--json").envelope["result"]
    assert (first["hosts"], first["vms"]) == (1, 2)
    path = gathered / "fleet.yaml"
    path.write_text(
        path.read_text().replace("- name: kvm-a", '- name: kvm-a\n    reserve: {cpus: "0"}\n    labels: {rack: r1}')
    )
    edited = path.read_bytes()
    refused = placer(*words)
    assert refused.code == 2 and "--force" in refused.err
    assert path.read_bytes() == edited
    assert placer(*words, "--update").code == 0
    host = read_fleet(path).host_by_name["kvm-a"]
    assert host.reserve.cpus == {0} and host.labels == {"rack": "r1"}
    assert placer(*words, "--force").code == 0
    assert not read_fleet(path).host_by_name["kvm-a"].reserve.cpus


def test_standard_output(placer: Placer, gathered: Path) -> None:
    """``-o -`` prints the inventory; an update has no place there."""
    words = ["import", "libvirt", "--capabilities", "caps", "-o", "-"]
    run = placer(*words)
    assert run.code == 0 and "schema: placer.inventory/v1" in run.out
    assert placer(*words, "--update").code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to import"),
        (["--capabilities", "nowhere"], "nowhere"),
        (["missing.tar"], "missing.tar"),
        (["--connect", "kvm-a"], "HOST=URI"),
        (["--connect", "a=test:///default", "--capabilities", "caps"], "not both"),
    ],
)
def test_bad_input(placer: Placer, gathered: Path, words: list[str], message: str) -> None:
    """What cannot be imported is exit 2 with the reason, and nothing is written."""
    run = placer("import", "libvirt", *words, "-o", "fleet.yaml")
    assert run.code == 2 and message in run.err
    assert not Path("fleet.yaml").exists()


@pytest.mark.libvirt
def test_connected_hosts(placer: Placer, gathered: Path) -> None:
    """Hosts are read over libvirt with their domains' XML; one that does not answer is named, exit 8."""
    run = placer("import", "libvirt", "--connect", "a=test:///default", "-o", "fleet.yaml")
    assert run.code == 0, run.err
    fleet = read_fleet("fleet.yaml")
    assert fleet.host_by_name["a"].uri == "test:///default"
    assert [vm.name for vm in fleet.vms] == ["test"]
    partly = placer(
        *("import", "libvirt", "-o", "two/fleet.yaml", "--connect", "a=test:///default"),
        *("--connect", "b=qemu+unix:///system?socket=/nonexistent/socket"),
    )
    assert partly.code == 8 and "'b'" in partly.err
    assert len(read_fleet("two/fleet.yaml").hosts) == 1


def test_collect_prints_a_shell_script(placer: Placer) -> None:
    """The script is all of standard output and is accepted by the shell, with --print or without."""
    run = placer("collect", "--print")
    assert run.code == 0 and run.out.startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n"], input=run.out, text=True, check=True, timeout=1800)
    assert placer("collect", "--print", "--json").envelope["result"]["script"] == run.out
    assert placer("collect").out == run.out


TABLE_MAP = """\
schema: placer.map/v1
hosts:
  file: hosts.csv
  entry:
    name: "{Host}"
    nodes: [{id: 0, cpus: "0-7", memory: "{RAM} GiB"}]
vms:
  file: vms.csv
  entry: {name: "{VM}", vcpus: "{CPUs}", memory: "{GB} GiB"}
"""


@pytest.mark.parametrize("verb", ["csv", "xlsx"])
def test_tables_with_a_map(placer: Placer, tmp_path: Path, verb: str) -> None:
    """Tables become an inventory by a map; another table can take the place of one that the map names."""
    (tmp_path / "map.yaml").write_text(TABLE_MAP)
    (tmp_path / "hosts.csv").write_text("Host,RAM\nkvm-a,64\nkvm-b,64\n")
    (tmp_path / "vms.csv").write_text("VM,CPUs,GB\ndb,4,16\n")
    (tmp_path / "more.csv").write_text("VM,CPUs,GB\ndb,4,16\nweb,2,4\n")
    out = tmp_path / "fleet.yaml"
    assert placer("import", verb, "--map", tmp_path / "map.yaml", "-o", out).code == 0
    fleet = read_fleet(out)
    assert [host.name for host in fleet.hosts] == ["kvm-a", "kvm-b"] and [vm.name for vm in fleet.vms] == ["db"]
    more = placer("import", verb, "--map", tmp_path / "map.yaml", "--vms", tmp_path / "more.csv", "-o", out, "--force")
    assert more.code == 0 and "2 hosts, 2 VMs" in more.out
    missing = placer("import", verb, "--map", tmp_path / "no.yaml", "-o", out, "--force")
    assert missing.code == 2 and "no.yaml" in missing.err


def test_openstack_and_proxmox(placer: Placer, repository: Path, tmp_path: Path) -> None:
    """The JSON of either manager becomes an inventory that can be planned, host files joined by name."""
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", hosts / "compute1.xml")
    documents = {
        "flavors": [{"ID": "f", "Name": "m1", "RAM": 2048, "VCPUs": 2, "Properties": {}}],
        "servers": [
            {"ID": "0f0e0d0c-0b0a-0908-0706-050403020101", "Name": "web", "Status": "ACTIVE", "Flavor ID": "f"}
        ],
        "hypervisors": [{"ID": 1, "Hypervisor Hostname": "compute1", "State": "up", "vCPUs": 128, "Memory MB": 515000}],
        "resources": [
            {"type": "node", "node": "compute1", "status": "online", "maxcpu": 128, "maxmem": 1 << 39},
            {"type": "qemu", "vmid": 100, "name": "db", "node": "compute1", "status": "running", "template": 0},
        ],
    }
    for name, document in documents.items():
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/100.conf").write_text("cores: 4\nmemory: 8192\nname: db\nsockets: 1\n")
    cloud = [word for name in ("flavors", "servers", "hypervisors") for word in (f"--{name}", str(tmp_path / name))]
    cluster = ["--resources", str(tmp_path / "resources"), "--configs", str(tmp_path / "configs")]
    for verb, words, vm in (("openstack", cloud, "web"), ("proxmox", cluster, "db")):
        out = tmp_path / f"{verb}.yaml"
        run = placer("import", verb, *words, "--topology", hosts, "-o", out)
        assert run.code == 0, run.err
        fleet = read_fleet(out)
        assert [host.name for host in fleet.hosts] == ["compute1"] and len(fleet.hosts[0].topology.nodes) == 8
        assert [one.name for one in fleet.vms] == [vm]
        assert placer("solve", out, "-o", tmp_path / f"{verb}.json", "-q").code == 0


def test_an_import_without_hosts_writes_nothing(placer: Placer, tmp_path: Path) -> None:
    """Files of the right form that hold no host make no inventory, for none could be read back."""
    (tmp_path / "resources.json").write_text('[{"type": "storage", "id": "storage/x"}]')
    (tmp_path / "configs").mkdir()
    words = ["--resources", tmp_path / "resources.json", "--configs", tmp_path / "configs"]
    run = placer("import", "proxmox", *words, "-o", tmp_path / "fleet.yaml")
    assert run.code == 2 and "no host of Proxmox VE is told" in run.err
    assert not (tmp_path / "fleet.yaml").exists()
