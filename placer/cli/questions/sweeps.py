"""What the verbs of sweeps share: where the tasks run, progress with the time left, and lost executors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from placer.cli.executor import opened_executor
from placer.cli.terminal import Terminal
from placer.errors import InputError, PartialError

if TYPE_CHECKING:
    from placer.sweeps.executors import Pool

SECONDS_BETWEEN_LINES = 10.0
"""Where standard error is no terminal, lines come no sooner after one another than this."""
TELLING = 3
"""Tasks that must be done before the time left is told: one or two say little of the others."""
_CLEAR_TO_END = "\x1b[K"


@contextmanager
def opened_pool(text: str | None, workers: int | None, tasks: int, resumable: bool) -> Iterator[Pool]:
    """Yield the pool that ``--executor`` names: serial, processes (the default), or ``dask:tcp://host:port``.

    Raises
    ------
    InputError
        The text names no executor, or its scheduler does not answer.
    PartialError
        The executor was lost on the way.
    """
    from placer.sweeps.executors import LostError, Pool, cores, processes, serial

    cure = "run it again" + (": what is done is not solved twice" if resumable else " with --results FILE")
    try:
        if text == "serial" or (text is None and (tasks < 2 or (workers or cores()) == 1)):
            yield serial()
        elif text in (None, "processes"):
            yield processes(min(workers or cores(), max(1, tasks)))
        else:
            with opened_executor(text) as executor:
                client: Any = getattr(executor, "_client")  # noqa: B009
                width = max(1, sum(client.nthreads().values()))
                # A sweep closes each executor that it opens; the client is closed by its own context.
                yield Pool(open=client.get_executor, width=width, alive=lambda: _answers(client))
    except LostError as error:
        raise PartialError(f"the sweep was cut short: {error}", field="--executor", cure=cure) from None


def _answers(client: Any) -> bool:
    """Tell whether a Dask client still has its scheduler."""
    comm = getattr(client, "scheduler_comm", None)
    return client.status == "running" and comm is not None and not comm.comm.closed()


class SweepProgress:
    """Tasks done of how many, with the time left, on standard error."""

    def __init__(self, terminal: Terminal, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.terminal, self.what, self.clock = terminal, what, clock
        self.live = terminal.err.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.began_s: float | None = None
        self.first = 0
        self.printed_s = -SECONDS_BETWEEN_LINES

    def __call__(self, done: int, total: int) -> None:
        """Take a report: `done` of `total`; the first says what was there already."""
        now = self.clock()
        if self.began_s is None:
            self.began_s, self.first = now, done
            if done:
                self.terminal.note(f"{done} of {total} {self.what} are there from before")
            return
        if self.terminal.quiet or (not self.live and done < total and now - self.printed_s < SECONDS_BETWEEN_LINES):
            return
        self.printed_s = now
        mine = done - self.first
        left = "" if done == total or mine < TELLING else f"  {(now - self.began_s) / mine * (total - done):.0f} s left"
        line = f"{_bar(done, total)} {done} of {total} {self.what}{left}"
        if self.live:
            self.terminal.err.write(f"\r{line}{_CLEAR_TO_END}" + ("\n" if done == total else ""))
            self.terminal.err.flush()
        else:
            self.terminal.note(line)


def _bar(done: int, total: int, width: int = 20) -> str:
    full = width * done // max(1, total)
    return "█" * full + "░" * (width - full)


def checked_output(output: str | None, force: bool) -> None:
    """Refuse an output that is there already, or of a kind that is not written.

    Raises
    ------
    InputError
        It is there, or its name ends neither in .json nor in .csv.
    """
    from placer.cli.inputs import refuse_existing

    if output is None:
        return
    if not output.endswith((".json", ".csv")):
        raise InputError("is neither .json nor .csv", file=output, field="--output", cure="end its name so")
    refuse_existing(output, force)
