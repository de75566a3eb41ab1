"""``virsh nodeinfo``, alone and with /proc/cpuinfo behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.hosts.nodeinfo import parse_nodeinfo

TEXT = """CPU model:           x86_64
CPU(s):              8
CPU frequency:       2400 MHz
CPU socket(s):       1
Core(s) per socket:  2
Thread(s) per core:  2
NUMA cell(s):        2
Memory size:         16777216 KiB

"""


def test_counts_alone() -> None:
    """One node with all CPUs and memory; sockets count per cell; what was made of the counts is said."""
    topology = parse_nodeinfo(TEXT.encode(), "x")
    assert [(node.id, node.cpus, node.memory_kib) for node in topology.nodes] == [(0, set(range(8)), 16777216)]
    assert topology.cores == ({0, 4}, {1, 5}, {2, 6}, {3, 7})
    said = " ".join(topology.assumptions)
    for part in (
        "CPU numbers are not told",
        "2 NUMA cells are told",
        "2 threads per core are told",
        "2 sockets are told",
    ):
        assert part in said
    assert topology.kvm is None


def test_power_numbers_threads_one_after_the_other() -> None:
    """On POWER siblings are neighbours."""
    assert parse_nodeinfo(TEXT.replace("x86_64", "ppc64le").encode(), "x").cores[0] == {0, 1}


def test_counts_that_do_not_multiply() -> None:
    """With CPUs offline the product is wrong: no siblings are made of it."""
    topology = parse_nodeinfo(TEXT.replace("CPU(s):              8", "CPU(s):              7").encode(), "x")
    assert [len(core) for core in topology.cores] == [1] * 7
    assert any("every CPU counts as a core" in sentence for sentence in topology.assumptions)


def test_with_cpuinfo(repository: Path) -> None:
    """/proc/cpuinfo tells the real numbers, siblings and packages, and that KVM cannot run; old ``kB`` is KiB."""
    topology = parse_nodeinfo((repository / "data/hosts/no-kvm.nodeinfo-cpuinfo.txt").read_bytes(), "x")
    assert topology.cpus == {0, 1, 2, 3, 4, 6, 7}
    assert topology.cores == ({0, 1}, {2, 3}, {4}, {6, 7})
    assert topology.packages == ({0, 1, 2, 3}, {4, 6, 7})
    assert topology.kvm is False
    assert topology.nodes[0].memory_kib == 33554432
    assert topology.model == "Intel(R) Xeon(R) (made up)"


def test_without_frequency(repository: Path) -> None:
    """On Arm the line on frequency is missing."""
    topology = parse_nodeinfo((repository / "data/hosts/aarch64.nodeinfo.txt").read_bytes(), "x")
    assert (len(topology.cpus), len(topology.cores), topology.arch) == (64, 64, "aarch64")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NUMA cell(s):        2\n", "", "the line NUMA cell\\(s\\) is missing"),
        ("CPU(s):              8", "CPU(s):              0", "x:2: CPU\\(s\\) is 0, not between 1 and"),
        ("CPU(s):              8", "CPU(s):              many", "x:2: CPU\\(s\\) is 'many'"),
        ("16777216 KiB", "16 GiB", "the memory size is not told in KiB"),
    ],
)
def test_damaged(old: str, new: str, message: str) -> None:
    """What is damaged is refused with the line and the reason."""
    assert old in TEXT
    with pytest.raises(InputError, match=message):
        parse_nodeinfo(TEXT.replace(old, new).encode(), "x")


def test_threads_that_cannot_be_told_apart_are_not_called_untold() -> None:
    """Of 8 CPUs two are offline, and so nobody knows which of the others share a core: the two to a core are told."""
    topology = parse_nodeinfo(TEXT.replace("CPU(s):              8", "CPU(s):              6").encode(), "x")
    said = [text for text in topology.assumptions if "threads" in text]
    assert said == ["threads per core are not told CPU by CPU, only that there are 2: every CPU counts as a core"]
