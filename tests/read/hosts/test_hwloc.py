"""hwloc's XML in its three dialects."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.host import Device, NodeKind, Topology
from placer.read.hosts.hwloc import parse_hwloc


def _read(repository: Path, name: str) -> Topology:
    return parse_hwloc((repository / "data" / "hosts" / name).read_bytes(), name)


def _xml(
    body: str, *, version: str = "2.0", machine: str = 'cpuset="0xf" complete_cpuset="0xf" allowed_cpuset="0xf"'
) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="{version}"><object type="Machine" {machine}>{body}</object></topology>""".encode()


PUS = "".join(f'<object type="PU" os_index="{i}" cpuset="{hex(1 << i)}"/>' for i in range(4))


def _node(node_id: int, cpuset: str, rest: str = "", subtype: str = "") -> str:
    kind = f'subtype="{subtype}"' if subtype else ""
    name = f'type="NUMANode" os_index="{node_id}" cpuset="{cpuset}" gp_index="{90 + node_id}"'
    return f'<object {name} {kind} local_memory="1048576">{rest}</object>'


def test_dialect_2(repository: Path) -> None:
    """Four sockets with CPUs interleaved mod 4: siblings, L3, distances, a pool and NICs near their nodes."""
    topology = _read(repository, "four-socket.lstopo.xml")
    assert topology.node_ids == (0, 1, 2, 3)
    assert topology.node(1).cpus == set(range(1, 64, 4))
    assert topology.core_of_cpu[1] == topology.core_of_cpu[33]
    assert (len(topology.cores), len(topology.l3), len(topology.packages)) == (32, 4, 4)
    assert topology.distances[0] == (10, 21, 21, 31)
    assert topology.node(3).pages == {2048: 1024}
    assert topology.node(3).memory_kib == 101466505216 // 1024
    assert topology.devices == (
        Device(address="0000:18:00.0", kind="nic", node=0), Device(address="0000:86:00.0", kind="nic", node=2),
    )  # fmt: skip
    assert topology.assumptions == ()


def test_dialect_1(repository: Path) -> None:
    """Dialect 1: sockets, caches by depth, distances relative to a base and asymmetric, an offline thread."""
    topology = _read(repository, "offline-thread.lstopo1.xml")
    assert topology.node_ids == (0, 2)
    assert topology.distances == ((10.0, 22.0), (16.0, 10.0))
    assert topology.offline == {7}
    assert topology.cores == ({0, 1}, {2, 3}, {4, 5}, {6})
    assert topology.l3 == topology.packages == ({0, 1, 2, 3}, {4, 5, 6})
    assert topology.node(2).pages == {2048: 256}


def test_dialect_3(repository: Path) -> None:
    """Dialect 3: HBM and CXL nodes carry their neighbours' CPUs and are memory-only, a GPU's memory is a device's."""
    topology = _read(repository, "hbm-cxl-gpu.lstopo3.xml")
    kinds = {node.id: node.kind for node in topology.nodes}
    assert kinds == {0: NodeKind.NORMAL, 2: NodeKind.NORMAL, 5: NodeKind.DEVICE,
                     1: NodeKind.MEMORY_ONLY, 3: NodeKind.MEMORY_ONLY, 4: NodeKind.MEMORY_ONLY}  # fmt: skip
    assert topology.node(0).cpus == set(range(8))
    assert topology.devices == (Device(address="0000:41:00.0", kind="gpu", node=2),)
    assert topology.bandwidth_mib_s is not None
    assert topology.bandwidth_mib_s[0][1] == pytest.approx(400000 * 10**6 / 2**20)
    assert (topology.arch, topology.model) == ("x86_64", "Intel(R) Xeon(R) (made up)")


def test_hbm_alone_has_the_cpus() -> None:
    """Where HBM is all the memory there is, it owns the CPUs, and the smallest set of CPUs beats a larger one."""
    topology = parse_hwloc(
        _xml(_node(7, "0xf") + _node(2, "0x3", subtype="HBM") + _node(1, "0xc", subtype="HBM") + PUS), "x"
    )
    assert {node.id: set(node.cpus) for node in topology.nodes} == {1: set(), 2: set(), 7: {0, 1, 2, 3}}
    topology = parse_hwloc(_xml(_node(2, "0x3", subtype="HBM") + _node(1, "0xc", subtype="HBM") + PUS), "x")
    assert {node.id: set(node.cpus) for node in topology.nodes} == {1: {2, 3}, 2: {0, 1}}


