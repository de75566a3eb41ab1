"""What other verbs say of plans, and what check lets pass, against forced solves of the reference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from benchmarks.truth.cases import Case
from benchmarks.truth.damage import damaged
from benchmarks.truth.fleets import FAMILIES, draw
from benchmarks.truth.verbs import all_verbs
from placer.errors import ImpossibleError

FLEETS = 3
RACED = list(FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("family", RACED)
def test_verbs_agree_with_the_reference(family: str) -> None:
    """Failures, headroom, explain and minfleet say what holds, and no damaged plan that breaks something passes."""
    compared: Counter[str] = Counter()
    for seed in range(FLEETS):
        case = draw(family, seed)
        try:
            wrong, done = all_verbs(case)
        except ImpossibleError:
            continue
        assert not wrong, (seed, wrong, case.to_json())
        wrong, tried = damaged(case, seed)
        assert not wrong, (seed, wrong, case.to_json())
        compared += done + Counter(damage=tried)
    assert compared.total() > FLEETS, compared


def host(name: str, *nodes: str) -> dict[str, Any]:
    """Return a host of nodes given by their CPUs."""
    made = [{"id": number, "cpus": cpus, "memory": "4GiB"} for number, cpus in enumerate(nodes)]
    return {"name": name, "nodes": made}


def test_failed_hosts_vms_keep_their_cells() -> None:
    """A guest of one cell whose host fails finds no room on a host that could take it only in two."""
    vm = {"name": "v", "vcpus": 4, "memory": "512MiB", "host": "wide", "nodes": [0]}
    hosts = [host("wide", "0-3"), host("cut", "0-1", "2-3")]
    case = Case(inventory={"schema": "placer.inventory/v1", "hosts": hosts, "vms": [vm]}, goals="placed,rules")
    wrong, compared = all_verbs(case)
    assert not wrong and compared["failures"] == 3
