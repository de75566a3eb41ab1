"""Every spec runs at smoke size, and what it yields is proven, consistent and no better than the proof allows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import registry
from benchmarks.headroom import lost
from benchmarks.maintenance import drained
from benchmarks.peers.ganeti import Guest, Machine
from benchmarks.registry import SMOKE
from placer.errors import InputError

Row = dict[str, Any]

EXPECTED = {
    "exact-fit": {"placer", "first fit", "best fit", "counts per host (HiGHS)", "a boolean per VM and place (CP-SAT)"},
    "greenfield": {"placer", "first fit, largest first", "best fit, largest first"},
    "vector-packing": {"placer", "first fit, largest first", "counts per bin (HiGHS)"},
    "many-sizes": {"placer", "cosine, largest first", "best fit, largest first"},
    "live": {"placer", "no moves", "counts per host (HiGHS)"},
    "rules": {"placer", "placer's greedy engine"},
}
VALUE = {
    "exact-fit": "remote",
    "greenfield": "remote",
    "vector-packing": "hosts",
    "many-sizes": "unplaced_vcpus",
    "live": "value",
    "rules": "remote",
}
MAXIMISED = {"live"}


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def smoke(request: pytest.FixtureRequest) -> tuple[str, list[Row]]:
    """Return a spec's name and its rows at smoke size."""
    return request.param, registry.spec(request.param).run(SMOKE, [0], lambda row: None)


def test_every_method_runs(smoke: tuple[str, list[Row]]) -> None:
    """Every method that CI can run answers, with the columns that every row has."""
    name, rows = smoke
    assert {row["method"] for row in rows} >= EXPECTED[name]
    for row in rows:
        assert {"spec", "size", "method", "instance", "seed", "seconds", "status"} <= set(row)


def test_placer_proves_its_smoke_answers(smoke: tuple[str, list[Row]]) -> None:
    """At smoke size placer places everything and proves it optimal."""
    for row in smoke[1]:
        if row["method"] == "placer":
            assert row["status"] == "optimal" and row["gap_percent"] == 0 and row["unplaced_vcpus"] == 0


def test_no_method_beats_the_proof(smoke: tuple[str, list[Row]]) -> None:
    """No other method that places as much has a better value than the one that placer proves optimal."""
    name, rows = smoke
    sign = -1 if name in MAXIMISED else 1
    best = {row["instance"]: row[VALUE[name]] for row in rows if row["method"] == "placer"}
    for row in rows:
        if row.get("unplaced_vms") == 0 and row[VALUE[name]] is not None:
            assert sign * row[VALUE[name]] >= sign * best[row["instance"]] - 1e-9, row


def test_what_is_said_of_failures_is_what_counting_says() -> None:
    """Of a small fleet every verb is raced against all places and all failures, and none says what is not so."""
    rows = registry.spec("reserves").run(SMOKE, [0], lambda row: None)
    assert [row["method"] for row in rows] == ["solve and check", "headroom", "minfleet", "runway"]
    assert all(row["status"] == "exact" for row in rows), rows


def test_headroom_beside_hspace() -> None:
    """As many VMs as placer says survive every failure by a program of the benchmark's own, and hspace has no more."""
    ours, theirs = registry.spec("headroom").run(SMOKE, [0], lambda row: None)
    assert ours["status"] == "optimal" and ours["more"] == ours["at_most"] and not ours["harmful"]
    assert theirs["status"].startswith("missing") or theirs["more"] <= ours["more"]


def test_hspace_counts_no_cpus_after_a_failure() -> None:
    """Of two hosts with the memory for each other's VMs and without the CPUs, each loses its own."""
    machines = [Machine(4, 64), Machine(4, 64)]
    guests = [Guest(4, 8, 0), Guest(4, 8, 1)]
    assert [lost(machines, guests, failed) for failed in (0, 1)] == [1, 1]
    assert [lost([Machine(8, 64)] * 2, guests, failed) for failed in (0, 1)] == [0, 0]


def test_maintenance_beside_hroller_and_one_by_one() -> None:
    """No state on the way has a fault, waves are within one of their bound, and nobody has fewer."""
    plain, reserved, single, groups = registry.spec("maintenance").run(SMOKE, [0], lambda row: None)
    for row in (plain, reserved):
        assert row["status"] == "within one" and row["faults"] == 0 and row["waves"] <= single["waves"]
    assert groups["status"].startswith("missing") or plain["waves"] <= groups["waves"]


def test_draining_one_by_one() -> None:
    """Two hosts with one VM each: each moves once to the other, and back with it; without room it ends."""
    assert drained([Machine(8, 8)] * 2, [Guest(1, 4, 0), Guest(1, 4, 1)]) == (2, 3)
    assert drained([Machine(8, 8)] * 2, [Guest(1, 8, 0), Guest(1, 8, 1)]) is None
    assert drained([Machine(8, 8)] * 3, [Guest(1, 4, 0)], [[0, 1], [2]]) == (2, 2)


def test_broken_rules_of_a_running_fleet_are_mended_as_far_as_is_proven() -> None:
    """At smoke size what stays broken is what few moves must leave, and the row says so."""
    (row,) = registry.spec("live-rules").run(SMOKE, [0], lambda row: None)
    assert row["method"] == "placer" and row["status"] == "optimal"
    assert row["rules"] == row["rules_bound"] < row["broken"] and row["unplaced_vcpus"] == 0


def test_records_are_read_and_judged(tmp_path: Path) -> None:
    """A gzipped file of records takes the place of made ones, and the answer is compared with what is known."""
    record = {"name": "three", "d": 2, "cap": [10, 10], "items": [[6, 1], [6, 1], [4, 9]], "opt": 2, "best_heur": 3}
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(record).encode() + b"\n"))
    rows = registry.spec("vector-packing").run(SMOKE, [0], lambda row: None, path)
    (row,) = [row for row in rows if row["method"] == "placer"]
    assert row["instance"] == "three" and row["hosts"] == 2 and row["hosts_bound"] == 2
    assert (row["above_heuristic"], row["above_optimum"], row["bound_above_optimum"]) == (0, 0, 0)


def test_bad_records_are_named_all(tmp_path: Path) -> None:
    """Lines that are no records are named with their numbers, all at once."""
    path = tmp_path / "records.jsonl"
    too_large = {"name": "x", "cap": [1], "items": [[2]]}
    path.write_text(f"{{}}\nnonsense\n{json.dumps(too_large)}\n")
    with pytest.raises(InputError) as error:
        registry.spec("vector-packing").run(SMOKE, [0], lambda row: None, path)
    assert [fault.line for fault in error.value.faults] == [1, 2, 3]


def test_data_for_a_spec_that_reads_none(tmp_path: Path) -> None:
    """A file of instances is refused where the benchmark makes its own."""
    with pytest.raises(InputError, match="makes its own"):
        registry.spec("rules").run(SMOKE, [0], lambda row: None, tmp_path / "records.jsonl")
