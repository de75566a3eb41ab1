"""Group hosts into classes: equal shape, capacity, content, domains and permissions make hosts interchangeable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from placer.model.balance import node_memory_kib
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import RuleKind
from placer.model.same_host import room_key
from placer.model.vm import CellMode, CpuPolicy
from placer.planning.compile.capacity import HostCapacity, held_cpus, host_capacity
from placer.planning.compile.chain_rows import ChainKeys
from placer.planning.compile.charges import Charges
from placer.planning.compile.convex import VCPUS, excess_parts, goal_units
from placer.planning.compile.cross_rules import HostDomains, fixed_members
from placer.planning.compile.devices import DeviceNodes, devices_asked, devices_now, have_choice
from placer.planning.compile.flavors import (
    FlavorGroup,
    Flavors,
    broken_here,
    current_positions,
    drain_counts,
    is_broken,
    rule_of,
    soft_confining,
)
from placer.planning.compile.loaded import Loaded, Room, State
from placer.planning.compile.loose import Loose, NodeSet
from placer.planning.compile.loose_places import LoosePlaces, unions_on, with_devices
from placer.planning.compile.needs import spec_needs
from placer.planning.compile.permissions import Permission, Permissions
from placer.planning.compile.placements import Placement, placement_cost, running_nodes, view_of
from placer.planning.compile.row_table import Place
from placer.planning.compile.rows import Row, RowKind
from placer.planning.compile.rule_rows import rows_of_floating, rule_room
from placer.planning.compile.shapes import FinishedShape, ShapeDraft, ShapeFactory, immovable_use, wider_places
from placer.planning.compile.structures import LoadKinds, spread_of, structure_of
from solvers.pins.cpu_rows import WholeDemand
from solvers.problem import HostClass, IntArray, Shape


@dataclass(frozen=True, slots=True)
class Built:
    """Shapes and classes of a problem with the way back to VMs and hosts; see `Compiled`."""

    shapes: tuple[Shape, ...]
    classes: tuple[HostClass, ...]
    placements: tuple[tuple[Place, ...], ...]
    rows: tuple[tuple[Row, ...], ...]
    now: Mapping[int, Mapping[int, tuple[int, ...]]]
    floating: Mapping[int, Mapping[int, tuple[int, ...]]]
    fixed: Mapping[int, tuple[int, ...]]
    capacities: tuple[HostCapacity, ...]
    constants: Mapping[str, int]
    units: Mapping[str, int]
    excess: frozenset[str]


@dataclass(slots=True)
class ClassBuilder:
    """Builds shapes and host classes of a fleet."""

    fleet: Fleet
    flavors: Flavors
    groups: Sequence[FlavorGroup]
    factory: ShapeFactory
    max_per: Mapping[int, int]
    cross: Mapping[int, int]
    loads: LoadKinds
    cores: bool
    charges: Charges
    whole: WholeDemand
    any_shared: bool
    relaxed: bool
    floating_l3: bool
    broken_l3: bool
    _rooms: dict[Hashable, Room] = field(default_factory=dict)
    _base: dict[int, IntArray] = field(default_factory=dict)
    _unfilled: dict[int, tuple[IntArray, IntArray]] = field(default_factory=dict)
    _now: dict[Hashable, int | None] = field(default_factory=dict)
    _loose: LoosePlaces = field(init=False)
    _bare: dict[int, State] = field(default_factory=dict)
    _immovable: dict[Hashable, FlavorGroup] = field(default_factory=dict)
    _permissions: Permissions = field(init=False)
    _wishes: tuple[int, ...] = field(init=False)
    _constants: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        """Take what permissions depend on."""
        self._permissions = Permissions(self.fleet, self.groups)
        self._loose = LoosePlaces(self.fleet)
        self._wishes = soft_confining(self.fleet.rules)

    def build(self) -> Built:
        """Return shapes, classes and the way back."""
        loaded = self._load_hosts()
        drained = drain_counts(self.fleet)
        fixed_use = {number: self._fixed_use(number, host, drained[number]) for number, host in loaded.items()}
        rooms = {number: self._capacity(host, fixed_use[number]) for number, host in loaded.items()}
        capacity = {number: held for number, (held, _) in rooms.items()}
        drafts = self.factory.drafts
        only = self.factory.only_threads
        units = goal_units([draft.structure for draft in drafts], self.factory.loads, only_threads=only)
        finished = []
        over = {host.room.draft for number, host in loaded.items() if (rooms[number][1] < capacity[number]).any()}
        largest = [np.zeros(len(draft.table.rows), dtype=np.int64) for draft in drafts]
        for number, host in loaded.items():
            np.maximum(largest[host.room.draft], capacity[number], out=largest[host.room.draft])
        for index, draft in enumerate(drafts):
            shape = f"shape {index}"
            finished.append(self.factory.finish(draft, shape, largest[index], self.max_per, units, over=index in over))
        classes = self._classes(loaded, rooms, fixed_use, finished, drained)
        now = {
            number: {int(finished[host.room.draft].renumber[old]): tuple(vms) for old, vms in host.now.items()}
            for number, host in loaded.items()
        }
        return Built(
            shapes=tuple(done.shape for done in finished),
            classes=classes,
            placements=tuple(done.placements for done in finished),
            rows=tuple(done.kept for done in finished),
            now=now,
            floating={
                number: {flavor: tuple(vms) for flavor, vms in host.floating.items()} for number, host in loaded.items()
            },
            fixed={number: tuple(host.fixed) for number, host in loaded.items() if host.fixed},
            capacities=tuple(
                loaded[n].room.capacity if n in loaded else host_capacity(host)
                for n, host in enumerate(self.fleet.hosts)
            ),
            constants=dict(self._constants),
            units=units,
            excess=excess_parts(classes, [done.shape for done in finished], self._constants),
        )

    def _load_hosts(self) -> dict[int, Loaded]:
        """Sort every VM that is on a host that works into fixed, known or floating there."""
        position = {host.name: number for number, host in enumerate(self.fleet.hosts) if not host.failed}
        pinned: dict[int, set[int]] = defaultdict(set)
        on_host: dict[int, list[int]] = defaultdict(list)
        for number, vm in enumerate(self.fleet.vms):
            if vm.current is None or vm.current.host not in position:
                continue
            at = position[vm.current.host]
            on_host[at].append(number)
            if vm.pins_fixed and self.flavors.of_vm[number] < 0:
                pinned[at] |= held_cpus(vm, self.fleet.hosts[at])
        loaded = {}
        asked = devices_asked(self.fleet)
        roams = any(group.online is not None for group in self.groups)
        widest = max((group.online or 0 for group in self.groups), default=0)
        for at in position.values():
            host = self.fleet.hosts[at]
            loose = [self._loose.of(n, host) for n in on_host.get(at, ()) if self._loose.has(n)]
            unions, complete = unions_on(host, loose, roams=roams)
            soft = tuple(token for token in self._wishes if is_broken(token, host, self.fleet.rules))
            room = self._room(host, frozenset(pinned.get(at, ())), unions, widest, soft)
            here = on_host.get(at, ())
            if asked and have_choice(self.fleet, host, here, asked):
                complete = False
            self.factory.drafts[room.draft].complete &= complete
            loaded[at] = Loaded(room=room, devices=devices_now(self.fleet, host, here) if asked else {})
            for number in here:
                self._sort_vm(loaded[at], host, number)
        return loaded

    def _sort_vm(self, loaded: Loaded, host: Host, number: int) -> None:
        flavor = self.flavors.of_vm[number]
        vm = self.fleet.vms[number]
        loaded.shares |= vm.spec.cpu_policy is not CpuPolicy.DEDICATED or self._loose.has(number)
        if flavor < 0:
            loaded.fixed.append(number)
            return
        draft = self.factory.drafts[loaded.room.draft]
        if not self._loose.has(number):
            placed = self._current_placement(draft, host, number, flavor, loaded.devices.get(number))
        else:
            placed = self.factory.loose(draft, flavor, self._loose.of(number, host, self.groups[flavor].told))
        if placed is None:
            loaded.floating.setdefault(flavor, []).append(number)
        else:
            draft.held.add(placed)
            loaded.now.setdefault(placed, []).append(number)

    def _current_placement(
        self, draft: ShapeDraft, host: Host, number: int, flavor: int, devices: DeviceNodes | None
    ) -> int | None:
        """Return the placement a VM has now; VMs of one flavor on the same nodes of a topology share the answer."""
        vm = self.fleet.vms[number]
        current = vm.current
        where = None if current is None else (current.nodes, current.memory_nodes, devices)
        key = (id(draft), id(host.topology), flavor, where)
        if key not in self._now:
            nodes = current_positions(host, vm)
            needs = self.groups[flavor].needs
            parts = -1 if nodes is None else len(nodes[0])
            option = next((number for number, one in enumerate(needs.options) if len(one) == parts), None)
            self._now[key] = (
                None
                if nodes is None or option is None
                else self.factory.current(draft, flavor, option, *nodes, devices)
            )
        return self._now[key]

    def _room(
        self,
        host: Host,
        taken: frozenset[int],
        unions: tuple[tuple[NodeSet, ...], tuple[NodeSet, ...]],
        widest: int,
        soft: tuple[int, ...],
    ) -> Room:
        watts_a_cpu = self.charges.watts_a_cpu(host)
        key = (room_key(host), taken, unions, soft, watts_a_cpu)
        if key not in self._rooms:
            capacity = host_capacity(host, taken)
            structure, cpu = structure_of(
                view_of(host),
                capacity,
                whole=self.whole,
                any_shared=self.any_shared,
                relaxed=self.relaxed,
                loads=self.loads,
                memory=list(node_memory_kib(host).values()) if self.loads.memory else (),
                cores=self.cores,
                unions=unions,
                widest=widest,
                spread=spread_of(host) if any(group.binds == "may" for group in self.groups) else None,
                soft=soft,
                watts_a_cpu=watts_a_cpu,
            )
            self._rooms[key] = Room(draft=self.factory.draft_of(structure, host), cpu=cpu, capacity=capacity)
            # Over which L3 domains shared vCPUs float depends on what others take: rows say only what is sure to hold.
            apart = any(not node.floats_in_one_l3 for node in capacity.nodes)
            if self.broken_l3 or (self.floating_l3 and apart):
                self.factory.drafts[self._rooms[key].draft].complete = False
        return self._rooms[key]

    def _fixed_use(self, number: int, loaded: Loaded, drained: int) -> dict[int, int]:
        """Return row -> what the host's immovable VMs take; add their share of the goals to the constants."""
        host = self.fleet.hosts[number]
        draft = self.factory.drafts[loaded.room.draft]
        total: dict[int, int] = defaultdict(int)
        for index in loaded.fixed:
            vm = self.fleet.vms[index]
            nodes = None if self._loose.has(index) else current_positions(host, vm)
            if nodes is None and not self._loose.has(index):
                continue
            group = self._group_of(index, len(nodes[0]) if nodes is not None else 1)
            view = draft.structure.view
            place: Place
            if nodes is None:
                place = with_devices(self._loose.of(index, host), group.needs, view, vm, host)
                self._constants[VCPUS] += place.beyond
            else:
                place = Placement(0, *nodes, loaded.devices.get(index, (None,) * len(group.needs.device_units(0))))
                self._constants["remote"] += placement_cost(group.needs, place, view)
            self._constants["rules"] += drained + broken_here(group.confinement, host, self.fleet.rules)
            for goal, a_vm in draft.costs_of(group, self.fleet.rules).items():
                self._constants[goal] += a_vm
            for rule in group.rules:
                if rule in self.cross and rule_of(rule, self.fleet.rules).scope in ("node", "l3"):
                    on = place.cpu_nodes if isinstance(place, Loose) else running_nodes(group.needs, place)
                    loaded.tied_on[self.cross[rule]].update(set(on))
            tied = self.factory.spread_rules
            for row, amount in immovable_use(draft.table, group, place, tied, pinned=vm.pins_fixed).items():
                total[row] += amount
        if loaded.fixed and self.charges.first is not None:
            self._constants[self.charges.first.name] += self.charges.cost(host)
        return total

    def _group_of(self, number: int, parts: int) -> FlavorGroup:
        vm = self.fleet.vms[number]
        tying, confinement = self.flavors.fixed[number]
        locked = parts if vm.spec.cell_mode is CellMode.AUTO else None
        key = (id(vm.spec), locked, tying, id(confinement), busy := self.flavors.busy_of(number))
        if key not in self._immovable:
            needs = spec_needs(vm.spec, locked_cells=locked)
            self._immovable[key] = FlavorGroup(needs=needs, rules=tying, confinement=confinement, busy=busy)
        return self._immovable[key]

    def _capacity(self, loaded: Loaded, fixed: Mapping[int, int]) -> tuple[IntArray, IntArray]:
        """Return what movable VMs may take, never below what is there now, and what they have room for.

        The room of rows of rules is what they may take: what is broken now may stay so and is counted with the rules.
        """
        draft = self.factory.drafts[loaded.room.draft]
        table = draft.table
        key = id(loaded.room)
        if key not in self._base or len(self._base[key]) != len(table.rows):
            allowed = rule_room(table, loaded.room.capacity, self.max_per, self.factory.spread_rules, self.factory.soft)
            self._base[key] = table.capacity(loaded.room.capacity, loaded.room.cpu, allowed)
        if (bare := not (fixed or loaded.now or loaded.floating)) and key in self._unfilled:
            return self._unfilled[key]
        room = self._base[key].copy()
        for row, amount in fixed.items():
            room[row] -= amount
        taken = np.zeros(len(room), dtype=np.int64)
        for placement, vms in loaded.now.items():
            for row, amount in draft.uses[placement].items():
                taken[row] += amount * len(vms)
        for flavor, vms in loaded.floating.items():
            for row in rows_of_floating(table, self.groups[flavor].rules, self.factory.spread_rules):
                taken[row] += len(vms)
        out = table.holding(room, taken)
        for k, one in enumerate(table.rows):
            if one.kind in (RowKind.RULE, RowKind.ONE_L3) or table.is_untold(one):
                room[k] = out[k]
        return self._unfilled.setdefault(key, (out, room)) if bare else (out, room)

    def _classes(
        self,
        loaded: Mapping[int, Loaded],
        rooms: Mapping[int, tuple[IntArray, IntArray]],
        fixed_use: Mapping[int, Mapping[int, int]],
        finished: Sequence[FinishedShape],
        drained: Sequence[int],
    ) -> tuple[HostClass, ...]:
        domains = HostDomains.of(self.fleet)
        compared = any(rule.kind is RuleKind.EVEN for rule in self.fleet.rules)
        members: dict[State, list[int]] = defaultdict(list)
        permissions: dict[int, Permission] = {}
        for number, host in loaded.items():
            own = self.fleet.hosts[number]
            permission = self._permissions.of(own, drained[number])
            permissions[id(permission)] = permission
            state = self._state(host, finished[host.room.draft], rooms[number], fixed_use[number])
            cost = 0 if host.fixed else self.charges.cost(own)
            state = replace(state, domains=domains.of_host(own), permission=id(permission), cost=cost)
            closed = compared and drained[number] > 0
            members[replace(state, closed=closed, charges=self.charges.by_goal(own))].append(number)
        chains, out = ChainKeys(finished), []
        for state, who in members.items():
            held, room, fixed = (
                np.frombuffer(one, dtype=np.int64) for one in (state.capacity, state.room, state.fixed)
            )
            empty = not state.content and not state.floating and not fixed.any()
            out.append(
                HostClass(
                    shape=state.draft,
                    count=len(who),
                    capacity=held,
                    fixed=fixed,
                    room=room if (room < held).any() else None,
                    silent=state.silent,
                    content=state.content,
                    at_most=wider_places(finished[state.draft], state.content, self.groups),
                    floating=state.floating,
                    allowed=permissions[state.permission].allowed,
                    stay_penalty=permissions[state.permission].penalty,
                    cost=state.cost,
                    domain=dict(state.domains),
                    closed=state.closed,
                    charges=dict(state.charges),
                    fixed_members=dict(state.tied),
                    fixed_on={rule: np.array(nodes, dtype=np.int64) for rule, nodes in state.tied_on},
                    chains=chains.of(state.draft, held, self.fleet.hosts[who[0]]) if empty else (),
                    members=tuple(who),
                )
            )
        return tuple(out)

    def _state(
        self,
        host: Loaded,
        done: FinishedShape,
        rooms: tuple[IntArray, IntArray],
        fixed_use: Mapping[int, int],
    ) -> State:
        """Return what of a host's content and capacity makes it interchangeable, in the finished shape's rows."""
        bare = not (host.fixed or host.now or host.floating)
        if bare and id(host.room) in self._bare:
            return self._bare[id(host.room)]
        fixed = [-(-fixed_use.get(int(row), 0) // int(by)) for row, by in zip(done.rows, done.divisor, strict=True)]
        tied = fixed_members(self.fleet, self.flavors, self.cross, host.fixed)
        over = rooms[1][done.rows] < rooms[0][done.rows]
        # Where no shared vCPU is, dedicated ones lack their CPUs, and nobody lacks any beside them.
        silent = (k for k, row in enumerate(done.kept) if over[k] and row.shared and not host.shares)
        state = State(
            draft=host.room.draft,
            silent=tuple(silent),
            capacity=(rooms[0][done.rows] // done.divisor).tobytes(),
            room=(rooms[1][done.rows] // done.divisor).tobytes(),
            fixed=np.array(fixed, dtype=np.int64).tobytes(),
            content=tuple(sorted((int(done.renumber[old]), len(vms)) for old, vms in host.now.items())),
            floating=tuple(sorted((flavor, len(vms)) for flavor, vms in host.floating.items())),
            tied=tuple(sorted(tied.items())),
            tied_on=tuple(
                (rule, tuple(map(on.__getitem__, range(done.shape.nodes)))) for rule, on in host.tied_on.items()
            ),
        )
        return self._bare.setdefault(id(host.room), state) if bare else state
