"""From ``hosts[].reserve`` to what a host keeps for itself: shares counted out, sizes in whole KiB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from placer.model.cpuset import format_cpuset
from placer.model.host import Node, NodeKind, Reserve, Topology
from placer.model.units import format_kib
from placer.read.inventory.schema import HostEntry, NodeReserveEntry
from placer.read.inventory.types import Part
from placer.read.inventory.validation import Problem, no_node


def build_reserve(entry: HostEntry, topology: Topology, problems: list[Problem], warnings: list[str]) -> Reserve:
    """Return what the host of an entry keeps.

    Of a share of its CPUs the lowest are kept, core by core, from each node in proportion; of a share of its memory
    each node with CPUs gives that share. What is no whole number of CPUs or KiB is rounded down, and `warnings` say so.
    """
    said = entry.reserve
    if said is None:
        return Reserve()
    own = _Own(entry, topology, problems, warnings)
    for node_id, part in (said.nodes or {}).items():
        path = ("reserve", "nodes", str(node_id))
        if node_id not in topology.node_ids:
            problems.append((path, no_node(node_id, topology), None))
            continue
        own.take_node(topology.node(node_id), part, path)
    own.take_cpus(said.cpus, topology.nodes, ("reserve", "cpus"))
    if isinstance(said.memory, Part):
        for node in topology.nodes:
            if node.kind is NodeKind.NORMAL:
                kept = int(said.memory.share * node.memory_kib)
                own.memory[node.id] = own.memory.get(node.id, 0) + kept
    elif said.memory is not None:
        own.memory[None] = own.whole_kib(said.memory, ("reserve", "memory"))
    if said.pages:
        own.pages[None] = said.pages
    _check_reserve_fits(own.memory, own.pages, topology, problems)
    return Reserve(cpus=frozenset(own.cpus), memory_kib=own.memory, pages=own.pages)


class _Own:
    """What a host keeps so far."""

    def __init__(self, entry: HostEntry, topology: Topology, problems: list[Problem], warnings: list[str]) -> None:
        self.cpus: frozenset[int] = frozenset()
        self.memory: dict[int | None, int] = {}
        self.pages: dict[int | None, Mapping[int, int]] = {}
        self._promised = (entry.dedicated_cpus or frozenset()) | (entry.shared_cpus or frozenset())
        self._topology = topology
        self._problems = problems
        self._warnings = warnings

    def take_node(self, node: Node, part: NodeReserveEntry, path: tuple[str, ...]) -> None:
        """Keep what is said of one node."""
        self.take_cpus(part.cpus, [node], (*path, "cpus"))
        if isinstance(part.memory, Part):
            self.memory[node.id] = int(part.memory.share * node.memory_kib)
        elif part.memory is not None:
            self.memory[node.id] = self.whole_kib(part.memory, (*path, "memory"))
        if part.pages:
            self.pages[node.id] = part.pages

    def take_cpus(self, said: frozenset[int] | Part | None, nodes: Sequence[Node], path: tuple[str, ...]) -> None:
        """Keep CPUs of these nodes, by number or as a share."""
        if said is None:
            return
        if isinstance(said, Part):
            self.cpus |= self._counted_out(said, nodes, path)
            return
        if lacking := said - frozenset().union(*(node.cpus for node in nodes)):
            if path == ("reserve", "cpus"):
                has = format_cpuset(self._topology.cpus)
                self._problems.append((path, f"the host has no CPU {format_cpuset(lacking)}", f"it has {has}"))
            else:
                self._problems.append((path, f"CPUs {format_cpuset(lacking)} are not in node {nodes[0].id}", None))
        if twice := said & self.cpus:
            where = path if path != ("reserve", "cpus") else self._path_of(min(twice))
            message = f"CPUs {format_cpuset(twice)} are reserved twice: overlapping reserves"
            self._problems.append((where, message, "keep one"))
        self.cpus |= said - lacking

    def whole_kib(self, said: int | Fraction, path: tuple[str, ...]) -> int:
        """Return a size in whole KiB, rounded down with a word where it is none."""
        if isinstance(said, Fraction):
            size = f"{float(said / 1024):g}MiB"
            self._warnings.append(f"{'.'.join(path)}: {size} are no whole number of bytes: {int(said)}KiB are taken")
        return int(said)

    def _counted_out(self, part: Part, nodes: Sequence[Node], path: tuple[str, ...]) -> frozenset[int]:
        total = sum(len(node.cpus) for node in nodes)
        exact = part.share * total
        count = int(exact)
        if count != exact:
            self._warnings.append(
                f"{'.'.join(path)}: {part} of {total} CPUs are {float(exact):g}: {count} are reserved"
            )
        order: list[tuple[Fraction, int, list[int]]] = []
        for number, node in enumerate(nodes):
            cores = [core & node.cpus for core in self._topology.cores if core & node.cpus]
            for rank, core in enumerate(sorted(cores, key=min)):
                order.append((Fraction(rank, len(cores)), number, sorted(core - self._promised - self.cpus)))
        free = [cpu for _, _, core in sorted(order) for cpu in core]
        if len(free) < count:
            message = f"{part} are {count} CPUs, only {len(free)} are not promised or reserved already"
            self._problems.append((path, message, "make the share or dedicated_cpus and shared_cpus smaller"))
        return frozenset(free[:count])

    def _path_of(self, cpu: int) -> tuple[str, ...]:
        return ("reserve", "nodes", str(self._topology.node_of_cpu[cpu]), "cpus")


def _check_reserve_fits(
    memory: Mapping[int | None, int],
    pages: Mapping[int | None, Mapping[int, int]],
    topology: Topology,
    problems: list[Problem],
) -> None:
    """Refuse to reserve more than the host or a node has: such reserves overlap with each other or with nothing."""
    for node in topology.nodes:
        ordinary = node.memory_kib - node.pool_kib
        if memory.get(node.id, 0) > ordinary:
            problems.append(
                (
                    ("reserve", "nodes", str(node.id), "memory"),
                    f"reserves {format_kib(memory[node.id])}, node {node.id} has {format_kib(ordinary)} beside pools",
                    None,
                )
            )
        for size, count in pages.get(node.id, {}).items():
            if count > node.pages.get(size, 0):
                problems.append(
                    (
                        ("reserve", "nodes", str(node.id), "pages"),
                        f"reserves {count} pages of {format_kib(size)}, node {node.id} has {node.pages.get(size, 0)}",
                        None,
                    )
                )
    ordinary = sum(node.memory_kib - node.pool_kib for node in topology.nodes)
    if sum(memory.values()) > ordinary:
        problems.append(
            (
                ("reserve", "memory"),
                f"reserves {format_kib(sum(memory.values()))} in all, "
                f"the host has {format_kib(ordinary)} beside its page pools",
                None,
            )
        )
    for size in {size for own in pages.values() for size in own}:
        kept = sum(own.get(size, 0) for own in pages.values())
        held = sum(node.pages.get(size, 0) for node in topology.nodes)
        if kept > held and None in pages:
            problems.append(
                (("reserve", "pages"), f"reserves {kept} pages of {format_kib(size)} in all, the host has {held}", None)
            )
