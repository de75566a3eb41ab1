"""The one error tree: every failure placer reports has a code, an exit code and a cure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with an input: where it is, on which host, what it is, and what to do about it."""

    message: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    cure: str | None = None
    host: str | None = None

    def __str__(self) -> str:
        """Return ``file:line: field: message; cure`` on one line, control characters made visible."""
        where = self.file or ""
        if where and self.line is not None:
            where += f":{self.line}"
        parts = [part for part in (where, self.field) if part]
        text = ": ".join([*parts, self.message])
        if self.cure:
            text += f"; {self.cure}"
        return printable(text)


def printable(text: str) -> str:
    """Return the text with control characters spelled out: a name must neither move the cursor nor begin a line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class PlacerError(Exception):
    """A failure that placer explains: one line a fault, an error code and an exit code."""

    code = "fault"
    exit_code = 1

    def __init__(
        self,
        message: str | Iterable[Fault],
        *,
        file: str | None = None,
        line: int | None = None,
        field: str | None = None,
        cure: str | None = None,
    ) -> None:
        if isinstance(message, str):
            self.faults: tuple[Fault, ...] = (Fault(message=message, file=file, line=line, field=field, cure=cure),)
        else:
            self.faults = tuple(message)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[PlacerError], tuple[tuple[Fault, ...]]]:
        """Keep the faults when the error crosses a process boundary."""
        return (type(self), (self.faults,))


class InputError(PlacerError):
    """Bad input or wrong usage: the person has to change something."""

    code = "input"
    exit_code = 2


class ImpossibleError(PlacerError):
    """A required goal or rule is proven impossible."""

    code = "impossible"
    exit_code = 3


class NothingFoundError(PlacerError):
    """No plan was found within the limit."""

    code = "nothing-found"
    exit_code = 4


class RequirementError(PlacerError):
    """A required goal or gap was not met by the plan found."""

    code = "requirement"
    exit_code = 5


class DifferenceError(PlacerError):
    """A check, verification or comparison found differences."""

    code = "difference"
    exit_code = 6


class MissingToolError(PlacerError):
    """An extra or a tool is missing; the cure says how to get it."""

    code = "missing"
    exit_code = 7


class PartialError(PlacerError):
    """Some hosts or domains failed, the others are done."""

    code = "partial"
    exit_code = 8


class RefusedPlanError(PlacerError):
    """Our own checker refused our own plan: a fault of ours, and the plan is not written."""

    code = "refused-plan"
    exit_code = 1


_COMPARED = 5_000
"""Names that a wrong one is compared with: each takes a fraction of a millisecond."""


def nearest(word: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """Return the first of the known words that is most like one that is none of them; None where none is like it.

    `least` is how like it must be, from 0 to 1. Of words beyond `_COMPARED` none is looked at.
    """
    near = get_close_matches(word[:200], itertools.islice(known, _COMPARED), n=1, cutoff=least)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a cure that names what is most like a name that nothing has and begins alike; None where nothing is."""
    near = nearest(name, (one for one in known if one[:1] == name[:1]))
    return f"did you mean {near!r}?" if near else None
