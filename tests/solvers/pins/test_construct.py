"""Engine D: what the CPU rows allow can be pinned, with few shared cores, and stays where it is."""

from __future__ import annotations

import random

import pytest

from solvers.pins.construct import Core, Item, PinResult, pin_node
from solvers.pins.cpu_rows import CpuPolicy, node_cpu_rows

POLICIES: tuple[CpuPolicy, ...] = ("isolate", "require", "prefer")


def random_node(rng: random.Random) -> tuple[list[Core], list[Item]]:
    """Return a node of cores of one width or two, some half taken, and items of every policy."""
    width = rng.choice((1, 2, 2, 2, 4, 8))
    cores, cpu = [], 0
    for number in range(rng.randint(1, 8)):
        wide = width if rng.random() < 0.85 else 1
        free = wide if rng.random() < 0.7 else rng.randint(0, wide)
        cores.append(Core(tuple(range(cpu, cpu + free)), wide, number // 3))
        cpu += wide
    items = [Item(rng.choice(POLICIES), rng.randint(1, 5), rng.choice((0, 0, 1))) for _ in range(rng.randint(1, 5))]
    return cores, items


def rows_allow(cores: list[Core], items: list[Item]) -> bool:
    """Tell whether the counts fit the CPU rows."""
    rows = node_cpu_rows([(core.width, len(core.cpus)) for core in cores])
    return all(
        sum(row.demand(i.policy, i.vcpus) + row.demand("extra", i.extra) for i in items) <= row.capacity for row in rows
    )


def assert_valid(cores: list[Core], items: list[Item], answer: PinResult) -> None:
    """Every item has its CPUs, each CPU one owner, and every thread policy holds."""
    where = {cpu: number for number, core in enumerate(cores) for cpu in core.cpus}
    owners = [cpu for pinned in answer.items for cpu in pinned.cpus + pinned.extra]
    assert len(owners) == len(set(owners))
    for item, pinned in zip(items, answer.items, strict=True):
        assert (len(pinned.cpus), len(pinned.extra)) == (item.vcpus, item.extra)
        used = {where[cpu] for cpu in pinned.cpus}
        others = set(owners) - set(pinned.cpus)
        if item.policy == "isolate":
            assert len(used) == item.vcpus
        if item.policy != "prefer":
            assert not others & {cpu for number in used for cpu in cores[number].cpus}
            assert all(len(cores[number].cpus) == cores[number].width for number in used)
            assert answer.held >= {cpu for number in used for cpu in cores[number].cpus}
        if item.policy == "require":
            filled = [sum(where[cpu] == number for cpu in pinned.cpus) for number in used]
            assert sum(count < cores[number].width for count, number in zip(filled, used, strict=True)) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_what_the_rows_allow_is_pinned(seed: int) -> None:
    """Counts that fit the rows are pinned, counts that do not are refused."""
    rng = random.Random(seed)
    for _ in range(500):
        cores, items = random_node(rng)
        answer = pin_node(cores, items)
        if answer is None:
            assert not rows_allow(cores, items)
        else:
            assert rows_allow(cores, items)
            assert_valid(cores, items, answer)


@pytest.mark.parametrize("seed", range(10))
def test_pins_that_are_there_stay(seed: int) -> None:
    """Pinning again from the answer gives the answer, also when an item has left."""
    rng = random.Random(seed)
    for _ in range(300):
        cores, items = random_node(rng)
        answer = pin_node(cores, items)
        if answer is None:
            continue
        now = [Item(i.policy, i.vcpus, i.extra, p.cpus, p.extra) for i, p in zip(items, answer.items, strict=True)]
        assert pin_node(cores, now) == answer
        fewer = pin_node(cores, now[1:])
        assert fewer is not None
        assert fewer.items == answer.items[1:]


def test_as_few_as_need_be_give_up_their_cpus() -> None:
    """An isolated vCPU finds no whole core around two half-used ones: one small item moves, the large one stays."""
    cores = [Core((2 * n, 2 * n + 1), 2) for n in range(4)]
    now = [Item("prefer", 1, 0, (0,)), Item("prefer", 1, 0, (2,)), Item("prefer", 4, 0, (4, 5, 6, 7))]
    answer = pin_node(cores, [*now, Item("isolate", 1)])
    assert answer is not None
    assert answer.items[2].cpus == (4, 5, 6, 7)
    assert [item.cpus for item in answer.items[:2]].count((0,)) + (answer.items[1].cpus == (2,)) == 1


def test_pins_that_may_not_be_are_not_kept() -> None:
    """CPUs that are taken, named twice, of another count, or beside an isolated vCPU are given up, the others stay."""
    cores = [Core((2 * n, 2 * n + 1), 2) for n in range(6)]
    good = Item("prefer", 2, 0, (8, 9))
    for bad in (
        Item("prefer", 2, 0, (20, 21)),
        Item("prefer", 2, 0, (1, 1)),
        Item("prefer", 2, 0, (1,)),
        Item("prefer", 2, 0, (8, 10)),
        Item("isolate", 2, 0, (0, 1)),
        Item("isolate", 1, 1, (0,), (1,)),
        Item("require", 2, 0, (1, 2)),
    ):
        answer = pin_node(cores, [good, bad])
        assert answer is not None
        assert answer.items[0].cpus == (8, 9)
        assert_valid(cores, [good, bad], answer)


@pytest.mark.parametrize("seed", range(10))
def test_newcomers_leave_no_item_worse_than_needed(seed: int) -> None:
    """With a newcomer the answer is valid whenever the rows allow it, and mostly nobody moves."""
    rng = random.Random(seed)
    moved = seen = 0
    for _ in range(200):
        cores, items = random_node(rng)
        first = pin_node(cores, items[1:])
        if first is None:
            continue
        now = [Item(i.policy, i.vcpus, i.extra, p.cpus, p.extra) for i, p in zip(items[1:], first.items, strict=True)]
        answer = pin_node(cores, [items[0], *now])
        assert (answer is not None) == rows_allow(cores, items)
        if answer is not None:
            assert_valid(cores, items, answer)
            seen += 1
            moved += answer.items[1:] != first.items
    assert moved < 0.3 * seen


def test_shared_cores_are_as_few_as_the_formula_says() -> None:
    """With whole SMT-2 cores the cores that two items share are max(0, Σ⌈n/2⌉ over prefer − what whole cores are
    left).
    """
    rng = random.Random(5)
    seen = 0
    for _ in range(5000):
        cores = [Core((2 * n, 2 * n + 1), 2, n // 4) for n in range(rng.randint(1, 8))]
        items = [Item(rng.choice(POLICIES), rng.randint(1, 5)) for _ in range(rng.randint(1, 5))]
        answer = pin_node(cores, items)
        if answer is None:
            continue
        pairs = {(cpu // 2, number) for number, item in enumerate(answer.items) for cpu in item.cpus}
        whole = sum(i.vcpus if i.policy == "isolate" else -(-i.vcpus // 2) for i in items if i.policy != "prefer")
        loose = sum(-(-i.vcpus // 2) for i in items if i.policy == "prefer")
        assert len(pairs) - len({core for core, _ in pairs}) == max(0, loose - (len(cores) - whole))
        seen += 1
    assert seen > 1000


def test_an_item_keeps_to_one_l3_domain() -> None:
    """Four vCPUs go to the L3 domain that they fill, not to the first one."""
    cores = [Core((2 * n, 2 * n + 1), 2, n // 4) for n in range(4)] + [
        Core((2 * n, 2 * n + 1), 2, 1) for n in range(4, 6)
    ]
    answer = pin_node(cores, [Item("prefer", 4)])
    assert answer is not None
    assert {cpu // 2 // 4 for cpu in answer.items[0].cpus} == {1}
