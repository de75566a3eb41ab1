"""A plan as domain XML: golden guests, what stays, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from syrupy.assertion import SnapshotAssertion

from placer.emit.domain.domain_xml import patch_domain
from placer.emit.domain.start_rules import start_faults
from placer.errors import InputError
from placer.model.host import Host
from placer.model.plan import PlanVm
from placer.model.vm import Cell, CellMode, CpuPolicy, Vm, VmSpec
from placer.read.domains.domain_xml import read_domain

Place = Callable[..., PlanVm]
Imported = Callable[..., tuple[Vm, bytes]]

OWN = [frozenset({cpu}) for cpu in (1, 9, 3, 11, 5, 13, 7, 15)]


def of(vm: Vm, place: Place, cells: tuple[int | tuple[int, ...], ...], **fields: object) -> PlanVm:
    """Place an imported VM."""
    return place(vm.spec, cells, **{"name": vm.name, "uuid": vm.uuid, **fields})


def test_golden_five_sockets(imported: Imported, place: Place, host: Host, snapshot: SnapshotAssertion) -> None:
    """Five vCPUs as five sockets: pins, emulator on housekeeping CPUs, strict memory, and the ``<cpu>`` untouched."""
    vm, xml = imported("five_sockets.xml")
    pins = {vcpu: OWN[vcpu] for vcpu in range(5)}
    plan = of(vm, place, (1,), pins=pins, emulator=frozenset({0, 8}))
    assert patch_domain(xml, plan, vm.spec, host).decode() == snapshot


def test_golden_two_cells(imported: Imported, place: Place, host: Host, snapshot: SnapshotAssertion) -> None:
    """Two cells of 512,000 KiB keep unit, memAccess and distances, and get a memnode each."""
    vm, xml = imported("two_cells.xml")
    assert patch_domain(xml, of(vm, place, (1, 0)), vm.spec, host).decode() == snapshot


@pytest.mark.parametrize("name", ["default_pin.xml", "default_pin_and_vcpupin.xml"])
def test_golden_default_pins(
    imported: Imported, place: Place, host: Host, snapshot: SnapshotAssertion, name: str
) -> None:
    """``cpuset="1-4,^3,6"`` becomes the union of the new pins; every vCPU is pinned by name."""
    vm, xml = imported(name)
    floating = frozenset({2, 4, 6})
    pins = {vcpu: OWN[vcpu] if vm.spec.is_dedicated(vcpu) else floating for vcpu in range(4)}
    assert patch_domain(xml, of(vm, place, (0,), pins=pins), vm.spec, host).decode() == snapshot


def everything_in_place(vm: Vm, place: Place) -> PlanVm:
    """Place the VM that has everything where it is, but for the floating vCPUs."""
    pins = {vcpu: frozenset({vcpu}) for vcpu in range(4)} | dict.fromkeys(range(4, 8), frozenset({8, 9, 10, 11}))
    emulator, iothreads = frozenset({0, 1}), {7: frozenset({12, 13})}
    return of(vm, place, (0, 1), pins=pins, emulator=emulator, iothreads=iothreads)


def test_golden_everything(imported: Imported, place: Place, host: Host, snapshot: SnapshotAssertion) -> None:
    """Comments, metadata, quotas, schedulers, caches, devices and the command line come through as they were."""
    vm, xml = imported("everything.xml")
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    assert patch_domain(xml, everything_in_place(vm, place), vm.spec, one_cache).decode() == snapshot


def test_golden_fragment(place: Place, host: Host, snapshot: SnapshotAssertion) -> None:
    """Without XML a fragment is made: identity, sizes, pages, IOThread ids, cells with the host's distances."""
    spec = VmSpec(vcpus=8, memory_kib=8 << 20, page_kib=2048, iothreads=(1, 4), vcpus_current=6)
    plan = place(
        spec,
        (1, 0),
        name="a <&'\"> b",
        uuid="0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f00aa",
        new_cells=True,
        emulator=frozenset({0}),
    )
    assert patch_domain(None, plan, spec, host).decode() == snapshot


def test_a_flat_fragment_has_no_cells(place: Place, host: Host) -> None:
    """A flat guest gets neither cells nor memnodes, and interleaves where it was planned to."""
    cell = Cell(vcpus=frozenset(range(4)), memory_kib=4 << 20)
    spec = VmSpec(vcpus=4, memory_kib=4 << 20, cell_mode=CellMode.NONE, cells=(cell,), interleave=2, kvm=False)
    plan = place(spec, ((0, 1),), pins={vcpu: frozenset({vcpu}) for vcpu in range(4)})
    root = etree.fromstring(patch_domain(None, plan, spec, host))
    assert root.get("type") == "qemu"
    assert root.find("cpu/numa") is None
    assert root.find("numatune/memnode") is None
    memory = root.find("numatune/memory")
    assert memory is not None
    assert dict(memory.attrib) == {"mode": "interleave", "nodeset": "0-1"}


