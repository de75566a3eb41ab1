"""libvirt capabilities: what a host's own XML tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.host import NodeKind, Topology
from placer.read.hosts.capabilities import parse_capabilities


def _caps(cells: str, *, rest: str = "", inside: str = "", guest: str = "") -> bytes:
    return f"""<capabilities>
<host><cpu><arch>x86_64</arch><model>EPYC</model></cpu>
<topology><cells num='1'>{cells}</cells>{inside}</topology>{rest}</host>{guest}
</capabilities>""".encode()


CELL = """<cell id='0'><memory unit='KiB'>4194304</memory><pages unit='KiB' size='4'>524288</pages>
<pages unit='KiB' size='2048'>1024</pages><cpus num='2'><cpu id='0' socket_id='0' core_id='0' siblings='0-1'/>
<cpu id='1' socket_id='0' core_id='0' siblings='0-1'/></cpus></cell>"""
REMOTE = "<cell id='5'><memory unit='KiB'>1048576</memory><cpus num='0'/></cell>"


def _read(repository: Path, name: str) -> Topology:
    return parse_capabilities((repository / "data" / "hosts" / name).read_bytes(), name)


def test_epyc_nps4(repository: Path) -> None:
    """A two-socket EPYC in NPS4: nodes, SMT, two L3 domains a node, no clusters of the number 65535, KVM."""
    topology = _read(repository, "epyc-nps4.capabilities.xml")
    assert topology.node_ids == tuple(range(8))
    assert (len(topology.cpus), len(topology.cores), len(topology.l3)) == (128, 64, 16)
    assert topology.cores[0] == {0, 64}
    assert topology.packages == (frozenset({*range(32), *range(64, 96)}), frozenset({*range(32, 64), *range(96, 128)}))
    assert topology.clusters == ()
    assert topology.distances[0] == (10, 12, 12, 12, 32, 32, 32, 32)
    assert (topology.kvm, topology.arch, topology.model) == (True, "x86_64", "EPYC-Rome")
    assert topology.assumptions == ()


def test_memory_only_node(repository: Path) -> None:
    """A CXL node has no CPUs; page pools are those of the huge sizes, ordinary memory includes them."""
    topology = _read(repository, "memory-only-node.capabilities.xml")
    assert [node.kind for node in topology.nodes] == [NodeKind.NORMAL, NodeKind.NORMAL, NodeKind.MEMORY_ONLY]
    assert topology.node(2).memory_kib == 128 * 1024 * 1024
    assert topology.node(0).pages == {1048576: 8}
    assert topology.node(0).memory_kib == 131660800
    assert topology.distance(1, 2) == 2.4


@pytest.mark.parametrize(
    ("guest", "kvm"),
    [
        ("", None),
        ("<guest><arch name='x86_64'><domain type='qemu'/></arch></guest>", False),
        ("<guest><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest>", True),
    ],
)
def test_kvm(guest: str, kvm: bool | None) -> None:
    """KVM can run where a guest says so, cannot where guests say nothing of it, and is unknown without guests."""
    assert parse_capabilities(_caps(CELL, guest=guest), "x").kvm is kvm


def test_small_pages_are_the_smallest_size() -> None:
    """On hosts of 64 KiB pages those are the ordinary ones, and the others are pools."""
    cell = CELL.replace("size='4'>524288", "size='64'>16384").replace("size='2048'>1024", "size='16384'>128")
    topology = parse_capabilities(_caps(cell), "x")
    assert topology.page_kib == 64
    assert topology.nodes[0].pages == {16384: 128}


def test_interconnects() -> None:
    """HMAT's latencies replace distances, its bandwidths are MB/s times 1024; those of a memory-side cache do not."""
    inside = """<interconnects>
    <latency initiator='0' target='0' type='read' value='100'/>
    <latency initiator='0' target='5' type='read' value='250'/>
    <latency initiator='0' target='5' type='write' value='999'/>
    <latency initiator='0' target='5' cache='1' type='access' value='7'/>
    <bandwidth initiator='0' target='5' type='read' value='1048576' unit='KiB'/></interconnects>"""
    topology = parse_capabilities(_caps(CELL + REMOTE, inside=inside), "x")
    assert topology.distance(0, 5) == 2.5
    assert topology.bandwidth_mib_s is not None
    assert topology.bandwidth_mib_s[0][1] == pytest.approx(1024 * 10**6 / 2**20)
    assert topology.bandwidth_mib_s[0][0] is None


def test_banks_of_one_id_on_two_levels() -> None:
    """Bank ids repeat from level to level: only L3 banks are domains."""
    cache = (
        "<cache><bank id='0' level='2' type='both' cpus='0'/><bank id='0' level='3' type='both' cpus='0-1'/></cache>"
    )
    assert parse_capabilities(_caps(CELL, rest=cache), "x").l3 == ({0, 1},)


def test_cpus_with_nothing_but_an_id() -> None:
    """Old libvirt gives ids alone, and Xen a cell without memory: each CPU is a core, memory counts as 0."""
    topology = parse_capabilities(_caps("<cell id='0'><cpus num='2'><cpu id='0'/><cpu id='1'/></cpus></cell>"), "x")
    assert topology.cores == ({0}, {1})
    assert topology.nodes[0].memory_kib == 0
    assert len(topology.assumptions) == 2


def test_core_ids_that_repeat_in_packages() -> None:
    """Without siblings, cores are told apart by package, die and core id together."""
    cpus = "".join(f"<cpu id='{i}' socket_id='{i // 2}' die_id='0' core_id='0'/>" for i in range(4))
    topology = parse_capabilities(_caps(f"<cell id='0'><cpus>{cpus}</cpus></cell>"), "x")
    assert topology.cores == ({0, 1}, {2, 3})


def test_all_faults_at_once() -> None:
    """Every fault is told, each with its line."""
    cells = """<cell id='0'>
<memory unit='KiB'>much</memory>
<cpus><cpu id='x'/>
<cpu id='1' socket_id='0' siblings='3-1'/></cpus></cell>
<cell id='0'/>"""
    with pytest.raises(InputError) as refusal:
        parse_capabilities(_caps(cells), "bad.xml")
    lines = str(refusal.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["bad.xml:4", "<memory>"], ["bad.xml:5", "<cpu>"], ["bad.xml:6", "<cpu>"], ["bad.xml:7", "<cell>"],
    ]  # fmt: skip


def test_without_topology() -> None:
    """Capabilities without a host topology are refused with the cure."""
    with pytest.raises(InputError, match="do not tell the host's topology; run virsh capabilities"):
        parse_capabilities(b"<capabilities><host/></capabilities>", "x")
    with pytest.raises(InputError, match="its root is <domain>"):
        parse_capabilities(b"<domain/>", "x")


def test_fewer_cpus_than_it_says() -> None:
    """A cell that counts more CPUs than it lists is read by its list, and the assumptions say so."""
    topology = parse_capabilities(_caps(CELL.replace("<cpus num='2'>", "<cpus num='4'>")), "a")
    assert topology.assumptions == ("node 0 says 4 CPUs and lists 2: those listed are taken",)
    assert parse_capabilities(_caps(CELL + REMOTE), "a").assumptions[:1] != topology.assumptions
