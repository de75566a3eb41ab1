"""``placer whatif``, ``placer runway`` and ``placer pareto``."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Placer = Callable[..., Any]
HEAD = "schema: placer.scenario/v1\nedits:\n"


def test_scenarios_stand_side_by_side(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """Table, JSON and CSV say the same: one of two more VMs fits, and a larger reserve takes the headroom."""
    (tmp_path / "more.yaml").write_text(HEAD + "  - {grow: {2x4GiB: 2}}\n")
    (tmp_path / "reserve.yaml").write_text(HEAD + '  - {reserve: {cpus: "0-3"}}\n')
    files = [tmp_path / "more.yaml", tmp_path / "reserve.yaml"]
    run = placer("whatif", fleet_file, *files, "--flavor", "1x1GiB", "--json", "--executor", "serial")
    assert run.code == 0
    base, more, kept = run.envelope["result"]["scenarios"]
    assert [(row["placed"], row["vms"]) for row in (base, more, kept)] == [(3, 3), (4, 5), (3, 3)]
    assert [row["headroom"]["1x1GiB"]["fit"] for row in (base, more, kept)] == [2, 0, 0]
    assert more["changes"] == ["grow by 2 of 2x4GiB:dedicated: 2 VMs"]
    for name in ("c.json", "c.csv"):
        assert placer("whatif", fleet_file, *files, "-o", tmp_path / name, "--executor", "serial").code == 0
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert [row["placed"] for row in rows] == ["3", "4", "3"]
    assert json.loads((tmp_path / "c.json").read_text())["scenarios"][1]["placed"] == 4
    table = placer("whatif", fleet_file, *files, "--flavor", "1x1GiB", "--executor", "serial").out
    assert "4/5" in table and "headroom of 1x1GiB" in table


def test_processes_give_the_same_bytes(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """Serial and processes print the same envelope, failures included; so does a run from complete results."""
    (tmp_path / "add.yaml").write_text(HEAD + "  - {add_hosts: {like: kvm-a, count: 2}}\n")
    arguments = ["whatif", fleet_file, tmp_path / "add.yaml", "--stack", "--json", "--time-limit", "60s"]
    serial = placer(*arguments, "--executor", "serial")
    kept = tmp_path / "r.jsonl"
    assert placer(*arguments, "--executor", "processes", "--workers", "2", "--results", kept).out == serial.out
    again = placer(*arguments, "--executor", "serial", "--results", kept)
    assert again.out == serial.out and "2 of 2 scenarios are there from before" in again.err
    other = placer("whatif", fleet_file, "--results", kept, "--executor", "serial", "--time-limit", "60s")
    assert other.code == 2 and "another sweep" in other.err


def test_failures_are_told(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """With two more hosts each failure is harmless, and the answer says that it is proven."""
    (tmp_path / "add.yaml").write_text(HEAD + "  - {add_hosts: {like: kvm-a, count: 2}}\n")
    run = placer("whatif", fleet_file, tmp_path / "add.yaml", "--fail-each", "host", "--executor", "serial")
    assert run.code == 2 and "there is only 1 domain" in run.err
    three = fleet_file.read_text().replace("- name: kvm-a\n", "- name: kvm-a\n    count: 3\n")
    (tmp_path / "three.yaml").write_text(three)
    run = placer("whatif", tmp_path / "three.yaml", "--fail-each", "host", "--executor", "serial")
    assert run.code == 0 and "every VM finds a NUMA-true place: proven" in run.out


def test_bad_scenarios_are_one_line_and_exit_2(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """An unknown host, an NPS that does not divide, and edits that contradict each other: file, line and exit 2."""
    for edits, said in (
        ("  - {fail: kvm-b}\n", "bad.yaml:3: fail: no host has name: kvm-b; did you mean 'kvm-a'?"),
        ("  - {nps: 4}\n  - {smt: off}\n", "bad.yaml:4: smt: host kvm-a: no core has two threads"),
        ("  - {overcommit: 2}\n  - {overcommit: 3}\n", "bad.yaml:4: overcommit: the edit on line 3 sets"),
    ):
        (tmp_path / "bad.yaml").write_text(HEAD + edits)
        run = placer("whatif", fleet_file, tmp_path / "bad.yaml")
        assert run.code == 2 and run.out == ""
        assert said in run.err and len(run.err.splitlines()) == 1


def test_runway_and_pareto(placer: Placer, fleet_file: Path) -> None:
    """Six free CPUs, VMs of 2, 1 and 1: doubled they need eight, so that month 1 is full, which is proven."""
    run = placer("runway", fleet_file, "--growth", "100%", "--json", "-q")
    assert run.code == 0
    assert {key: run.envelope["result"][key] for key in ("fits", "full", "proven")} == {
        "fits": 0,
        "full": 1,
        "proven": True,
    }
    assert placer("runway", fleet_file, "--growth", "3").code == 2
    points = placer("pareto", fleet_file, "--json", "--executor", "serial").envelope["result"]["points"]
    assert [(point["host_cost"], point["remote_access"]) for point in points] == [(1.0, 0.0)]
