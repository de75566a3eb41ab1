"""Items that had more cores where they come from get as many where nobody loses anything by it."""

from __future__ import annotations

from solvers.pins.apart import pins_apart
from solvers.pins.construct import pin_node
from solvers.pins.cores import Core, Item


def cores_of(count: int, l3: int = 8, floats: bool = False) -> list[Core]:
    """Return cores of two threads k and k + count, so many to an L3 domain."""
    found = [(core, core + count) for core in range(count)]
    return [Core(cpus, 2, number // l3, frozenset(cpus if floats else ())) for number, cpus in enumerate(found)]


def pinned(cores: list[Core], items: list[Item], wanted: dict[int, int]) -> list[tuple[int, ...]]:
    """Return the CPUs of each item."""
    found = pin_node(cores, items)
    assert found is not None
    return [item.cpus for item in pins_apart(cores, items, found, wanted).items]


def test_as_many_cores_as_before() -> None:
    """Four vCPUs that had four cores have four; with three cores before the first two stay siblings."""
    assert pinned(cores_of(8), [Item("prefer", 4)], {0: 4}) == [(0, 3, 1, 2)]
    assert pinned(cores_of(8), [Item("prefer", 4)], {0: 3}) == [(0, 8, 1, 2)]


def test_no_core_of_another_is_cut() -> None:
    """Cores that others have something of, or that are in another L3 domain, are not taken for it."""
    assert pinned(cores_of(3), [Item("prefer", 4), Item("isolate", 1)], {0: 4}) == [(1, 4, 2, 5), (0,)]
    assert pinned(cores_of(4, l3=2), [Item("prefer", 4)], {0: 4}) == [(0, 4, 1, 5)]


def test_thread_policies_and_what_stays_are_left_alone() -> None:
    """A VM with a thread policy, or on the CPUs that it has now, is as it was."""
    assert pinned(cores_of(8), [Item("require", 4)], {0: 4}) == [(0, 8, 1, 9)]
    assert pinned(cores_of(8), [Item("prefer", 2, current=(0, 8))], {0: 2}) == [(0, 8)]


def test_as_many_cpus_stay_to_float_over() -> None:
    """A CPU that others float over is not given for one that nobody may float over."""
    cores = [*cores_of(2), Core((4, 5), 2, 0, frozenset((4, 5)))]
    assert pinned(cores, [Item("prefer", 4)], {0: 4}) == [(0, 2, 1, 3)]
