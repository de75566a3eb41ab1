"""What files tell alike is one object: the planner works it out once."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.model.fleet import Fleet
from placer.read.documents.scenario_file import read_scenarios
from placer.read.hosts import host as host_files
from placer.read.inventory.inventory import parse_fleet, read_fleet
from placer.read.inventory.write import inventory_text
from placer.whatif.scenario import variants

DOMAIN = (
    "<domain type='kvm'><name>{name}</name><memory unit='MiB'>{mib}</memory><vcpu>2</vcpu>"
    "<os><type arch='x86_64'>hvm</type></os></domain>"
)


@pytest.fixture
def fleet(tmp_path: Path, repository: Path) -> Fleet:
    """Return three hosts told by a file each, two of which say the same, and three VMs told by an XML each."""
    numactl = (repository / "data/hosts/two-node-40cpu.numactl.txt").read_text()
    for name, text in (("a", numactl), ("b", numactl), ("d", numactl.replace("  21", "  31"))):
        (tmp_path / f"{name}.txt").write_text(text)
    for name, mib in (("x", 1024), ("y", 1024), ("z", 2048)):
        (tmp_path / f"{name}.xml").write_text(DOMAIN.format(name=name, mib=mib))
    hosts = "".join(f"  - {{name: {name}, topology: {name}.txt}}\n" for name in "abd")
    vms = "".join(f"  - {{domain: {name}.xml, host: a}}\n" for name in "xyz")
    (tmp_path / "fleet.yaml").write_text(f"schema: placer.inventory/v1\nhosts:\n{hosts}vms:\n{vms}")
    return read_fleet(tmp_path / "fleet.yaml")


def test_hosts_and_vms_that_files_tell_alike_share_what_they_are_made_of(fleet: Fleet) -> None:
    """Of hosts whose files say the same there is one topology, of VMs whose XML says the same one spec."""
    a, b, d = fleet.hosts
    assert a.topology is b.topology
    assert a.reserve is b.reserve
    assert a.topology is not d.topology
    x, y, z = fleet.vms
    assert x.spec is y.spec
    assert x.spec is not z.spec


def test_each_host_is_written_with_the_file_that_tells_it(fleet: Fleet) -> None:
    """A shared topology does not make hosts forget their own files."""
    text = inventory_text(fleet)
    again = parse_fleet(text.encode(), "again", fleet.base_dir or ".")
    assert "nodes:" not in text
    assert [host.source for host in again.hosts] == ["a.txt", "b.txt", "d.txt"]


def test_hosts_of_one_shape_are_found_whatever_their_files_are_called(fleet: Fleet, tmp_path: Path) -> None:
    """A scenario that means all hosts of a shape means those with files of their own too."""
    path = tmp_path / "s.yaml"
    path.write_text("schema: placer.scenario/v1\nname: s\nedits:\n  - {hosts: {shape: a}, reserve: {memory: 2GiB}}\n")
    found = variants(fleet, read_scenarios([str(path)]))[1]
    assert found.changes == ("reserve on 2 hosts",)


def test_capabilities_that_differ_in_their_uuid_alone_are_read_once(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400 hosts of three kinds three files are read; what else differs, and a file that is none, still counts."""
    text = (repository / "data/hosts/epyc-nps4.capabilities.xml").read_text()
    other = text.replace("6d0b4f0a-5f3e-4c8c-9a51-0e2f6f0a1c01", "6d0b4f0a-5f3e-4c8c-9a51-0e2f6f0a1c02")
    smaller = text.replace("<memory unit='KiB'>65812480<", "<memory unit='KiB'>60000000<")
    for name, content in (("a", text), ("b", other), ("c", smaller)):
        (tmp_path / f"{name}.xml").write_text(content)
    read: list[str] = []
    real = host_files.parse_topology
    monkeypatch.setattr(host_files, "parse_topology", lambda data, source: read.append(source) or real(data, source))
    hosts = "".join(f"  - {{name: {name}, topology: {name}.xml}}\n" for name in "abc")
    fleet = parse_fleet(f"schema: placer.inventory/v1\nhosts:\n{hosts}".encode(), "fleet", tmp_path)
    assert [Path(one).stem for one in read] == ["a", "c"]
    a, b, c = fleet.hosts
    assert text != other and a.topology is b.topology and a.topology != c.topology
    assert [host.source for host in fleet.hosts] == ["a.xml", "b.xml", "c.xml"]
