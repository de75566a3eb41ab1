"""Progress of a search on standard error: one line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from placer.cli.terminal import Terminal
from placer.show.words import figure, percent, visible

if TYPE_CHECKING:
    from solvers.result import Progress

SECONDS_BETWEEN_LINES = 10.0
"""Where standard error is no terminal, a line comes no sooner than this, unless the goal changes."""
SECONDS_BETWEEN_REDRAWS = 0.1
_CLEAR_TO_END = "\x1b[K"


class ProgressPrinter:
    """Observer of a search: goal, incumbent, bound, gap and seconds. It prints nothing under ``-q``."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self.terminal = terminal
        self.clock = clock
        self.live = terminal.err.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._goal: tuple[str, str] | None = None
        self._printed_at = -SECONDS_BETWEEN_LINES
        self._line = ""

    def __call__(self, progress: Progress) -> None:
        """Take a report of an engine."""
        if self.terminal.quiet:
            return
        goal = (progress.goal, progress.part)
        changed = goal != self._goal
        if changed and self.live:
            self.finish()
        self._goal = goal
        self._line = progress_line(progress)
        now = self.clock()
        pause = SECONDS_BETWEEN_REDRAWS if self.live else SECONDS_BETWEEN_LINES
        if changed or now - self._printed_at >= pause:
            self._printed_at = now
            self._print()

    def finish(self) -> None:
        """Leave the last line of a goal standing."""
        if self.live and self._line:
            self._print()
            self.terminal.err.write("\n")
            self.terminal.err.flush()
        self._line = ""

    def _print(self) -> None:
        if self.live:
            width = shutil.get_terminal_size().columns
            self.terminal.err.write(f"\r{self._line[: width - 1]}{_CLEAR_TO_END}")
        else:
            self.terminal.err.write(self._line + "\n")
        self.terminal.err.flush()


def progress_line(progress: Progress) -> str:
    """Return a report as one line: ``remote  best 2.4  bound 2.3  gap 4.17 %  12.5 s  exact``."""
    value, bound = (
        None if number is None else progress.sign * number / progress.unit
        for number in (progress.value, progress.bound)
    )
    gap = None
    if value is not None and bound is not None:
        largest = max(abs(value), abs(bound))
        gap = abs(value - bound) / largest if largest else 0.0
    name = f"{progress.goal} ({progress.part})" if progress.part else progress.goal
    best = "none yet" if value is None else figure(value)
    words = [
        f"{name:<24}",
        f"best {best}",
        f"bound {figure(bound)}",
        f"gap {percent(gap)}",
        f"{progress.seconds:.1f} s",
    ]
    return visible("  ".join([*words, progress.engine, *([progress.note] if progress.note else [])]))
