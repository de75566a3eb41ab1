"""Devices that a domain brings along: another host has others at the same address, and some cannot be exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from placer import read_fleet, solve
from placer.emit.domain.files import domain_files
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.vm import Movable
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.hostdevs import host_addresses

GUEST = """<domain type='kvm'><name>g</name><memory unit='GiB'>1</memory><vcpu>1</vcpu>
<devices>{}</devices></domain>"""
GPU = """<hostdev mode='subsystem' type='pci'><source>
<address domain='0' bus='0x41' slot='0' function='0'/></source><rom file='/a.rom'/></hostdev>"""
NIC = """<interface type='hostdev'><source><address type='pci' domain='0' bus='0x42' slot='0' function='0'/></source>
</interface>"""
DISK = """<disk type='nvme' device='disk'><source type='pci' namespace='1'>
<address domain='0' bus='0x05' slot='0' function='0'/></source><target dev='vda'/></disk>"""
NODES = 'nodes: [{id: 0, cpus: "0-7", memory: 9GiB}]'


def fleet_of(folder: Path, devices: str, hosts: str, vm: str = "{domain: g.xml, host: old}") -> Fleet:
    """Return the fleet of a domain with these devices and of these hosts."""
    (folder / "g.xml").write_text(GUEST.format(devices))
    path = folder / "f.yaml"
    path.write_text(f"schema: placer.inventory/v1\nhosts:\n{hosts}\nvms: [{vm}]\n")
    return read_fleet(path)


def sources(fleet: Fleet) -> list[tuple[str, str]]:
    """Return tag and bus of the devices of the one domain that a plan exports."""
    (xml,) = domain_files(solve(fleet), fleet).values()
    found = [(one.getparent().getparent().tag, one.get("bus")) for one in etree.fromstring(xml).iter("address")]
    return [(str(tag), int(bus or "", 0)) for tag, bus in found]  # type: ignore[misc]


def two(old: str, new: str) -> str:
    """Return a host that failed and one that is there, with these devices."""
    return f"  - {{name: old, failed: true, {NODES}, devices: [{old}]}}\n  - {{name: new, {NODES}, devices: [{new}]}}"


def test_kinds_are_those_of_the_host_that_the_vm_comes_from(tmp_path: Path) -> None:
    """Where the addresses of a card and a GPU are exchanged, the GPU stays a GPU, and the interface a card."""
    hosts = two(
        '{address: "41:00.0", kind: gpu}, {address: "42:00.0", kind: nic}',
        '{address: "41:00.0", kind: nic}, {address: "42:00.0", kind: gpu}',
    )
    assert sources(fleet_of(tmp_path, GPU + NIC, hosts)) == [("hostdev", 0x42), ("interface", 0x41)]


def test_an_interface_gets_no_gpu(tmp_path: Path) -> None:
    """Where no host tells what an interface is, it is not given what is no network card."""
    hosts = two("", '{address: "81:00.0", kind: gpu}')
    fleet = fleet_of(tmp_path, NIC, hosts, "{domain: g.xml, host: old, devices: [{kind: gpu}]}")
    with pytest.raises(InputError, match="has an interface of type hostdev of its host"):
        domain_files(solve(fleet), fleet)


def test_an_nvme_disk_keeps_its_vm(tmp_path: Path) -> None:
    """Its data are on this host: the VM does not move, and from a failed host its disk is not pointed elsewhere."""
    storage = '{address: "05:00.0", kind: storage}', '{address: "06:00.0", kind: storage}'
    fleet = fleet_of(tmp_path, DISK, two(*storage))
    assert fleet.vms[0].movable is Movable.NO
    assert fleet.vms[0].movable_why == ("disk nvme 0000:05:00.0, an NVMe drive of this host",)
    for devices in (storage, storage[:1] * 2):
        fleet = fleet_of(tmp_path, DISK, two(*devices), "{domain: g.xml, host: old, movable: cold}")
        with pytest.raises(InputError, match="has a disk of type nvme of its host"):
            domain_files(solve(fleet), fleet)


def test_the_xml_of_a_new_vm_names_only_what_the_plan_gives(tmp_path: Path) -> None:
    """A device in a template is somebody's: it becomes the one of the plan, or the export is refused."""
    host = f'  - {{name: new, {NODES}, devices: [{{address: "81:00.0", kind: gpu}}]}}'
    assert sources(fleet_of(tmp_path, GPU, host, "{domain: g.xml, devices: [{kind: gpu}]}")) == [("hostdev", 0x81)]
    fleet = fleet_of(tmp_path, GPU, host, "{domain: g.xml}")
    with pytest.raises(InputError, match=r"new on 'new', and its XML names the device 0000:41:00\.0") as caught:
        domain_files(solve(fleet), fleet)
    assert caught.value.faults[0].line == 2


@pytest.mark.parametrize(("bus", "value"), [("02", 2), ("010", 8), ("0x1f", 31), ("65", 65), (" 3", 3)])
def test_numbers_as_libvirt_reads_them(bus: str, value: int) -> None:
    """Hexadecimal, octal with a leading 0, else decimal; what is missing is 0."""
    text = GUEST.format(f"<hostdev type='pci'><source><address bus='{bus}' slot='01'/></source></hostdev>")
    assert host_addresses(etree.fromstring(text)) == {(0, value, 1, 0)}


@pytest.mark.parametrize("bus", ["08", "0b1", "0x100", "1_0", "-1", ""])
def test_an_address_that_is_none_is_a_fault(bus: str) -> None:
    """A device of which nobody can tell which it is might be given away."""
    text = GUEST.format(f"<hostdev type='pci'><source><address bus='{bus}'/></source></hostdev>")
    with pytest.raises(InputError, match="is no PCI address") as caught:
        read_domain(text.encode(), "g.xml")
    assert caught.value.faults[0].file == "g.xml"
