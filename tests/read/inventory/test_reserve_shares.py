"""Shares and fractions in ``reserve``: what is counted out, what is rounded down, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.units import KIB_PER_GIB
from placer.read.inventory.inventory import parse_fleet

NODES = """nodes: [{id: 0, cpus: "0-3,12-15", memory: 30GiB}, {id: 1, cpus: "4-5,16-17", memory: 10GiB}],
    siblings: ["0,12", "1,13", "2,14", "3,15", "4,16", "5,17"]"""


def fleet_of(keys: str) -> Fleet:
    """Read one host of 12 CPUs on two unequal nodes with these further keys."""
    text = "schema: placer.inventory/v1\nhosts:\n  - {name: a, " + NODES + ", " + keys + "}\n"
    return parse_fleet(text.encode(), "fleet.yaml", Path("."))


def test_a_share_of_a_host_is_taken_from_each_node_in_proportion() -> None:
    """Half of 12 CPUs are whole cores: two of the four of node 0, one of the two of node 1; memory likewise."""
    fleet = fleet_of("reserve: {cpus: 50%, memory: 20%}")
    reserve = fleet.hosts[0].reserve
    assert reserve.cpus == {0, 12, 1, 13, 4, 16}
    assert reserve.memory_kib == {0: 6 * KIB_PER_GIB, 1: 2 * KIB_PER_GIB}
    assert not fleet.warnings


def test_a_share_of_a_node_is_its_own() -> None:
    """A share under ``nodes`` is of that node, and a share of the host comes on top, of CPUs that are left."""
    reserve = fleet_of("reserve: {memory: 10%, cpus: 25%, nodes: {1: {cpus: 50%, memory: 50%}}}").hosts[0].reserve
    assert reserve.cpus == {4, 16, 0, 12, 1}
    assert reserve.memory_kib == {0: 3 * KIB_PER_GIB, 1: 6 * KIB_PER_GIB}


def test_what_is_no_whole_number_is_rounded_down_with_a_warning() -> None:
    """20 % of 12 CPUs are two, 2.3 GiB are whole KiB from below; each is said once, with the host and the key."""
    fleet = fleet_of("reserve: {cpus: 20%, memory: 2.3GiB}")
    reserve = fleet.hosts[0].reserve
    assert len(reserve.cpus) == 2
    assert reserve.memory_kib == {None: 2411724}
    assert fleet.warnings == (
        "host a: reserve.cpus: 20% of 12 CPUs are 2.4: 2 are reserved",
        "host a: reserve.memory: 2355.2MiB are no whole number of bytes: 2411724KiB are taken",
    )


def test_promised_cpus_are_not_reserved() -> None:
    """A share keeps clear of both of Nova's sets, and says so where too few are left."""
    reserve = fleet_of('dedicated_cpus: "0-3,12-15", reserve: {cpus: 25%}').hosts[0].reserve
    assert reserve.cpus == {4, 16, 5}
    with pytest.raises(InputError, match="50% are 6 CPUs, only 4 are not promised"):
        fleet_of('dedicated_cpus: "0-3,12-15", reserve: {cpus: 50%}')


@pytest.mark.parametrize("said", ["cpus: 101%", "memory: 150%", "cpus: -5%", "memory: 20 percent"])
def test_no_share_is_refused(said: str) -> None:
    """Above everything, below nothing or in words: refused at the key."""
    with pytest.raises(InputError, match="reserve"):
        fleet_of("reserve: {" + said + "}")
