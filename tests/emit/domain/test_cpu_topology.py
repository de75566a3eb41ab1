"""The CPU topology of guests: chosen from cells and pins where the guest has none, and never changed where it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from placer.emit.domain.cpu_topology import guest_topology, topology_shown
from placer.emit.domain.domain_xml import patch_domain
from placer.emit.qemu import qemu_arguments
from placer.errors import InputError
from placer.model.cpu_topology import CpuTopology, TopologyPolicy
from placer.model.host import Host
from placer.model.plan import Change, PlanVm
from placer.model.vm import Cell, CellMode, Vm, VmSpec
from placer.read.inventory.inventory import read_fleet

Place = Callable[..., PlanVm]
Imported = Callable[..., tuple[Vm, bytes]]

PAIRS = {0: 0, 1: 8, 2: 2, 3: 10, 4: 1, 5: 9, 6: 3, 7: 11}
"""Eight vCPUs on whole cores of the tests' host, whose siblings are k and k + 8: four on node 0, four on node 1."""


def cells(*sizes: int) -> tuple[Cell, ...]:
    """Return guest cells of so many vCPUs in a row."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return tuple(
        Cell(vcpus=frozenset(range(start, start + size)), memory_kib=size << 20)
        for start, size in zip(starts, sizes, strict=True)
    )


def guest(*sizes: int, **fields: object) -> VmSpec:
    """Return the needs of a VM with guest cells of so many vCPUs."""
    mode = CellMode.GIVEN if len(sizes) > 1 else CellMode.NONE
    total = sum(sizes)
    return VmSpec(vcpus=total, memory_kib=total << 20, cell_mode=mode, cells=cells(*sizes), **fields)  # type: ignore[arg-type]


def chosen(place: Place, host: Host, spec: VmSpec, pins: dict[int, int]) -> tuple[int, ...]:
    """Return the topology that is chosen for a guest with these pins, from sockets to threads."""
    plan = place(
        spec, tuple(range(len(spec.cells))), pins={vcpu: frozenset({cpu}) for vcpu, cpu in pins.items()}, name="a"
    )
    return tuple(count for _, count in guest_topology(plan, spec, host).counts())


@pytest.mark.parametrize(
    ("sizes", "fields", "pins", "expected"),
    [
        ((4, 4), {}, PAIRS, (2, 1, 1, 2, 2)),
        ((8,), {}, PAIRS, (1, 1, 1, 4, 2)),
        ((4, 4), {}, PAIRS | {7: 5}, (2, 1, 1, 4, 1)),
        ((4, 4), {}, {vcpu: vcpu for vcpu in range(8)}, (2, 1, 1, 4, 1)),
        ((2, 6), {}, PAIRS, (4, 1, 1, 1, 2)),
        ((3, 5), {}, PAIRS, (8, 1, 1, 1, 1)),
        ((4, 4), {"max_sockets": 1}, PAIRS, (1, 1, 1, 4, 2)),
        ((2, 6), {"max_sockets": 2}, PAIRS, (2, 1, 1, 2, 2)),
        ((4, 4), {"cpu_topology": CpuTopology(dies=2, cores=4)}, PAIRS, (1, 2, 1, 4, 1)),
    ],
)
def test_sockets_are_cells_and_threads_are_host_threads(
    place: Place,
    host: Host,
    sizes: tuple[int, ...],
    fields: dict[str, object],
    pins: dict[int, int],
    expected: tuple[int, ...],
) -> None:
    """Equal cells are a socket each; guest cores have threads where every one fills a core of the host, in order."""
    assert chosen(place, host, guest(*sizes, **fields), pins) == expected


def test_machines_without_guest_threads_get_none(place: Place, host: Host) -> None:
    """QEMU's machine for s390x takes one thread a core only."""
    mainframe = replace(host, topology=replace(host.topology, arch="s390x"))
    assert chosen(place, mainframe, guest(4, 4), PAIRS) == (2, 1, 1, 4, 1)


def test_vcpus_that_float_have_no_threads(place: Place, host: Host) -> None:
    """A vCPU over several CPUs is on no core in particular."""
    spec = guest(4)
    plan = place(spec, (0,), pins={vcpu: frozenset({0, 8}) for vcpu in range(4)}, name="a")
    assert guest_topology(plan, spec, host) == CpuTopology(cores=4)


def test_a_new_guest_is_told_its_topology(place: Place, host: Host) -> None:
    """XML made anew and QEMU's line have it; with keep neither has."""
    spec = guest(4, 4)
    plan = place(spec, (0, 1), pins={vcpu: frozenset({cpu}) for vcpu, cpu in PAIRS.items()}, name="a", new_cells=True)
    element = etree.fromstring(patch_domain(None, plan, spec, host)).find("cpu/topology")
    assert element is not None
    assert dict(element.attrib) == {"sockets": "2", "cores": "2", "threads": "2"}
    arguments = qemu_arguments(plan, spec, host)
    assert "8,sockets=2,cores=2,threads=2,maxcpus=8" in arguments
    kept = replace(spec, cpu_topology=TopologyPolicy.KEEP)
    assert etree.fromstring(patch_domain(None, plan, kept, host)).find("cpu/topology") is None
    assert "8,sockets=8,cores=1,threads=1,maxcpus=8" in qemu_arguments(plan, kept, host)


