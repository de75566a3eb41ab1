"""Progress of a search on standard error: one line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from placer.cli.terminal import Terminal
from placer.show.progress_words import progress_line

if TYPE_CHECKING:
    from solvers.result import Progress

SECONDS_BETWEEN_LINES = 10.0
"""Where standard error is no terminal, lines come no sooner after one another than this."""
SECONDS_BETWEEN_REDRAWS = 0.1
_CLEAR_TO_END = "\x1b[K"


class ProgressPrinter:
    """Observer of a search: goal, incumbent, bound, gap and seconds. It prints nothing under ``-q``."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self.terminal = terminal
        self.clock = clock
        self.live = terminal.err.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._last: Progress | None = None
        self._left_standing: set[tuple[str, str]] = set()
        self._printed_at: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Take a report of an engine."""
        if self.terminal.quiet:
            return
        if self._last is not None and _goal(progress) != _goal(self._last):
            self._leave_standing(self._last)
        self._last = progress
        now = self.clock()
        pause = SECONDS_BETWEEN_REDRAWS if self.live else SECONDS_BETWEEN_LINES
        if self._printed_at is None or now - self._printed_at >= pause:
            self._printed_at = now
            self._print(progress)

    def finish(self) -> None:
        """End the line that is being rewritten: what follows begins on a line of its own."""
        if self.live and self._last is not None:
            self._print(self._last)
            self.terminal.err.write("\n")
            self.terminal.err.flush()
        self._last = None

    def _leave_standing(self, progress: Progress) -> None:
        """On a terminal keep the line of a goal that is proven, once; engines come back to the others."""
        proven = progress.value is not None and progress.value == progress.bound
        if self.live and proven and _goal(progress) not in self._left_standing:
            self._left_standing.add(_goal(progress))
            self._print(progress)
            self.terminal.err.write("\n")

    def _print(self, progress: Progress) -> None:
        line = progress_line(progress)
        if self.live:
            width = shutil.get_terminal_size().columns
            self.terminal.err.write(f"\r{line[: width - 1]}{_CLEAR_TO_END}")
        else:
            self.terminal.err.write(line + "\n")
        self.terminal.err.flush()


def _goal(progress: Progress) -> tuple[str, str]:
    return progress.goal, progress.part
