"""Engine D: give the counts of one node their CPUs. Whatever `solvers.pins.cpu_rows` allows can be pinned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from solvers.pins.cpu_rows import CpuPolicy, fits, main_width, node_cpu_rows


@dataclass(frozen=True, slots=True)
class Core:
    """A core seen from its node: its free CPUs, its width in threads, its L3 domain (None: not known)."""

    cpus: tuple[int, ...]
    width: int
    l3: int | None = None

    @property
    def whole(self) -> bool:
        """Tell whether all its threads are free."""
        return len(self.cpus) == self.width


@dataclass(frozen=True, slots=True)
class Item:
    """Dedicated vCPUs of one VM on the node and `extra` emulator CPUs; `current` are kept where they may be."""

    policy: CpuPolicy
    vcpus: int
    extra: int = 0
    current: tuple[int, ...] | None = None
    current_extra: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PinnedItem:
    """An item's CPUs, siblings next to each other, and those of its emulator."""

    cpus: tuple[int, ...]
    extra: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PinResult:
    """CPUs of every item in order; `held` are all that nobody else may use, siblings left idle included."""

    items: tuple[PinnedItem, ...]
    held: frozenset[int]


def pin_node(cores: Sequence[Core], items: Sequence[Item]) -> PinResult | None:
    """Pin the items of one node; None where they do not fit.

    Items keep the CPUs they have now where they still may; where what is new then finds no room, the smallest items
    that use loose threads give theirs up first, until all fit. Cores shared between items are few where all is pinned
    anew: ``max(0, Σ_prefer ⌈n / t⌉ − (W − whole))`` where no core is half taken; an item keeps to few L3 domains.
    """
    rows = node_cpu_rows([(core.width, len(core.cpus)) for core in cores])
    demands: list[tuple[CpuPolicy, int]] = [(item.policy, item.vcpus) for item in items]
    if not fits(rows, [*demands, ("extra", sum(item.extra for item in items))]):
        return None
    current = [index for index, item in enumerate(items) if item.current is not None]
    current.sort(key=lambda index: (items[index].policy == "prefer", -items[index].vcpus, index))
    for kept in range(len(current), -1, -1):
        seating = _Seating(cores, items)
        for index in current[:kept]:
            seating.keep(index)
        if seating.seat_rest():
            return seating.result()
    return None


