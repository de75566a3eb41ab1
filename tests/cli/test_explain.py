"""``placer explain``: a VM's places and a fleet's prices, in text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Placer = Callable[..., Any]


def test_vm(placer: Placer, plan_file: Path) -> None:
    """One VM is said with its place and every other place's verdict."""
    run = placer("explain", plan_file, "db")
    assert run.code == 0 and "db is on kvm-a" in run.out and "SAFE" in run.out
    result = placer("explain", plan_file, "db", "--json").envelope["result"]
    assert result["host"] == "kvm-a" and result["remote_share"] == 0
    assert {place["verdict"] for place in result["alternatives"]["places"]} <= {"SAFE", "BLOCKED", "WORSE"}


def test_fleet(placer: Placer, plan_file: Path, fleet_file: Path) -> None:
    """Without a VM the fleet's locality and rules are told."""
    run = placer("explain", plan_file)
    assert run.code == 0 and "planned" in run.out and "locality score" in run.out
    fleet_file.write_text(
        fleet_file.read_text() + "rules:\n  - {anti_affinity: {name: db}, scope: host, name: alone}\n"
    )
    assert placer("solve", fleet_file, "-o", plan_file, "--force", "-q").code == 0
    run = placer("explain", plan_file, "--time-limit", "5s")
    assert run.code == 0 and "alone: nothing, proven" in run.out
    result = placer("explain", plan_file, "--json").envelope["result"]
    assert result["prices"][0]["rule"] == "alone" and result["prices"][0]["costs"] == {}


def test_unknown_vm(placer: Placer, plan_file: Path) -> None:
    """A VM that is not in the fleet is bad input."""
    run = placer("explain", plan_file, "nobody")
    assert run.code == 2 and "nobody" in run.err


def test_a_mistyped_vm_names_what_is_like_it(placer: Placer, plan_file: Path) -> None:
    """A name that is nearly one of the fleet's is answered with that one."""
    name = json.loads(plan_file.read_text())["vms"][0]["name"]
    assert f"did you mean '{name}'?" in placer("explain", plan_file, name + "x").err


def test_unplaced_vms_are_explained(placer: Placer, plan_file: Path, fleet_file: Path) -> None:
    """Where the plan leaves VMs out, the conflict is named with its cures."""
    fleet_file.write_text(fleet_file.read_text() + "  - {name: big, vcpus: 2, memory: 20GiB, cells: none}\n")
    assert placer("solve", fleet_file, "-o", plan_file, "--force", "-q").code == 0
    run = placer("explain", plan_file)
    assert run.code == 0 and "conflict: VM big has no place" in run.out and "cure: drop 1 VM" in run.out
    assert "big has no place" in placer("explain", plan_file, "big").out
    conflict = placer("explain", plan_file, "--json").envelope["result"]["conflict"]
    assert conflict["vms"] == ["big"] and {cure["kind"] for cure in conflict["cures"]} == {"more-nodes", "drop-vms"}


def test_topology(placer: Placer, plan_file: Path) -> None:
    """What sockets, cores and threads tell a guest is drawn and told as JSON; it is of one VM that has a place."""
    run = placer("explain", plan_file, "db", "--topology")
    assert run.code == 0 and "shown" in run.out and "advised" in run.out and "NUMA node" in run.out
    result = placer("explain", plan_file, "db", "--topology", "--json").envelope["result"]
    assert sum(one["shown"] for one in result["choices"]) == sum(one["advised"] for one in result["choices"]) == 1
    assert placer("explain", plan_file, "--topology").code == 2
    assert placer("explain", plan_file, "nobody", "--topology").code == 2
