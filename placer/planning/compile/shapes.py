"""Build the engines' shapes: enumerate the placements of every flavor on every structure, with what they take and
cost.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.model.balance import Load
from placer.model.goals import UNBOUND
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.planning.compile.charges import power_of
from placer.planning.compile.convex import VCPUS, hinges_of, shortages_of
from placer.planning.compile.devices import DeviceNodes
from placer.planning.compile.flavors import FlavorGroup, rule_of
from placer.planning.compile.label_loads import LabelLoads
from placer.planning.compile.loose import Loose, floating, floating_cost, with_own
from placer.planning.compile.loose_places import with_devices
from placer.planning.compile.needs import Needs
from placer.planning.compile.placements import (
    NodeView,
    Placement,
    canonical,
    nearest_devices,
    part_groups,
    placement_cost,
    placements_of,
    running_nodes,
)
from placer.planning.compile.row_table import Place, RowTable
from placer.planning.compile.rows import Row, RowKind
from placer.planning.compile.structures import Structure
from solvers.problem import BoolArray, IntArray, Shape


@dataclass(slots=True)
class ShapeDraft:
    """A shape in the making: placements may still be added (irregular current ones) until it is finished."""

    structure: Structure
    table: RowTable
    flavor: list[int] = field(default_factory=list)
    placements: list[Place] = field(default_factory=list)
    uses: list[dict[int, int]] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    stay_only: list[bool] = field(default_factory=list)
    index: dict[tuple[int, Place], int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    unlisted: dict[int, int] = field(default_factory=dict)
    complete: bool = True

    def costs_of(self, group: FlavorGroup, rules: Sequence[Rule]) -> dict[str, int]:
        """Return goal -> what a VM counts here however it is placed: by soft rules of where it should be, and power."""
        out: dict[str, int] = {}
        if self.structure.watts_a_cpu:
            out["power"] = power_of(group.needs, self.structure.watts_a_cpu, float(self.structure.ratio))
        for token in self.structure.soft:
            rule = rule_of(token, rules)
            if rule.kind is RuleKind.DRAIN or token in group.confinement.soft:
                out[rule.soft_goal] = out.get(rule.soft_goal, 0) + (rule.weight or 0)
        return out

    def add(self, flavor: int, placement: Place, use: dict[int, int], cost: int, *, stay_only: bool = False) -> int:
        """Add a placement and return its index."""
        number = len(self.placements)
        self.flavor.append(flavor)
        self.placements.append(placement)
        self.uses.append(use)
        self.costs.append(cost)
        self.stay_only.append(stay_only)
        self.index[flavor, placement] = number
        return number


@dataclass(frozen=True, slots=True)
class FinishedShape:
    """A shape with the way back: its placements; the draft's rows it kept, as numbers and as they are, and their
    divisors; draft placement -> its own (-1: dropped).
    """

    shape: Shape
    placements: tuple[Place, ...]
    rows: IntArray
    kept: tuple[Row, ...]
    divisor: IntArray
    renumber: IntArray


@dataclass(slots=True)
class ShapeFactory:
    """Drafts one shape a structure; placements are enumerated once for each distinct needs and view."""

    groups: Sequence[FlavorGroup]
    spread_rules: Mapping[int, str]
    headroom: Mapping[int, str]
    loads: Sequence[Load]
    labels: LabelLoads = field(default_factory=LabelLoads)
    soft: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    rules: Sequence[Rule] = ()
    only_threads: bool = True
    drafts: list[ShapeDraft] = field(default_factory=list)
    _index: dict[Structure, int] = field(default_factory=dict)
    _maps: dict[tuple[Needs, NodeView], tuple[list[Placement], int | None]] = field(default_factory=dict)

    def draft_of(self, structure: Structure, host: Host) -> int:
        """Return the number of the structure's draft, made with all regular placements if it is new; `host` is one of
        them.
        """
        if structure not in self._index:
            self._index[structure] = len(self.drafts)
            draft = ShapeDraft(structure=structure, table=RowTable(structure=structure), complete=structure.exact)
            self.drafts.append(draft)
            for flavor, group in enumerate(self.groups):
                most = None
                if group.own:
                    self._come_with_own(draft, flavor, group, host)
                elif group.online is not None:
                    most = self._float(draft, flavor, group, host)
                if group.online is None or group.binds:
                    self._enumerate(draft, flavor, group, most if group.binds == "may" else None)
        return self._index[structure]

    def current(
        self,
        draft: ShapeDraft,
        flavor: int,
        option: int,
        cpu: tuple[int, ...],
        memory: tuple[int, ...],
        devices: DeviceNodes | None,
    ) -> int:
        """Return the index of a current placement, added as one that only those already there may keep if it is
        irregular.
        """
        group = self.groups[flavor]
        needs, view = group.needs, draft.structure.view
        nowhere = tuple(None for _ in needs.device_units(option))
        placement = canonical(needs, Placement(option, cpu, memory, nowhere if devices is None else devices))
        known = draft.index.get((flavor, placement))
        if known is not None:
            return known
        use = draft.table.use(group, placement, self.spread_rules)
        return draft.add(flavor, placement, use, placement_cost(needs, placement, view), stay_only=True)

    def loose(self, draft: ShapeDraft, flavor: int, loose: Loose) -> int:
        """Return the index of a place of sets that a VM has now: if it is new, only those already there may keep it.

        Where pages lie makes a place of its own only if it costs other than it does anywhere.
        """
        group = self.groups[flavor]
        placement = with_devices(loose, group.needs, draft.structure.view)
        anywhere = dataclasses.replace(placement, lies=())
        if loose.lies and self._floating_cost(draft, group, placement) == self._floating_cost(draft, group, anywhere):
            placement = anywhere
        known = draft.index.get((flavor, placement))
        if known is not None:
            return known
        use = draft.table.use(group, placement, self.spread_rules)
        return draft.add(flavor, placement, use, self._floating_cost(draft, group, placement), stay_only=True)

    def _floating_cost(self, draft: ShapeDraft, group: FlavorGroup, loose: Loose) -> int:
        """Return what a VM that floats counts in remote access: nothing, unless it may be bound where that gains."""
        if group.binds != "may":
            return 0
        return floating_cost(group.needs, draft.structure.view, loose, draft.structure.spread or ())

    def _float(self, draft: ShapeDraft, flavor: int, group: FlavorGroup, host: Host) -> int | None:
        """Add the one way in which a VM floats over the host, unless it is wider than all of it; return what it costs
        or would cost there at most: one that is wider today and stays is bound where that gains, as others are.
        """
        view = draft.structure.view
        loose = floating(group.needs, group.online or 0, host)
        if not loose.cpu_nodes:
            return None
        devices = nearest_devices(group.needs, view, loose.cpu_nodes)
        if devices is None:
            return None
        placement = dataclasses.replace(loose, device_nodes=devices)
        cost = self._floating_cost(draft, group, placement)
        if not loose.beyond:
            draft.add(flavor, placement, draft.table.use(group, placement, self.spread_rules), cost)
        # Binding gains most where all pages lie on the node that is farthest.
        nodes = placement.memory_nodes if group.told else ()
        farthest = (dataclasses.replace(placement, lies=((node, 8),)) for node in nodes)
        return max([cost, *(self._floating_cost(draft, group, one) for one in farthest)])

    def _come_with_own(self, draft: ShapeDraft, flavor: int, group: FlavorGroup, host: Host) -> None:
        """Add the ways in which a VM comes to the host with CPUs of its own and its memory unbound."""
        view = draft.structure.view
        places, complete = with_own(group.needs, group.own, host)
        draft.complete &= complete
        for loose in places:
            if loose.beyond or (devices := nearest_devices(group.needs, view, loose.cpu_nodes)) is None:
                continue
            placement = dataclasses.replace(loose, device_nodes=devices)
            draft.add(flavor, placement, draft.table.use(group, placement, self.spread_rules), 0)

    def _enumerate(self, draft: ShapeDraft, flavor: int, group: FlavorGroup, most: int | None = None) -> None:
        """Add the placements of a flavor; with `most` only those that cost less."""
        view = draft.structure.view
        key = (group.needs, view)
        if key not in self._maps:
            self._maps[key] = placements_of(group.needs, view)
        placements, unlisted = self._maps[key]
        if unlisted is not None:
            draft.complete = False
            draft.unlisted[flavor] = unlisted
        for placement in placements:
            cost = 0 if flavor in self.headroom else placement_cost(group.needs, placement, view)
            if most is not None and cost >= most:
                continue
            draft.add(flavor, placement, draft.table.use(group, placement, self.spread_rules), cost)

    def finish(
        self,
        draft: ShapeDraft,
        name: str,
        largest: IntArray,
        max_per: Mapping[int, int],
        units: Mapping[str, int],
        *,
        over: bool,
    ) -> FinishedShape:
        """Return the shape; `largest` is the most that any host has of each row, `units` those of balance and excess.

        `over` says that some host holds more than it has room for: then rows are not divided, for what has no place
        counts to the last unit.

        Placements that not even the roomiest host could hold are dropped, then rows that nothing takes; the others are
        divided by their common divisor, those with a hinge excepted.
        """
        use = np.zeros((len(draft.placements), len(draft.table.rows)), dtype=np.int64)
        for number, taken in enumerate(draft.uses):
            for row, amount in taken.items():
                use[number, row] = amount
        keep: BoolArray = np.asarray((use <= largest).all(axis=1))
        keep[sorted(draft.held)] = True
        use = use[keep]
        hinges = hinges_of(draft.table, max_per, self.spread_rules, units, self.loads, self.soft)
        shortages = shortages_of(draft.table, units, only_threads=self.only_threads) if over else ()
        loads = self.labels.rows(draft.table.index, draft.structure.ratio)
        hinged = {hinge.row for hinge in hinges} | {row for row, _ in loads.values()}
        inside = draft.table.inside() if over else {}
        hinged |= {row for shortage in shortages for family in shortage.apart for row, _ in family}
        rows = np.array([k for k in range(use.shape[1]) if k in hinged or use[:, k].any()], dtype=np.int64)
        kept = tuple(draft.table.rows[k] for k in rows)
        divisor = np.array(
            [1 if k in hinged else math.gcd(*map(int, np.unique(use[:, k]))) for k in rows], dtype=np.int64
        )
        position = {int(k): n for n, k in enumerate(rows)}
        flavor = np.array(draft.flavor, dtype=np.int64)[keep]
        placements = tuple(placement for placement, kept in zip(draft.placements, keep, strict=True) if kept)
        nodes = len(draft.structure.cpu_rows)
        touches = np.zeros((len(placements), nodes), dtype=bool)
        for number, placement in enumerate(placements):
            if isinstance(placement, Loose):
                touches[number, list(placement.cpu_nodes)] = True
            else:
                touches[number, list(running_nodes(self.groups[int(flavor[number])].needs, placement))] = True
        costs = {"remote": np.array(draft.costs, dtype=np.int64)[keep]}
        if any(group.binds == "shall" for group in self.groups):
            floats = np.array([isinstance(placement, Loose) for placement in placements], dtype=np.bool_)
            shall = np.array([group.binds == "shall" for group in self.groups], dtype=np.bool_)
            costs[UNBOUND] = (floats & shall[flavor]).astype(np.int64)
        for phantom, goal in self.headroom.items():
            costs[goal] = -(flavor == phantom).astype(np.int64)
        for number, group in enumerate(self.groups):
            for goal, a_vm in draft.costs_of(group, self.rules).items() if number not in self.headroom else ():
                if a_vm:
                    costs.setdefault(goal, np.zeros(len(flavor), dtype=np.int64))[flavor == number] = a_vm
        beyond = [placement.beyond * units[VCPUS] if isinstance(placement, Loose) else 0 for placement in placements]
        if any(beyond):
            costs[VCPUS] = np.array(beyond, dtype=np.int64)
        shape = Shape(
            name=name,
            nodes=nodes,
            row_names=tuple((row.node, row.name) for row in kept),
            flavor=flavor,
            use=use[:, rows] // divisor,
            cost=costs,
            touches=touches,
            stay_only=np.array(draft.stay_only, dtype=bool)[keep],
            complete=draft.complete,
            parts=self._parts(kept, flavor, placements) if over else {},
            unlisted={"remote": draft.unlisted} if draft.unlisted else {},
            hinges=tuple(dataclasses.replace(hinge, row=position[hinge.row]) for hinge in hinges),
            loads={name: (position[row], each) for name, (row, each) in loads.items()},
            inside={
                position[row]: tuple(tuple(position[one] for one in family if one in position) for family in found)
                for row, found in inside.items()
                if row in position and found
            },
            shortages=tuple(
                dataclasses.replace(
                    shortage,
                    apart=tuple(tuple((position[row], each) for row, each in family) for family in shortage.apart),
                )
                for shortage in shortages
            ),
        )
        renumber = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int64)
        return FinishedShape(
            shape=shape, placements=placements, rows=rows, kept=kept, divisor=divisor, renumber=renumber
        )

    def _parts(self, kept: Sequence[Row], flavor: IntArray, placements: Sequence[Place]) -> dict[int, IntArray]:
        """Return `Shape.parts`, for rows of dedicated CPUs. Parts that are alike are one, which counts once for each
        number of them that a VM may have there: no VM comes to have more there than one has now.
        """
        dedicated: dict[int, list[tuple[int, int]]] = {}
        for number, placement in enumerate(placements):
            needs = self.groups[int(flavor[number])].needs
            if isinstance(placement, Loose) or all(len(option) == 1 for option in needs.options):
                continue
            for part, slots in enumerate(part_groups(needs, placement.option)):
                for slot in slots:
                    if needs.options[placement.option][slot].dedicated:
                        dedicated.setdefault(placement.cpu_nodes[slot], []).append((part, number))
        out = {}
        for k, row in enumerate(kept):
            if row.kind is RowKind.CPUS and not row.shared and row.node in dedicated:
                part, number = np.array(dedicated[row.node], dtype=np.int64).T
                counts = np.zeros((int(part.max()) + 1, len(placements)), dtype=np.int64)
                np.add.at(counts, (part, number), 1)
                out[k] = np.concatenate([counts >= many for many in range(1, int(counts.max()) + 1)]).astype(np.int64)
        return out


def wider_places(
    done: FinishedShape, content: Sequence[tuple[int, int]], groups: Sequence[FlavorGroup]
) -> dict[int, int]:
    """Return the place over all of a host -> how many VMs may have it, of flavors some of whose VMs are bound to fewer
    nodes there: only those of other hosts, for no VM gets a wider set on its own.
    """
    shape = done.shape
    bound: dict[int, int] = {}
    for placement, many in content:
        if shape.stay_only[placement] and isinstance(done.placements[placement], Loose):
            flavor = int(shape.flavor[placement])
            bound[flavor] = bound.get(flavor, 0) + many
    return {
        number: groups[flavor].present + len(groups[flavor].arriving) - bound[flavor]
        for number, placement in enumerate(done.placements if bound else ())
        if isinstance(placement, Loose) and not shape.stay_only[number]
        if (flavor := int(shape.flavor[number])) in bound
    }


def immovable_use(
    table: RowTable, group: FlavorGroup, place: Place, spread_rules: Mapping[int, str], *, pinned: bool
) -> dict[int, int]:
    """Return row -> what a VM takes that cannot move; `pinned`: its CPUs, which load them, are out of the cores."""
    if not pinned:
        return table.use(group, place, spread_rules)
    load = {row: amount for row, amount in table.use(group, place, spread_rules).items() if table.is_load(row)}
    if isinstance(place, Loose):
        place = dataclasses.replace(place, parts=tuple(dataclasses.replace(part, own=()) for part in place.parts))
    return {**table.use(_without_pinned(group), place, spread_rules), **load}


def _without_pinned(group: FlavorGroup) -> FlavorGroup:
    """Return the flavor less its dedicated CPUs, for a VM whose pins are fixed and already taken out of the cores."""
    options = tuple(tuple(dataclasses.replace(part, dedicated=0) for part in parts) for parts in group.needs.options)
    return dataclasses.replace(group, needs=dataclasses.replace(group.needs, options=options, extra_cpu=False))
