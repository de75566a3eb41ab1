"""GPU memory among the nodes without CPUs is found, and other memory is not taken for it."""

from __future__ import annotations

from placer.model.host import NodeKind, Topology
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost, RawNode

GIB = 1024 * 1024


def _host(without_cpus: dict[int, RawNode], with_cpus: tuple[int, ...] = (0, 1)) -> Topology:
    nodes = {i: RawNode(cpus={i}, memory_kib=64 * GIB) for i in with_cpus}
    return build(RawHost(source="host", online=set(with_cpus), nodes={**nodes, **without_cpus}))


def _of_kind(topology: Topology, kind: NodeKind) -> list[int]:
    return [node.id for node in topology.nodes if node.kind is kind]


def test_grace_hopper() -> None:
    """One Grace and one GPU: a node with the GPU's memory and seven empty ones, none of them planned for."""
    gpu = {1: RawNode(memory_kib=95 * GIB), **{i: RawNode(memory_kib=0) for i in range(2, 9)}}
    topology = _host(gpu, with_cpus=(0,))
    assert _of_kind(topology, NodeKind.DEVICE) == list(range(1, 9))
    assert any("Grace" in sentence for sentence in topology.assumptions)


def test_two_grace_and_four_gpus() -> None:
    """Two Graces and four GPUs with 28 empty nodes, ids with holes as the machine numbers them."""
    full = {i: RawNode(memory_kib=185 * GIB) for i in (2, 10, 18, 26)}
    empty = {i: RawNode(memory_kib=0) for i in range(3, 34) if i not in full}
    assert _of_kind(_host({**full, **empty}), NodeKind.DEVICE) == sorted({**full, **empty})


def test_power9() -> None:
    """Nodes 250 to 255 of a POWER9 hold the memory of its GPUs."""
    gpus = {i: RawNode(memory_kib=16 * GIB) for i in range(250, 256)}
    topology = _host(gpus, with_cpus=(0, 8))
    assert _of_kind(topology, NodeKind.DEVICE) == list(range(250, 256))
    assert _of_kind(topology, NodeKind.MEMORY_ONLY) == []


def test_high_ids_alone_say_nothing() -> None:
    """On a host that has CPUs on nodes of such ids too, they are no sign of GPUs."""
    assert _of_kind(_host({250: RawNode(memory_kib=GIB)}, with_cpus=(0, 251)), NodeKind.DEVICE) == []


def test_cxl_and_pmem_stay_memory_only() -> None:
    """A CXL node, a PMEM node and a single empty node beside them are memory-only."""
    topology = _host({2: RawNode(memory_kib=128 * GIB), 3: RawNode(memory_kib=GIB), 4: RawNode(memory_kib=0)})
    assert _of_kind(topology, NodeKind.MEMORY_ONLY) == [2, 3, 4]


def test_what_the_file_says_comes_first() -> None:
    """A DAX device keeps a node on a Grace out of the guess; a node called GPU memory needs no guess."""
    dax = {1: RawNode(memory_kib=GIB, device_memory=False), **{i: RawNode(memory_kib=0) for i in range(2, 9)}}
    assert _of_kind(_host(dax, with_cpus=(0,)), NodeKind.MEMORY_ONLY) == [1]
    assert _of_kind(_host({2: RawNode(memory_kib=GIB, device_memory=True)}), NodeKind.DEVICE) == [2]