def test_a_guest_that_exists_keeps_its_topology_unless_it_is_reshaped(
    imported: Imported, place: Place, host: Host
) -> None:
    """Repinning changes nothing of <cpu>; new cells of a guest that may be reshaped bring sockets that match them, and
    AMD's threads have to be told to a guest with the host's own CPU.
    """
    vm, xml = imported("two_cells.xml")
    xml = xml.replace(b"<cpu mode='host-model'", b"<cpu mode='host-passthrough'")
    pins = {vcpu: frozenset({cpu}) for vcpu, cpu in PAIRS.items()}
    amd = replace(host, topology=replace(host.topology, model="AMD EPYC 7543"))
    plan = place(vm.spec, (0, 1), pins=pins, name=vm.name, uuid=vm.uuid)
    assert b"<topology" not in patch_domain(xml, plan, vm.spec, amd)
    reshaped = replace(
        vm.spec,
        reshape=True,
        cells=tuple(replace(cell, memory_kib=vm.spec.memory_kib // 2) for cell in cells(4, 4)),
        cpu_topology=TopologyPolicy.AUTO,
    )
    plan = place(reshaped, (0, 1), pins=pins, name=vm.name, uuid=vm.uuid, new_cells=True, change=Change.RESTART)
    cpu = etree.fromstring(patch_domain(xml, plan, reshaped, amd)).find("cpu")
    assert cpu is not None
    (topology,), (feature,) = cpu.findall("topology"), cpu.findall("feature")
    assert dict(topology.attrib) == {"sockets": "2", "cores": "2", "threads": "2"}
    assert dict(feature.attrib) == {"policy": "require", "name": "topoext"}


INVENTORY = """schema: placer.inventory/v1
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 8GiB}]}]
vms: [{name: a, vcpus: 4, memory: 1GiB, cells: %s, cpu_topology: %s}]
"""


@pytest.mark.parametrize(
    ("shape", "said", "expected"),
    [
        ("none", "keep", TopologyPolicy.KEEP),
        ("none", "{sockets: 2}", CpuTopology(sockets=2, cores=2)),
        ("2", "{sockets: 2, threads: 2}", CpuTopology(sockets=2, threads=2)),
    ],
)
def test_the_inventory_says_it(tmp_path: Path, shape: str, said: str, expected: object) -> None:
    """A word, or levels; cores left out are those that remain."""
    path = tmp_path / "i.yaml"
    path.write_text(INVENTORY % (shape, said))
    assert read_fleet(path).vms[0].spec.cpu_topology == expected


@pytest.mark.parametrize(
    ("shape", "said", "message"),
    [
        ("none", "{sockets: 3}", "makes 3 vCPUs, the VM has 4"),
        ("[{vcpus: 1, memory: 512MiB}, {vcpus: 3, memory: 512MiB}]", "{threads: 2}", "a cell cuts a core of 2 threads"),
        ("none", "often", "is not 'keep' or 'auto'"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, shape: str, said: str, message: str) -> None:
    """The levels multiply to the vCPUs, and no cell cuts a core."""
    path = tmp_path / "i.yaml"
    path.write_text(INVENTORY % (shape, said))
    with pytest.raises(InputError, match=message):
        read_fleet(path)


def test_a_domain_keeps_its_own_unless_reshape_says_otherwise(tmp_path: Path) -> None:
    """Another topology is another machine to the guest."""
    (tmp_path / "a.xml").write_text("<domain><name>a</name><memory>1048576</memory><vcpu>4</vcpu></domain>")
    path = tmp_path / "i.yaml"
    head = INVENTORY.partition("vms:")[0]
    path.write_text(head + "vms: [{domain: a.xml, cpu_topology: auto}]\n")
    with pytest.raises(InputError, match="keeps the topology of its domain XML"):
        read_fleet(path)
    path.write_text(head + "vms: [{domain: a.xml, cpu_topology: auto, reshape: true}]\n")
    assert read_fleet(path).vms[0].spec.cpu_topology is TopologyPolicy.AUTO


def test_a_count_without_end_is_none(place: Place, host: Host) -> None:
    """A topology of thousands of digits tells nothing, and no reader of it breaks."""
    spec = guest(2, cpu_topology=TopologyPolicy.KEEP)
    vm = place(spec, (0,), pins={0: frozenset({0}), 1: frozenset({1})}, name="v")
    xml = f"<domain><cpu><topology sockets='{'9' * 5000}' cores='2' threads='1'/></cpu></domain>"
    assert topology_shown(vm, spec, host, xml.encode()) == CpuTopology(cores=2)