@pytest.mark.parametrize(
    "name", ["five_sockets.xml", "two_cells.xml", "default_pin.xml", "default_pin_and_vcpupin.xml", "everything.xml"]
)
def test_patching_twice_changes_nothing_more(imported: Imported, place: Place, host: Host, name: str) -> None:
    """The plan's own XML, patched with the plan again, is the same to the byte."""
    vm, xml = imported(name)
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    plan = of(vm, place, (0, 1)[: len(vm.spec.cells)])
    once = patch_domain(xml, plan, vm.spec, one_cache)
    assert patch_domain(once, plan, vm.spec, one_cache) == once


@pytest.mark.parametrize("name", ["five_sockets.xml", "two_cells.xml", "default_pin.xml", "everything.xml"])
def test_reading_back_yields_the_plan(imported: Imported, place: Place, host: Host, name: str) -> None:
    """Pins, cells, memory nodes and thread pins of the emitted XML are those of the plan."""
    vm, xml = imported(name)
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    iothreads = dict.fromkeys(vm.spec.iothreads, frozenset({14}))
    plan = of(vm, place, (1, 0)[: len(vm.spec.cells)], emulator=frozenset({0, 8}), iothreads=iothreads)
    back = read_domain(patch_domain(xml, plan, vm.spec, one_cache), name)
    assert (back.name, back.uuid, dict(back.pins)) == (plan.name, plan.uuid, dict(plan.pins))
    assert (back.emulator, dict(back.iothread_pins)) == (plan.emulator, iothreads)
    assert back.spec.cells == vm.spec.cells
    assert back.spec.cpu_policy is CpuPolicy.DEDICATED
    policies = [back.numatune.of_cell(number) for number in range(len(plan.cells))]
    assert [policy and policy.nodeset for policy in policies] == [frozenset(cell.nodes) for cell in plan.cells]


def test_stale_pins_go(imported: Imported, place: Place, host: Host) -> None:
    """A plan without emulator and IOThread pins leaves none of the old ones; the vCPUs' union stands in."""
    vm, xml = imported("everything.xml")
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    root = etree.fromstring(patch_domain(xml, of(vm, place, (1, 0)), vm.spec, one_cache))
    assert root.find("cputune/emulatorpin") is None
    assert root.find("cputune/iothreadpin") is None
    vcpu = root.find("vcpu")
    assert vcpu is not None
    assert (vcpu.get("cpuset"), vcpu.get("current"), vcpu.text) == ("0-7", "6", "8")


def test_memory_devices_follow_their_cell(imported: Imported, place: Place, host: Host) -> None:
    """A DIMM that names host nodes names those of its guest cell."""
    vm, xml = imported("everything.xml")
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    root = etree.fromstring(patch_domain(xml, of(vm, place, (1, 0)), vm.spec, one_cache))
    assert root.findtext("devices/memory/source/nodemask") == "0"


def test_page_size_is_set_only_where_it_differs(imported: Imported, place: Place, host: Host) -> None:
    """Pages by nodeset stay as they are; another page size replaces them; ordinary pages take them out."""
    vm, xml = imported("everything.xml")
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    plan = of(vm, place, (0, 1))

    def pages(page_kib: int | None) -> list[dict[str, str]]:
        new = patch_domain(xml, plan, replace(vm.spec, page_kib=page_kib), one_cache)
        return [dict(page.attrib) for page in etree.fromstring(new).findall("memoryBacking/hugepages/page")]

    assert pages(2048) == [{"size": "2", "unit": "MiB", "nodeset": "0-1"}]
    assert pages(1 << 20) == [{"size": str(1 << 20), "unit": "KiB"}]
    assert pages(None) == []


def test_new_cells_replace_old_ones_only_where_they_may(imported: Imported, place: Place, host: Host) -> None:
    """A reshaped VM gets the new cells with a common memAccess kept; without leave the old ones must be the plan's."""
    vm, xml = imported("two_cells.xml", lambda data: data.replace(b"unit='MiB'", b"unit='MiB' memAccess='shared'"))
    four = tuple(Cell(vcpus=frozenset({n, n + 4}), memory_kib=256_000) for n in range(4))
    spec = replace(vm.spec, cells=four, reshape=True)
    pins = {vcpu: frozenset({vcpu}) for vcpu in range(8)}
    plan = place(spec, (0, 1, 0, 1), pins=pins, name=vm.name, uuid=vm.uuid, new_cells=True)
    root = etree.fromstring(patch_domain(xml, plan, spec, host))
    cells = root.findall("cpu/numa/cell")
    assert [cell.get("cpus") for cell in cells] == ["0,4", "1,5", "2,6", "3,7"]
    assert {(cell.get("memory"), cell.get("unit"), cell.get("memAccess")) for cell in cells} == {
        ("256000", "KiB", "shared")
    }
    assert [sibling.get("value") for sibling in cells[0].findall("distances/sibling")] == ["10", "21", "11", "21"]
    fixed = replace(spec, reshape=False)
    with pytest.raises(InputError, match="a guest keeps its cells"):
        patch_domain(xml, replace(plan, new_cells=False), fixed, host)


