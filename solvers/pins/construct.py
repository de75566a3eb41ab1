"""Give the counts of one node their CPUs. Whatever `solvers.pins.cpu_rows` allows can be pinned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace

from solvers.pins.cores import Core, Item, PinnedItem, PinResult
from solvers.pins.cpu_rows import WHOLE, CoreKind, CpuPolicy, WholeDemand, fits, main_width
from solvers.pins.node_rows import node_cpu_rows


def pin_node(
    cores: Sequence[Core], items: Sequence[Item], floating: int = 0, *, sparing: bool = False
) -> PinResult | None:
    """Pin the items of one node, and leave `floating` of the CPUs that may be floated over; None where they do not fit.

    Items keep the CPUs they have now where they still may; where what is new then finds no room, the smallest items
    that use loose threads give theirs up first, until all fit. Cores shared between items are few where all is pinned
    anew: ``max(0, Σ_prefer ⌈n / t⌉ − (W − whole))`` where no core is half taken; an item keeps to few L3 domains. What
    is not found so (cores of many widths, half of them isolated) is searched.

    Parameters
    ----------
    sparing : leave as many CPUs to float over as can be, for what floats over several nodes: new items take those that
        nobody may float over first.
    """
    mixed = any(core.slow for core in cores) and not all(core.slow for core in cores)
    bound = any(item.kind != "any" and not item.may_have(core) for item in items for core in cores)
    if (mixed or bound) and _too_much(cores, items):
        return None
    if mixed:
        apart = _by_kind(cores, items, floating)
        if apart is not None:
            return apart
    if bound:
        from solvers.pins.exact import pin_node_exact

        return pin_node_exact(cores, items, floating=floating)
    current = [index for index, item in enumerate(items) if item.current is not None]
    current.sort(key=lambda index: (items[index].policy == "prefer", -items[index].vcpus, index))
    choice = any(set(core.cpus) - core.floats for core in cores)
    thrifty = (True, False) if sparing and choice else (False, True) if floating and choice else (False,)
    for kept in range(len(current), -1, -1):
        for spare in thrifty:
            seating = _Seating(cores, items, spare)
            for index in current[:kept]:
                seating.keep(index)
            if seating.seat_rest():
                found = seating.result()
                if sum(len(core.floats - found.held) for core in cores) >= floating:
                    return found
        # Most nodes are done by now; only where they are not it is worth asking whether they can be.
        if kept == len(current) and _too_much(cores, items):
            return None
    from solvers.pins.exact import pin_node_exact

    return pin_node_exact(cores, items, floating=floating)


def _by_kind(cores: Sequence[Core], items: Sequence[Item], floating: int) -> PinResult | None:
    """Pin what asks for efficiency cores or has them now on those, all else on the others; None where that fails.

    Where performance cores are too few, items that use loose threads make room first, the small ones before the large.
    """
    slow = {cpu for core in cores if core.slow for cpu in core.cpus}
    there = {
        number
        for number, item in enumerate(items)
        if item.kind == "efficiency" or (item.kind == "any" and item.current and slow.issuperset(item.current))
    }
    free = [number for number, item in enumerate(items) if item.kind == "any" and number not in there]
    free.sort(key=lambda number: (items[number].policy != "prefer", items[number].vcpus, number))
    for moved in range(len(free) + 1):
        found = _on_sides(cores, items, there.union(free[:moved]))
        if found is not None and sum(len(core.floats - found.held) for core in cores) >= floating:
            return found
    return None


def _on_sides(cores: Sequence[Core], items: Sequence[Item], there: Set[int]) -> PinResult | None:
    """Pin the items `there` on the efficiency cores and the others on the performance cores.

    Emulator CPUs are bound to no kind: those that an item has on the other side stay there.
    """
    of_side = [{cpu for core in cores if core.slow is side for cpu in core.cpus} for side in (False, True)]
    across = {
        number
        for number, item in enumerate(items)
        if item.vcpus and item.extra and item.current_extra
        if of_side[number not in there].issuperset(item.current_extra)
    }
    pinned = [PinnedItem((), ())] * len(items)
    held: frozenset[int] = frozenset()
    for side in (False, True):
        given = {number: replace(item, kind="any") for number, item in enumerate(items) if (number in there) is side}
        for number in across:
            if number in given:
                given[number] = replace(given[number], extra=0, current_extra=())
            else:
                given[number] = replace(items[number], policy="prefer", vcpus=0, current=(), kind="any")
        found = pin_node([core for core in cores if core.slow is side], list(given.values())) if given else None
        if given and found is None:
            return None
        if found is not None:
            for number, one in zip(given, found.items, strict=True):
                pinned[number] = PinnedItem(pinned[number].cpus + one.cpus, pinned[number].extra + one.extra)
            held |= found.held
    return PinResult(items=tuple(pinned), held=held)


def _too_much(cores: Sequence[Core], items: Sequence[Item]) -> bool:
    """Tell whether rows that are exact say that the items do not fit."""
    demands: list[tuple[CpuPolicy, int, CoreKind]] = [(item.policy, item.vcpus, item.kind) for item in items]
    found = node_cpu_rows([core.room for core in cores], WholeDemand.of(demands))
    return found.exact and not fits(found.rows, [*demands, ("extra", sum(item.extra for item in items), "any")])


@dataclass(slots=True)
class _Seating:
    """Cores with what is still free of them, and what each item has so far. `thrifty` takes CPUs that nobody may float
    over before all others, even where that leaves more cores half taken.
    """

    cores: Sequence[Core]
    items: Sequence[Item]
    thrifty: bool = False
    free: list[list[int]] = field(default_factory=list)
    got: list[list[int]] = field(default_factory=list)
    extra: list[list[int]] = field(default_factory=list)
    idle: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    seated: set[int] = field(default_factory=set)
    width: int = 1

    def __post_init__(self) -> None:
        """Start with everything free and nobody seated."""
        self.free = [sorted(core.cpus, key=lambda cpu: (cpu in core.floats, cpu)) for core in self.cores]
        self.got = [[] for _ in self.items]
        self.extra = [[] for _ in self.items]
        self.width = main_width([core.width for core in self.cores])

    def result(self) -> PinResult:
        """Return what was seated."""
        pinned = tuple(PinnedItem(tuple(got), tuple(extra)) for got, extra in zip(self.got, self.extra, strict=True))
        held = self.idle.union(*(set(item.cpus) | set(item.extra) for item in pinned))
        return PinResult(items=pinned, held=frozenset(held))

    def keep(self, index: int) -> None:
        """Seat an item on the CPUs that it has now, if it may have just these. Emulator CPUs that are more than it is
        to have are no CPUs of its own: it gets some once all others are seated.
        """
        item = self.items[index]
        if len(item.current_extra) > item.extra:
            item = replace(item, extra=0, current_extra=())
        where = {cpu: number for number, free in enumerate(self.free) for cpu in free}
        wanted = [*(item.current or ()), *item.current_extra[: item.extra]]
        alike = len(item.current or ()) == item.vcpus and len(set(wanted)) == len(wanted)
        if not alike or any(cpu not in where for cpu in wanted) or not self._may_keep(item, where):
            return
        for cpu in wanted:
            self.free[where[cpu]].remove(cpu)
            self.used.add(where[cpu])
        if item.policy in WHOLE:
            for number in {where[cpu] for cpu in wanted[: item.vcpus]}:
                self._leave_idle(number)
        self.seated.add(index)
        self.got[index], self.extra[index] = wanted[: item.vcpus], wanted[item.vcpus :]

    def _may_keep(self, item: Item, where: dict[int, int]) -> bool:
        if item.policy not in WHOLE or item.current is None:
            return True
        touched = Counter(where[cpu] for cpu in item.current)
        if any(where[cpu] in touched for cpu in item.current_extra[: item.extra]):
            return False
        if not all(self._untouched(number) for number in touched):
            return False
        if item.policy == "isolate":
            return all(count == 1 for count in touched.values())
        return sum(count < self.cores[number].width for number, count in touched.items()) <= 1

    def seat_rest(self) -> bool:
        """Seat all items that have nothing yet: whole cores first, then loose threads; False where room runs out."""
        todo = [index for index in range(len(self.items)) if index not in self.seated]
        order = sorted(todo, key=lambda index: (-self.items[index].vcpus, index))
        if not all(self._fill_cores(index) for index in order if self.items[index].policy in ("require", "pairs")):
            return False
        if not all(self._seat_alone(index) for index in order if self.items[index].policy == "isolate"):
            return False
        loose = {index: self._loose_demand(index) for index in order}
        full = self._full_cores()
        for index in order:
            loose[index] -= self._seat_full_cores(index, loose[index], full)
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

    def _untouched(self, number: int) -> bool:
        """Tell whether a core is whole and nobody has been seated on it."""
        core = self.cores[number]
        return core.whole and len(self.free[number]) == len(core.cpus) > 0

    def _whole(self) -> list[int]:
        """Return the cores that may be taken whole, those first that waste least."""
        found = [number for number in range(len(self.cores)) if self._untouched(number)]
        return sorted(found, key=lambda n: (self._cost(n), n))

    def _seat_alone(self, index: int) -> bool:
        count = self.items[index].vcpus
        whole = self._whole()
        # A core of one thread is the cheapest for an isolated vCPU: no sibling is left idle.
        alike = len(set(map(self._cost, whole))) == 1
        return self._take_whole(index, self._by_l3(whole, count) if alike else whole[:count])

    def _fill_cores(self, index: int) -> bool:
        """Fill cores: a small item the cheapest one, others those of the main width and, for what is left over or what
        they lack, cores of one thread.
        """
        vcpus, whole = self.items[index].vcpus, self._whole()
        if not vcpus:
            return True
        if whole and vcpus <= min(len(self.cores[n].cpus) for n in whole):
            alike = len(set(map(self._cost, whole))) == 1
            return self._take_whole(index, self._by_l3(whole, 1) if alike else whole[:1])
        wide = [n for n in whole if self.cores[n].width == self.width == len(self.cores[n].cpus)]
        narrow = [n for n in whole if self.cores[n].width == 1 < self.width]
        rest = 1 if narrow and vcpus % self.width == 1 else 0
        need = -(-(vcpus - rest) // self.width)
        rest += self.width * max(0, need - len(wide))
        return self._take_whole(index, [*self._by_l3(wide, need), *narrow[:rest]])

    def _cost(self, number: int) -> tuple[int, int]:
        return len(self.cores[number].cpus), len(self.cores[number].floats)

    def _take_whole(self, index: int, chosen: Sequence[int]) -> bool:
        """Seat all vCPUs of an item on cores that it has for itself; False where these are too few."""
        item = self.items[index]
        for number in chosen:
            room = 1 if item.policy == "isolate" else len(self.free[number])
            self._take(index, number, min(room, item.vcpus - len(self.got[index])))
            self._leave_idle(number)
        return len(self.got[index]) == item.vcpus

    def _leave_idle(self, number: int) -> None:
        self.idle.update(self.free[number], self.cores[number].beside)
        self.free[number].clear()

    def _full_cores(self) -> list[int]:
        """Return the cores of which nothing is taken, those first over which the fewest may float."""
        whole = [
            n
            for n, core in enumerate(self.cores)
            if len(self.free[n]) == core.width == self.width and not (self.thrifty and core.floats)
        ]
        return sorted(whole, key=lambda n: (len(self.cores[n].floats), n))

    def _seat_full_cores(self, index: int, threads: int, full: list[int]) -> int:
        """Give a `prefer` item as many `full` cores as its threads fill, which are full no more; return how many
        threads that seats.
        """
        many = threads // self.width
        chosen = self._by_l3(full, many) if many else []
        for number in chosen:
            self._take(index, number, self.width)
            full.remove(number)
        return self.width * len(chosen)

    def _seat_threads(self, index: int, threads: int) -> bool:
        """Seat loose threads: cores nobody movable uses first, half-taken ones before whole, then the rests of shared
        cores.
        """
        near = {self.cores[n].l3 for n in range(len(self.cores)) if set(self.cores[n].cpus) & set(self.got[index])}

        def rank(number: int) -> tuple[bool, bool, bool, bool, bool, bool, int, int]:
            room = len(self.free[number])
            floats = self._first_floats(number)
            mine = bool(set(self.cores[number].cpus) & set(self.got[index]))
            whole = self.cores[number].whole and number not in self.used
            return (
                self.thrifty and floats,
                number in self.used and not mine,
                room < threads,
                whole,
                bool(near) and self.cores[number].l3 not in near,
                floats,
                room,
                number,
            )

        while threads:
            open_cores = [n for n in range(len(self.cores)) if self.free[n]]
            if not open_cores:
                return False
            number = min(open_cores, key=rank)
            apart = sum(cpu not in self.cores[number].floats for cpu in self.free[number])
            take = min(threads, apart if self.thrifty and apart else len(self.free[number]))
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
                key=lambda n: (
                    self.thrifty and self._first_floats(n),
                    n in self.used,
                    self.cores[n].whole,
                    self._first_floats(n),
                    len(self.free[n]),
                    n,
                ),
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

    def _first_floats(self, number: int) -> bool:
        """Tell whether the next CPU to be taken of a core is one that shared vCPUs may float over."""
        return self.free[number][0] in self.cores[number].floats

    def _by_l3(self, candidates: Iterable[int], count: int) -> list[int]:
        """Return `count` of the candidate cores (or all, where they are fewer) over few L3 domains.

        The smallest domain that holds all of them is taken; where none does, the largest ones first.
        """
        found = list(candidates)
        if count >= len(found):
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
