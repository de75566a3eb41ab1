"""How many more VMs many hosts take under a reserve, against what is known by hand."""

from __future__ import annotations

from typing import Any

import pytest

from placer.model.rules import Rule, RuleKind
from placer.options import SweepOptions
from placer.planner import RESERVE_HOSTS
from placer.planning.wanted import Wanted
from placer.whatif.headroom import headroom
from placer.whatif.headroom_ruled import ruled_headroom

HOSTS = RESERVE_HOSTS + 2


@pytest.mark.parametrize(("there", "more"), [(0, 2 * HOSTS - 2), (HOSTS - 1, HOSTS - 1), (2 * HOSTS, 0)])
def test_as_many_fit_as_leave_room_for_a_host_of_them(build: Any, there: int, more: int) -> None:
    """Every host takes two VMs of its four CPUs, and one of them may fail: two places stay free; none do where all are
    taken already.
    """
    topology, spec = build.topology(nodes=1), build.spec(2)
    hosts = [build.host(f"h{n}", topology) for n in range(HOSTS)]
    vms = [build.vm(f"v{n}", spec, current=build.now(f"h{n // 2}", (0,))) for n in range(there)]
    fleet = build.fleet(hosts, vms, [Rule(kind=RuleKind.RESERVE, scope="host", fail=1)])
    wanted = Wanted("2x1GiB", spec)
    (plain,) = headroom(fleet, [wanted])
    found = ruled_headroom(fleet, wanted, plain, SweepOptions(time_limit_s=60))
    assert (plain.total, found.total, sum(found.per_host.values())) == (2 * HOSTS - there, more, more)
    assert found.at_most is not None and found.at_most >= more
