"""Pinning: what the CPU rows allow can be pinned, with few shared cores, and stays where it is."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from solvers.pins.construct import pin_node
from solvers.pins.cores import Core, Item, PinResult
from solvers.pins.cpu_rows import CpuPolicy, WholeDemand, fits
from solvers.pins.node_rows import node_cpu_rows

sys.path.insert(0, str(Path(__file__).parent))

from nodes import KINDS, can_be_pinned, cores_of
from nodes import random_node as any_node

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
    asked = [ask for item in items for ask in ((item.policy, item.vcpus, "any"), ("extra", item.extra, "any"))]
    found = node_cpu_rows([core.room for core in cores], WholeDemand.of(asked))
    return fits(found.rows, asked)


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
            assert all(cores[number].whole for number in used)
            assert answer.held >= {c for number in used for c in cores[number].cpus + cores[number].beside}
        if item.policy in ("require", "pairs"):
            filled = [sum(where[cpu] == number for cpu in pinned.cpus) for number in used]
            assert sum(count < cores[number].width for count, number in zip(filled, used, strict=True)) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_pinned_is_pinned(kind: str) -> None:
    """What a search over cores can seat is pinned, and leaves the CPUs that shared vCPUs need; nothing else is."""
    rng = random.Random(kind)
    seen = 0
    for _ in range(400):
        node = any_node(rng, kind)
        cores = cores_of(node, rng)
        items = [Item(p, 0, n) if p == "extra" else Item(p, n, kind=of) for p, n, of in node.asked]
        items = [Item("prefer", 0, item.extra) if item.policy == "extra" else item for item in items]
        floating = max(0, -(-node.shared // node.ratio) - node.elsewhere)
        answer = pin_node(cores, items, floating)
        assert (answer is not None) == can_be_pinned(node), node
        if answer is None:
            continue
        assert_valid(cores, items, answer)
        assert sum(len(core.floats - answer.held) for core in cores) >= floating
        where = {cpu: core for core in cores for cpu in core.cpus}
        assert all(i.may_have(where[c]) for i, p in zip(items, answer.items, strict=True) for c in p.cpus)
        now = [replace(i, current=p.cpus, current_extra=p.extra) for i, p in zip(items, answer.items, strict=True)]
        again = pin_node(cores, now, floating)
        assert again is not None
        assert kind.startswith("hybrid") or again == answer
        seen += 1
    assert seen > 50


def test_isolated_cpus_are_for_dedicated_vcpus() -> None:
    """A dedicated vCPU sits on the isolated CPU, so that the other one is left to float over."""
    cores = [Core((0,), 1, floats=frozenset({0})), Core((1,), 1)]
    answer = pin_node(cores, [Item("prefer", 1)], floating=1)
    assert answer is not None
    assert answer.items[0].cpus == (1,)


def test_performance_cores_come_first() -> None:
    """The VM alone on its cores has the performance cores although narrow ones would waste nothing, and the other one
    makes room; what asks for efficiency cores has only those.
    """
    fast = [Core((2 * n, 2 * n + 1), 2) for n in range(2)]
    slow = [Core((4 + n,), 1, slow=True) for n in range(4)]
    answer = pin_node([*fast, *slow], [Item("prefer", 2), Item("isolate", 2)])
    assert answer is not None
    assert answer.items[1].cpus == (0, 2)
    assert answer.items[0].cpus == (4, 5)
    one = pin_node([*fast, *slow], [Item("prefer", 1), Item("prefer", 1, kind="efficiency")])
    assert one is not None
    assert [item.cpus for item in one.items] == [(0,), (4,)]
    assert pin_node([*fast, *slow], [Item("isolate", 3, kind="performance")]) is None


def test_emulator_cpus_stay_on_the_other_kind_of_core() -> None:
    """They are bound to no kind: a VM on performance cores whose emulator has an efficiency core keeps both."""
    cores = [Core((0, 1), 2), Core((2, 3), 2), Core((4,), 1, slow=True)]
    for kind in ("performance", "any"):
        item = Item("prefer", 2, 1, current=(0, 1), current_extra=(4,), kind=kind)  # type: ignore[arg-type]
        answer = pin_node(cores, [item, Item("isolate", 1)])
        assert answer is not None
        assert (answer.items[0].cpus, answer.items[0].extra) == ((0, 1), (4,)) and answer.items[1].cpus in ((2,), (3,))


def test_a_core_cut_by_two_sets_leaves_its_other_thread_idle() -> None:
    """An isolated vCPU on the one dedicated thread of a core keeps the shared thread from everybody."""
    cores = [Core((7,), 2, floats=frozenset({6}), beside=(6,))]
    answer = pin_node(cores, [Item("isolate", 1)])
    assert answer is not None
    assert answer.held == {6, 7}
    assert pin_node(cores, [Item("isolate", 1)], floating=1) is None


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
        assert answer is not None or not rows_allow(cores, items)
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
