"""Remarks of a lint as lines: those that many VMs share are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from placer.lint.remark import Remark
from placer.model.units import count
from placer.show.words import listed, visible

MOST_ALIKE = 3
"""Remarks of one rule that have a line each; more are one line."""


def remark_lines(remarks: Sequence[Remark], most: int | None) -> Iterator[str]:
    """Yield the remarks as lines, rules in the order in which they first come.

    Parameters
    ----------
    most : remarks of one rule that have a line each; of more, one line names the first. None: each has its own.
    """
    by_rule: dict[str, list[Remark]] = {}
    for remark in remarks:
        by_rule.setdefault(remark.rule, []).append(remark)
    folded = False
    for rule, alike in by_rule.items():
        if most is None or len(alike) <= most:
            yield from map(str, alike)
            continue
        folded = True
        first = alike[0]
        subjects = [visible(subject) for subject in dict.fromkeys(remark.subject for remark in alike)]
        said = f"{rule}: {listed(subjects, 3)}; of the first: {first.message}; {first.cure}"
        yield visible(said)
    if folded:
        yield f"{count(len(remarks), 'remark')} in all, each on a line of its own: --all"
