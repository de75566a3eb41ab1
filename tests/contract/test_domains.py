"""Every real domain that libvirt's schema takes: read, planned unchanged, emitted, and nothing else has changed."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest
from lxml import etree

from placer.emit.domain.domain_xml import patch_domain
from placer.model.host import Host, Node, Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import CellMode
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import DomainReading
from placer.read.text.xml import parse_xml

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
OWNED_LINE = re.compile(r"\s*</?(vcpu|cputune|vcpupin|emulatorpin|iothreadpin|numatune|memory mode|memnode|nodemask)\b")


@pytest.fixture(scope="module")
def accepted(shared_dir: Path) -> dict[str, bytes]:
    """Return the domains of the shared folder that libvirt's schema accepts, by file name."""
    if not SCHEMA.is_file():
        pytest.skip("libvirt's schema of domains is not installed (package libvirt0 or libvirt-libs)")
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    files = {
        path.name: path.read_bytes() for path in sorted((shared_dir / "topologies" / "libvirt-domains").glob("*.xml"))
    }
    taken = {name: data for name, data in files.items() if schema.validate(etree.fromstring(data))}
    assert len(taken) >= 90
    return taken


def unchanged(reading: DomainReading) -> tuple[PlanVm, Host]:
    """Return a plan that leaves a domain where it is, and a host that has all it names; what floats gets all CPUs."""
    policies = [policy for policy in (reading.numatune.memory, *reading.numatune.memnodes.values()) if policy]
    nodes = sorted({0}.union(*(policy.nodeset or () for policy in policies)))
    cpus = frozenset(range(16)).union(*reading.pins.values(), *reading.iothread_pins.values(), reading.emulator or ())
    topology = Topology(
        nodes=tuple(
            Node(id=node, cpus=cpus if node == nodes[0] else frozenset(), memory_kib=1 << 30) for node in nodes
        ),
        distances=tuple(tuple(10.0 if i == j else 20.0 for j in nodes) for i in nodes),
        cores=tuple(frozenset({cpu}) for cpu in sorted(cpus)),
    )
    cells = []
    for number, cell in enumerate(reading.spec.cells):
        policy = reading.numatune.of_cell(number)
        node = min(policy.nodeset) if policy is not None and policy.nodeset else nodes[0]
        where = {node: cell.memory_kib}
        cells.append(PlanCell(id=number, vcpus=cell.vcpus, memory_kib=cell.memory_kib, mode="strict", nodes=where))
    plan = PlanVm(
        name=reading.name,
        uuid=reading.uuid,
        host="host",
        cells=tuple(cells),
        shown=reading.spec.cell_mode is CellMode.GIVEN,
        pins={vcpu: reading.pins.get(vcpu, cpus) for vcpu in range(reading.spec.vcpus)},
        emulator=reading.emulator,
        iothreads=reading.iothread_pins,
    )
    return plan, Host(name="host", topology=topology)


def without_owned(data: bytes) -> bytes:
    """Return the canonical form of a domain without the elements that placer owns, comments included."""
    root = parse_xml(data, "domain")
    for vcpu in root.findall("vcpu"):
        for name in ("placement", "cpuset"):
            vcpu.attrib.pop(name, None)
    for path in (
        "cputune/vcpupin",
        "cputune/emulatorpin",
        "cputune/iothreadpin",
        "numatune",
        "devices/memory/source/nodemask",
    ):
        for element in root.findall(path):
            parent = element.getparent()
            assert parent is not None
            parent.remove(element)
    for cputune in root.findall("cputune"):
        if len(cputune) == 0:
            root.remove(cputune)
    return etree.tostring(root, method="c14n2", strip_text=True, with_comments=True)


def test_only_owned_elements_change(accepted: dict[str, bytes]) -> None:
    """Outside pins, memory policy and device node masks the domain is the same, comments and namespaces included."""
    different = []
    for name, data in accepted.items():
        reading = read_domain(data, name)
        plan, host = unchanged(reading)
        if without_owned(patch_domain(data, plan, reading.spec, host)) != without_owned(data):
            different.append(name)
    assert different == []


def test_only_owned_lines_change(accepted: dict[str, bytes]) -> None:
    """A line by line comparison shows owned elements alone: no quotes, no order, no white space has changed."""
    strange = []
    for name, data in accepted.items():
        reading = read_domain(data, name)
        plan, host = unchanged(reading)
        old, new = data.decode().splitlines(), patch_domain(data, plan, reading.spec, host).decode().splitlines()
        for line in difflib.ndiff(old, new):
            if line[0] in "+-" and not OWNED_LINE.match(line[2:]):
                strange.append(f"{name}: {line}")
    assert strange == []


def test_what_was_emitted_reads_as_planned(accepted: dict[str, bytes]) -> None:
    """Read back, the domain has the plan's pins, nodes and cells; memory that was preferred or restrictive stays so."""
    soft = set()
    for name, data in accepted.items():
        reading = read_domain(data, name)
        plan, host = unchanged(reading)
        back = read_domain(patch_domain(data, plan, reading.spec, host), name)
        assert dict(back.pins) == dict(plan.pins), name
        assert (back.spec.cells, back.spec.page_kib) == (reading.spec.cells, reading.spec.page_kib), name
        whole = reading.numatune.memory
        for number, cell in enumerate(plan.cells):
            policy, was = back.numatune.of_cell(number), reading.numatune.of_cell(number)
            mode = "preferred" if was is not None and was.mode == "preferred" else "strict"
            if whole is not None and whole.mode == "restrictive":
                mode = "restrictive"  # of the whole domain or of none of it: libvirt refuses to start a mix
            soft.update({mode} - {"strict"})
            assert policy is not None and (policy.mode, policy.nodeset) == (mode, frozenset(cell.nodes)), name
    assert soft == {"preferred", "restrictive"}


def test_the_schema_takes_what_was_emitted(accepted: dict[str, bytes]) -> None:
    """The emitted XML is as valid as what came in."""
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    for name, data in accepted.items():
        reading = read_domain(data, name)
        plan, host = unchanged(reading)
        schema.assertValid(etree.fromstring(patch_domain(data, plan, reading.spec, host)))
