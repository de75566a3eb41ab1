"""Devices of VMs that run: nobody tells which they have, so they are taken to have such as go round."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.truth.cases import Case
from benchmarks.truth.race import race
from placer.options import Engine

GPU = {"kind": "gpu", "policy": "preferred"}


def fleet(*devices: dict[str, Any]) -> dict[str, Any]:
    """Return a host of three nodes and two VMs that run on the second and the third, each with a preferred GPU."""
    cpus = ("0", "1,2", "3,4")
    nodes = [{"id": number, "cpus": text, "memory": "2GiB"} for number, text in enumerate(cpus)]
    made = [{"address": f"0000:{number:02x}:00.0", "kind": "gpu", **one} for number, one in enumerate(devices)]
    vms = [
        {"name": "v1", "vcpus": 2, "cells": 1, "memory": "256MiB", "devices": [GPU], "host": "h", "nodes": [1]},
        {
            "name": "v2",
            "vcpus": 2,
            "cells": 1,
            "memory": "256MiB",
            "devices": [GPU],
            "host": "h",
            "nodes": [2],
            "movable": "false",
        },
    ]
    hosts = [{"name": "h", "nodes": nodes, "devices": made}]
    return {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms}


@pytest.mark.parametrize("engine", ["auto", "exact", "columns"])
@pytest.mark.parametrize("goals", ["moves", "remote,moves"])
def test_two_vms_do_not_have_one_device(goals: str, engine: Engine) -> None:
    """Of one GPU on a node and one on none each VM has one; both stay, and nothing false is claimed."""
    found = race(Case(inventory=fleet({"node": 0}, {}), goals=goals, max_moves=0), engine)
    assert not found.wrong


@pytest.mark.parametrize("engine", ["auto", "exact", "columns"])
def test_devices_for_all_leave_proofs(engine: Engine) -> None:
    """Where every GPU that could be asked for is on each node, who has which matters to nobody: all is proven."""
    case = Case(inventory=fleet({"node": 1, "count": 4}, {"node": 2, "count": 4}), goals="remote,moves", max_moves=1)
    found = race(case, engine)
    assert not found.wrong and found.verdict == "proven"
