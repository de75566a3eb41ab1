"""Devices of the host in exported domains: addresses that nobody has, behind a bus of the cell they are near to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from placer import check, read_fleet, solve
from placer.emit.domain.files import domain_files
from placer.emit.plan_file import plan_text
from placer.model.fleet import Fleet
from placer.model.pci import pci_address
from placer.model.plan import Change
from placer.model.vm import DeviceRequest
from placer.planning.after import fleet_after
from placer.read.documents.plan_file import parse_plan
from placer.read.domains.hostdevs import host_addresses
from placer.read.inventory.inventory import parse_fleet
from placer.read.inventory.write import inventory_text

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
        for element in root.findall("devices/hostdev[@type='pci']/source/address")
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


def fleet_of(folder: Path, text: str) -> Fleet:
    """Return the fleet of an inventory."""
    path = folder / "f.yaml"
    path.write_text("schema: placer.inventory/v1\n" + text)
    return read_fleet(path)


SWITCHES = """hosts:
  - name: h
    nodes: [{id: 0, cpus: "0-15", memory: 64GiB}]
    devices:
      - {address: "0000:01:00.0", node: 0, kind: gpu, group: left}
      - {address: "0000:02:00.0", node: 0, kind: gpu, group: right}
      - {address: "0000:03:00.0", node: 0, kind: gpu, group: right}
      - {address: "0000:04:00.0", node: 0, kind: gpu, group: left}
      - {address: "0000:05:00.0", node: 0, kind: nic, group: right}
      - {address: "0000:06:00.0", node: 0, kind: nic-vf, functions: ["0000:06:00.2", "0000:06:00.3"]}
vms:
"""


def test_devices_of_a_vm_are_near_one_another(tmp_path: Path) -> None:
    """A VM of two GPUs and a NIC gets those behind one switch, whatever their addresses; a single one leaves pairs."""
    fleet = fleet_of(
        tmp_path,
        SWITCHES
        + "  - {name: one, vcpus: 1, memory: 1GiB, devices: [{kind: gpu, count: 2}]}\n"
        + "  - {name: two, vcpus: 1, memory: 1GiB, devices: [{kind: gpu, count: 2}, {kind: nic}]}\n",
    )
    plan = solve(fleet)
    assert plan.vm_by_name["two"].addresses == ("0000:02:00.0", "0000:03:00.0", "0000:05:00.0")
    assert plan.vm_by_name["one"].addresses == ("0000:01:00.0", "0000:04:00.0")
    assert check(fleet, plan).ok


def test_virtual_functions_are_a_pool_with_addresses(tmp_path: Path) -> None:
    """Each VM gets a function of its own; one function too few, and a VM has no place."""
    vm = "vcpus: 1, memory: 1GiB, devices: [{kind: nic-vf, policy: required}]}\n"
    fleet = fleet_of(tmp_path, SWITCHES + "".join(f"  - {{name: {name}, {vm}" for name in "abc"))
    plan = solve(fleet)
    assert sorted(vm.addresses for vm in plan.vms) == [("0000:06:00.2",), ("0000:06:00.3",)]
    assert len(plan.unplaced) == 1


RUNNING = """  - {name: one, vcpus: 1, memory: 1GiB, cells: none, host: h, nodes: [0], device_addresses: ["02:00.0"]}
  - {name: two, vcpus: 1, memory: 1GiB, cells: none, devices: [{kind: gpu}]}
"""


def test_a_vm_keeps_the_devices_that_it_has(tmp_path: Path) -> None:
    """What a VM is known to have stays its own through plan, plan file and a second solve, and nobody else's."""
    fleet = fleet_of(tmp_path, SWITCHES + RUNNING)
    assert fleet.vms[0].spec.devices == (DeviceRequest(kind="gpu", policy="required", count=1),)
    plan = solve(fleet)
    assert plan.vm_by_name["one"].addresses == ("0000:02:00.0",)
    assert plan.vm_by_name["two"].addresses != ("0000:02:00.0",)
    assert parse_plan("".join(plan_text(plan)).encode(), "plan").vms == plan.vms
    after = fleet_after(fleet, plan)
    assert [vm.addresses for vm in solve(after).vms] == [vm.addresses for vm in plan.vms]
    assert parse_fleet(inventory_text(after).encode(), "again", tmp_path).vms[1].current == after.vms[1].current


