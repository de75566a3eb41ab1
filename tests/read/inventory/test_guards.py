"""An inventory that stands for more hosts or VMs than the guard lets through names the option that lifts it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from placer.errors import InputError
from placer.read.inventory.inventory import parse_fleet


def _inventory(vms: int, hosts: int = 1) -> dict[str, Any]:
    node = {"id": 0, "cpus": "0-3", "memory": "16GiB"}
    return {
        "schema": "placer.inventory/v1",
        "hosts": [{"name": "h", "count": hosts, "nodes": [node]}],
        "vms": [{"name": "v", "count": vms, "vcpus": 1, "memory": "1GiB"}],
    }


@pytest.mark.parametrize(("vms", "hosts", "name"), [(1_000_001, 1, "vms"), (1, 1_000_001, "hosts")])
def test_more_than_a_million_are_refused_before_they_are_made(vms: int, hosts: int, name: str) -> None:
    """Nothing is expanded, and the message says how the guard is lifted."""
    data = json.dumps(_inventory(vms, hosts)).encode()
    with pytest.raises(InputError, match=f"the {name} are more than 1000000 .*--max-{name}"):
        parse_fleet(data, "f.json", ".")


def test_another_guard_is_taken_at_its_word() -> None:
    """Below a million too."""
    data = json.dumps(_inventory(5)).encode()
    assert len(parse_fleet(data, "f.json", ".", max_vms=5).vms) == 5
    with pytest.raises(InputError, match="the vms are more than 4 "):
        parse_fleet(data, "f.json", ".", max_vms=4)
