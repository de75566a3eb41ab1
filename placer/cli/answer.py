"""What a verb answers: data for ``--json``, text for a person, and what went wrong beside a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from placer.errors import PlacerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one verb.

    Attributes
    ----------
    data
        What ``--json`` puts into the envelope as ``result``; called only then.
    text
        What goes to standard output otherwise: the text itself, or a function that draws on a rich console.
    failure
        A failure that stands beside a result, such as the differences that a check found: its faults and exit code.
    exit_code
        The exit code without a failure; 130 after an interrupt that still gave a result.
    after
        What runs once the answer is printed, for a verb that goes on: a server whose address is the answer.
    """

    data: Callable[[], Mapping[str, Any]]
    text: str | Callable[[Console], None]
    failure: PlacerError | None = None
    exit_code: int = 0
    after: Callable[[], None] | None = None
