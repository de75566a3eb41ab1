"""Intel MLC's matrices, and what they do to a topology."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.host import Topology
from placer.read.hosts.host import read_topology
from placer.read.hosts.mlc import read_matrices, refine_distances

LATENCY = "Measuring idle latencies (in ns)...\n      Numa node\nNuma node  0  1\n  0  80.0  120.0\n  1  150.0  100.0\n"


@pytest.fixture
def server(repository: Path) -> Topology:
    """Return the two-node server."""
    return read_topology(repository / "data/hosts/two-node-40cpu.numactl.txt")


def test_whole_output(repository: Path) -> None:
    """Of a whole output only the two matrices between nodes are taken, not peaks and loaded latencies."""
    data = (repository / "data/hosts/two-node-40cpu.mlc.txt").read_bytes()
    latencies, bandwidths = read_matrices(data, "mlc")
    assert latencies == {(0, 0): 80.0, (0, 1): 132.0, (1, 0): 128.0, (1, 1): 82.0}
    assert bandwidths == {(0, 0): 36700.2, (0, 1): 15728.6, (1, 0): 15600.0, (1, 1): 36500.0}


def test_refined_server(repository: Path, server: Topology) -> None:
    """Distances become 10 x latency / the row's local latency, bandwidths MiB/s; asymmetry stays."""
    data = (repository / "data/hosts/two-node-40cpu.mlc.txt").read_bytes()
    refined = refine_distances(server, data, "mlc.txt")
    assert refined.distances == ((10.0, 16.5), (pytest.approx(10 * 128 / 82, abs=1e-6), 10.0))
    assert refined.bandwidth_mib_s is not None
    assert refined.bandwidth_mib_s[0][1] == pytest.approx(15728.6e6 / 2**20)
    assert any("measured by MLC (mlc.txt)" in sentence for sentence in refined.assumptions)
    assert refined.nodes == server.nodes


def test_bandwidth_alone_leaves_distances(server: Topology) -> None:
    """A bandwidth matrix alone changes no distance."""
    text = "Measuring Memory Bandwidths between nodes within system\nNuma node 0 1\n 0 10.0 5.0\n"
    refined = refine_distances(server, text, "x")
    assert refined.distances == server.distances
    assert refined.bandwidth_mib_s is not None
    assert refined.bandwidth_mib_s[1] == (None, None)


def test_memory_only_node_has_no_row(repository: Path) -> None:
    """A node without CPUs has a column and no row; pairs that were not measured keep their figure and are counted."""
    topology = read_topology(repository / "data/hosts/memory-only-node.capabilities.xml")
    text = "Measuring idle latencies (in ns)...\nNuma node 0 1 2\n 0 100 200 -\n 1 210 105 500\n"
    refined = refine_distances(topology, text, "x")
    assert refined.distances[0] == (10.0, 20.0, 14.0)
    assert refined.distances[1] == (20.0, 10.0, pytest.approx(47.619048))
    assert any(
        "1 pairs of nodes were not measured, such as CPUs of 0 and memory of 2" in s for s in refined.assumptions
    )


def test_node_without_local_memory(server: Topology) -> None:
    """Where a node's own memory was not measured, the smallest local latency of the host takes its place."""
    refined = refine_distances(server, LATENCY.replace("  1  150.0  100.0", "  1  160.0  -"), "x")
    assert refined.distances[1][0] == 20.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing here\n", "neither a latency nor a bandwidth matrix"),
        (LATENCY.replace("  1  150", "  7  150"), "names node 7; the host has nodes 0-1"),
        (LATENCY.replace("150.0  100.0", "150.0"), "x:5: node 1 has 1 values for 2 columns"),
        (LATENCY.replace("80.0", "-").replace("100.0", "-"), "no node's own memory was measured"),
    ],
)
def test_damaged(server: Topology, text: str, message: str) -> None:
    """A text without matrices, of another host or with holes where none may be is refused."""
    with pytest.raises(InputError, match=message):
        refine_distances(server, text, "x")
