"""``placer show``: every kind of file by its content, in every form."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOST = "data/hosts/two-node-40cpu.numactl.txt"
MLC = """\
Intel(R) Memory Latency Checker - v3.9
Measuring idle latencies (in ns)...
\t\tNuma node
Numa node\t     0\t     1
       0\t  80.0\t 120.0
       1\t 128.0\t  80.0
"""

Placer = Callable[..., Any]


def test_host_in_every_form(placer: Placer, repository: Path) -> None:
    """A machine file is drawn as a tree, as JSON with its assumptions, as DOT and as SVG."""
    path = repository / HOST
    table = placer("show", path)
    assert table.code == 0
    assert "node 1: 32 GiB" in table.out and "assumed:" in table.out
    data = placer("show", path, "--format", "json").envelope
    assert data["schema"] == "placer.show/v1" and data["ok"] is True
    assert data["result"]["kind"] == "host"
    for sentence in data["result"]["assumptions"]:
        assert sentence.split(":")[0] in table.out
    assert placer("show", path, "--json").envelope == data
    assert placer("show", path, "--format", "dot").out.startswith("graph ")
    assert placer("show", path, "--format", "svg").out.startswith("<svg ")


def test_standard_input(placer: Placer, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads standard input, recognised like a file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((repository / HOST).read_bytes())))
    run = placer("show", "-")
    assert run.code == 0 and "40 online" in run.out


def test_distances_from_mlc(placer: Placer, repository: Path, tmp_path: Path) -> None:
    """Measured latencies take the place of the firmware's distances, and the assumptions say so."""
    mlc = tmp_path / "mlc.txt"
    mlc.write_text(MLC)
    result = placer("show", repository / HOST, "--distances", mlc, "--json").envelope["result"]
    assert result["distances"] == [[10.0, 15.0], [16.0, 10.0]]
    assert any("MLC" in sentence for sentence in result["assumptions"])
    alone = placer("show", mlc)
    assert alone.code == 2 and "--distances" in alone.err


def test_domain_and_affinity(placer: Placer, repository: Path, tmp_path: Path) -> None:
    """Domain XML, text of vcpuinfo and vcpupin and a QEMU command line are drawn, and come as JSON of their kind."""
    vcpuinfo = tmp_path / "vcpuinfo"
    vcpuinfo.write_text("VCPU: 0\nCPU: 1\nState: running\nCPU time: 1.0s\nCPU Affinity: y---y---\n")
    vcpupin = tmp_path / "vcpupin"
    vcpupin.write_text(" VCPU   CPU Affinity\n---------\n 0      0,4\n")
    qemu = tmp_path / "cmdline"
    qemu.write_text("qemu-system-x86_64 -name vm -smp 4 -m 2048\n")
    files = {"domain": [repository / "data/domains/two-cells.xml", qemu], "vcpuinfo": [vcpuinfo], "vcpupin": [vcpupin]}
    for kind, paths in files.items():
        for path in paths:
            assert placer("show", path).code == 0
            assert placer("show", path, "--json").envelope["result"]["kind"] == kind
    assert "y---y---" in placer("show", vcpuinfo).out


def test_plan_and_inventory(placer: Placer, plan_file: Path, fleet_file: Path) -> None:
    """A plan is drawn with its fleet beside it, one host of it by name; an inventory by its shapes."""
    whole = placer("show", plan_file)
    assert whole.code == 0 and "host kvm-a: 3 VMs" in whole.out and "free" in whole.out
    one = placer("show", plan_file, "kvm-a", "--json").envelope["result"]
    assert one["kind"] == "plan-host" and [node["id"] for node in one["nodes"]] == [0, 1]
    assert placer("show", plan_file, "--json").envelope["result"]["schema"] == "placer.plan/v1"
    assert "inventory: 1 host, 3 VMs" in placer("show", fleet_file).out
    assert "node 0: 16 GiB" in placer("show", fleet_file, "kvm-a").out
    assert placer("show", fleet_file, "--json").envelope["result"]["kind"] == "inventory"


def test_plan_without_its_fleet_is_drawn_with_a_note(placer: Placer, plan_file: Path, fleet_file: Path) -> None:
    """Where the fleet is gone or has changed the plan is drawn alone, and standard error says what is missing."""
    fleet_file.write_text(fleet_file.read_text() + "\n# changed\n")
    changed = placer("show", plan_file)
    assert changed.code == 0 and "drawn without free CPUs" in changed.err
    fleet_file.unlink()
    gone = placer("show", plan_file)
    assert gone.code == 0 and "drawn without free CPUs" in gone.err
    given = placer("show", plan_file, "--fleet", fleet_file)
    assert given.code == 2


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", [], "the file is empty"),
        ("hello\n", [], "of no kind that placer reads"),
        ("<domain type='kvm'><name>x</name></domain>", ["--format", "svg"], "only a host can be drawn"),
        ("<domain type='kvm'><name>x</name></domain>", ["kvm-a"], "holds one thing"),
        ("schema: placer.inventory/v1\nhosts:\n  - {name: a}\n", [], "hosts[a]"),
    ],
)
def test_bad_input(placer: Placer, tmp_path: Path, content: str, arguments: list[str], message: str) -> None:
    """What cannot be drawn is refused with exit 2 and one line that names the file."""
    path = tmp_path / "file"
    path.write_text(content)
    run = placer("show", path, *arguments)
    assert (run.code, run.out) == (2, "")
    assert message in run.err and str(path) in run.err


def test_inventory_of_several_hosts_is_not_one_picture(placer: Placer, fleet_file: Path) -> None:
    """SVG of an inventory asks for the name of a host; an unknown name is refused."""
    assert "name one" in placer("show", fleet_file, "--format", "svg").err
    assert placer("show", fleet_file, "kvm-a", "--format", "svg").out.startswith("<svg ")
    assert "no host 'kvm-b'" in placer("show", fleet_file, "kvm-b").err


def test_json_is_one_document_of_ascii(placer: Placer, tmp_path: Path) -> None:
    """The envelope is one JSON document, keys sorted, ASCII whatever the names hold."""
    path = tmp_path / "höst.txt"
    path.write_bytes(b"available: 1 nodes (0)\nnode 0 cpus: 0 1\nnode 0 size: 100 MB\nnode distances:\nnode 0\n0: 10\n")
    run = placer("show", path, "--json")
    assert run.out.isascii()
    assert list(json.loads(run.out)) == ["ok", "result", "schema"]
