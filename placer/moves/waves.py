"""Put steps into waves: first changes inside hosts, then moves, each as soon as there is room for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from placer.model.vm import Vm
from placer.moves.model import FloatingSet, MoveLimits, Place, Step, StepKind, Wave
from placer.moves.need import moved_kib
from placer.moves.pages import Pages
from placer.moves.places import Claims, Transition, transition
from placer.moves.reserves import ReserveWatch
from placer.moves.state import Board

_Place = tuple[str, tuple[int, ...]]
"""A host, and nodes of it."""


@dataclass(slots=True)
class Task:
    """One VM on its way: where it is, where it has to go, and what it takes at both."""

    vm: Vm
    kind: StepKind
    source: tuple[Place, Claims] | None
    target: tuple[Place, Claims]
    moved: bool = False
    """Whether the plan moves it between hosts or nodes; parking moves come on top."""
    parked: bool = False
    eased: bool = False
    """Whether it has had passing CPUs or shared some already: once is enough."""
    order: float = 0.0
    _change: Transition | None = None

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.vm.name

    @property
    def host(self) -> str:
        """The host it goes to."""
        return self.target[0].host

    @property
    def source_host(self) -> str | None:
        """The host it comes from; None where it comes from nowhere."""
        return None if self.source is None else self.source[0].host

    @property
    def hosts(self) -> set[str]:
        """The hosts it touches."""
        return {self.host} if self.source is None else {self.host, self.source[0].host}

    @property
    def memory_gib(self) -> float:
        """What the step copies, GiB."""
        if self.kind not in (StepKind.MIGRATE, StepKind.RENODE) or not self.vm.running:
            return 0.0
        kib = None
        if self.kind is StepKind.RENODE and self.source is not None:
            kib = moved_kib(self.source[0].cells, self.target[0].cells)
        return (self.vm.spec.memory_kib if kib is None else kib) / 2**20

    @property
    def disk_gib(self) -> float:
        """What else it copies: disks of a VM that changes host."""
        return self.vm.disk_gib if self.source is not None and self.source_host != self.host else 0.0

    @property
    def counts(self) -> bool:
        """Tell whether limits on what is under way at once are about it: it leaves its host or node."""
        return self.kind is not StepKind.REPIN and self.source is not None

    def change(self, board: Board) -> Transition:
        """Return what the step takes and gives back."""
        if self._change is None:
            topology = board.fleet.host_by_name[self.host].topology
            self._change = transition(self.kind, self.vm.spec, topology, self.source, self.target)
        return self._change


@dataclass(slots=True)
class Waves:
    """Waves made so far and the state of the fleet after them."""

    board: Board
    limits: MoveLimits
    watch: ReserveWatch | None = None
    """Steps begin only where it keeps room for failures, too."""
    waves: list[Wave] = field(default_factory=list)
    _pages: Pages = field(init=False)
    _under_way: Counter[str] = field(default_factory=Counter)
    _gib: dict[str, float] = field(default_factory=dict)
    _open: list[tuple[Task, Step]] = field(default_factory=list)
    _before: dict[_Place, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with pages where they lie now."""
        self._pages = Pages(self.board)

    def run(self, tasks: Iterable[Task]) -> list[Task]:
        """Make waves until no step fits any more; return the tasks that are left.

        Only hosts where something was given back since they were last looked at are looked at again.
        """
        queues: dict[str, list[Task]] = {}
        for task in sorted(tasks, key=lambda t: (not t.kind.in_host, t.order, t.name)):
            queues.setdefault(task.host, []).append(task)
        awake = dict.fromkeys(queues)
        waiting_for_rules: dict[str, None] = {}
        while awake:
            again: dict[str, None] = {}
            for host in awake:
                if host in queues:
                    self._fill(host, queues, again, waiting_for_rules)
            if not self._open:
                break
            for task, _ in self._open:
                if task.source_host is not None:
                    again[task.source_host] = None
                if self.watch is not None or self.board.rules.ties(task.name):
                    again.update(waiting_for_rules)
                    waiting_for_rules.clear()
            self.close()
            awake = again
        return [task for queue in queues.values() for task in queue]

    def _fill(
        self, host: str, queues: dict[str, list[Task]], again: dict[str, None], waiting_for_rules: dict[str, None]
    ) -> None:
        rest: list[Task] = []
        queue = queues[host]
        for number, task in enumerate(queue):
            if task.counts and self._under_way[host] >= self.limits.per_host:
                again[host] = None
                rest.extend(queue[number:])
                break
            if not self.within_limits(task):
                again[host] = None
                rest.append(task)
            elif not self.board.fits(host, task.name, task.change(self.board).gain):
                if self.board.rules.ties(task.name):
                    waiting_for_rules[host] = None
                rest.append(task)
            elif self.watch is not None and not self.watch.admits(task.vm, task.kind, task.target[0]):
                waiting_for_rules[host] = None
                rest.append(task)
            else:
                self.begin(task)
        if rest:
            queues[host] = rest
        else:
            del queues[host]

    def within_limits(self, task: Task) -> bool:
        """Tell whether the open wave leaves room for a task under the limits on what is under way at once."""
        if not task.counts:
            return True
        most = self.limits.per_host_gib
        for host in task.hosts:
            if self._under_way[host] >= self.limits.per_host:
                return False
            if most is not None and self._gib.get(host, 0.0) + task.memory_gib > most:
                return False
        return True

    def begin(self, task: Task, *, parking: bool = False, passing: bool = False, shares: Sequence[str] = ()) -> None:
        """Put a task into the open wave: from now on it is carried on both sides."""
        if task.counts:
            for host in task.hosts:
                self._under_way[host] += 1
                self._gib[host] = self._gib.get(host, 0.0) + task.memory_gib
        wants_free = self._wants_free(task)
        step = Step(
            vm=task.name,
            uuid=task.vm.uuid,
            kind=task.kind,
            source=None if task.source is None else task.source[0],
            target=task.target[0],
            memory_gib=task.memory_gib,
            disk_gib=task.disk_gib,
            running=task.vm.running,
            parking=parking,
            passing=passing,
            wants_free=wants_free,
            pages_first=self._pages.make_room(task.host, task.name, wants_free) if wants_free else (),
            shares_with=tuple(shares),
        )
        for host, nodes in _floors(self.board, task):
            self._before.setdefault((host, nodes), self.board.state(host).floating(*nodes))
        self.board.add(task.host, task.name, task.change(self.board).gain)
        if task.source is None:
            self.board.rules.comes(task.name, now=True)
        if self.watch is not None:
            self.watch.begins(task.vm, task.kind, task.target[0])
        self._open.append((task, step))

    def _wants_free(self, task: Task) -> dict[int, int]:
        """Return node -> KiB that a task brings to a host over which VMs float, itself included."""
        if not self.board.floats_over(task.host):
            return {}
        wanted: Counter[int] = Counter()
        for cell in task.target[0].cells:
            wanted.update(cell.nodes)
        if task.source is not None and task.source[0].host == task.host:
            now = task.vm.current
            if any(cell.nodes for cell in task.source[0].cells):
                for cell in task.source[0].cells:
                    wanted.subtract(cell.nodes)
            elif now is not None:
                wanted.subtract(now.memory_on)
        return {node: kib for node, kib in sorted(wanted.items()) if kib > 0}

    def close(self) -> None:
        """End the open wave: all its steps are done, and their old places are free."""
        if not self._open:
            return
        narrowed = {key: self.board.state(key[0]).floating(*key[1]) for key in self._before}
        for task, _ in self._open:
            if task.source is not None:
                self.board.add(task.source[0].host, task.name, task.change(self.board).drop, -1)
                self.board.state(task.source[0].host).members.pop(task.name, None)
            else:
                self.board.rules.comes(task.name, now=False)
            self.board.state(task.host).members[task.name] = task.target[1]
        before, after = [], []
        arrived = self._arrived()
        for host, nodes in sorted(self._before.keys() | arrived.keys()):
            state = self.board.state(host)
            now = state.floating(*nodes)
            narrow = narrowed.get((host, nodes), now)
            vcpus = {name: one.floats[nodes] for name, one in sorted(state.members.items()) if nodes in one.floats}
            if narrow != self._before.get((host, nodes), now):
                there = {name: own for name, own in vcpus.items() if name not in arrived.get((host, nodes), ())}
                before.append(FloatingSet(host=host, nodes=nodes, cpus=narrow, vcpus=there))
            if now != narrow or (host, nodes) in arrived:
                after.append(FloatingSet(host=host, nodes=nodes, cpus=now, vcpus=vcpus))
        if self.watch is not None:
            self.watch.closes()
        steps = tuple(step for _, step in self._open)
        self.waves.append(
            Wave(steps=steps, before=tuple(before), after=tuple(after), minutes=_minutes(steps, self.limits))
        )
        self._open.clear()
        self._before.clear()
        self._under_way.clear()
        self._gib.clear()

    def _arrived(self) -> dict[_Place, set[str]]:
        """Return the nodes where VMs of the open wave float over other CPUs than they will in the end."""
        found: dict[_Place, set[str]] = {}
        for task, _ in self._open:
            place, claims = task.target
            for nodes, vcpus in claims.floats.items():
                now = self.board.state(place.host).floating(*nodes)
                if any(place.pins.get(vcpu, now) != now for vcpu in vcpus):
                    found.setdefault((place.host, nodes), set()).add(task.name)
        return found


def _floors(board: Board, task: Task) -> set[_Place]:
    """Return the nodes that shared vCPUs float over whose CPUs a task takes or gives back."""
    found: set[_Place] = set()
    change = task.change(board)
    for host, claims in ((task.host, change.gain), (task.source_host, change.drop)):
        if host is not None and (claims.own or claims.idle):
            state = board.state(host)
            touched = {state.host.topology.node_of_cpu[cpu] for cpu in claims.own | claims.idle}
            floats = {nodes for one in state.members.values() for nodes in one.floats}
            found |= {(host, nodes) for nodes in floats if not touched.isdisjoint(nodes)}
    return found


def _minutes(steps: Sequence[Step], limits: MoveLimits) -> float | None:
    """Return the copying time of the host with most to send or to receive, in minutes."""
    if limits.bandwidth_gib_s is None:
        return None
    loads: dict[tuple[str, str], float] = {}
    for step in steps:
        if step.source is not None and (step.kind is StepKind.MIGRATE or step.disk_gib):
            for end in (("out of", step.source.host), ("into", step.target.host)):
                loads[end] = loads.get(end, 0.0) + step.copied_gib
    return max(loads.values(), default=0.0) / limits.bandwidth_gib_s / 60
