"""A host opened says of its CPUs what the map says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from placer.emit.report.columns import fleet_columns
from placer.emit.report.opened import opened_host
from placer.model.fleet import Fleet
from placer.read.inventory.inventory import read_fleet


def fleet_of(folder: Path, *vms: dict[str, Any]) -> Fleet:
    """Return a host of two nodes of 8 CPUs, and VMs on it."""
    nodes = [{"id": n, "cpus": f"{8 * n}-{8 * n + 7}", "memory": "32GiB"} for n in (0, 1)]
    host = {"name": "pm", "nodes": nodes, "distances": [[10, 21], [21, 10]]}
    data = {"schema": "placer.inventory/v1", "hosts": [host], "vms": [{**vm, "host": "pm"} for vm in vms]}
    (folder / "fleet.yaml").write_text(json.dumps(data))
    return read_fleet(folder / "fleet.yaml")


def test_cpus_of_a_node_that_nobody_names_are_taken(tmp_path: Path) -> None:
    """Two vCPUs on a node, no pin told: two CPUs of eight are taken, which of them is said to be unknown."""
    fleet = fleet_of(
        tmp_path, {"name": "a", "vcpus": 2, "memory": "1GiB", "cells": 1, "nodes": [0], "memory_nodes": [0]}
    )
    found = opened_host(fleet, None, fleet.hosts[0], {"a": 0})["before"]
    (row,) = found["vms"]
    assert row["cpus"] == "2 of 0-7, not known which"
    node = next(box for package in found["boxes"] for box in (package, *package["inner"]) if box.get("kind") == "node")
    assert node["words"].startswith("6 of 8 CPUs free · 2 taken, not known which")
    assert {thread["mark"] for core in node["inner"] for thread in core["threads"]} == {"?"}
    assert fleet_columns(fleet, None)["before"]["cpu"][0] == [250, 0]


def test_shared_vcpus_still_float(tmp_path: Path) -> None:
    """A VM that shares the CPUs of its node has none of its own: it floats over them."""
    vm = {"name": "a", "vcpus": 2, "memory": "1GiB", "cells": 1, "cpu_policy": "shared", "nodes": [1]}
    fleet = fleet_of(tmp_path, {**vm, "memory_nodes": [1]})
    (row,) = opened_host(fleet, None, fleet.hosts[0], {"a": 0})["before"]["vms"]
    assert row["cpus"] == "floats over 8-15"
