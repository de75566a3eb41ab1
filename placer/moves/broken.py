"""Which rules an order breaks on the way, in which waves: told of those that no step had to keep."""

from __future__ import annotations

from collections.abc import Sequence, Set

from placer.moves.kept_rules import KeptRules
from placer.moves.model import Broken, Wave
from placer.moves.places import ClaimMaker


def broken_rules(rules: KeptRules, maker: ClaimMaker, waves: Sequence[Wave], never: Set[int]) -> tuple[Broken, ...]:
    """Return the rules that are worse in some waves than at the start.

    Parameters
    ----------
    rules : with every VM where it is at the start, and those given up that waves may have broken; on return as it is
        after the waves.
    never : rules that every order of the moves breaks.
    """
    fleet = rules.fleet
    worse: dict[int, list[int]] = {}
    for number, wave in enumerate(waves, start=1):
        ends = [(step, maker.claims(fleet.vm_by_name[step.vm], step.target)) for step in wave.steps]
        for step, claims in ends:
            rules.add(step.vm, step.target.host, claims)
            if step.source is None:
                rules.comes(step.vm, now=True)
        for rule in rules.broken_now():
            worse.setdefault(rule, []).append(number)
        for step, _ in ends:
            if step.source is None:
                rules.comes(step.vm, now=False)
            else:
                claims = maker.claims(fleet.vm_by_name[step.vm], step.source)
                rules.add(step.vm, step.source.host, claims, -1)
    over = set(rules.broken_now())
    return tuple(
        Broken.of(fleet.rules[rule].label, waves, when, by_any=rule in never, mended=rule not in over)
        for rule, when in sorted(worse.items())
    )
