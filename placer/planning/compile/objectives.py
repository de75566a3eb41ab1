"""From goals to integer objectives: each goal is one objective or several in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from placer.model.goals import PART_WORDS, REMOTE_ACCESS, UNBOUND, Goal
from placer.planning.compile.charges import COUNTED, UNITS
from placer.planning.compile.convex import EXCESS_PARTS, VCPUS
from placer.planning.compile.flavors import FlavorGroup
from solvers.objective import (
    Changes,
    Hinges,
    HostCosts,
    Objective,
    PlacementCosts,
    RuleExcess,
    Shortages,
    StayPenalties,
    Unplaced,
)
from solvers.problem import COST_UNIT


def objectives_of(
    goals: Sequence[Goal],
    groups: Sequence[FlavorGroup],
    phantoms: int,
    units: Mapping[str, int],
    excess: Collection[str] = (),
    first: Goal | None = None,
) -> tuple[Objective, ...]:
    """Return the objectives of the goals in order; the last `phantoms` flavors of the problem are headroom's.

    `units` maps the goals and parts whose unit the shapes settle (balance, excess) to it; `excess` are the parts of
    that goal of which anything can have no place. `first` is the goal that hosts have their cost from.
    """
    out: list[Objective] = []
    for goal in goals:
        if goal.kind == "placed":
            out.extend(_placed(goal, groups, phantoms))
        elif goal.kind == "excess":
            out.extend(
                Objective(
                    goal="excess",
                    part=PART_WORDS[part],
                    terms=(*((PlacementCosts(part),) if part == VCPUS else ()), Shortages(part)),
                    unit=units[part],
                    tolerance=goal.tolerance,
                )
                for part in EXCESS_PARTS
                if part in excess
            )
        elif goal.kind == "rules":
            out.append(
                Objective(
                    goal="rules",
                    terms=(
                        StayPenalties(),
                        Hinges("rules"),
                        RuleExcess(),
                    ),
                    tolerance=goal.tolerance,
                )
            )
        elif goal.kind == "soft":
            out.append(
                Objective(
                    goal=goal.name,
                    terms=(
                        PlacementCosts(goal.name),
                        Hinges(goal.name),
                        RuleExcess(goal.name),
                    ),
                    tolerance=goal.tolerance,
                )
            )
        elif goal.kind == "remote":
            asked = any(group.binds == "shall" for group in groups)
            if asked:
                out.append(
                    Objective(goal="remote", part=UNBOUND, terms=(PlacementCosts(UNBOUND),), tolerance=goal.tolerance)
                )
            part = REMOTE_ACCESS if asked else ""
            out.append(
                Objective(
                    goal="remote",
                    part=part,
                    terms=(PlacementCosts("remote"),),
                    unit=COST_UNIT,
                    tolerance=goal.tolerance,
                )
            )
        elif goal.kind in COUNTED:
            out.append(
                Objective(
                    goal=goal.name,
                    terms=(
                        HostCosts() if goal is first else RuleExcess(goal.name),
                        *((PlacementCosts(goal.name),) if goal.kind == "power" else ()),
                    ),
                    unit=UNITS.get(goal.kind, 1),
                    tolerance=goal.tolerance,
                )
            )
        elif goal.kind == "cores":
            out.append(Objective(goal="cores", terms=(Hinges("cores"),), tolerance=goal.tolerance))
        elif goal.kind == "balance":
            by_label = goal.balance is not None and goal.balance.by_label
            out.append(
                Objective(
                    goal=goal.name,
                    terms=(RuleExcess(goal.name) if by_label else Hinges(goal.name),),
                    unit=units[goal.name],
                    tolerance=goal.tolerance,
                )
            )
        elif goal.kind == "headroom":
            out.append(Objective(goal=goal.name, terms=(PlacementCosts(goal.name),), sign=-1, tolerance=goal.tolerance))
        elif goal.kind == "moves":
            out.append(
                Objective(
                    goal="moves", part="VMs that change host", terms=(Changes(migrations=1),), tolerance=goal.tolerance
                )
            )
            out.append(
                Objective(
                    goal="moves",
                    part="VMs that change host or node",
                    terms=(Changes(moves=1),),
                    tolerance=goal.tolerance,
                )
            )
    return tuple(out)


def _placed(goal: Goal, groups: Sequence[FlavorGroup], phantoms: int) -> list[Objective]:
    priorities = sorted({group.needs.priority for group in groups if group.arriving}, reverse=True)
    out = []
    for priority in priorities:
        chosen = [bool(group.arriving) and group.needs.priority == priority for group in groups] + [False] * phantoms
        vcpus = [group.needs.vcpus for group in groups] + [0] * phantoms
        suffix = f" of priority {priority}" if len(priorities) > 1 else ""
        picked = np.array(chosen, dtype=np.int64)
        out.append(
            Objective(
                goal="placed",
                part=f"vCPUs{suffix}",
                terms=(Unplaced(picked * np.array(vcpus, dtype=np.int64)),),
                tolerance=goal.tolerance,
            )
        )
        out.append(Objective(goal="placed", part=f"VMs{suffix}", terms=(Unplaced(picked),)))
    return out