@pytest.mark.parametrize(
    ("name", "addresses", "said"),
    [
        ("two", ("0000:02:00.0",), "gets 0000:02:00.0, which VM 'one' has"),
        ("one", ("0000:01:00.0",), "stays, has 0000:02:00.0, and gets 0000:01:00.0"),
        ("two", ("0000:05:00.0",), "is a nic on node 0, and the plan says gpu"),
        ("two", ("0000:07:00.0",), "the host has no device 0000:07:00.0"),
        ("two", ("0000:01:00.0", "0000:04:00.0"), "2 addresses for 1 devices"),
    ],
)
def test_check_refuses_devices_that_cannot_be(tmp_path: Path, name: str, addresses: tuple[str, ...], said: str) -> None:
    """A device that somebody has, that is not there, of another kind, or another one for a VM that stays."""
    fleet = fleet_of(tmp_path, SWITCHES + RUNNING)
    plan = solve(fleet)
    vms = tuple(replace(vm, addresses=addresses) if vm.name == name else vm for vm in plan.vms)
    assert any(said in fault.message for fault in check(fleet, replace(plan, vms=vms)).faults)


GUEST = b"""<domain type='kvm'><name>g</name><memory unit='GiB'>1</memory><vcpu>1</vcpu>
<os><type machine='q35'>hvm</type></os><devices><hostdev mode='subsystem' type='pci' managed='yes'>
<source><address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/></source>
<rom file='/a.rom'/><alias name='ua-gpu'/><address type='pci' bus='0x06'/></hostdev></devices></domain>"""


def test_devices_of_a_domain_get_the_addresses_of_the_plan(tmp_path: Path) -> None:
    """A domain that is defined anew on another host names a device of that host; all else of the device stays."""
    (tmp_path / "g.xml").write_bytes(GUEST)
    fleet = fleet_of(
        tmp_path,
        """hosts:
  - {name: old, failed: true, nodes: [{id: 0, cpus: "0-7", memory: 9GiB}], devices: [{address: "41:00.0", kind: gpu}]}
  - {name: new, nodes: [{id: 0, cpus: "0-7", memory: 9GiB}], devices: [{address: "0000:81:00.1", node: 0, kind: gpu}]}
vms: [{domain: g.xml, host: old}]
""",
    )
    (xml,) = domain_files(solve(fleet), fleet).values()
    root = etree.fromstring(xml)
    assert addresses(root) == ["129:0:1"]
    assert b"<rom file='/a.rom'/><alias name='ua-gpu'/><address type='pci' bus='0x06'/>" in xml.replace(b'"', b"'")


def test_addresses_that_are_no_pci_addresses() -> None:
    """A USB device has a bus too, a mediated device a UUID; a disk of type nvme names a PCI function."""
    root = etree.fromstring(
        "<domain><devices><hostdev type='usb'><source><address bus='2' device='0'/></source></hostdev>"
        "<hostdev type='mdev'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>"
        "<disk type='nvme'><source type='pci'><address domain='0' bus='0x5' slot='0' function='1'/></source></disk>"
        "</devices></domain>"
    )
    assert host_addresses(root) == {(0, 5, 0, 1), "c2177883-f1bb-47f0-914d-32a22e3a8804"}


def test_what_a_vm_has_counts_beside_what_it_asks_for(tmp_path: Path) -> None:
    """A VM that asks for a NIC and has a GPU too keeps both from others, also where nothing binds it to a node."""
    held = '{name: one, vcpus: 1, memory: 1GiB, cells: none, host: h, movable: "false", devices: [{kind: nic}], '
    fleet = fleet_of(
        tmp_path,
        SWITCHES
        + f'  - {held}device_addresses: ["0000:04:00.0", "0000:05:00.0"]}}\n'
        + "  - {name: two, vcpus: 1, memory: 1GiB, cells: none, devices: [{kind: gpu, policy: required, count: 3}]}\n"
        + "  - {name: three, vcpus: 1, memory: 1GiB, cells: none, devices: [{kind: nic, policy: required}]}\n",
    )
    plan = solve(fleet)
    assert plan.vm_by_name["one"].addresses == ("0000:04:00.0", "0000:05:00.0")
    assert set(plan.vm_by_name["two"].addresses) == {"0000:01:00.0", "0000:02:00.0", "0000:03:00.0"}
    assert [vm.name for vm in plan.unplaced] == ["three"]


