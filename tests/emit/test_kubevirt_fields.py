"""What a plan asks of KubeVirt, held against the fields of its API (kubevirt.io/v1) that a VirtualMachine has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from placer.emit.export import export_plan
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet

INVENTORY = """schema: placer.inventory/v1
hosts:
  - name: n1
    nodes:
      - {{id: 0, cpus: "0-3", memory: 16GiB, pages: {{1GiB: 8}}}}
      - {{id: 1, cpus: "4-7", memory: 16GiB, pages: {{1GiB: 8}}}}
vms:
  - {{name: db, manager_id: shop/db, vcpus: 2, memory: 4GiB, {more}}}
"""
CPU: dict[str, Any] = {
    "dedicatedCpuPlacement": bool,
    "isolateEmulatorThread": bool,
    "numa": {"guestMappingPassthrough": {}},
}
DOMAIN: dict[str, Any] = {"cpu": CPU, "memory": {"hugepages": {"pageSize": str}}}
API: dict[str, Any] = {"spec": {"template": {"spec": {"domain": DOMAIN, "nodeSelector": dict, "affinity": dict}}}}
"""The fields of a VirtualMachine that a patch may name, and of what type they are."""


def strangers(patch: Mapping[str, Any], fields: Mapping[str, Any], path: str = "") -> list[str]:
    """Return what a patch names that the API has not, or has of another type."""
    found: list[str] = []
    for key, value in patch.items():
        kind = fields.get(key)
        if isinstance(kind, dict) and isinstance(value, dict):
            found += strangers(value, kind, f"{path}.{key}")
        elif not isinstance(kind, type) or type(value) is not kind:
            found.append(f"{path}.{key}")
    return found


def script_and_patch(more: str) -> tuple[str, dict[str, Any]]:
    """Return the script of a plan for one new VM, and the patch in it; none where it sets nothing."""
    fleet = parse_fleet(INVENTORY.format(more=more).encode(), "fleet.yaml", Path())
    script = export_plan(solve_fleet(fleet, time_limit_s=20), fleet, "kubevirt", None)
    assert isinstance(script, str)
    lines = [line for line in script.splitlines() if line.startswith("  change db ")]
    return script, json.loads(lines[0][lines[0].index("'") + 1 : lines[0].rindex("'")]) if lines else {}


@pytest.mark.parametrize(
    "more",
    [
        "cells: 2, page_size: 1GiB, emulator_threads: isolate",
        "cells: 2, page_size: 1GiB",
        "cells: none, page_size: 1GiB, emulator_threads: isolate",
        "cells: 2",
        "cells: none, cpu_policy: shared",
    ],
)
def test_patches_are_fields_of_the_api(more: str) -> None:
    """Each field is there and of its type, with what KubeVirt wants beside it; taken back is all that was set."""
    script, patch = script_and_patch(more)
    assert strangers(patch, API) == [] and bool(patch) is ("shared" not in more)
    domain = patch["spec"]["template"]["spec"]["domain"] if patch else {"cpu": {}}
    cpu = domain["cpu"]
    # Its webhook refuses an emulator's CPU without CPUs of the guest's own, and a mapping without huge pages.
    assert cpu.get("dedicatedCpuPlacement") or not {"isolateEmulatorThread", "numa"} & cpu.keys()
    assert "hugepages" in domain.get("memory", {}) or "numa" not in cpu
    assert cpu.get("isolateEmulatorThread", False) is ("isolate" in more)
    restore = script[script.index("restore() {") :].split("\n}\n", 1)[0]
    assert all(f"{name}: $old.domain.cpu.{name}" in restore for name in cpu)
    assert "hugepages: $old.domain.memory.hugepages" in restore


def test_the_check_of_fields_sees_strangers() -> None:
    """A field of another name or type is one."""
    patch = {"spec": {"template": {"spec": {"domain": {"cpu": {"pinned": True, "dedicatedCpuPlacement": "yes"}}}}}}
    assert len(strangers(patch, API)) == 2
