"""The picture of a domain, and the affinity rows that virsh prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from placer.read.domains.domain_xml import read_domain
from placer.read.domains.virsh_text import read_vcpuinfo, read_vcpupin
from placer.show.affinity import draw_rows, draw_vcpuinfo, draw_vcpupin, vcpuinfo_data, vcpupin_data
from placer.show.domain_picture import domain_data, draw_domain

Draw = Callable[[Callable[[Console], None]], str]

VCPUINFO = b"""VCPU:           0
CPU:            4
State:          running
CPU time:       7.9s
CPU Affinity:   y---y---

VCPU:           1
CPU:            N/A
State:          N/A
CPU time:       N/A
CPU Affinity:   -y---y--
"""
VCPUPIN = b""" VCPU   CPU Affinity
----------------------
 0      0-3,6
 1      4
"""


@pytest.mark.parametrize("name", ["two-cells", "half-pinned"])
def test_bundled_domains(repository: Path, drawn: Draw, snapshot: SnapshotAssertion, name: str) -> None:
    """Bundled guests are drawn as the golden file has them, within 80 columns."""
    path = repository / "data" / "domains" / f"{name}.xml"
    reading = read_domain(path.read_bytes(), path.name)
    text = drawn(lambda console: draw_domain(reading, console))
    assert text == snapshot
    assert max(map(len, text.splitlines())) <= 80


def test_domain_data_has_a_row_a_pinned_vcpu(repository: Path) -> None:
    """The JSON of a domain has pins and affinity rows that say the same, and the notes."""
    path = repository / "data" / "domains" / "half-pinned.xml"
    reading = read_domain(path.read_bytes(), path.name)
    data = domain_data(reading)
    assert json.loads(json.dumps(data)) == data
    assert data["pins"]["0"] == "2"
    assert data["affinity"]["0"] == "--y----"
    assert data["affinity"]["2"] == "-yy-y-y"
    assert data["assumptions"] == list(reading.notes)


def test_vcpuinfo_rows_are_as_virsh_prints_them(drawn: Draw, snapshot: SnapshotAssertion) -> None:
    """Rows of y and - come out as they went in, and what is not known is said to be unknown."""
    states = read_vcpuinfo(VCPUINFO, "vcpuinfo")
    text = drawn(lambda console: draw_vcpuinfo(states, "db", console))
    assert text == snapshot
    data = vcpuinfo_data(states, "db")
    assert [vcpu["affinity"] for vcpu in data["vcpus"]] == ["y---y---", "-y---y--"]
    assert data["vcpus"][1]["cpu"] is None


def test_vcpupin_rows(drawn: Draw) -> None:
    """Text of vcpupin is drawn as rows up to the last CPU that it names."""
    pins = read_vcpupin(VCPUPIN, "vcpupin")
    text = drawn(lambda console: draw_vcpupin(pins, "db", console))
    assert "vCPU 0      yyyy--y" in text
    assert "vCPU 1      ----y--" in text
    assert [vcpu["affinity"] for vcpu in vcpupin_data(pins, "db")["vcpus"]] == ["yyyy--y", "----y--"]


def test_wide_rows_fold_and_lose_nothing(drawn: Draw) -> None:
    """A row of 250 CPUs goes on in further lines, each with the number of its first CPU."""
    text = drawn(lambda console: draw_rows([("vCPU 0", frozenset((0, 61, 249)))], 250, console))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    starts = [int(line[14:19]) for line in lines]
    rows = [line[20:] for line in lines]
    assert starts == [0, 60, 120, 180, 240]
    whole = "".join(rows)
    assert [cpu for cpu, mark in enumerate(whole) if mark == "y"] == [0, 61, 249]
    assert len(whole) == 250
