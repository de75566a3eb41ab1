"""The picture of a host: golden at 80 columns without colour, and honest about what is not known."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from placer.model.host import Device, Host, NodeKind
from placer.read.hosts.host import read_topology
from placer.show.hosts.picture import draw_host

Draw = Callable[[Callable[[Console], None]], str]

FILES = (
    "two-node-40cpu.numactl.txt",
    "epyc-nps4.capabilities.xml",
    "four-socket.lstopo.xml",
    "memory-only-node.capabilities.xml",
)


@pytest.mark.parametrize("name", FILES)
def test_bundled_hosts(repository: Path, drawn: Draw, snapshot: SnapshotAssertion, name: str) -> None:
    """Each bundled host file is drawn as the golden file has it, and no line is wider than 80 columns."""
    topology = read_topology(repository / "data" / "hosts" / name)
    text = drawn(lambda console: draw_host(topology, name, console))
    assert text == snapshot
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


@pytest.mark.parametrize(("kvm", "words"), [(True, "KVM      yes"), (False, "KVM      no"), (None, "KVM      unknown")])
def test_kvm_is_yes_no_or_unknown(small_host: Host, drawn: Draw, kvm: bool | None, words: str) -> None:
    """Whether KVM can run is told, and not knowing it is not a no."""
    topology = replace(small_host.topology, kvm=kvm)
    assert words in drawn(lambda console: draw_host(topology, "x", console))


def test_assumptions_stand_under_the_picture(small_host: Host, drawn: Draw) -> None:
    """Every assumption is printed, after all else."""
    topology = replace(small_host.topology, assumptions=("distances are made up", "one node assumed"))
    text = drawn(lambda console: draw_host(topology, "x", console))
    assert [line.strip() for line in text.splitlines()[-3:]] == [
        "assumed:",
        "- distances are made up",
        "- one node assumed",
    ]
    assert "assumed" not in drawn(lambda console: draw_host(small_host.topology, "x", console))


def test_distances_are_coloured_on_a_terminal(small_host: Host) -> None:
    """On a terminal equal distances have one colour and unequal ones two; without colour the figures stand alone."""
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system="truecolor", markup=False)
    draw_host(small_host.topology, "x", console)
    backgrounds = [part.split("m")[0] for part in stream.getvalue().split("48;2;")[1:]]
    assert len(backgrounds) == 4
    assert backgrounds[0] == backgrounds[3] != backgrounds[1] == backgrounds[2]


def test_many_nodes_fold_into_lines(small_host: Host, drawn: Draw) -> None:
    """A matrix too wide for the console becomes a line a node and distance, nothing left out."""
    size = 40
    node = small_host.topology.nodes[0]
    topology = replace(
        small_host.topology,
        nodes=(node, *(replace(node, id=number, cpus=frozenset()) for number in range(1, size))),
        distances=tuple(tuple(10.0 if i == j else 16.0 + (i + j) % 2 for j in range(size)) for i in range(size)),
        cores=small_host.topology.cores[:4],
        packages=(),
    )
    text = drawn(lambda console: draw_host(topology, "x", console))
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split() for line in text.partition("10 = local")[2].splitlines() if line]
    assert rows[0] == ["from", "0", "10", "to", "0"]
    assert len(rows) == 3 * size


def test_node_kinds_offline_cpus_and_devices(small_host: Host, drawn: Draw) -> None:
    """Memory-only and device nodes, offline CPUs, page pools with what is free and devices are all named."""
    first, second = small_host.topology.nodes
    pooled = replace(first, pages={1048576: 8, 2048: 1}, free_pages={1048576: 3}, free_kib=1 << 20)
    topology = replace(
        small_host.topology,
        nodes=(
            pooled,
            second,
            replace(second, id=2, cpus=frozenset(), kind=NodeKind.MEMORY_ONLY),
            replace(second, id=3, cpus=frozenset(), kind=NodeKind.DEVICE),
        ),
        distances=tuple(tuple(10.0 if i == j else 255.0 for j in range(4)) for i in range(4)),
        offline=frozenset((16, 17, 18)),
        devices=(
            Device(address="0000:3b:00.0", kind="nic", node=1, count=4),
            Device(address="evil\x1b]0;", kind="gpu", node=None),
        ),
    )
    text = drawn(lambda console: draw_host(topology, "x", console))
    for words in ("node 0: 32 GiB; 1 GiB free when read", "1 page of 2 MiB", "8 pages of 1 GiB, 3"):
        assert words in text
    assert "node 2: 32 GiB; memory only" in text
    assert "node 3: 32 GiB of a device, never planned for" in text
    assert "offline  CPUs 16-18" in text
    assert "devices: nic 0000:3b:00.0 × 4" in text
    assert "\x1b" not in text
    assert "devices: gpu evil\\x1b]0;" in text
