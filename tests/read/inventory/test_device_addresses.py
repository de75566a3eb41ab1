"""Addresses of devices through an inventory that is written, updated, and planned."""

from __future__ import annotations

from pathlib import Path

from placer import read_fleet, solve
from placer.emit.plan_file import plan_text
from placer.read.documents.plan_file import parse_plan
from placer.read.imports.gathered import Imported
from placer.read.imports.update import update
from placer.read.inventory.inventory import parse_fleet
from placer.read.inventory.write import inventory_text

DOMAIN = """<domain type='kvm'><name>g</name><memory unit='GiB'>1</memory><vcpu>1</vcpu><devices>
<hostdev mode='subsystem' type='pci'><source><address bus='0x41'/></source></hostdev></devices></domain>"""
HOST = '{{name: h, nodes: [{{id: 0, cpus: "0-7", memory: 9GiB}}], devices: [{}]}}'


def test_no_addresses_are_written_where_the_xml_tells_some(tmp_path: Path) -> None:
    """An entry that says that its VM has no device of the host says so still once it is written."""
    (tmp_path / "g.xml").write_text(DOMAIN)
    host = HOST.format('{address: "41:00.0", kind: gpu}')
    text = f"schema: placer.inventory/v1\nhosts: [{host}]\nvms: [{{domain: g.xml, host: h, device_addresses: []}}]\n"
    fleet = parse_fleet(text.encode(), "f.yaml", tmp_path)
    again = parse_fleet(inventory_text(fleet).encode(), "again", tmp_path)
    assert again.vms[0].current == fleet.vms[0].current
    assert again.vms[0].current is not None and not again.vms[0].current.devices


def test_long_addresses_come_back_in_a_plan(tmp_path: Path) -> None:
    """What an inventory may call a device, a plan may too."""
    path = tmp_path / "f.yaml"
    host, vm = HOST.format(f"{{address: {'x' * 250}, kind: gpu}}"), "name: v, vcpus: 1, memory: 1GiB"
    path.write_text(f"schema: placer.inventory/v1\nhosts: [{host}]\nvms: [{{{vm}, devices: [{{kind: gpu}}]}}]\n")
    plan = solve(read_fleet(path))
    assert parse_plan("".join(plan_text(plan)).encode(), "plan").vms == plan.vms
    assert plan.vms[0].addresses == ("x" * 250,)


def test_an_update_keeps_what_no_tool_tells_of_devices(tmp_path: Path) -> None:
    """Group, functions and the addresses of a VM that a person wrote stay where the tool tells none."""
    (tmp_path / "g.xml").write_text(DOMAIN)
    vm = "name: g, domain: g.xml, host: h"

    def text(devices: str, more: str) -> str:
        return f"schema: placer.inventory/v1\nhosts: [{HOST.format(devices)}]\nvms: [{{{vm}{more}}}]\n"

    own = '{address: "41:00.0", kind: gpu, group: left}, {address: c, kind: nic, functions: ["42:00.1", "42:00.2"]}'
    old = tmp_path / "old.yaml"
    old.write_text(text(own, ', device_addresses: ["42:00.1"]'))
    new = parse_fleet(text('{address: "41:00.0", kind: gpu}, {address: c, kind: nic}', "").encode(), "new", tmp_path)
    merged = update(old, Imported(fleet=new)).fleet
    gpu, card = merged.hosts[0].topology.devices
    assert (gpu.group, card.functions, card.count) == ("left", ("42:00.1", "42:00.2"), 2)
    assert merged.vms[0].current is not None and merged.vms[0].current.devices == ("42:00.1",)
