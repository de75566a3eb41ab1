"""``numactl --hardware`` text in the forms that versions, terminals and mail give it."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.host import NodeKind
from placer.read.hosts.numactl import parse_numactl
from placer.read.recognise import Format, recognise

TWO = """available: 2 nodes (0-1)
node 0 cpus: 0 1
node 0 size: 100 MB
node 0 free: 3 MB
node 1 cpus: 2 3
node 1 size: 200 MB
node 1 free: 5 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""


def test_two_node_server(repository: Path) -> None:
    """The 40-CPU server: even CPUs on node 0, odd on 1, sizes in MiB; its free memory, all cache, is not taken."""
    topology = parse_numactl((repository / "data/hosts/two-node-40cpu.numactl.txt").read_bytes(), "two")
    assert topology.nodes[0].cpus == set(range(0, 40, 2))
    assert topology.nodes[1].cpus == set(range(1, 40, 2))
    assert [node.memory_kib for node in topology.nodes] == [32543 * 1024, 32768 * 1024]
    assert [node.free_kib for node in topology.nodes] == [None, None]
    assert topology.distances == ((10.0, 21.0), (21.0, 10.0))
    assert topology.kvm is None


def test_quoted_wrapped_and_with_holes(repository: Path) -> None:
    """Mail quotes and wrapped lists are undone; ids 0, 8 and 252 to 255 stay, the latter as GPU memory."""
    topology = parse_numactl((repository / "data/hosts/power9-gpus-quoted.numactl.txt").read_bytes(), "power9")
    assert topology.node_ids == (0, 8, 252, 253, 254, 255)
    assert topology.node(8).cpus == set(range(64, 128))
    assert {node.id for node in topology.nodes if node.kind is NodeKind.DEVICE} == {252, 253, 254, 255}
    assert topology.distance(0, 8) == 4.0


def test_wrapped_without_indent() -> None:
    """A CPU list that goes on at the beginning of the next line is one list."""
    topology = parse_numactl(TWO.replace("cpus: 2 3", "cpus: 2\n3 4\n5").encode(), "x")
    assert topology.nodes[1].cpus == {2, 3, 4, 5}


def test_asymmetric_unreachable_and_ranges(repository: Path) -> None:
    """Ranges with counts, a size that is not available, 255 and asymmetry are read as they stand."""
    topology = parse_numactl((repository / "data/hosts/asymmetric-unreachable.numactl.txt").read_bytes(), "x")
    assert topology.node(4).cpus == set(range(16, 24)) | set(range(48, 56))
    assert topology.distance(0, 4) == 2.8
    assert topology.distance(4, 0) == 2.3
    assert topology.distance(0, 6) == 25.5
    assert [node.memory_kib // 1024 for node in topology.nodes] == [64211, 0, 64507, 0]
    assert any("memory of node 6 is not told" in sentence for sentence in topology.assumptions)


def test_no_distances() -> None:
    """ "No distance information available." leaves the kernel's default."""
    text = TWO.split("node distances:")[0] + "No distance information available.\n"
    assert parse_numactl(text.encode(), "x").distances == ((10.0, 20.0), (20.0, 10.0))


def test_text_around_it() -> None:
    """A prompt before and other output behind do no harm."""
    text = f"$ numactl -H\r\n{TWO}\n$ free\n   total  used\nMem: 1 2\n".replace("\n", "\r\n")
    assert parse_numactl(text.encode(), "x").distances == ((10.0, 21.0), (21.0, 10.0))


@pytest.mark.parametrize(
    "data",
    [
        TWO.encode("utf-16"),
        TWO.replace(" ", "\u00a0").encode(),
        TWO.replace("node 0", "\x1b[1;32mnode 0\x1b[0m").encode(),
        b"\xef\xbb\xbf" + TWO.replace("\n", "\r\n").encode(),
        ("$ numactl -H\n" + TWO + "$ \n").encode(),
    ],
    ids=["powershell", "web page", "colours", "windows", "prompt"],
)
def test_what_terminals_and_windows_add(data: bytes) -> None:
    """UTF-16, no-break spaces, colours, carriage returns and prompts around the text change nothing."""
    assert recognise(data, "two") is Format.NUMACTL
    topology, plain = parse_numactl(data, "two"), parse_numactl(TWO.encode(), "two")
    assert topology == plain


def test_a_header_wrapped_by_a_terminal() -> None:
    """A wide table whose rows are wrapped is put together again."""
    text = TWO.replace("node   0   1\n  0:  10  21\n", "node   0\n   1\n  0:  10\n  21\n")
    assert parse_numactl(text.encode(), "x").distances == ((10.0, 21.0), (21.0, 10.0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("node 1 cpus: 2 3", "node 1 cpus: 1 3", "x: the file shows CPUs 1 in NUMA node 0 and in node 1"),
        ("node 1 cpus: 2 3\n", "", "node 1 is named and its CPUs are not told"),
        ("0-1", "0-2", "node 2 is named and its CPUs are not told"),
        ("node 1 cpus: 2 3", "node 1 cpus: 2 3 (3)", "x:5: the line counts 3 CPUs and names 2-3"),
        ("node 1 cpus: 2 3", "node 1 cpus: 2 x", "x:5: .*is not a CPU list"),
        ("node 1 size: 200 MB", "node 1 size: lots", "x:6: the size of node 1 is 'lots', not a number of MB"),
        ("  1:  21  10", "  1:  21", "x:11: node 1 has 1 distances and the table 2 columns"),
        ("  1:  21  10", "  1:  21  10\n  1:  21  10", "x:12: the distances of node 1 stand there twice"),
        ("node   0   1", "node   0   7", "names node 7, which the text does not describe"),
        ("node 1 size", "node 0 cpus: 9\nnode 1 size", "x:6: the CPUs of node 0 stand there twice"),
        ("  0:  10  21", "  0:  10   -", "x:10: the row '0:  10   -' of the distance table holds something else"),
        (TWO[TWO.index("node 1 size") :], "", "the size of node 1 is not told, those of other nodes are"),
        ("  0:  10  21", "  0:  10  999", "the distance from node 0 to node 1 is 999"),
    ],
)
def test_damaged_texts(old: str, new: str, message: str) -> None:
    """What is damaged is refused with the line and the reason."""
    assert old in TWO
    with pytest.raises(InputError, match=message):
        parse_numactl(TWO.replace(old, new).encode(), "x")


def test_without_nodes_or_cpus() -> None:
    """A container's text has no nodes, numactl 1.0 told no CPUs: both are refused with a cure."""
    with pytest.raises(InputError, match="tells no NUMA node; run numactl --hardware on the host itself"):
        parse_numactl(b"available: 0 nodes ()\nNo distance information available.\n", "x")
    with pytest.raises(InputError, match="does not tell the CPUs of any node"):
        parse_numactl(b"available: 1 nodes (0)\nnode 0 size: 100 MB\n", "x")
