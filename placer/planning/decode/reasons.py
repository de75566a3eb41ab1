"""Why a VM has no place, in the planner's words: what its flavor runs into on every host as the plan leaves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.check.findings import some
from placer.check.fits import impossible_vms
from placer.measure.rule_excess import TYING, rule_index
from placer.model.plan import Unplaced
from placer.model.units import count
from placer.planning.compile.compile import Compiled
from placer.planning.compile.needs import Needs
from placer.planning.compile.rows import Row, RowKind
from solvers.problem import IntArray
from solvers.result import HostPattern, Result

_ON_A_NODE = " on a node"
_PAGES = "huge "
_LACKS = 3
"""Things that hosts lack which a reason names."""


def unplaced_reasons(compiled: Compiled, result: Result, left_out: Sequence[int]) -> tuple[Unplaced, ...]:
    """Return a reason for every VM left out (indices into the fleet)."""
    if not left_out:
        return ()
    fleet = compiled.fleet
    impossible = impossible_vms(fleet)
    of_vm = compiled.flavors.of_vm
    asked = {of_vm[number] for number in left_out if fleet.vms[number].name not in impossible}
    by_flavor = _reasons(compiled, result, sorted(asked))
    return tuple(
        Unplaced(name=name, reason=impossible[name] if name in impossible else by_flavor[of_vm[number]])
        for number, name in ((number, fleet.vms[number].name) for number in left_out)
    )


def _distinct(patterns: Sequence[HostPattern]) -> Mapping[tuple[int, tuple[tuple[int, int], ...]], int]:
    counts: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
    for pattern in patterns:
        counts[pattern.host_class, tuple(sorted(pattern.placements))] += pattern.count
    return counts


@dataclass(slots=True)
class _Found:
    """Hosts on which a flavor lacks what, as hosts are left; those that may not take it, and those with room for it."""

    lacking: Counter[str] = field(default_factory=Counter)
    forbidden: int = 0
    fitting: int = 0


def _reasons(compiled: Compiled, result: Result, flavors: Sequence[int]) -> Mapping[int, str]:
    """Return the reason of each flavor: the resource that most hosts lack for it.

    Each host is counted at the place where it lacks fewest kinds, and by the one of which the largest part is missing.
    """
    problem = compiled.problem
    found = {flavor: _Found() for flavor in flavors}
    # Words of a row are those of a rule, whose selection may be long: they are made once a shape, not once a host.
    words = [[row_words(compiled, row) for row in rows] for rows in compiled.rows]
    kinds = [np.unique(of, return_inverse=True)[1] if of else np.zeros(0, dtype=np.int64) for of in words]
    needs: dict[tuple[int, int], tuple[IntArray, IntArray]] = {}
    for at, shape in enumerate(problem.shapes):
        for flavor in flavors:
            own = np.flatnonzero((shape.flavor == flavor) & ~shape.stay_only)
            taken = np.flatnonzero(shape.use[own].any(axis=0))
            needs[at, flavor] = taken, shape.use[np.ix_(own, taken)]
    for (number, pattern), many in _distinct(result.patterns).items():
        cls = problem.classes[number]
        shape = problem.shapes[cls.shape]
        room = cls.capacity.copy()
        for placement, vms in pattern:
            room -= vms * shape.use[placement]
        room = np.maximum(room, 0)
        for flavor in flavors:
            taken, need = needs[cls.shape, flavor]
            if not cls.allowed[flavor]:
                found[flavor].forbidden += many
            elif not len(need):
                found[flavor].lacking["a node large enough"] += many
            elif not (rows := _lacked(need, room[taken], kinds[cls.shape][taken])):
                found[flavor].fitting += many
            else:
                what = _together([words[cls.shape][int(taken[row])] for row in rows])
                bare = what.endswith(_ON_A_NODE) and _PAGES not in what
                end = _of_nodes(compiled.flavors.groups[flavor].needs) if bare else ""
                found[flavor].lacking[what + end] += many
    return {flavor: _reason(compiled, result, flavor, of) for flavor, of in found.items()}


def _of_nodes(needs: Needs) -> str:
    """Return what nodes a VM looks at have: those without were never tried, however many CPUs are free there."""
    has = ["huge pages"] if any(part.page_kib for part in needs.options[0]) else []
    has += ["devices"] if any(policy == "required" for _, policy, _, _ in needs.devices) else []
    return f" with its {' and '.join(has)}" if has else ""


def _together(words: Sequence[str]) -> str:
    """Return things that lack alike as one: all that are of a node have to be free on the same one."""
    if len(words) == 1:
        return words[0]
    bare = [word.removesuffix(_ON_A_NODE) for word in words]
    of_node = all(own != word or own.startswith(_PAGES) for word, own in zip(words, bare, strict=True))
    # CPUs of one kind of core say more than CPUs.
    said = [own for own in bare if not any(other.startswith(f"{own} of ") for other in bare)]
    return f"{' and '.join(said)}{_ON_A_NODE}" if of_node else " and ".join(words)


def _lacked(need: IntArray, room: IntArray, kinds: IntArray) -> list[int]:
    """Return of (places, rows) needed the rows that are lacked most at the place that lacks fewest kinds, one a kind;
    none if a place lacks nothing. Rows count in what VMs take of them at a time, so several may lack alike.
    """
    short = need > room
    # A node that lacks CPUs lacks them in several rows: kinds of what lacks count, not rows.
    many = [len(set(kinds[np.flatnonzero(one)].tolist())) for one in short]
    if not all(many):
        return []
    missing = np.where(short, (need - room) / np.maximum(need, 1), 0.0)
    at = min(range(len(need)), key=lambda n: (many[n], missing[n].sum(), n))
    worst = np.flatnonzero(missing[at] >= missing[at].max())
    return sorted({int(kinds[row]): int(row) for row in worst[::-1]}.values())


def _reason(compiled: Compiled, result: Result, flavor: int, found: _Found) -> str:
    """Say what was found for a flavor."""
    problem = compiled.problem
    vcpus = problem.flavors[flavor].vcpus
    if found.fitting:
        held = next((o.part or o.goal for o in result.objectives if o.status != "optimal"), None)
        room = f"{count(found.fitting, 'host has room', 'hosts have room')} for its {count(vcpus, 'vCPU')}"
        if held is not None:
            return f"no place was found in time ({held} is not proven); {room}"
        return f"{room}, but {_kept_out(compiled, flavor)}"
    if not found.lacking:
        return "no host may take it: rules, drains, KVM support, thread siblings or migration domains leave none"
    lacks = [f"{hosts} of {found.lacking.total()} lack {what}" for what, hosts in found.lacking.most_common(1)]
    lacks += [f"{hosts} {what}" for what, hosts in found.lacking.most_common(_LACKS)[1:]]
    if others := found.lacking.total() - sum(hosts for _, hosts in found.lacking.most_common(_LACKS)):
        lacks.append(f"{others} other things")
    rest = f"; {count(found.forbidden, 'host')} may not take it" if found.forbidden else ""
    if not all(problem.shapes[cls.shape].complete for cls in problem.classes if cls.allowed[flavor]):
        tried = "not every way to lay its cells on nodes was tried"
        return f"no place was found for its {count(vcpus, 'vCPU')}; {tried}{rest}"
    return f"no host has room for its {count(vcpus, 'vCPU')}: {', '.join(lacks)}{rest}"


def _kept_out(compiled: Compiled, flavor: int) -> str:
    """Say what keeps VMs of a flavor off hosts with room: rules that tie them to others, and the limit on moves."""
    fleet, index = compiled.fleet, rule_index(compiled.fleet)
    mine = {number for number, of in enumerate(compiled.flavors.of_vm) if of == flavor}
    labels = dict.fromkeys(
        rule.label
        for number, rule in enumerate(fleet.rules)
        if rule.kind in TYING
        and not rule.is_soft
        and not (mine.isdisjoint(index.vms[number]) and mine.isdisjoint(index.others[number]))
    )
    moves = ", or the limit on moves" if fleet.is_live else ""
    if not labels:
        return f"rules keep it out{moves}"
    return (
        f"the rule{'s'[: len(labels) > 1]} {some(list(labels))} {'keep' if len(labels) > 1 else 'keeps'} it out{moves}"
    )


CPU_WORDS = {
    "threads": "free CPUs on a node",
    "threads of whole cores": "whole cores on a node",
    "free threads": "free CPUs on a node",
    "shared vCPUs": "CPUs for shared vCPUs on a node",
    "shared vCPUs beside cores": "CPUs beside the pinned ones on a node",
    "shared beside free threads": "CPUs beside the pinned ones on a node",
    "shared beside dedicated": "CPUs beside the pinned ones on a node",
    "performance threads": "free CPUs of performance cores on a node",
    "efficiency threads": "free CPUs of efficiency cores on a node",
}
"""What a CPU row is to a planner, where its own name does not say it."""


def row_words(compiled: Compiled, row: Row) -> str:
    """Return what a capacity row is to a planner."""
    match row.kind:
        case RowKind.RULE:
            return f"room under the rule {compiled.fleet.rules[row.number].label}"
        case RowKind.ONE_L3:
            return f"room in one L3 domain, which the rule {compiled.fleet.rules[row.rule].label} wants"
        case RowKind.PAGES:
            return f"{_PAGES}{row.name}"
        case RowKind.MEMORY:
            return "free memory on a node" if len(row.nodes) < 2 else "free memory on its nodes"
        case RowKind.DEVICE | RowKind.RESOURCE:
            return f"{row.what} ({row.kind.value})"
        case _:
            return CPU_WORDS.get(row.cpus, f"{row.name} on a node")