def test_a_vm_that_has_too_many_devices_may_go_to_another_node(tmp_path: Path) -> None:
    """It takes no more of its host than before: our own check refused the plan."""
    fleet = fleet_of(
        tmp_path,
        """hosts:
  - name: h
    nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]
    devices: [{address: "0000:20:00.0", kind: nic, node: 1}]
vms:
  - {name: a, vcpus: 2, memory: 2GiB, cells: none, host: h, nodes: [0], devices: [{kind: nic, count: 2}]}
""",
    )
    plan = solve(fleet, max_moves=1)
    assert plan.vms[0].change is Change.RENODE
    assert check(fleet, plan).ok


SEEN = """<domain><name>v</name><uuid>11111111-1111-4111-8111-111111111111</uuid>
<memory unit='GiB'>8</memory><vcpu>4</vcpu><os><type arch='x86_64' machine='pc-{machine}-8.2'>hvm</type></os>
<cpu><numa><cell id='0' cpus='0-1' memory='4' unit='GiB'/><cell id='1' cpus='2-3' memory='4' unit='GiB'/></numa></cpu>
<devices><controller type='pci' index='0' model='pcie-root'/>{bus}
<hostdev mode='subsystem' type='pci' managed='yes'><source><address bus='0x81' slot='0x00' function='0x1'/></source>
<rom bar='off'/><address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x1'/></hostdev>
<hostdev mode='subsystem' type='pci'><source><address bus='0x81' slot='0x00' function='0x2'/></source>
<address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0' multifunction='on'/></hostdev>
</devices></domain>"""
EXPANDER = """<controller type='pci' index='4' model='pcie-expander-bus'>
<target busNr='200'><node>1</node></target></controller><controller type='pci' index='5' model='pcie-root-port'>
<address type='pci' bus='0x04' slot='0x00' function='0x0'/></controller>"""


@pytest.mark.parametrize(
    ("reshape", "machine", "bus", "behind", "buses"),
    [
        ("true", "q35", "", (2, 2), [("1", "1")]),
        ("true", "q35", EXPANDER, (6, 6), [("4", "1")]),
        ("false", "q35", "", (6, 6), []),
        ("true", "i440fx", "", (6, 6), []),
    ],
)
def test_a_guest_that_may_be_reshaped_sees_the_nodes_of_devices_it_has(
    tmp_path: Path, reshape: str, machine: str, bus: str, behind: tuple[int, int], buses: list[tuple[str, str]]
) -> None:
    """Both functions of a card come behind a bus of the cell on its node, of a q35 guest whose addresses may change."""
    (tmp_path / "v.xml").write_text(SEEN.format(machine=machine, bus=bus))
    inventory = INVENTORY.replace(
        "      - {address: pool", '      - {address: "0000:81:00.2", node: 1, kind: sound}\n      - {address: pool'
    )
    devices = "devices: [{kind: gpu, policy: required}, {kind: sound, policy: required}]"
    (tmp_path / "f.yaml").write_text(f"{inventory}  - {{domain: v.xml, reshape: {reshape}, {devices}}}\n")
    fleet = read_fleet(tmp_path / "f.yaml")
    (xml,) = domain_files(solve(fleet), fleet).values()
    root = etree.fromstring(xml)
    found = [
        (one.get("index"), one.findtext("target/node"))
        for one in root.findall("devices/controller[@model='pcie-expander-bus']")
    ]
    at = [
        (int(one.get("bus", ""), 0), one.get("function"), one.get("multifunction"))
        for one in root.findall("devices/hostdev/address")
    ]
    assert found == buses and at == [(behind[0], "0x1", None), (behind[1], "0x0", "on")]
    assert root.find("devices/hostdev/rom") is not None
    ports = root.findall("devices/controller[@model='pcie-root-port']")
    assert len(ports) == (2 if bus else len(buses))
