"""Why a VM has no place, in the planner's words: what its flavor runs into on every host as the plan leaves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from placer.check.fits import impossible_vms
from placer.model.plan import Unplaced
from placer.planning.compile.compile import Compiled
from placer.planning.compile.rows import Row, RowKind
from solvers.result import HostPattern, Result


def unplaced_reasons(compiled: Compiled, result: Result, left_out: Sequence[int]) -> tuple[Unplaced, ...]:
    """Return a reason for every VM left out (indices into the fleet)."""
    if not left_out:
        return ()
    fleet = compiled.fleet
    impossible = impossible_vms(fleet)
    patterns = _distinct(result.patterns)
    by_flavor: dict[int, str] = {}
    out = []
    for number in left_out:
        vm = fleet.vms[number]
        reason = impossible.get(vm.name)
        if reason is None:
            flavor = compiled.flavors.of_vm[number]
            if flavor not in by_flavor:
                by_flavor[flavor] = _reason(compiled, result, patterns, flavor)
            reason = by_flavor[flavor]
        out.append(Unplaced(name=vm.name, reason=reason))
    return tuple(out)


def _distinct(patterns: Sequence[HostPattern]) -> Mapping[tuple[int, tuple[tuple[int, int], ...]], int]:
    counts: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
    for pattern in patterns:
        counts[pattern.host_class, tuple(sorted(pattern.placements))] += pattern.count
    return counts


def _reason(
    compiled: Compiled, result: Result, patterns: Mapping[tuple[int, tuple[tuple[int, int], ...]], int], flavor: int
) -> str:
    """Name the resource that most hosts lack for the flavor.

    Each host is counted at the place where it lacks fewest kinds, and by the one of which the largest part is missing.
    """
    problem = compiled.problem
    lacking: Counter[str] = Counter()
    forbidden = fitting = 0
    for (number, pattern), count in patterns.items():
        cls = problem.classes[number]
        shape = problem.shapes[cls.shape]
        if not cls.allowed[flavor]:
            forbidden += count
            continue
        own = np.flatnonzero((shape.flavor == flavor) & ~shape.stay_only)
        if not len(own):
            lacking["a node large enough"] += count
            continue
        used = np.zeros(shape.use.shape[1], dtype=np.int64)
        for placement, vms in pattern:
            used += vms * shape.use[placement]
        need, room = shape.use[own], np.maximum(cls.capacity - used, 0)
        rows = compiled.rows[cls.shape]
        kinds = np.unique([row_words(compiled, row) for row in rows], return_inverse=True)[1]
        short = need > room
        # A node that lacks CPUs lacks them in several rows: kinds of what lacks count, not rows.
        many = [len(set(kinds[np.flatnonzero(one)])) for one in short]
        missing = np.where(short, (need - room) / np.maximum(need, 1), 0.0)
        at = min(range(len(own)), key=lambda n: (many[n], missing[n].sum(), n))
        if not many[at]:
            fitting += count
            continue
        row = rows[int(missing[at].argmax())]
        words = row_words(compiled, row)
        # Nodes without such pages were never looked at, however many CPUs are free there.
        paged = any(part.page_kib for part in compiled.flavors.groups[flavor].needs.options[0])
        lacking[f"{words} with its huge pages" if paged and words.endswith("on a node") else words] += count
    vcpus = problem.flavors[flavor].vcpus
    if fitting:
        held = next((o.part or o.goal for o in result.objectives if o.status != "optimal"), None)
        return (
            f"{fitting} hosts have room for its {vcpus} vCPUs, but a rule or a limit on moves keeps it out"
            if held is None
            else f"no place was found in time ({held} is not proven); {fitting} hosts have room for its {vcpus} vCPUs"
        )
    if not lacking:
        return "no host may take it: rules, drains, KVM support, thread siblings or migration domains leave none"
    what, hosts = lacking.most_common(1)[0]
    rest = f"; {forbidden} hosts may not take it" if forbidden else ""
    if not all(problem.shapes[cls.shape].complete for cls in problem.classes if cls.allowed[flavor]):
        return f"no place was found for its {vcpus} vCPUs; not every way to lay its cells on nodes was tried{rest}"
    return f"no host has room for its {vcpus} vCPUs: {hosts} of {sum(lacking.values())} lack {what}{rest}"


CPU_WORDS = {
    "threads": "free CPUs on a node",
    "threads of whole cores": "whole cores on a node",
    "free threads": "free CPUs on a node",
    "shared vCPUs": "CPUs for shared vCPUs on a node",
    "shared vCPUs beside cores": "CPUs beside the pinned ones on a node",
    "shared beside free threads": "CPUs beside the pinned ones on a node",
    "shared beside dedicated": "CPUs beside the pinned ones on a node",
}
"""What a CPU row is to a planner, where its own name does not say it."""


def row_words(compiled: Compiled, row: Row) -> str:
    """Return what a capacity row is to a planner."""
    match row.kind:
        case RowKind.RULE:
            return f"room under the rule {compiled.fleet.rules[row.number].label}"
        case RowKind.ONE_L3:
            return f"room in one L3 domain, which the rule {compiled.fleet.rules[row.number].label} wants"
        case RowKind.PAGES:
            return f"huge {row.name}"
        case RowKind.MEMORY:
            return "free memory on a node" if len(row.nodes) < 2 else "free memory on its nodes"
        case RowKind.DEVICE | RowKind.RESOURCE:
            return f"{row.what} ({row.kind.value})"
        case _:
            return CPU_WORDS.get(row.cpus, f"{row.name} on a node")
