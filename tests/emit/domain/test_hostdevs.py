"""Devices of the host in exported domains: addresses that nobody has, behind a bus of the cell they are near to."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from placer import read_fleet, solve
from placer.emit.domain.files import domain_files
from placer.model.fleet import Fleet
from placer.model.pci import pci_address

INVENTORY = """schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{id: 0, cpus: "0-7", memory: 32GiB}, {id: 1, cpus: "8-15", memory: 32GiB}]
    devices:
      - {address: "0000:01:00.0", node: 0, kind: gpu}
      - {address: "0000:02:00.0", node: 0, kind: gpu}
      - {address: "0000:81:00.1", node: 1, kind: gpu}
      - {address: pool, node: 1, kind: vf, count: 8}
vms:
"""
HELD = """<domain><name>old</name><memory>1048576</memory><vcpu>1</vcpu>
<cputune><vcpupin vcpu='0' cpuset='7'/></cputune><numatune><memory mode='strict' nodeset='0'/></numatune>
<devices><hostdev mode='subsystem' type='pci'>
<source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></hostdev></devices></domain>"""


def exported(folder: Path, *vms: str) -> tuple[Fleet, dict[str, etree._Element]]:
    """Return a fleet, and the domains that its plan exports by their names."""
    (folder / "old.xml").write_text(HELD)
    path = folder / "f.yaml"
    path.write_text(INVENTORY + "".join(f"  - {{{vm}}}\n" for vm in vms))
    fleet = read_fleet(path)
    roots = [etree.fromstring(xml) for xml in domain_files(solve(fleet), fleet).values()]
    return fleet, {str(root.findtext("name")): root for root in roots}


def addresses(root: etree._Element) -> list[str]:
    """Return the host addresses of a domain's devices."""
    return [
        ":".join(str(int(element.get(name, ""), 0)) for name in ("bus", "slot", "function"))
        for element in root.findall("devices/hostdev/source/address")
    ]


def test_each_device_goes_to_one_vm_that_has_none_yet(tmp_path: Path) -> None:
    """What a domain of the host has is not given again; those of the VMs' own nodes are, each once."""
    fleet, roots = exported(
        tmp_path,
        "domain: old.xml, host: h",
        "name: a, vcpus: 2, memory: 2GiB, cells: none, devices: [{kind: gpu, policy: required}]",
        "name: b, vcpus: 2, memory: 2GiB, cells: none, devices: [{kind: gpu, policy: required}]",
    )
    assert sorted(addresses(roots["a"]) + addresses(roots["b"])) == ["129:0:1", "2:0:0"]
    assert all(root.find("devices/controller") is None for name, root in roots.items() if name != "old")
    assert addresses(roots["old"]) == ["1:0:0"]
    assert [(one.kind, one.count) for one in fleet.vms[0].spec.devices] == [("gpu", 1)]


def test_the_guest_sees_the_node_of_a_device(tmp_path: Path) -> None:
    """In a guest of two cells every device is behind an expander bus of the cell on its node, on a port of its own."""
    _, roots = exported(
        tmp_path, "name: a, vcpus: 4, memory: 4GiB, cells: 2, devices: [{kind: gpu, policy: required, count: 3}]"
    )
    root = roots["a"]
    assert root.find("os/type").get("machine") == "q35"  # type: ignore[union-attr]
    node_of = {
        int(bus.get("index", "")): int(bus.findtext("target/node") or "")
        for bus in root.findall("devices/controller[@model='pcie-expander-bus']")
    }
    ports = {
        int(port.get("index", "")): port.find("address")
        for port in root.findall("devices/controller[@model='pcie-root-port']")
    }
    seen = []
    for device in root.findall("devices/hostdev"):
        port = ports.pop(int(device.find("address").get("bus", ""), 0))  # type: ignore[union-attr]
        seen.append(node_of[int(port.get("bus", ""), 0)])  # type: ignore[union-attr]
    cells = [int(cell.get("nodeset", "")) for cell in root.findall("numatune/memnode")]
    assert [cells[cell] for cell in seen] == [0 if text.startswith(("1:", "2:")) else 1 for text in addresses(root)]
    assert len(seen) == 3 and not ports


def test_an_address_that_nobody_knows_is_not_guessed(tmp_path: Path) -> None:
    """Where a VM runs with a device of unknown address, or devices are a pool, libvirt is told none."""
    _, roots = exported(
        tmp_path,
        "name: runs, vcpus: 1, memory: 1GiB, cells: none, host: h, nodes: [0], devices: [{kind: gpu}]",
        "name: a, vcpus: 2, memory: 2GiB, cells: none, devices: [{kind: gpu}, {kind: vf}]",
    )
    assert not addresses(roots["a"])


def test_pci_addresses() -> None:
    """With and without a domain; anything else is none."""
    assert pci_address("0000:81:00.1") == pci_address("81:00.1") == (0, 0x81, 0, 1)
    assert pci_address("pool") is None
