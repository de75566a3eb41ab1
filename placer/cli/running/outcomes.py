"""What was, or would be, done to a domain, as a row and as lines: of an apply and of taking one back."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from placer.show.words import visible

if TYPE_CHECKING:
    from placer.live.calls import Call

DRY_RUN = "nothing was changed: this was a dry run; --apply does it"


class Outcome(Protocol):
    """One domain: the calls that change it, how many of them were made, and why it is not as it should be."""

    @property
    def vm(self) -> str:
        """The VM's name."""

    @property
    def host(self) -> str:
        """The host it is on."""

    @property
    def uuid(self) -> str | None:
        """Its UUID, where it is known."""

    @property
    def status(self) -> Enum:
        """How it ended."""

    @property
    def calls(self) -> Sequence[Call]:
        """What changes it, in order."""

    @property
    def done(self) -> int:
        """How many of the calls were made."""

    @property
    def reason(self) -> str | None:
        """Why it is not as it should be."""

    @property
    def cure(self) -> str | None:
        """What helps."""


def outcome_row(one: Outcome) -> dict[str, Any]:
    """Return what both verbs tell of a domain in JSON."""
    return {
        "name": one.vm,
        "host": one.host,
        "uuid": one.uuid,
        "status": one.status.value,
        "calls": [call.text for call in one.calls],
        "done": one.done,
        "reason": one.reason,
        "cure": one.cure,
    }


def outcome_lines(one: Outcome, diff: str = "") -> list[str]:
    """Return the lines of a domain: how it ended, why, what differs, and each call with whether it was made."""
    lines = [visible(f"{one.host}: {one.vm}: {one.status.value}")]
    if one.reason:
        lines.append(visible(f"  {one.reason}" + (f"; {one.cure}" if one.cure else "")))
    lines += ["  " + visible(line.expandtabs()) for line in diff.splitlines()]
    return lines + [f"  {'done' if n < one.done else 'call'}: {call.text}" for n, call in enumerate(one.calls)]
