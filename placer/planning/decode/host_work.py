"""One host that is being pinned, and the pins that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from placer.model.vm import Vm
from placer.planning.compile.capacity import HostCapacity
from placer.planning.compile.needs import Needs, joint_slots
from placer.planning.compile.placements import Placement
from placer.planning.decode.to_float import Floats, lack


@dataclass(frozen=True, slots=True)
class SlotPins:
    """CPUs of one VM: a part, those of its dedicated vCPUs in order, and the set its shared ones float over; the
    emulator's own.
    """

    cpus: tuple[tuple[int, ...], ...]
    floating: tuple[frozenset[int], ...]
    extra: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class HostPins:
    """Pins of one host, a slot each of its placed VMs in the order they were given; `newly` are CPUs that dedicated
    vCPUs hold, siblings left idle included, which were not theirs before.
    """

    slots: tuple[SlotPins, ...]
    newly: frozenset[int] = frozenset()


@dataclass(slots=True)
class HostWork:
    """One host being pinned: its VMs with their needs and placements, and what each has so far.

    `stays` tells the parts that are on their nodes now, a VM each, whatever becomes of its other parts; `held` are CPUs
    of VMs that are not bound to one node a cell, `floats` what of those floats; `cores` are those that each part
    had where its VM comes from, empty where there are none; with `hold` parts that stay keep their CPUs; `shared` are
    the shared vCPUs of each node that was pinned, `left` the CPUs of each node that may still be floated over.
    """

    host: int
    name: str
    capacity: HostCapacity
    vms: Sequence[Vm]
    needs: Sequence[Needs]
    placements: Sequence[Placement]
    tied: Sequence[tuple[int, ...]]
    broken: Mapping[tuple[int, int | None], int]
    stays: Sequence[tuple[bool, ...]]
    held: frozenset[int]
    floats: Floats
    cores: Sequence[tuple[int, ...]]
    hold: bool
    cpus: list[list[tuple[int, ...]]] = field(init=False)
    floating: list[list[frozenset[int]]] = field(init=False)
    extra: list[frozenset[int] | None] = field(init=False)
    newly: dict[int, set[int]] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        """Start with nobody pinned."""
        self.cpus = [[() for _ in placement.cpu_nodes] for placement in self.placements]
        self.floating = [[frozenset[int]() for _ in placement.cpu_nodes] for placement in self.placements]
        self.extra = [None] * len(self.vms)
        self.left = {n: len(node.shared_cpus - self.held) for n, node in enumerate(self.capacity.nodes)}

    @property
    def lacks(self) -> bool:
        """Whether what floats over several nodes has too few CPUs beside these pins."""
        return lack(self.floats, self.shared, self.left, self.capacity.ratio)

    def again(self, *, hold: bool) -> HostWork:
        """Return the same host with nobody pinned."""
        return replace(self, hold=hold, newly={}, shared={})

    @property
    def pins(self) -> HostPins:
        """What everybody has so far."""
        slots = (SlotPins(tuple(self.cpus[n]), tuple(self.floating[n]), self.extra[n]) for n in range(len(self.vms)))
        return HostPins(slots=tuple(slots), newly=frozenset().union(*self.newly.values()))

    def give(self, number: int, slot: int, cpus: tuple[int, ...]) -> None:
        """Give a part its CPUs, and those parts theirs that fill cores together with it."""
        needs, at = self.needs[number], 0
        for one in joint_slots(needs, self.placements[number].cpu_nodes, slot):
            many = needs.options[0][one].dedicated
            self.cpus[number][one] = cpus[at : at + many]
            at += many