def test_nodes_that_overlap_in_part() -> None:
    """Nodes that share only some CPUs are refused with their line."""
    with pytest.raises(InputError, match=r"x:3: <object NUMANode>: NUMA node 0 shares only some of its CPUs"):
        parse_hwloc(_xml(_node(0, "0x7") + _node(1, "0xc") + PUS), "x")


def test_cpus_of_nodes_that_hwloc_dropped() -> None:
    """CPUs in no node of the file, for hwloc drops nodes without memory, are left out and counted."""
    topology = parse_hwloc(_xml(_node(0, "0x3") + PUS), "x")
    assert topology.cpus == {0, 1}
    assert any("2 CPUs lie in no NUMA node" in sentence for sentence in topology.assumptions)


def test_only_allowed_cpus() -> None:
    """CPUs that the maker of the file was not allowed to use are left out."""
    machine = 'cpuset="0xf" complete_cpuset="0xff" allowed_cpuset="0x3"'
    topology = parse_hwloc(_xml(_node(0, "0xf") + PUS, machine=machine), "x")
    assert topology.cpus == {0, 1}
    assert topology.offline == {2, 3, 4, 5, 6, 7}
    assert any("not allowed" in sentence for sentence in topology.assumptions)


def test_xml_without_numa() -> None:
    """A file without memory figures says so; its memory counts as 0."""
    body = '<object type="NUMANode" os_index="0" cpuset="0xf"><page_type size="4096" count="0"/></object>' + PUS
    topology = parse_hwloc(_xml(body), "x")
    assert topology.nodes[0].memory_kib == 0
    assert any("memory of node 0 is not told" in sentence for sentence in topology.assumptions)


def test_distances_by_gp_index_and_by_scale() -> None:
    """A matrix may name nodes by gp_index and be in another scale; one of bandwidths is not taken."""
    matrices = """<distances2 type="NUMANode" nbobjs="2" kind="9" indexing="os"><indexes>0 1</indexes>
    <u64values>900 100 100 900</u64values></distances2>
    <distances2 type="NUMANode" nbobjs="2" kind="6" indexing="gp"><indexes>91 90</indexes>
    <u64values>100 150 300 </u64values><u64values>100</u64values></distances2>"""
    data = _xml(_node(0, "0x3") + _node(1, "0xc") + PUS).replace(b"</topology>", matrices.encode() + b"</topology>")
    assert parse_hwloc(data, "x").distances == ((10.0, 30.0), (15.0, 10.0))


def test_latency_attributes() -> None:
    """Memory attributes of latency replace distances where every pair is there."""
    values = "".join(
        f'<memattr_value target_obj_gp_index="{90 + j}" value="{latency}" initiator_cpuset="{cpus}"/>'
        for cpus, j, latency in (("0x3", 0, 80), ("0x3", 1, 120), ("0xc", 0, 160), ("0xc", 1, 100))
    )
    extra = f'<memattr name="Latency" flags="6">{values}</memattr></topology>'
    data = _xml(_node(0, "0x3") + _node(1, "0xc") + PUS).replace(b"</topology>", extra.encode())
    assert parse_hwloc(data, "x").distances == ((10.0, 15.0), (16.0, 10.0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cpuset="0x3"', 'cpuset="0x3g"', "cpuset: '0x3g' is no bitmap"),
        ('os_index="1"', 'os_index="-1"', "os_index is -1, below 0"),
        ('os_index="1"', "", "os_index is '', not a whole number"),
        ('local_memory="1048576"', 'local_memory="much"', "local_memory is 'much'"),
        (
            "</topology>",
            '<distances2 type="NUMANode" kind="5"><indexes>0</indexes></distances2></topology>',
            "0 values for 1 nodes",
        ),
    ],
)
def test_damaged(old: str, new: str, message: str) -> None:
    """What is damaged is refused with the reason and the line."""
    data = _xml(_node(0, "0x3") + _node(1, "0xc") + PUS).decode()
    assert old in data
    with pytest.raises(InputError, match=r"x:\d.*" + message):
        parse_hwloc(data.replace(old, new).encode(), "x")


def test_not_hwloc() -> None:
    """An XML of something else, or without objects, is refused."""
    with pytest.raises(InputError, match="its root is <domain>"):
        parse_hwloc(b"<domain/>", "x")
    with pytest.raises(InputError, match="holds no object"):
        parse_hwloc(b"<topology/>", "x")