@dataclass(slots=True)
class _Seating:
    """Cores with what is still free of them, and what each item has so far."""

    cores: Sequence[Core]
    items: Sequence[Item]
    free: list[list[int]] = field(default_factory=list)
    got: list[list[int]] = field(default_factory=list)
    extra: list[list[int]] = field(default_factory=list)
    idle: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    seated: set[int] = field(default_factory=set)
    width: int = 1

    def __post_init__(self) -> None:
        """Start with everything free and nobody seated."""
        self.free = [list(core.cpus) for core in self.cores]
        self.got = [[] for _ in self.items]
        self.extra = [[] for _ in self.items]
        self.width = main_width([core.width for core in self.cores])

    def result(self) -> PinResult:
        """Return what was seated."""
        pinned = tuple(PinnedItem(tuple(got), tuple(extra)) for got, extra in zip(self.got, self.extra, strict=True))
        held = self.idle.union(*(set(item.cpus) | set(item.extra) for item in pinned))
        return PinResult(items=pinned, held=frozenset(held))

    def keep(self, index: int) -> None:
        """Seat an item on the CPUs that it has now, if it may have just these."""
        item = self.items[index]
        where = {cpu: number for number, free in enumerate(self.free) for cpu in free}
        wanted = [*(item.current or ()), *item.current_extra[: item.extra]]
        alike = len(item.current or ()) == item.vcpus and len(set(wanted)) == len(wanted)
        if not alike or any(cpu not in where for cpu in wanted) or not self._may_keep(item, where):
            return
        for cpu in wanted:
            self.free[where[cpu]].remove(cpu)
            self.used.add(where[cpu])
        if item.policy in ("isolate", "require"):
            for number in {where[cpu] for cpu in wanted[: item.vcpus]}:
                self.idle.update(self.free[number])
                self.free[number].clear()
        self.seated.add(index)
        self.got[index], self.extra[index] = wanted[: item.vcpus], wanted[item.vcpus :]

    def _may_keep(self, item: Item, where: dict[int, int]) -> bool:
        if item.policy not in ("isolate", "require") or item.current is None:
            return True
        touched = Counter(where[cpu] for cpu in item.current)
        if any(where[cpu] in touched for cpu in item.current_extra[: item.extra]):
            return False
        if any(len(self.free[number]) < self.cores[number].width for number in touched):
            return False
        if item.policy == "isolate":
            return all(count == 1 for count in touched.values())
        return len(touched) == -(-item.vcpus // self.width) and all(
            self.cores[number].width == self.width for number in touched
        )

    def seat_rest(self) -> bool:
        """Seat all items that have nothing yet: whole cores first, then loose threads; False where room runs out."""
        todo = [index for index in range(len(self.items)) if index not in self.seated]
        order = sorted(todo, key=lambda index: (-self.items[index].vcpus, index))
        for policy in ("require", "isolate"):
            if not all(self._seat_whole(index) for index in order if self.items[index].policy == policy):
                return False
        loose = {index: self._loose_demand(index) for index in order}
        for index in order:
            loose[index] -= self._seat_full_cores(index, loose[index])
        for index in sorted(order, key=lambda index: (-loose[index], index)):
            if loose[index] and not self._seat_threads(index, loose[index]):
                return False
        return all(
            self._seat_extra(index) for index, item in enumerate(self.items) if len(self.extra[index]) < item.extra
        )

    def _loose_demand(self, index: int) -> int:
        """Return the threads an item takes one by one; its emulator's own CPU is seated with the vCPUs it belongs
        to.
        """
        item = self.items[index]
        return item.vcpus + item.extra if item.policy == "prefer" else 0

    def _seat_whole(self, index: int) -> bool:
        item = self.items[index]
        isolate = item.policy == "isolate"
        count = item.vcpus if isolate else -(-item.vcpus // self.width)
        whole = [
            n
            for n, core in enumerate(self.cores)
            if core.whole
            and len(self.free[n]) == core.width
            and (core.width == self.width or (isolate and core.width == 1))
        ]
        # A core of one thread is the cheapest for an isolated vCPU: no sibling is left idle.
        chosen = self._by_l3(
            sorted(whole, key=lambda n: (isolate and self.cores[n].width, n)), count, narrow_first=isolate
        )
        if len(chosen) < count:
            return False
        for number in chosen:
            take = 1 if isolate else min(self.width, item.vcpus - len(self.got[index]))
            self._take(index, number, take)
            self.idle.update(self.free[number])
            self.free[number].clear()
        return True

    def _seat_full_cores(self, index: int, threads: int) -> int:
        """Give a `prefer` item as many whole cores as its threads fill; return how many threads that seats."""
        whole = [
            n
            for n, core in enumerate(self.cores)
            if core.whole and len(self.free[n]) == core.width and core.width == self.width
        ]
        chosen = self._by_l3(whole, threads // self.width)
        for number in chosen:
            self._take(index, number, self.width)
        return self.width * len(chosen)

    def _seat_threads(self, index: int, threads: int) -> bool:
        """Seat loose threads: cores nobody movable uses first, half-taken ones before whole, then the rests of shared
        cores.
        """
        near = {self.cores[n].l3 for n in range(len(self.cores)) if set(self.cores[n].cpus) & set(self.got[index])}

        def rank(number: int) -> tuple[bool, bool, bool, bool, int, int]:
            room = len(self.free[number])
            mine = bool(set(self.cores[number].cpus) & set(self.got[index]))
            whole = self.cores[number].whole and number not in self.used
            return (
                number in self.used and not mine,
                room < threads,
                whole,
                bool(near) and self.cores[number].l3 not in near,
                room,
                number,
            )

        while threads:
            open_cores = [n for n in range(len(self.cores)) if self.free[n]]
            if not open_cores:
                return False
            number = min(open_cores, key=rank)
            take = min(threads, len(self.free[number]))
            self._take(index, number, take)
            threads -= take
        return True

    def _seat_extra(self, index: int) -> bool:
        item = self.items[index]
        if item.policy == "prefer" and len(self.got[index]) == item.vcpus + item.extra:
            self.extra[index] = self.got[index][item.vcpus :]
            self.got[index] = self.got[index][: item.vcpus]
            return True
        while len(self.extra[index]) < item.extra:
            number = min(
                (n for n in range(len(self.cores)) if self.free[n]),
                key=lambda n: (n in self.used, self.cores[n].whole, len(self.free[n]), n),
                default=None,
            )
            if number is None:
                return False
            self.extra[index].append(self.free[number].pop(0))
            self.used.add(number)
        return True

    def _take(self, index: int, number: int, count: int) -> None:
        self.got[index].extend(self.free[number][:count])
        del self.free[number][:count]
        self.used.add(number)

    def _by_l3(self, candidates: Iterable[int], count: int, *, narrow_first: bool = False) -> list[int]:
        """Return `count` of the candidate cores (or all, where they are fewer) over few L3 domains.

        The smallest domain that holds all of them is taken; where none does, the largest ones first.
        """
        found = list(candidates)
        if count >= len(found):
            return found[:count]
        if (
            narrow_first
            and any(self.cores[n].width == 1 for n in found)
            and any(self.cores[n].width > 1 for n in found)
        ):
            return found[:count]
        domains: dict[int | None, list[int]] = {}
        for number in found:
            domains.setdefault(self.cores[number].l3, []).append(number)
        chosen: list[int] = []
        left = sorted(domains.values(), key=lambda group: (-len(group), group[0]))
        while len(chosen) < count:
            need = count - len(chosen)
            enough = [group for group in left if len(group) >= need]
            group = min(enough, key=lambda g: (len(g), g[0])) if enough else left[0]
            left.remove(group)
            chosen.extend(group[:need])
        return chosen
