"""The cores of a node, what is to be pinned on them, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from solvers.pins.cpu_rows import CoreKind, CoreRoom, CpuPolicy


@dataclass(frozen=True, slots=True)
class Core:
    """A core seen from its node: its free CPUs for dedicated vCPUs, its width in threads, its L3 domain (None: not
    known); those of its free threads that shared vCPUs may float over, and those that are not for dedicated vCPUs but
    may be left idle beside them. `slow` marks an efficiency core.
    """

    cpus: tuple[int, ...]
    width: int
    l3: int | None = None
    floats: frozenset[int] = frozenset()
    beside: tuple[int, ...] = ()
    slow: bool = False

    @property
    def whole(self) -> bool:
        """Tell whether nobody has any of its threads."""
        return len(self.cpus) + len(self.beside) == self.width

    @property
    def room(self) -> CoreRoom:
        """The core in numbers."""
        both = sum(cpu in self.floats for cpu in self.cpus)
        return CoreRoom(
            width=self.width,
            dedicated=len(self.cpus) - both,
            both=both,
            floating=sum(cpu in self.floats for cpu in self.beside),
            whole=self.whole,
            slow=self.slow,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """Dedicated vCPUs of one VM on the node and `extra` emulator CPUs; `current` are kept where they may be. vCPUs
    for `any` kind of core go to performance cores first, others only to cores of their kind.
    """

    policy: CpuPolicy
    vcpus: int
    extra: int = 0
    current: tuple[int, ...] | None = None
    current_extra: tuple[int, ...] = ()
    kind: CoreKind = "any"

    def may_have(self, core: Core) -> bool:
        """Tell whether its vCPUs may be on a core."""
        return self.kind == "any" or core.slow is (self.kind == "efficiency")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class L3Rule:
    """A rule over the items of a node: at most `max_per` of `members` in an L3 domain, or (None) all in one.

    A member is the items of one VM, which has several where parts of it are on the node.

    `there` says how many members that are no items are in a domain already. What is broken may stay so: `more` members
    in a domain, or under None so many domains more than one.
    """

    members: tuple[tuple[int, ...], ...]
    max_per: int | None
    there: Mapping[int | None, int] = field(default_factory=dict)
    more: Mapping[int | None, int] = field(default_factory=dict)

    def by_items(self, owners: Sequence[int]) -> L3Rule:
        """Return the rule of items, whose `owners` are the VMs that its members name."""
        items: dict[int, list[int]] = {}
        for number, vm in enumerate(owners):
            items.setdefault(vm, []).append(number)
        return replace(self, members=tuple(tuple(items.get(vm, ())) for (vm,) in self.members))
