"""A host as data, DOT and SVG: complete, parsable, and safe for any name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from syrupy.assertion import SnapshotAssertion

from placer.model.host import Device, Host
from placer.read.hosts.host import read_topology
from placer.show.hosts.data import host_data
from placer.show.hosts.dot import host_dot
from placer.show.hosts.svg import host_svg

HOSTILE = 'a"b\\c<d>&e\n\x1b[31m\ud800'


def test_data_carries_all_and_the_assumptions(repository: Path, snapshot: SnapshotAssertion) -> None:
    """The JSON of a host is golden, and its assumptions are those that the picture prints."""
    topology = read_topology(repository / "data" / "hosts" / "two-node-40cpu.numactl.txt")
    data = host_data(topology, "two-node")
    assert data["assumptions"] == list(topology.assumptions) != []
    assert json.dumps(data, indent=1) == snapshot


def test_data_says_null_for_the_unknown(small_host: Host) -> None:
    """What the source did not tell is null, not false or zero."""
    data = host_data(small_host.topology, "x")
    assert data["kvm"] is None
    assert data["bandwidth_mib_s"] is None
    assert data["nodes"][0]["free_kib"] is None


def test_dot_is_golden(small_host: Host, snapshot: SnapshotAssertion) -> None:
    """The DOT text has a box a part and one edge for a pair of nodes with equal ways."""
    assert host_dot(small_host.topology, "kvm-a") == snapshot


def test_dot_tells_unequal_ways_apart(small_host: Host) -> None:
    """Where the way there differs from the way back there are two edges."""
    topology = replace(small_host.topology, distances=((10.0, 21.0), (25.0, 10.0)))
    text = host_dot(topology, "x")
    assert '"node 0 to node 1: 21"' in text
    assert '"node 1 to node 0: 25"' in text


@pytest.mark.parametrize("name", ["four-socket.lstopo.xml", "memory-only-node.capabilities.xml"])
def test_svg_shows_every_cpu_and_distance(repository: Path, name: str) -> None:
    """The SVG is well-formed, has every CPU once and every figure of the matrix."""
    topology = read_topology(repository / "data" / "hosts" / name)
    root = etree.fromstring(host_svg(topology, name).encode())
    titles = [element.text or "" for element in root.iter("{*}title")]
    cpus = [int(match[1]) for title in titles if (match := re.fullmatch(r"core \d+, CPU (\d+)", title))]
    assert sorted(cpus) == sorted(topology.cpus)
    texts = [element.text for element in root.iter("{*}text")]
    assert texts.count("10") >= len(topology.nodes)
    assert root.find("{*}title").text == f"host {name}"  # type: ignore[union-attr]


def test_no_name_breaks_out(small_host: Host) -> None:
    """Quotes, tags, control characters and lone surrogates in names break neither DOT nor SVG."""
    topology = replace(
        small_host.topology, devices=(Device(address=HOSTILE, kind="nic", node=0),), assumptions=(HOSTILE,)
    )
    svg = host_svg(topology, HOSTILE)
    etree.fromstring(svg.encode())
    assert "<d>" not in svg
    dot = host_dot(topology, HOSTILE)
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', dot)
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", dot)
    assert '"' not in rest and "\x1b" not in dot
    assert any("b\\\\c" in text for text in strings)
