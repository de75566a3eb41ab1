"""What a search did before its limits ended it: steps that came to their end, stage by stage.

All between two looks at the clock is decided by the problem and the seed. So a search whose looks were all answered
alike has the same answer: of two that have the same parts, both have.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from zlib import crc32


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of work: `steps` of a `stage` that were done to their end, then as many as `cut` that were not allowed.

    `reached` is there where something was used that need not be the same each time: a number (CRC-32) that stands for
    what was found.
    """

    stage: str
    steps: int = 0
    cut: int = 0
    reached: int | None = None


@dataclass(slots=True)
class Work:
    """The parts of one search, in their order."""

    parts: list[Part] = field(default_factory=list)
    stage: str = "first answers"

    def look(self, goes_on: bool) -> bool:
        """Note whether a look at a limit lets the work go on; return it."""
        last = self.parts[-1] if self.parts else None
        ends = last is None or last.stage != self.stage or last.reached is not None or (goes_on and last.cut)
        part = Part(stage=self.stage) if ends else self.parts.pop()
        self.parts.append(replace(part, steps=part.steps + goes_on, cut=part.cut + (not goes_on)))
        return goes_on

    def reach(self, found: object) -> None:
        """Note what was found, and is used though it was cut off; equal things have an equal `repr`."""
        last = self.parts.pop() if self.parts and self.parts[-1].stage == self.stage else Part(stage=self.stage)
        self.parts.append(replace(last, reached=crc32(f"{last.reached} {found!r}".encode())))

    def begin(self, stage: str) -> tuple[Part, ...]:
        """Say what is done next; return what `back` goes back to."""
        self.stage = stage
        return self.mark()

    def searched(self, rounds: int, before: tuple[Part, ...]) -> int:
        """Note so many rounds that came to their end, each a step; of one that was cut off nothing is left, but that it
        was.
        """
        cut = self.mark()[len(before) :]
        if not rounds and any(part.cut for part in cut):
            self.back(before)
            self.look(False)
        for _ in range(rounds):
            self.look(True)
        return rounds

    def mark(self) -> tuple[Part, ...]:
        """Return what `back` goes back to."""
        return tuple(self.parts)

    def back(self, mark: tuple[Part, ...]) -> None:
        """Take back what was noted since: it counts as never begun."""
        self.parts[:] = mark
