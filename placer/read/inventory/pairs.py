"""A table of limits between groups of VMs, as rules: a row a pair, of which a file may hold tens of thousands."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from placer.model.rules import Rule, RuleKind
from placer.read.inventory.files import Files
from placer.read.inventory.validation import Problem

COLUMNS = ("first", "second", "max_together")
MOST_SAID = 20
"""Faults of a file that are named one by one."""


def read_pairs(
    said: str | Sequence[Sequence[str]], files: Files, problems: list[Problem]
) -> Iterator[tuple[str, str, str, int]]:
    """Yield (where it stands, first, second, most together) of each row of a file, or of a list in the inventory.

    A file has a line of names first: ``first``, ``second`` and, where it is not 0 everywhere, ``max_together``;
    columns are parted by commas, or by tabs where the first line has one.
    """
    rows = _listed(said) if not isinstance(said, str) else _of_file(said, files, problems)
    faults = 0
    for where, row in rows:
        first, second, most = (*row, "0")[:3] if len(row) in (2, 3) else ("", "", "")
        wrong = None
        if not first or not second:
            wrong = "says no two groups"
        elif not re.fullmatch(r"[0-9]{1,7}", most):
            wrong = f"{most[:20]!r} is no number of VMs"
        elif first == second and int(most) == 0:
            wrong = f"lets no VM of {first!r} be anywhere: of one group beside itself at least 1"
        if wrong is None:
            yield where, first, second, int(most)
            continue
        faults += 1
        if faults <= MOST_SAID:
            problems.append((("pairs",), f"{where} {wrong}", f"write {', '.join(COLUMNS)}"))
    if faults > MOST_SAID:
        problems.append((("pairs",), f"{faults - MOST_SAID} more rows are wrong", None))


def rules_of_pairs(
    pairs: Iterator[tuple[str, str, str, int]], label: str, having: Mapping[tuple[str, str], object], rule: Rule
) -> tuple[list[Rule], int]:
    """Return a rule for each pair of which both groups have VMs, like `rule` else, and how many other pairs there are.

    A domain that holds a VM of the first group holds at most so many of the second; of the same group, so many at most.
    """
    made: list[Rule] = []
    idle = 0
    for where, first, second, most in pairs:
        if (label, first) not in having or (label, second) not in having:
            idle += 1
            continue
        name = None if rule.name is None else f"{rule.name} {where}"
        if first == second:
            one = replace(rule, kind=RuleKind.ANTI_AFFINITY, members={label: first}, max_per=most, name=name)
        else:
            one = replace(rule, members={label: first}, others={label: second}, max_per=most, name=name)
        made.append(one)
    return made, idle


def _listed(said: Sequence[Sequence[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, row in enumerate(said, 1):
        yield f"pair {number}", tuple(row)


def _of_file(name: str, files: Files, problems: list[Problem]) -> Iterator[tuple[str, tuple[str, ...]]]:
    path = files.path(name, ("pairs",), problems)
    if path is None:
        return
    try:
        yield from _rows(path, name, problems)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append((("pairs",), f"file {name!r} cannot be read: {error}", "write UTF-8 with a row a pair"))


def _rows(path: Path, name: str, problems: list[Problem]) -> Iterator[tuple[str, tuple[str, ...]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        sign = "\t" if "\t" in head else ","
        columns = [column.strip() for column in next(csv.reader([head], delimiter=sign), [])]
        wrong = [column for column in columns if column not in COLUMNS]
        if wrong or not {"first", "second"} <= set(columns) or len(set(columns)) != len(columns):
            problems.append(
                (("pairs",), f"file {name!r} has the columns {', '.join(columns)}", f"name them {', '.join(COLUMNS)}")
            )
            return
        reader = csv.reader(file, delimiter=sign)
        for cells in reader:
            if cells:
                row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
                most = row.get("max_together", "0" if "max_together" not in columns else "")
                extra = () if len(cells) <= len(columns) else ("?",)
                yield (
                    f"{name} line {reader.line_num + 1}",
                    (row.get("first", ""), row.get("second", ""), most, *extra),
                )
