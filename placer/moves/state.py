"""The fleet between steps: what every host carries, and whether a step fits just then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from placer.check.findings import some
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.memory_room import memory_room
from placer.model.sets import known_nodes
from placer.model.units import format_kib
from placer.moves.kept_rules import KeptRules, Pair
from placer.moves.model import Place
from placer.moves.places import ClaimMaker, Claims, Key, SetKey
from placer.planning.compile.loose import unions_of
from placer.planning.compile.rows import PLENTY

NO_KEY = Key("cpus", None)
TOLERANCE = 1e-6
"""Shared vCPUs are counted in fractions where a cpuset spans nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One thing that a step lacks: an amount, CPUs for shared vCPUs, room on a set of nodes for what may be on any of
    them, room in a rule's domain, or CPUs by number.
    """

    kind: Literal["amount", "shared", "set", "rule", "pins"]
    key: Key = NO_KEY
    nodes: frozenset[int] = frozenset()
    pair: Pair | None = None
    cpus: frozenset[int] = frozenset()


@dataclass(slots=True)
class Taken:
    """What is taken of a host: on nodes, as shared vCPUs on nodes, and of what may be on any of several nodes."""

    used: Counter[Key] = field(default_factory=Counter)
    shared: Mapping[int, float] = field(default_factory=dict)
    sets: Counter[SetKey] = field(default_factory=Counter)


@dataclass(slots=True)
class HostState:
    """One host: what it has, what is taken of it, and what may be taken.

    A host that carries more than it has at the start may go on doing so; it may not get worse (`limit`, `short`).
    """

    host: Host
    has: dict[Key, int]
    used: Counter[Key] = field(default_factory=Counter)
    limit: dict[Key, int] = field(default_factory=dict)
    holders: dict[int, set[str]] = field(default_factory=dict)
    idlers: dict[int, set[str]] = field(default_factory=dict)
    shared: dict[int, float] = field(default_factory=dict)
    short: dict[int, float] = field(default_factory=dict)
    sets: Counter[SetKey] = field(default_factory=Counter)
    start: Taken = field(default_factory=Taken)
    pools: dict[int, tuple[frozenset[int], int]] = field(default_factory=dict)
    """Node -> its CPUs for shared vCPUs, and how many CPUs are for dedicated vCPUs only."""
    dedicated: frozenset[int] = frozenset()
    members: dict[str, Claims] = field(default_factory=dict)

    def most(self, key: Key) -> int:
        """Return how much of something may be taken."""
        found = self.limit.get(key)
        return self.has.get(key, 0) if found is None else found

    def free_cpus(self, node: int) -> frozenset[int]:
        """Return the CPUs of a node that dedicated vCPUs may have and that nobody holds or keeps idle."""
        pool = self.host.topology.node(node).cpus & self.dedicated
        return frozenset(cpu for cpu in pool if not self.holders.get(cpu) and not self.idlers.get(cpu))

    def floating(self, *nodes: int) -> frozenset[int]:
        """Return the CPUs that shared vCPUs on these nodes may float over."""
        pool = frozenset().union(*(self.pools[node][0] for node in nodes))
        return frozenset(cpu for cpu in pool if not self.holders.get(cpu) and not self.idlers.get(cpu))

    def lack(self, key: SetKey, gain: Claims | None = None, *, at_start: bool = False) -> float:
        """Return what may be on any of some nodes, with all that may be on fewer of them, beyond the room that they
        have beside what is on one of them; below 0: what is left. By Hall's condition it finds its place where no
        union of sets lacks any.
        """
        what, nodes, size = key
        now = self.start if at_start else Taken(self.used, self.shared, self.sets)
        need: float = 0
        for found in (now.sets, gain.sets if gain is not None else {}):
            need += sum(
                many for (kind, on, page), many in found.items() if (kind, page) == (what, size) and on <= nodes
            )
        for node in nodes:
            here = Key("memory" if what == "memory" else "cpus", node, page_kib=size)
            used = now.used[here] + (0 if gain is None else gain.amounts.get(here, 0))
            if what == "memory":
                need -= max(0, self.has.get(here, 0) - used)
                continue
            pool, only_dedicated = self.pools[node]
            on_node = now.shared.get(node, 0.0) + (0.0 if gain is None else gain.shared.get(node, 0.0))
            free = len(pool) - max(0, used - only_dedicated)
            need -= max(0.0, self.host.cpu_ratio * free - on_node)
        return need

    def unions(self, what: str, size: int | None, gain: Claims) -> Iterator[SetKey]:
        """Yield the unions of sets in use, of memory of a page size or of shared vCPUs."""
        sets = {
            on for found in (self.sets, gain.sets) for (kind, on, page), many in found.items()
            if (kind, page) == (what, size) and many > 0
        }  # fmt: skip
        for union in unions_of(tuple(sorted(one)) for one in sets)[0]:
            yield ("memory" if what == "memory" else "shared", frozenset(union), size)

    def shortage(self, node: int, shared: float, cpus: int) -> float:
        """Return by how much shared vCPUs on a node exceed what its unpinned CPUs carry; `cpus` are taken ones."""
        pool, only_dedicated = self.pools[node]
        free = len(pool) - max(0, cpus - only_dedicated)
        if free < 1:
            return float("inf")
        return shared - self.host.cpu_ratio * free


@dataclass(slots=True)
class Board:
    """Host states, made when they are first looked at, and the rules that tie VMs.

    `residents` maps a host to its VMs at the start, each with its place. With `exact` off CPUs are only counted, as if
    every VM could be pinned anywhere on its nodes. `version` changes with every change.
    """

    fleet: Fleet
    maker: ClaimMaker
    residents: Mapping[str, Sequence[tuple[str, Place]]]
    rules: KeptRules
    hosts: dict[str, HostState] = field(default_factory=dict)
    version: int = 0
    _rooms: dict[tuple[int, int, float], dict[Key, int]] = field(default_factory=dict)

    def floats_over(self, host: str) -> bool:
        """Tell whether a VM that is on the host at the start is bound to no node of it."""
        vms = self.fleet.vm_by_name
        return any(known_nodes(vms[name]) is None for name, _ in self.residents.get(host, ()))

    def state(self, name: str) -> HostState:
        """Return the state of a host."""
        found = self.hosts.get(name)
        if found is None:
            found = self.hosts[name] = self._load(self.fleet.host_by_name[name])
        return found

    def _load(self, host: Host) -> HostState:
        topology, dedicated, shared = host.topology, host.dedicated_pool, host.shared_pool
        state = HostState(host=host, has=dict(self._has(host)), dedicated=dedicated)
        for node in topology.nodes:
            pool = node.cpus & shared
            state.pools[node.id] = (pool, len((node.cpus & dedicated) - pool))
        for name, place in self.residents.get(host.name, ()):
            claims = self.maker.claims(self.fleet.vm_by_name[name], place)
            _add(state, name, claims, 1)
            state.members[name] = claims
        for key, used in state.used.items():
            if used > state.has.get(key, 0):
                state.limit[key] = used
        state.start = Taken(state.used.copy(), dict(state.shared), state.sets.copy())
        for number, count in state.shared.items():
            state.short[number] = state.shortage(number, count, state.used[Key("cpus", number)])
        return state

    def _has(self, host: Host) -> dict[Key, int]:
        key = (id(host.topology), id(host.reserve), host.memory_ratio)
        memory = self._rooms.get(key)
        if memory is None:
            memory = {Key("memory", node, page_kib=size): kib for (node, size), kib in memory_room(host).items()}
            if not any(node.memory_kib for node in host.topology.nodes):
                # Of a host that tells no memory nobody knows that it lacks any: the plan took it for enough too.
                memory.update({Key("memory", node.id): PLENTY for node in host.topology.nodes})
            for device in host.topology.devices:
                node = device.node if device.node in host.topology.node_ids else None
                for where in {None, node}:
                    place = Key("device", where, device.kind)
                    memory[place] = memory.get(place, 0) + device.count
                memory.update({Key("device", None, address): 1 for address in device.addresses})
            for at in host.topology.nodes:
                for name, amount in at.resources.items():
                    memory[Key("resource", at.id, name)] = amount
            self._rooms[key] = memory
        found = dict(memory)
        dedicated = host.dedicated_pool
        for at in host.topology.nodes:
            found[Key("cpus", at.id)] = len(at.cpus & dedicated)
        for name, amount in host.resources.items():
            found[Key("resource", None, name)] = amount
        return found

    def add(self, host: str, vm: str, claims: Claims, sign: int = 1) -> None:
        """Take what a VM claims of a host, or give it back (`sign` −1)."""
        self.version += 1
        _add(self.state(host), vm, claims, sign)
        self.rules.add(vm, host, claims, sign)

    def fits(self, host: str, vm: str, gain: Claims, *, exact: bool = True, monotone: bool = False) -> bool:
        """Tell whether a host can give a VM this as well as all that it gives now, and every rule be kept.

        With `monotone` rules that a VM may keep by being somewhere are left out, so that other VMs may be thought away.
        """
        return next(self._lacks(host, vm, gain, exact, monotone), None) is None

    def lacks(self, host: str, vm: str, gain: Claims, *, exact: bool = True) -> list[tuple[str, set[str]]]:
        """Return what a host lacks for a step: in words, each with the VMs that have it."""
        found = self._lacks(host, vm, gain, exact)
        return [(self._words(host, lack), self._in_the_way(host, lack) - {vm}) for lack in found]

    def rules_lacking(self, host: str, vm: str, gain: Claims) -> set[int]:
        """Return the rules that a step would break, where it lacks nothing else; none where it does."""
        found = list(self._lacks(host, vm, gain, exact=False))
        rules = {lack.pair[0] for lack in found if lack.pair is not None}
        return rules if all(lack.pair is not None for lack in found) else set()

    def _lacks(self, host: str, vm: str, gain: Claims, exact: bool, monotone: bool = False) -> Iterator[Lack]:
        state = self.state(host)
        for key, amount in gain.amounts.items():
            if amount > 0 and state.used[key] + amount > state.most(key):
                yield Lack(kind="amount", key=key)
        for node in _nodes(gain) if state.shared or gain.shared else ():
            count = state.shared.get(node, 0.0) + gain.shared.get(node, 0.0)
            if count > TOLERANCE:
                cpus = state.used[Key("cpus", node)] + gain.amounts.get(Key("cpus", node), 0)
                if state.shortage(node, count, cpus) > max(TOLERANCE, state.short.get(node, 0.0)):
                    yield Lack(kind="shared", key=Key("cpus", node))
        yield from _set_lacks(state, gain)
        for pair in self.rules.broken_by(vm, host, gain, monotone=monotone):
            yield Lack(kind="rule", pair=pair)
        if exact:
            taken = frozenset(self._clashes(state, vm, gain))
            if taken:
                yield Lack(kind="pins", cpus=taken)

    def _clashes(self, state: HostState, vm: str, gain: Claims) -> Iterator[int]:
        for cpu in gain.own:
            if _others(state.holders.get(cpu), vm) or _others(state.idlers.get(cpu), vm):
                yield cpu
        for cpu in gain.idle:
            if _others(state.holders.get(cpu), vm):
                yield cpu

    def _words(self, host: str, lack: Lack) -> str:
        state, key = self.state(host), lack.key
        if lack.kind == "pins":
            return f"host {host!r}: CPUs {format_cpuset(lack.cpus)} are taken"
        if lack.pair is not None:
            return self.rules.words(lack.pair)
        where = f"host {host!r}" if key.node is None else f"host {host!r}, node {key.node}"
        if lack.kind == "set":
            where += f", nodes {format_cpuset(lack.nodes)}"
            if key.what == "cpus":
                return f"{where}: too few unpinned CPUs for its shared vCPUs"
            left = max(0, round(-state.lack(("memory", lack.nodes, key.page_kib))))
            pool = "memory" if key.page_kib is None else f"pages of {format_kib(key.page_kib)}"
            return f"{where}: {format_kib(left)} of {pool} free"
        if lack.kind == "shared":
            return f"{where}: too few unpinned CPUs for its shared vCPUs"
        free = max(0, state.most(key) - state.used[key])
        if key.what == "memory":
            pool = "memory" if key.page_kib is None else f"pages of {format_kib(key.page_kib)}"
            return f"{where}: {format_kib(free)} of {pool} free"
        if key.what == "cpus":
            return f"{where}: {free} CPUs for dedicated vCPUs free"
        return f"{where}: {free} of {key.name} free"

    def _in_the_way(self, host: str, lack: Lack) -> set[str]:
        state = self.state(host)
        if lack.pair is not None:
            return self.rules.holders(lack.pair)
        if lack.kind == "pins":
            found: set[str] = set()
            for cpu in lack.cpus:
                found |= state.holders.get(cpu, set()) | state.idlers.get(cpu, set())
            return found
        if lack.kind == "set":
            memory = lack.key.what == "memory"
            return {
                name
                for name, claims in state.members.items()
                if any(on <= lack.nodes and (kind == "memory") is memory for kind, on, _ in claims.sets)
                or (
                    any(claims.amounts.get(lack.key._replace(node=node)) for node in lack.nodes)
                    or (not memory and any(claims.shared.get(node) for node in lack.nodes))
                )
            }
        node = lack.key.node if lack.kind == "shared" else None
        return {
            name
            for name, claims in state.members.items()
            if claims.amounts.get(lack.key) or (node is not None and claims.shared.get(node))
        }


def _set_lacks(state: HostState, gain: Claims) -> Iterator[Lack]:
    """Yield the unions of nodes that a step overfills, or makes worse than they are at the start."""
    if not state.sets and not gain.sets:
        return
    asked = {(kind, page) for kind, _, page in gain.sets}
    asked |= {("memory", key.page_kib) for key in gain.amounts if key.what == "memory"}
    if gain.shared or any(key.what == "cpus" for key in gain.amounts):
        asked.add(("shared", None))
    for what, size in sorted(asked, key=str):
        for key in state.unions(what, size, gain):
            after = state.lack(key, gain)
            if after > TOLERANCE and after > state.lack(key) and after > state.lack(key, at_start=True) + TOLERANCE:
                yield Lack(
                    kind="set", key=Key("memory" if what == "memory" else "cpus", None, None, size), nodes=key[1]
                )


def _add(state: HostState, vm: str, claims: Claims, sign: int) -> None:
    for key, amount in claims.amounts.items():
        state.used[key] += sign * amount
    for wide, amount in claims.sets.items():
        state.sets[wide] += sign * amount
    for node, count in claims.shared.items():
        state.shared[node] = state.shared.get(node, 0.0) + sign * count
    for cpus, table in ((claims.own, state.holders), (claims.idle, state.idlers)):
        for cpu in cpus:
            if sign > 0:
                table.setdefault(cpu, set()).add(vm)
            else:
                table.get(cpu, set()).discard(vm)


def _nodes(gain: Claims) -> set[int]:
    """Return the nodes where a step adds shared vCPUs or takes CPUs from them."""
    return {*gain.shared, *(key.node for key in gain.amounts if key.what == "cpus" and key.node is not None)}


def _others(names: set[str] | None, vm: str) -> bool:
    return bool(names) and names != {vm}


def blockers(found: Sequence[tuple[str, set[str]]]) -> tuple[str, tuple[str, ...]]:
    """Return one sentence of what is lacking and the names of the VMs that have it."""
    names = sorted(set().union(*(who for _, who in found)))
    text = "; ".join(dict.fromkeys(words for words, _ in found))
    return (f"{text}, held by {some(names)}" if names else text), tuple(names)