def test_cells_can_be_taken_away(imported: Imported, place: Place, host: Host) -> None:
    """A VM reshaped into a flat guest loses its cells and memnodes, is one socket, and keeps the rest of ``<cpu>``."""
    vm, xml = imported("two_cells.xml")
    cell = Cell(vcpus=frozenset(range(8)), memory_kib=1_024_000)
    spec = replace(vm.spec, cell_mode=CellMode.NONE, cells=(cell,), reshape=True)
    plan = place(spec, (1,), name=vm.name, uuid=vm.uuid, new_cells=True)
    root = etree.fromstring(patch_domain(xml, plan, spec, host))
    cpu = root.find("cpu")
    assert cpu is not None
    assert (cpu.get("mode"), [element.tag for element in cpu]) == ("host-model", ["topology"])
    assert root.find("numatune/memnode") is None


def test_new_cells_keep_room_for_memory_devices(imported: Imported, place: Place, host: Host) -> None:
    """The memory of a DIMM is its cell's, but not in the cell's own figure; a cell of nothing else is refused."""
    vm, xml = imported("everything.xml")
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    sizes = (3 << 20, 6 << 20)
    cells = tuple(Cell(vcpus=old.vcpus, memory_kib=size) for old, size in zip(vm.spec.cells, sizes, strict=True))
    spec = replace(vm.spec, cells=cells, reshape=True)
    plan = of(replace(vm, spec=spec), place, (0, 1), new_cells=True)
    root = etree.fromstring(patch_domain(xml, plan, spec, one_cache))
    assert [cell.get("memory") for cell in root.findall("cpu/numa/cell")] == [str(3 << 20), str(5 << 20)]
    small = tuple(replace(cell, memory_kib=size) for cell, size in zip(cells, (8 << 20, 1 << 20), strict=True))
    small_spec = replace(spec, cells=small)
    with pytest.raises(InputError, match="nothing but memory devices"):
        patch_domain(xml, of(replace(vm, spec=small_spec), place, (0, 1), new_cells=True), small_spec, one_cache)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uuid": "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f9999"}, "of domain 'five-sockets'"),
        ({"uuid": None, "name": "another"}, "of domain 'five-sockets'"),
        ({"iothreads": {1: frozenset({0})}}, "no IOThread 1"),
        ({"emulator": frozenset({99})}, "has no CPUs 99"),
        ({"pins": {0: frozenset({0})}}, "pins 1 vCPUs, the VM has 5"),
        ({"pins": dict.fromkeys(range(5), frozenset())}, "vCPU 0 has no CPU"),
    ],
)
def test_refuses_a_plan_of_something_else(
    imported: Imported, place: Place, host: Host, change: dict[str, object], message: str
) -> None:
    """XML of another domain, threads it lacks, CPUs that the host lacks: refused by name."""
    vm, xml = imported("five_sockets.xml")
    plan = replace(of(vm, place, (1,)), **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        patch_domain(xml, plan, vm.spec, host)


def test_refuses_another_size(imported: Imported, place: Place, host: Host) -> None:
    """A domain whose memory or vCPUs changed since the plan was made is refused, both at once."""
    vm, xml = imported("five_sockets.xml")
    other = xml.replace(b">4194304<", b">8388608<").replace(b">5<", b">6<")
    with pytest.raises(InputError) as caught:
        patch_domain(other, of(vm, place, (1,)), vm.spec, host, source="other.xml")
    assert [fault.file for fault in caught.value.faults] == ["other.xml", "other.xml"]
    assert "has 6 vCPUs" in str(caught.value)
    assert "has 8GiB" in str(caught.value)


def test_refuses_nodes_that_the_host_lacks(imported: Imported, place: Place, host: Host) -> None:
    """Memory on a node that is not there is refused."""
    vm, xml = imported("five_sockets.xml")
    plan = of(vm, place, (7,), pins={vcpu: frozenset({vcpu}) for vcpu in range(5)})
    with pytest.raises(InputError, match="no NUMA nodes 7"):
        patch_domain(xml, plan, vm.spec, host)


def test_a_renamed_twin_is_still_itself(imported: Imported, place: Place, host: Host) -> None:
    """A VM called ``host/name`` because two hosts have one of that name keeps its own name in its XML."""
    vm, xml = imported(
        "default_pin.xml", lambda data: data.replace(b"  <uuid>0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f0004</uuid>\n", b"")
    )
    plan = replace(of(vm, place, (0,)), name="kvm-b/default-pin")
    assert b"<name>default-pin</name>" in patch_domain(xml, plan, vm.spec, host)


def test_a_name_that_xml_cannot_hold_is_refused(place: Place, host: Host) -> None:
    """A fragment for a name with a control character cannot be made."""
    spec = VmSpec(vcpus=1, memory_kib=1024)
    with pytest.raises(InputError, match="rename"):
        patch_domain(None, place(spec, (0,), name="a\x07b"), spec, host)


def test_the_emitted_xml_would_start(imported: Imported, place: Place, host: Host, domains: Path) -> None:
    """What is emitted for the golden guests passes every start-time rule."""
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    for path in sorted(domains.glob("*.xml")):
        vm, xml = imported(path.name)
        new = patch_domain(xml, of(vm, place, (0, 1)[: len(vm.spec.cells)]), vm.spec, one_cache)
        assert start_faults(new, path.name, host=host.topology) == []
