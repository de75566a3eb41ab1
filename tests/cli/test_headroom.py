"""``placer headroom``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Placer = Callable[..., Any]
DATA = Path(__file__).parents[2] / "data"


def test_headroom_of_a_live_fleet_and_after_moves(placer: Placer) -> None:
    """As the fleet is, and after the best three moves: never fewer, and proven."""
    run = placer(
        "headroom",
        str(DATA / "mixed-racks.yaml"),
        "--flavor",
        "16x64GiB",
        "--by",
        "rack",
        "--moves",
        "3",
        "--time-limit",
        "1h",
        "--json",
    )
    assert run.code == 0
    (entry,) = run.envelope["result"]["headroom"]
    assert entry["total"] == sum(entry["per_label"].values()) == sum(entry["per_host"].values())
    assert entry["after_moves"]["value"] == entry["after_moves"]["bound"] >= entry["total"]


def test_a_flavor_that_is_none_is_refused(placer: Placer) -> None:
    """A text that is no flavor gets one line with the cure and exit 2."""
    run = placer("headroom", str(DATA / "two-node.yaml"), "--flavor", "big")
    assert run.code == 2
    assert "'big' is not a flavor" in run.err
    assert len(run.err.splitlines()) == 1


def test_cells_pages_and_vms_like_others(placer: Placer) -> None:
    """Each flavor is counted by cell count and page size, and a VM like one of the fleet beside them."""
    file = str(DATA / "two-node.yaml")
    run = placer("headroom", file, "--flavor", "8x8GiB", "--cells", "1,2,auto", "--page-size", "4KiB,1GiB", "--json")
    assert run.code == 0
    found = {entry["flavor"]: entry["total"] for entry in run.envelope["result"]["headroom"]}
    named = [f"8x8GiB{cells}{pages}" for cells in ("", "/2", "/auto") for pages in ("", " in 1GiB pages")]
    assert sorted(found) == sorted(named)
    assert found["8x8GiB/auto"] >= max(found["8x8GiB"], found["8x8GiB/2"])
    assert all(entry["total"] == entry["at_most"] for entry in run.envelope["result"]["headroom"])
    for arguments, said in (
        (["--flavor", "8x8GiB", "--cells", "9"], "'9' is no number of cells"),
        (["--flavor", "8x8GiB", "--page-size", "big"], "big"),
        (["--like", "nobody"], "no VM is named 'nobody'"),
    ):
        run = placer("headroom", file, *arguments)
        assert run.code == 2 and said in run.err and len(run.err.splitlines()) == 1


def test_without_a_flavor_sizes_up_to_the_largest_node_are_counted(placer: Callable[..., Any]) -> None:
    """vCPUs are doubled up to the largest node's, ascending; never do more fit of a larger one."""
    run = placer("headroom", str(DATA / "two-node.yaml"), "--json")
    rows = run.envelope["result"]["headroom"]
    vcpus = [int(row["flavor"].partition("x")[0]) for row in rows]
    totals = [row["total"] for row in rows]
    assert vcpus[:4] == [1, 2, 4, 8] and vcpus == sorted(vcpus)
    assert totals == sorted(totals, reverse=True) and totals[0] > totals[-1] >= 0


def test_what_a_reserve_keeps_is_named(placer: Placer, tmp_path: Path) -> None:
    """Hosts have room that a failure would take: that it is the reserve is said, not that memory runs out."""
    fleet = """schema: placer.inventory/v1
hosts:
  - {name: h, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}
vms:
  - {name: a, vcpus: 4, memory: 4GiB, host: h-1, nodes: [0]}
  - {name: b, vcpus: VCPUS, memory: 4GiB, host: h-2, nodes: [0]}
  - {name: new, vcpus: 1, memory: 1GiB}
rules:
  - {reserve: {fail: 1, scope: host}}
"""
    for vcpus, why in ((4, "room that a reserve keeps"), (8, "a reserve that is not kept as it is")):
        path = tmp_path / f"{vcpus}.yaml"
        path.write_text(fleet.replace("VCPUS", str(vcpus)))
        run = placer("headroom", str(path), "--flavor", "2x1GiB", "--time-limit", "1h")
        assert run.out.startswith("0 ") and f" fit; what runs out first: {why}." in run.out
        assert "1 VM that is nowhere yet: not counted; a plan is." in run.out


def test_an_inventory_comes_in(placer: Placer, fleet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is read once: looking for a plan in it left an empty file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fleet_file.read_bytes())))
    run = placer("headroom", "-", "--flavor", "1x1GiB", "--json")
    assert run.code == 0 and run.envelope["result"]["headroom"][0]["flavor"] == "1x1GiB"
