"""Slices of a card (mediated devices): each goes to one VM, those that run keep theirs, new ones name theirs."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from placer import check, read_fleet, solve
from placer.emit.domain.files import domain_files
from placer.model.plan import Plan

SLICES = [f"7e26dd2f-0000-4000-8000-00000000000{number}" for number in (1, 2, 3)]
INVENTORY = f"""schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{{id: 0, cpus: "0-7", memory: 32GiB}}, {{id: 1, cpus: "8-15", memory: 32GiB}}]
    devices: [{{address: "0000:3b:00.0", node: 1, kind: nvidia-222, functions: ["{'", "'.join(SLICES[:2])}"]}}]
vms:
  - {{domain: old.xml, host: h}}
"""
OLD = f"""<domain type='kvm'><name>old</name><memory>1048576</memory><vcpu>1</vcpu>
<cputune><vcpupin vcpu='0' cpuset='9'/></cputune><numatune><memory mode='strict' nodeset='1'/></numatune>
<devices><hostdev mode='subsystem' type='mdev' model='vfio-pci' display='off'>
<source><address uuid='{SLICES[0].upper()}'/></source></hostdev></devices></domain>"""
NEW = "  - {name: new, vcpus: 2, memory: 2GiB, cells: none, devices: [{kind: nvidia-222, policy: required}]}\n"


def solved(folder: Path, more: str) -> tuple[Plan, dict[str, etree._Element]]:
    """Return the plan of a VM with a slice and more, and its domains by name."""
    (folder / "old.xml").write_text(OLD)
    path = folder / "f.yaml"
    path.write_text(INVENTORY + more)
    fleet = read_fleet(path)
    plan = solve(fleet)
    assert check(fleet, plan).ok
    roots = [etree.fromstring(xml) for xml in domain_files(plan, fleet).values()]
    return plan, {str(root.findtext("name")): root for root in roots}


def test_a_new_vm_gets_the_slice_that_nobody_has(tmp_path: Path) -> None:
    """It lies on the node of the card and names the slice; the other VM's XML keeps every byte."""
    plan, roots = solved(tmp_path, NEW)
    (device,) = roots["new"].findall("devices/hostdev")
    assert dict(device.attrib) == {"mode": "subsystem", "type": "mdev", "model": "vfio-pci"}
    address = device.find("source/address")
    assert address is not None and dict(address.attrib) == {"uuid": SLICES[1]}
    assert {node for cell in plan.vm_by_name["new"].cells for node in cell.nodes} == {1}
    assert etree.tostring(roots["old"]) == etree.tostring(etree.fromstring(OLD))


def test_no_slice_is_left_for_a_second_one(tmp_path: Path) -> None:
    """Two VMs ask and one slice is free: one is left out, for the device that really lacks."""
    plan, _ = solved(tmp_path, NEW + NEW.replace("name: new", "name: too"))
    (left,) = plan.unplaced
    assert "nvidia-222" in left.reason
