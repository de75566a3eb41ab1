"""Inventories made to exhaust whoever reads them: refused by name before they are worked out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.model import cpuset
from placer.model.cpuset import one_document, parse_cpu_mask, parse_cpuset
from placer.read.inventory.inventory import parse_fleet


def inventory(nodes: list[str], **host: Any) -> bytes:
    """Return an inventory of one host."""
    made = [{"id": number, "cpus": cpus, "memory": "4GiB"} for number, cpus in enumerate(nodes)]
    return json.dumps({"schema": "placer.inventory/v1", "hosts": [{"name": "h", "nodes": made, **host}]}).encode()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (inventory(["0-65535"] * 1024), "nodes"),
        (inventory(["0-65535"], siblings=["0-65535"] * 20_000), "siblings"),
        (inventory(["0-65535"], l3=["0-65535"] * 20_000), "l3"),
    ],
)
def test_lists_that_repeat_a_whole_machine(data: bytes, field: str) -> None:
    """One CPU is in one node, core and L3 domain: a thousand whole machines are refused before they are compared."""
    with pytest.raises(InputError) as caught:
        parse_fleet(data, "f.json", Path("."))
    assert [fault.field for fault in caught.value.faults] == [f"hosts[h].{field}"]
    assert "over and over" in caught.value.faults[0].message


def test_lists_that_all_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists of one document name only so many CPUs together; what is known already costs nothing."""
    monkeypatch.setattr(cpuset, "MOST_TOLD", 3000)
    with one_document(3000):
        for _ in range(9):
            parse_cpuset("0-1999")
        parse_cpuset("1-2000")
        with pytest.raises(InputError, match="the lists of CPUs before name more than 3000"):
            parse_cpuset("2-2001")
        assert parse_cpuset("0-1999") == frozenset(range(2000))
    assert parse_cpuset("2-2001") == frozenset(range(2, 2002))


def test_texts_of_sets_are_not_kept_for_ever() -> None:
    """What is remembered stays within bounds, however long the sets."""
    for first in range(80):
        parse_cpuset(f"{first}-{first + 60_000}")
    assert cpuset._known_cpus <= cpuset._REMEMBERED_CPUS


def test_masks_and_lists_of_one_text_are_apart() -> None:
    """``10`` is CPU 10 as a list and CPU 4 as a mask."""
    assert (parse_cpuset("10"), parse_cpu_mask("10"), parse_cpuset("10")) == ({10}, {4}, {10})


@pytest.mark.parametrize(
    "cpus",
    ["0-{last}", ",".join(map(str, range(0, 2000, 2))) + ",{last}", "0x" + "f" * 400 + "{last:x}"],
    ids=["ranges", "single CPUs", "masks"],
)
def test_hosts_that_all_differ(cpus: str) -> None:
    """Thousands of hosts, each written in another way, are counted before any of them is worked out."""
    hosts = [
        {"name": f"h{n}", "nodes": [{"id": 0, "cpus": cpus.format(last=3000 + n), "memory": "4GiB"}]}
        for n in range(1600)
    ]
    data = json.dumps({"schema": "placer.inventory/v1", "hosts": hosts}).encode()
    with pytest.raises(InputError, match="hosts that differ list more than 1500000 CPUs together"):
        parse_fleet(data, "f.json", Path("."))


def test_hosts_that_are_alike_cost_once() -> None:
    """A thousand hosts of two thousand CPUs that are written alike are one kind, and are read."""
    nodes = [{"id": 0, "cpus": "0-1999", "memory": "4GiB"}]
    hosts = [{"name": f"h{n}", "nodes": nodes} for n in range(1000)]
    data = json.dumps({"schema": "placer.inventory/v1", "hosts": hosts}).encode()
    assert len(parse_fleet(data, "f.json", Path(".")).hosts) == 1000
