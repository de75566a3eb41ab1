"""Devices that VMs have already: whole cards, several of a kind, and those whose addresses nobody knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from placer import check, read_fleet, solve
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.planning.after import fleet_after

CARD = """<domain type='kvm'><name>g</name><memory unit='GiB'>1</memory><vcpu>1</vcpu><devices>
<hostdev mode='subsystem' type='pci'><source><address bus='0x3b'/></source></hostdev></devices></domain>"""
GPUS = ", ".join(f'{{address: "0{n}:00.0", kind: gpu, node: 0}}' for n in (1, 2, 3, 4))
VM = "vcpus: 1, memory: 1GiB, cells: none"


def fleet_of(folder: Path, devices: str, *vms: str) -> Fleet:
    """Return the fleet of one host with these devices."""
    (folder / "g.xml").write_text(CARD)
    path = folder / "f.yaml"
    host = f'{{name: h, nodes: [{{id: 0, cpus: "0-15", memory: 64GiB}}], devices: [{devices}]}}'
    listed = "".join(f"  - {{{vm}}}\n" for vm in vms)
    path.write_text(f"schema: placer.inventory/v1\nhosts: [{host}]\nvms:\n{listed}")
    return read_fleet(path)


@pytest.mark.parametrize("functions", ['functions: ["3b:02.0", "3b:02.1"]', "count: 2"])
def test_who_has_a_card_has_its_functions(tmp_path: Path, functions: str) -> None:
    """No function of a card that a VM has whole is given to another, and the plan names the card as its own."""
    card = f'{{address: "3b:00.0", kind: nic, node: 0, {functions}}}'
    asking = f"name: new, {VM}, devices: [{{kind: nic}}]"
    fleet = fleet_of(tmp_path, card, "domain: g.xml, host: h", asking)
    assert [(one.kind, one.count) for one in fleet.vms[0].spec.devices] == [("nic", 2)]
    plan = solve(fleet)
    assert [vm.name for vm in plan.vms] == ["g"] and plan.vms[0].addresses == ("3b:00.0", None)
    assert check(fleet, plan).ok
    assert fleet_after(fleet, plan).vms[0].current.devices == ("3b:00.0",)  # type: ignore[union-attr]


def test_check_knows_that_a_card_and_its_functions_exclude_each_other(tmp_path: Path) -> None:
    """A plan that gives a function of a card to another VM than that which has the card is refused."""
    card = '{address: "3b:00.0", kind: nic, node: 0, functions: ["3b:02.0", "3b:02.1"]}'
    held = f'name: g, {VM}, host: h, nodes: [0], device_addresses: ["3b:00.0"]'
    fleet = fleet_of(tmp_path, card, held, f"name: new, {VM}")
    plan = solve(fleet)
    wrong = [replace(vm, devices=(("nic", 0),), addresses=("3b:02.1",)) if vm.name == "new" else vm for vm in plan.vms]
    faults = check(fleet, replace(plan, vms=tuple(wrong))).faults
    assert any("gets 3b:02.1, which VM 'g' has" in fault.message for fault in faults)


def test_what_a_vm_has_and_does_not_ask_for_stays_its_own(tmp_path: Path) -> None:
    """A VM that says no devices and has one keeps it: the one that is left goes to one VM, and the plan is ours."""
    two = ", ".join(f'{{address: "0{n}:00.0", kind: gpu, node: 0}}' for n in (1, 2))
    held = f'name: one, {VM}, host: h, nodes: [0], devices: [], device_addresses: ["01:00.0"]'
    asking = [f"name: {name}, {VM}, devices: [{{kind: gpu}}]" for name in "ab"]
    fleet = fleet_of(tmp_path, two, held, *asking)
    plan = solve(fleet)
    assert sorted(vm.addresses for vm in plan.vms) == [("01:00.0",), ("02:00.0",)]
    assert fleet_after(fleet, plan).vms[0].current.devices == ("01:00.0",)  # type: ignore[union-attr]


KNOWN = f'name: one, {VM}, host: h, nodes: [0], device_addresses: ["01:00.0"], devices: [{{kind: gpu}}'


def test_several_requests_of_a_kind_are_one_count(tmp_path: Path) -> None:
    """A VM of two GPUs of which one is known is named no other, nor is a VM that comes: the other may be any."""
    vms = f"{KNOWN}, {{kind: gpu, policy: required}}]", f"name: new, {VM}, devices: [{{kind: gpu, count: 2}}]"
    fleet = fleet_of(tmp_path, GPUS, *vms)
    plan = solve(fleet)
    assert sorted(plan.vm_by_name["one"].addresses, key=str) == ["01:00.0", None]
    assert plan.vm_by_name["new"].addresses == ()
    guessed = [replace(vm, addresses=("02:00.0", "03:00.0")) if vm.name == "new" else vm for vm in plan.vms]
    faults = check(fleet, replace(plan, vms=tuple(guessed))).faults
    assert any("gets 02:00.0, which VM 'one' may have" in fault.message for fault in faults)


@pytest.mark.parametrize("named", [(), ("01:00.0", None), ("01:00.0", "03:00.0")])
def test_a_vm_that_stays_is_named_all_that_it_has(tmp_path: Path, named: tuple[str | None, ...]) -> None:
    """A plan that forgets one of its devices, or exchanges it, is refused."""
    vm = f'name: one, {VM}, host: h, nodes: [0], device_addresses: ["01:00.0", "02:00.0"]'
    fleet = fleet_of(tmp_path, GPUS, vm)
    plan = solve(fleet)
    assert plan.vms[0].addresses == ("01:00.0", "02:00.0") and check(fleet, plan).ok
    faults = check(fleet, replace(plan, vms=(replace(plan.vms[0], addresses=named),))).faults
    assert any("stays, has " in fault.message and "02:00.0" in fault.message for fault in faults)


@pytest.mark.parametrize(
    "devices",
    [
        '{address: card, kind: nic, functions: ["0000:01:00.1", "01:00.1"]}',
        '{address: "01:00.0", kind: gpu}, {address: "0000:01:00.0", kind: nic}',
    ],
)
def test_a_function_is_listed_once(tmp_path: Path, devices: str) -> None:
    """However it is written, and under whatever device: two VMs would get it."""
    with pytest.raises(InputError, match="are one function, which only one VM can have"):
        fleet_of(tmp_path, devices, f"name: new, {VM}")


def test_the_devices_of_vms_that_float_are_theirs(tmp_path: Path) -> None:
    """What a floating VM is known to have is not taken to be that of a VM on the node."""
    path = tmp_path / "f.yaml"
    path.write_text(f"""schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{{id: 0, cpus: "0-7", memory: 32GiB}}, {{id: 1, cpus: "8-15", memory: 32GiB}}]
    devices: [{{address: "01:00.0", node: 0, kind: gpu}}, {{address: "02:00.0", node: 1, kind: gpu}}]
vms:
  - {{name: one, {VM}, cpu_policy: shared, host: h, movable: false, device_addresses: ["01:00.0"]}}
  - {{name: two, {VM}, host: h, nodes: [0], devices: [{{kind: gpu}}]}}
  - {{name: three, {VM}, devices: [{{kind: gpu}}]}}
""")
    fleet = read_fleet(path)
    plan = solve(fleet)
    assert check(fleet, plan).ok and [one.name for one in plan.unplaced] == ["three"]
