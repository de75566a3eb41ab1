"""What a host gives and holds while host classes are made, and what makes hosts interchangeable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from placer.planning.compile.capacity import HostCapacity
from placer.planning.compile.devices import DeviceNodes


@dataclass(frozen=True, slots=True)
class Room:
    """What one distinct host configuration gives: its draft, capacities of CPU rows a node, and the capacity itself."""

    draft: int
    cpu: tuple[tuple[int, ...], ...]
    capacity: HostCapacity


@dataclass(slots=True)
class Loaded:
    """One host with its VMs sorted into what is fixed, known and floating."""

    room: Room
    fixed: list[int] = field(default_factory=list)
    now: dict[int, list[int]] = field(default_factory=dict)
    floating: dict[int, list[int]] = field(default_factory=dict)
    devices: Mapping[int, DeviceNodes] = field(default_factory=dict)
    shares: bool = False
    """Whether any vCPU there now has no CPU of its own."""
    tied_on: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Rule that ties hosts -> node -> fixed VMs with CPUs there, where its domains are nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What makes hosts interchangeable: those of equal states are one class. Arrays are bytes, to be compared."""

    draft: int
    capacity: bytes
    room: bytes
    silent: tuple[int, ...]
    fixed: bytes
    content: tuple[tuple[int, int], ...]
    floating: tuple[tuple[int, int], ...]
    tied: tuple[tuple[int, int], ...]
    tied_on: tuple[tuple[int, tuple[int, ...]], ...] = ()
    domains: tuple[tuple[str, int], ...] = ()
    permission: int = 0
    closed: bool = False
    charges: tuple[tuple[str, int], ...] = ()
    cost: int = 0
