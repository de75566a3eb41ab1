"""A fleet as a plan leaves it, and one in which a host failed: what forced solves of the reference begin with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from benchmarks.truth.cases import Case
from benchmarks.truth.reference import Placed


def settled(case: Case, placed: Mapping[str, Placed]) -> dict[str, Any]:
    """Return the inventory as a plan leaves it, with the VMs that have a place: each where it is, free to be re-pinned
    within its nodes.
    """
    data: dict[str, Any] = copy.deepcopy(dict(case.inventory))
    data["vms"] = [vm for vm in data["vms"] if vm["name"] in placed]
    for vm in data["vms"]:
        where = placed[vm["name"]]
        stays = vm.get("host") == where.host and (vm.get("pins_fixed") or where.floats)
        if where.floats and stays:
            continue
        vm["host"] = where.host
        vm["nodes"] = list(where.cpu_nodes)
        vm["memory_nodes"] = list(where.memory_nodes)
        for key in ("bound", "memory_on", *(("memory_nodes",) if where.floats else ())):
            vm.pop(key, None)
        if not stays:
            for key in ("pins", "emulator", "pins_fixed", "iothread_pins"):
                vm.pop(key, None)
    return data


def with_failed(data: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return an inventory in which a host failed."""
    hosts = [{**one, "state": "failed"} if one["name"] == host else one for one in data["hosts"]]
    return {**data, "hosts": hosts}
