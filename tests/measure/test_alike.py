"""Places that are alike share a number, whatever objects say so, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.measure.alike import PlaceNumbers
from placer.measure.as_now import AsNow
from placer.measure.measure import ScoreCache
from placer.measure.sets_taken import taken_by
from placer.model.vm import CpuPolicy, Current


def test_a_number_goes_by_value_not_by_object(build: Any) -> None:
    """Places made of other objects that say the same have one number; another CPU, mode or node gives another."""
    first = build.placed(build.vm(), pins=[0, 1], memory=[0])
    same = replace(first, name="w", pins=dict(first.pins), cells=tuple(replace(cell) for cell in first.cells))
    other_cpu = replace(first, pins={**first.pins, 1: frozenset({2})})
    shared_pins = replace(first, shown=not first.shown)
    numbers = PlaceNumbers()
    given = [numbers.of(one) for one in (first, same, other_cpu, shared_pins, replace(first))]
    assert given[0] == given[1] == given[4]
    assert len(set(given)) == 3


def test_what_vms_take_is_worked_out_once_for_those_alike(build: Any) -> None:
    """VMs alike in spec and place on hosts alike share what they take; vCPUs that are not online take nothing."""
    host = build.host()
    first = build.vm("a", build.spec(cpu_policy=CpuPolicy.SHARED))
    second = replace(first, name="b")
    fewer = replace(first, name="c", spec=replace(first.spec, vcpus_current=1))
    scores = ScoreCache()
    taken = [scores.taken(vm, host, build.placed(vm, pins=[0, 1], memory=[0])) for vm in (first, second, fewer)]
    assert taken[0] is taken[1]
    assert taken[0] == taken_by(first, host, build.placed(first, pins=[0, 1], memory=[0]))
    assert (sum(taken[0].shared.values()), sum(taken[2].shared.values())) == (2, 1)


def test_vms_bound_alike_share_what_they_are_made_of_where_they_are(build: Any) -> None:
    """Of VMs of one spec that float over hosts alike only name, UUID and host differ; one with cpusets is another."""
    host = build.host("h1")
    other = replace(host, name="h2")
    vm = build.vm("a", build.spec(cpu_policy=CpuPolicy.SHARED))
    standing = AsNow()
    one = standing.of(replace(vm, current=Current(host="h1")), host)
    two = standing.of(replace(vm, name="b", current=Current(host="h2")), other)
    pinned = standing.of(replace(vm, current=Current(host="h1", pins={0: frozenset({1})})), host)
    assert one is not None
    assert two is not None
    assert pinned is not None
    assert one.pins is two.pins
    assert (one.name, one.host, two.name, two.host) == ("a", "h1", "b", "h2")
    assert pinned.pins[0] == {1}
    assert standing.of(vm, host) is None
