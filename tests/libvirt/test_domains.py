"""What is emitted is valid by libvirt's schema and taken by its test driver with validation on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from placer.emit.domain.domain_xml import patch_domain
from placer.model.host import Host, Node, Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import Cell, CellMode, VmSpec
from placer.read.domains.domain_xml import read_domain

pytestmark = pytest.mark.libvirt

DOMAINS = Path(__file__).parent.parent / "domains"
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
NAMES = ["plain", "a <&'\"> b", "größe 😀", "$(id)", "-x", "a%2Fb", "  x  "]


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    """Return a connection to libvirt's test driver, which needs no daemon."""
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def schema() -> etree.RelaxNG:
    """Return libvirt's schema of domains."""
    if not SCHEMA.is_file():
        pytest.skip("libvirt's schema of domains is not installed (package libvirt0 or libvirt-libs)")
    return etree.RelaxNG(etree.parse(SCHEMA))


@pytest.fixture
def host() -> Host:
    """Return a host as the test driver's: two nodes of eight CPUs, and one L3."""
    nodes = tuple(Node(id=n, cpus=frozenset(range(8 * n, 8 * n + 8)), memory_kib=2 << 20) for n in range(2))
    cpus = frozenset(range(16))
    return Host(
        name="test",
        topology=Topology(
            nodes=nodes, distances=((10, 21), (31, 10)), cores=tuple(frozenset({cpu}) for cpu in cpus), l3=(cpus,)
        ),
    )


def placed(name: str, spec: VmSpec, uuid: str | None = None, **fields: Any) -> PlanVm:
    """Place cell n on node n, its vCPUs each on a CPU there; threads beside them on the last CPUs."""
    free = [iter(range(8 * n, 8 * n + 8)) for n in range(2)]
    cells, pins = [], {}
    for number, cell in enumerate(spec.cells):
        node = number % 2
        where = {node: cell.memory_kib}
        cells.append(PlanCell(id=number, vcpus=cell.vcpus, memory_kib=cell.memory_kib, mode="strict", nodes=where))
        pins.update({vcpu: frozenset({next(free[node])}) for vcpu in sorted(cell.vcpus)})
    return PlanVm(
        name=name,
        uuid=uuid,
        host="test",
        cells=tuple(cells),
        pins=pins,
        shown=spec.cell_mode is CellMode.GIVEN,
        emulator=frozenset({7, 15}),
        iothreads=dict.fromkeys(spec.iothreads, frozenset({15})),
        **fields,
    )


def defined(connection: Any, xml: bytes) -> str:
    """Define a domain with validation on, and return its XML as libvirt has it."""
    import libvirt

    domain = connection.defineXMLFlags(xml.decode(), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    try:
        return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
    finally:
        domain.undefine()


@pytest.mark.parametrize("path", sorted(DOMAINS.glob("*.xml")), ids=lambda path: path.stem)
def test_golden_guests_are_valid_and_taken(connection: Any, schema: etree.RelaxNG, host: Host, path: Path) -> None:
    """Each golden guest, planned: valid, defined, and read back it is the plan; memory that was preferred stays so."""
    reading = read_domain(path.read_bytes(), path.name)
    plan = placed(reading.name, reading.spec, reading.uuid)
    xml = patch_domain(path.read_bytes(), plan, reading.spec, host)
    schema.assertValid(etree.fromstring(xml))
    if b"hostdev" in xml or b"pcie-expander-bus" in xml:
        # The test driver knows no PCI: it takes the rest of this domain.
        root = etree.fromstring(xml)
        for device in [*root.findall("devices/hostdev"), *root.findall("devices/controller")]:
            parent = device.getparent()
            assert parent is not None
            parent.remove(device)
        xml = etree.tostring(root)
    back = read_domain(defined(connection, xml).encode(), "libvirt")
    assert (back.name, back.uuid, dict(back.pins)) == (plan.name, plan.uuid, dict(plan.pins))
    assert (back.emulator, dict(back.iothread_pins)) == (plan.emulator, dict(plan.iothreads))
    assert back.spec.cells == reading.spec.cells
    for number, cell in enumerate(plan.cells):
        policy, was = back.numatune.of_cell(number), reading.numatune.of_cell(number)
        mode = "preferred" if was is not None and was.mode == "preferred" else "strict"
        assert policy is not None and (policy.mode, policy.nodeset) == (mode, frozenset(cell.nodes)), number


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_fragments_are_valid_and_completed(
    connection: Any, schema: etree.RelaxNG, host: Host, name: str, count: int
) -> None:
    """A new VM of any name with 0 to 4 cells: valid, completed by libvirt, cells and distances as planned."""
    shapes = max(count, 1)
    cells = tuple(Cell(vcpus=frozenset({n, n + shapes}), memory_kib=65_536) for n in range(shapes))
    spec = VmSpec(
        vcpus=2 * shapes,
        memory_kib=65_536 * shapes,
        cell_mode=CellMode.GIVEN if count else CellMode.NONE,
        cells=cells,
        page_kib=2048,
        iothreads=(1, 3),
    )
    plan = placed(name, spec, new_cells=True)
    xml = patch_domain(None, plan, spec, host)
    schema.assertValid(etree.fromstring(xml))
    text = defined(connection, xml)
    back = read_domain(text.encode(), "libvirt")
    assert (back.name, dict(back.pins), back.spec.iothreads, back.spec.page_kib) == (
        name,
        dict(plan.pins),
        (1, 3),
        2048,
    )
    assert back.spec.cells == spec.cells
    siblings = etree.fromstring(text.encode()).findall("cpu/numa/cell/distances/sibling")
    expected = [[10, 21, 11, 21], [31, 10, 31, 11], [11, 21, 10, 21], [31, 11, 31, 10]]
    given = [int(sibling.get("value", "")) for sibling in siblings]
    assert given == [value for row in expected[:count] for value in row[:count]] * (count > 1)


def test_interleaved_memory_is_taken(connection: Any, schema: etree.RelaxNG, host: Host) -> None:
    """A flat guest interleaved over both nodes is valid and read back as such."""
    cell = Cell(vcpus=frozenset({0, 1}), memory_kib=4096)
    spec = VmSpec(vcpus=2, memory_kib=4096, cell_mode=CellMode.NONE, cells=(cell,), interleave=2)
    both = PlanCell(id=0, vcpus=cell.vcpus, memory_kib=4096, mode="interleave", nodes={0: 2048, 1: 2048})
    plan = PlanVm(name="a", host="test", cells=(both,), pins={0: frozenset({0}), 1: frozenset({8})})
    xml = patch_domain(None, plan, spec, host)
    schema.assertValid(etree.fromstring(xml))
    assert read_domain(defined(connection, xml).encode(), "libvirt").spec.interleave == 2
