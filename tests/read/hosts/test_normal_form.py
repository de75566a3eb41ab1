"""The rules by which holes in a machine file are filled."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from placer.errors import InputError
from placer.model.host import Device, NodeKind, Topology
from placer.read.hosts.normal_form import ONE_NODE, build, relative_distance
from placer.read.hosts.raw_host import MAX_NODES, RawHost, RawNode


def _raw(nodes: Mapping[int, RawNode], **told: object) -> RawHost:
    online = set().union(*(node.cpus for node in nodes.values()))
    return RawHost(**{"source": "host", "nodes": dict(nodes), "online": online, **told})  # type: ignore[arg-type]


def _two(**told: object) -> Topology:
    return build(_raw({0: RawNode(cpus={0, 1}, memory_kib=1024), 3: RawNode(cpus={2, 3}, memory_kib=2048)}, **told))


def _says(topology: Topology, part: str) -> bool:
    return any(part in sentence for sentence in topology.assumptions)


def test_whole_file_leaves_nothing_to_assume() -> None:
    """A file that tells everything gives no assumption."""
    told = {(i, j): 10.0 if i == j else 21.0 for i in (0, 3) for j in (0, 3)}
    topology = _two(distances=told, cores=[frozenset({0, 1}), frozenset({2, 3})],
                    packages=[frozenset({0, 1}), frozenset({2, 3})])  # fmt: skip
    assert topology.assumptions == ()
    assert topology.node_ids == (0, 3)
    assert topology.distances == ((10.0, 21.0), (21.0, 10.0))
    assert len(topology.cores) == len(topology.packages) == 2


def test_missing_distances_are_the_kernels_own() -> None:
    """Without distances 20 is taken between nodes, and said so."""
    topology = _two()
    assert topology.distances == ((10.0, 20.0), (20.0, 10.0))
    assert _says(topology, "distances are not told: 20")


def test_distance_told_one_way() -> None:
    """A distance told one way is taken for the way back; told both ways, asymmetry stays."""
    topology = _two(distances={(0, 3): 28.0})
    assert topology.distances == ((10.0, 28.0), (28.0, 10.0))
    assert _says(topology, "one way only")
    assert _two(distances={(0, 3): 28.0, (3, 0): 23.0}).distances == ((10.0, 28.0), (23.0, 10.0))


def test_diagonal_is_mended_and_nonsense_is_missing() -> None:
    """A diagonal of 0 becomes 10; an off-diagonal below 10 counts as not told; exactly 10 is kept and flagged."""
    topology = _two(distances={(0, 0): 0.0, (3, 3): 10.0, (0, 3): 0.0, (3, 0): 0.0})
    assert topology.distances == ((10.0, 20.0), (20.0, 10.0))
    assert _says(topology, "node 0 to itself is not 10")
    near = _two(distances={(0, 3): 10.0, (3, 0): 10.0})
    assert near.distances == ((10.0, 10.0), (10.0, 10.0))
    assert _says(near, "as near to node 0 as its own memory")


def test_unreachable_is_kept_and_more_is_refused() -> None:
    """255 stays, for it says not reachable; a larger figure is a fault."""
    assert _two(distances={(0, 3): 255.0, (3, 0): 21.0}).distances[0] == (10.0, 255.0)
    with pytest.raises(InputError, match="the distance from node 0 to node 3 is 256"):
        _two(distances={(0, 3): 256.0})


def test_latencies_replace_slit_where_all_are_measured() -> None:
    """Latencies of every usable pair give 10 x latency / local latency; with one missing the SLIT figures stay."""
    slit = {(0, 3): 21.0, (3, 0): 21.0}
    full = {(0, 0): 80.0, (0, 3): 140.0, (3, 0): 120.0, (3, 3): 100.0}
    topology = _two(distances=dict(slit), latencies=dict(full))
    assert topology.distances == ((10.0, 17.5), (12.0, 10.0))
    assert _says(topology, "HMAT")
    del full[3, 0]
    assert _two(distances=dict(slit), latencies=full).distances == ((10.0, 21.0), (21.0, 10.0))


@pytest.mark.parametrize(
    ("latency", "local", "distance"), [(100, 100, 10), (90, 100, 10), (5000, 100, 254), (150, 100, 15)]
)
def test_relative_distance(latency: float, local: float, distance: float) -> None:
    """A measured node is never nearer than local memory and never unreachable."""
    assert relative_distance(latency, local) == distance


def test_no_nodes_is_one_node() -> None:
    """A file without nodes gives node 0 with all CPUs and the memory of the host."""
    topology = build(RawHost(source="host", online={0, 1}, memory_kib=4096))
    assert [(node.id, node.cpus, node.memory_kib) for node in topology.nodes] == [(0, {0, 1}, 4096)]
    assert ONE_NODE in topology.assumptions


def test_cpu_in_two_nodes_is_refused() -> None:
    """One CPU in two nodes is refused, and the message shows which CPUs in which nodes."""
    nodes = {0: RawNode(cpus={0, 1, 2}), 1: RawNode(cpus={1, 2, 3}), 5: RawNode(cpus={3})}
    with pytest.raises(InputError, match=r"CPUs 1-2 in NUMA node 0 and in node 1 \(and 1 more such pairs"):
        build(_raw(nodes))


def test_offline_cpus_leave_every_set() -> None:
    """An offline CPU is in no node, core, package or L3 domain, and is listed."""
    topology = _two(offline={1}, cores=[frozenset({0, 1}), frozenset({2, 3})], l3=[frozenset({0, 1, 2, 3})],
                    packages=[frozenset({0, 1, 2, 3})])  # fmt: skip
    assert topology.cpus == {0, 2, 3}
    assert topology.cores == ({0}, {2, 3})
    assert topology.l3 == topology.packages == (frozenset({0, 2, 3}),)
    assert topology.offline == {1}
    assert _says(topology, "CPU 1 is offline")


def test_cpus_of_no_node_are_refused() -> None:
    """An online CPU of which no node is known is refused; where the only node tells no CPUs it takes them all."""
    with pytest.raises(InputError, match="CPUs 7-8 are online and in no NUMA node"):
        _two(online={0, 1, 2, 3, 7, 8})
    lone = build(RawHost(source="host", online={0, 1}, nodes={2: RawNode(memory_kib=1)}))
    assert lone.nodes[0].cpus == {0, 1}
    assert _says(lone, "does not tell its CPUs")


def test_cores_that_overlap_are_refused_and_l3_left_out() -> None:
    """Cores that share a CPU are a fault; L3 domains that do are left out, for a plan can do without them."""
    with pytest.raises(InputError, match="CPU 1 is in two cores, 0-1 and 1-2"):
        _two(cores=[frozenset({0, 1}), frozenset({1, 2})])
    topology = _two(l3=[frozenset({0, 1}), frozenset({1, 2})])
    assert topology.l3 == ()
    assert _says(topology, "overlap")


def test_threads_and_packages_not_told() -> None:
    """Without siblings every CPU is a core, without packages every node is one."""
    topology = _two()
    assert [len(core) for core in topology.cores] == [1, 1, 1, 1]
    assert topology.packages == ({0, 1}, {2, 3})
    assert _says(topology, "every CPU counts as a core")
    assert _says(topology, "packages are not told")


def test_kinds_of_nodes() -> None:
    """Nodes without CPUs are memory-only, a device's where told so; CPUs without memory are an ordinary node."""
    topology = build(_raw({
        0: RawNode(cpus={0}, memory_kib=0), 1: RawNode(memory_kib=8), 2: RawNode(memory_kib=8, device_memory=True),
    }))  # fmt: skip
    assert [node.kind for node in topology.nodes] == [NodeKind.NORMAL, NodeKind.MEMORY_ONLY, NodeKind.DEVICE]


