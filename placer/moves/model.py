"""What a schedule of moves is: places, steps, waves, and what could not be ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from placer.model.plan import Change, PlanCell
from placer.model.vm import Bound
from placer.moves.need import Need, need_of


class StepKind(StrEnum):
    """What a step does to its VM."""

    REPIN = "repin"
    """Other CPUs, on the same nodes; or first pins for a VM without any."""
    RENODE = "renode"
    """Another node of the same host: the memory moves too."""
    MIGRATE = "migrate"
    RESTART = "restart"
    """Shut off, then started as planned: a cold move, a guest with other cells, or a VM whose host failed."""
    START = "start"
    """A VM that is nowhere yet."""

    @property
    def in_host(self) -> bool:
        """Tell whether the VM stays on its host whatever the step."""
        return self in (StepKind.REPIN, StepKind.RENODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a VM is between steps: host, cells with their memory, and every cpuset as far as known.

    `nodes` are the nodes of its parts' vCPUs, None where not known. A shared vCPU floats over what is free on its node,
    so its cpuset follows the VMs around it. `addresses` are those of its `devices` as far as known. `bound` says what
    it is bound to where that is not one node a cell, in the terms of `Current.bound`.
    """

    host: str
    nodes: tuple[int, ...] | None
    cells: tuple[PlanCell, ...] = ()
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator: frozenset[int] | None = None
    iothreads: Mapping[int, frozenset[int]] = field(default_factory=dict)
    devices: tuple[tuple[str, int | None], ...] = ()
    addresses: tuple[str | None, ...] = ()
    bound: tuple[Bound, ...] = ()

    @property
    def memory_nodes(self) -> tuple[int, ...]:
        """Nodes that hold memory of it, ascending."""
        return tuple(sorted({node for cell in self.cells for node in cell.nodes}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMove:
    """Pages (KiB) of a running VM that floats, to go from one node of its host to another: all that it has there."""

    vm: str
    host: str
    source: int
    target: int
    memory_kib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of one VM.

    Attributes
    ----------
    source, target : where it is before and after; `source` is None for a VM that comes from nowhere.
    memory_gib : memory that is copied, GiB: 0 where none is (re-pins, cold moves, VMs that are shut off).
    disk_gib : what is copied beside it to another host, GiB, running or not: `Vm.copied`.
    running : it is on; what is shut off copies nothing.
    parking : the VM is only put aside, so that others can pass; a later step takes it to its planned place.
    passing : its CPUs are only for the time being; a later step gives it the planned ones.
    wants_free : memory (KiB) that must really be free on a node before it, where VMs float over its host: nobody can
        tell in advance where their pages lie. Of a VM that is bound where it floats, at its next start, less what is
        known to lie there of it already.
    pages_first : pages of VMs that float to be moved before it, where it is known that they are in the way.
    shares_with : VMs that it shares CPUs with for a while, until they too have got their new ones.
    """

    vm: str
    uuid: str | None
    kind: StepKind
    source: Place | None
    target: Place
    memory_gib: float = 0.0
    disk_gib: float = 0.0
    running: bool = True
    parking: bool = False
    passing: bool = False
    wants_free: Mapping[int, int] = field(default_factory=dict)
    pages_first: tuple[PageMove, ...] = ()
    shares_with: tuple[str, ...] = ()

    @property
    def copied_gib(self) -> float:
        """Memory and disks that are copied, GiB."""
        return self.memory_gib + self.disk_gib

    @property
    def need(self) -> Need:
        """What it needs: whether the VM stays up, and what moves its memory."""
        if self.kind is StepKind.START:
            return Need.START
        before = () if self.source is None else self.source.cells
        return need_of(Change(self.kind.value), self.running, before, self.target.cells)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it touches."""
        if self.source is None or self.source.host == self.target.host:
            return (self.target.host,)
        return (self.source.host, self.target.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingSet:
    """CPUs that shared vCPUs which float over just these nodes have from now on, and the VMs whose vCPUs these are."""

    host: str
    nodes: tuple[int, ...]
    cpus: frozenset[int]
    vcpus: Mapping[str, frozenset[int]]

    @property
    def vms(self) -> tuple[str, ...]:
        """The VMs, by name."""
        return tuple(self.vcpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Steps that may be made in any order or at once: all fit beside all others' old and new places.

    Attributes
    ----------
    before, after : cpusets of shared vCPUs to narrow before the wave, and to widen once it is done.
    minutes : copying time at the bandwidth given, of the busiest host; None where no bandwidth is given.
    complete : no VM is put aside or on passing CPUs after it, and no rule is broken for a while: here one may stop.
    """

    steps: tuple[Step, ...]
    before: tuple[FloatingSet, ...] = ()
    after: tuple[FloatingSet, ...] = ()
    minutes: float | None = None
    complete: bool = True

    @property
    def memory_gib(self) -> float:
        """Memory copied, GiB."""
        return sum(step.memory_gib for step in self.steps)

    @property
    def copied_gib(self) -> float:
        """Memory and disks copied, GiB."""
        return sum(step.copied_gib for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """VMs of which none can go first: each needs room that another one leaves.

    `fewest_parkings` is how many of them have to be put aside at least.
    """

    vms: tuple[str, ...]
    hosts: tuple[str, ...]
    fewest_parkings: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A VM that cannot be moved, why, and the VMs that are in its way."""

    vm: str
    target: str
    reason: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule that held, or was broken less, and is broken on the way: from the beginning of wave `first` to the end of
    wave `last`.

    Attributes
    ----------
    minutes : of copying in these waves; None where no bandwidth is given.
    by_any : every order of the moves breaks it. Else none was found that keeps it.
    mended : it is as good as at the start after wave `last`.
    """

    rule: str
    first: int
    last: int
    minutes: float | None
    by_any: bool
    mended: bool = True

    @classmethod
    def of(cls, rule: str, waves: Sequence[Wave], numbers: Sequence[int], *, by_any: bool, mended: bool) -> Broken:
        """Return a rule that is broken in the waves of these numbers, which ascend from 1."""
        first, last = numbers[0], numbers[-1]
        minutes = [wave.minutes for wave in waves[first - 1 : last]]
        known = [one for one in minutes if one is not None]
        copying = sum(known) if len(known) == len(minutes) else None
        return cls(rule=rule, first=first, last=last, minutes=copying, by_any=by_any, mended=mended)

    def __str__(self) -> str:
        """Say so in a sentence."""
        if not self.mended:
            return f"rule {self.rule!r} is broken from wave {self.first} on, and still is after the last one"
        when = f"in wave {self.first}" if self.first == self.last else f"from wave {self.first} to wave {self.last}"
        if self.minutes is not None:
            when += f" ({self.minutes:.1f} minutes of copying)"
        why = "every order of these moves breaks it" if self.by_any else "no order was found that keeps it"
        return f"rule {self.rule!r} is broken {when}: {why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLimits:
    """How much may be under way at once on a host, coming and going together; and the speed of a host's network.

    `per_host` counts VMs that change host or node, `per_host_gib` their memory (GiB, None: no limit). `bandwidth_gib_s`
    is GiB a second in each direction, None where it is not known.
    """

    per_host: int = 2
    per_host_gib: float | None = None
    bandwidth_gib_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Waves in order, and what has no place in them.

    Attributes
    ----------
    parking_moves : moves beyond the plan's, of VMs put aside.
    parking_bound : no order has fewer.
    blocked : VMs for which no order was found; then the waves are those that can be made all the same.
    broken : rules that are worse on the way than at the start, and for how long; all others hold at every step.
    remaining : steps left out by a window, in order; empty where all are in `waves`.
    notes : what a person should know, in plain sentences.
    """

    waves: tuple[Wave, ...]
    parking_moves: int = 0
    parking_bound: int = 0
    cycles: tuple[Cycle, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    broken: tuple[Broken, ...] = ()
    remaining: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(step for wave in self.waves for step in wave.steps)

    @property
    def minutes(self) -> float | None:
        """Copying time of all waves; None where no bandwidth is given."""
        known = [wave.minutes for wave in self.waves if wave.minutes is not None]
        return sum(known) if len(known) == len(self.waves) else None
