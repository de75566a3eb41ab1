"""Rows over sets of nodes, by Hall's condition: what fits there, what is over, and what has no place.

From docs/explanation/floating-vms.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence

from benchmarks.truth.floats import Nodes
from benchmarks.truth.model import Expr, NotCoveredError, ReferenceModel, Take
from benchmarks.truth.reads.reading import Vm

MOST_SETS = 31
"""A host of more sets of nodes has too many to write down one by one."""


def kind_of(vm: Vm) -> Hashable:
    """Return what makes VMs one kind: size, pages, policies and overhead."""
    policy = "shared" if not vm.dedicated else "dedicated" if len(vm.dedicated) == vm.vcpus else "mixed"
    return vm.vcpus, vm.memory_kib, vm.page_kib, policy, vm.thread_policy, vm.overhead_kib


def unions(sets: Iterable[Nodes]) -> list[Nodes]:
    """Return the sets and all unions of sets that share nodes, smaller ones first."""
    found = set(sets)
    queue = [nodes for nodes in found if len(nodes) > 1]
    while queue:
        one = queue.pop()
        new = {one | other for other in found if one & other} - found
        found |= new
        queue += new
    if len(found) > MOST_SETS:
        raise NotCoveredError(f"{len(found)} sets of nodes on a host")
    return sorted(found, key=lambda nodes: (len(nodes), sorted(nodes)))


def keep(
    model: ReferenceModel,
    takes: Sequence[Take],
    now: Sequence[Take],
    room: Mapping[int, Expr],
    *,
    beside: tuple[Sequence[Take], Sequence[Take]] | None = None,
    soft: bool = False,
) -> Expr:
    """Write that no set of nodes is over, or no kind takes more of it than now.

    A set is over that lacks more than any part of it does. Only unions of sets which share nodes can be.

    Parameters
    ----------
    room : units by node, numbers or expressions.
    beside : what else counts of a kind where it is over, after and now: CPUs of dedicated vCPUs.
    soft : nothing is known to be within its room now.

    Returns
    -------
    Whether the last union is taken to be over.
    """
    last: Expr = 0
    for union in unions(take.nodes for take in takes):
        inside = [take for take in takes if take.nodes <= union]
        total = sum(take.units * take.var for take in inside)
        has = sum(room.get(node, 0) for node in union)
        then = sum(take.units for take in now if take.nodes <= union)
        if len(union) == 1 and not soft and isinstance(has, int) and then <= has:
            model.model.add(total <= has)
            continue
        if not isinstance(has, int) and beside is None:
            model.model.add(total <= has)
            continue
        total -= most_lacked(model, [take for take in inside if take.nodes < union], room, union)
        over = last = model.boolean("over")
        model.model.add(total <= has).only_enforce_if(over.negated())
        after = [*inside, *(take for take in beside[0] if take.nodes <= union)] if beside else inside
        before = [*now, *beside[1]] if beside else now
        for kind in {kind_of(take.vm) for take in after if take.vm is not None}:
            most = sum(
                take.units
                for take in before
                if take.vm is not None and kind_of(take.vm) == kind and take.nodes <= union
            )
            mine = sum(take.units * take.var for take in after if take.vm is not None and kind_of(take.vm) == kind)
            model.model.add(mine <= most).only_enforce_if(over)
        others = [take.var for take in after if take.vm is None]
        if others:
            model.model.add(sum(others) == 0).only_enforce_if(over)
    return last


def most_lacked(model: ReferenceModel, takes: Sequence[Take], room: Mapping[int, Expr], union: Nodes) -> Expr:
    """Return the most that any part of a set of nodes lacks: CPUs that nobody may float over are no part."""
    above: list[Expr] = [0]
    real = {node for node in union if node >= 0}
    for count in range(1, len(union)):
        for chosen in itertools.combinations(sorted(union), count):
            if real <= set(chosen):
                continue
            asked = sum(take.units * take.var for take in takes if take.nodes <= set(chosen))
            above.append(asked - sum(room.get(node, 0) for node in chosen))
    most = model.model.new_int_var(0, 10**10, "lacked by a part")
    model.model.add_max_equality(most, above)
    return most


def is_over(now: Sequence[Take], room: Mapping[int, Expr]) -> bool:
    """Tell whether any of what is there now has no place."""
    nodes = sorted({node for take in now for node in take.nodes})
    return any(
        sum(take.units for take in now if take.nodes <= set(chosen)) > sum(room.get(node, 0) for node in chosen)
        for count in range(1, len(nodes) + 1)
        for chosen in itertools.combinations(nodes, count)
    )


def lack(model: ReferenceModel, takes: Sequence[Take], room: Mapping[int, Expr]) -> Expr:
    """Return how many units have no place: the most that any set of nodes is asked for beyond what it has.

    That is the demand less the largest flow from the takes over the nodes that may hold them.
    """
    nodes = sorted({node for take in takes for node in take.nodes})
    above: list[Expr] = [0]
    for count in range(1, len(nodes) + 1):
        for chosen in itertools.combinations(nodes, count):
            asked = sum(take.units * take.var for take in takes if take.nodes <= set(chosen))
            above.append(asked - sum(room.get(node, 0) for node in chosen))
    most = model.model.new_int_var(0, 10**10, "lacked")
    model.model.add_max_equality(most, above)
    return most