def test_pools_larger_than_their_node_are_left_out() -> None:
    """Page pools that exceed the memory of their node are left out, and unknown memory counts as 0."""
    topology = build(_raw({0: RawNode(cpus={0}, memory_kib=4096, pages={2048: 3, 1048576: 0}), 1: RawNode(cpus={1})}))
    assert topology.nodes[0].pages == {}
    assert topology.nodes[1].memory_kib == 0
    assert _says(topology, "page pools of node 0 take 6MiB, more than its memory of 4MiB")
    assert _says(topology, "memory of node 1 is not told")


def test_devices_of_a_host_of_one_node() -> None:
    """On a host of one node every device hangs on it; else a device may be on an unknown one."""
    device = Device(address="0000:01:00.0", kind="nic")
    assert build(_raw({4: RawNode(cpus={0})}, devices=[device])).devices[0].node == 4
    assert _two(devices=[device]).devices[0].node is None


def test_impossible_figures() -> None:
    """No CPU, too large numbers and too many nodes are refused, each by its name and all at once."""
    with pytest.raises(InputError, match="tells no CPU that is online"):
        build(RawHost(source="host"))
    with pytest.raises(InputError) as refusal:
        build(_raw({0: RawNode(cpus={99999}), 70000: RawNode(memory_kib=2**60)}))
    assert len(refusal.value.faults) == 3
    with pytest.raises(InputError, match="more than 1024"):
        build(_raw({i: RawNode(cpus={i}) for i in range(MAX_NODES + 1)}))
