"""Progress on standard error: a line that is rewritten on a terminal, few lines elsewhere, none under -q."""

from __future__ import annotations

import io

import pytest

from placer.cli.progress import ProgressPrinter
from placer.cli.questions.sweeps import SweepProgress
from placer.cli.terminal import Terminal
from placer.show.progress_words import progress_line
from solvers.result import Progress


class Tty(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def report(goal: str = "remote", value: int | None = 2_000_000, bound: int | None = 1_000_000) -> Progress:
    """Return a report in millionths."""
    return Progress(goal=goal, part="", value=value, bound=bound, seconds=3.21, engine="exact", unit=1_000_000)


def test_line() -> None:
    """A line has goal, incumbent, bound, gap, seconds and engine in people's units; what is unknown is called so."""
    assert progress_line(report()).split() == (
        ["remote", "best", "2", "bound", "1", "gap", "50", "%", "3.2", "s", "exact"]
    )
    assert "best none yet  bound unknown  gap unknown" in progress_line(report(value=None, bound=None))
    slots = Progress(goal="headroom:16x0", part="", value=-5, bound=-6, seconds=0, engine="exact", sign=-1)
    assert "best 5  bound 6  gap 16.67 %" in progress_line(slots)


def test_few_lines_into_a_file() -> None:
    """Where standard error is no terminal there is a line now and then, however many reports come."""
    stream = io.StringIO()
    now = [0.0]
    printer = ProgressPrinter(Terminal(err=stream), clock=lambda: now[0])
    for second in range(25):
        now[0] = second
        printer(report(goal="remote" if second % 2 else "hosts"))
    printer.finish()
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["hosts", "hosts", "hosts"]
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_one_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal one line is rewritten; that of a proven goal stays, once, and the last one does."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Tty()
    now = [0.0]
    printer = ProgressPrinter(Terminal(err=stream), clock=lambda: now[0])
    reports = [
        *(report(value=value) for value in (4_000_000, 3_000_000)),
        report(goal="placed", value=0, bound=0),
        report(value=2_000_000),
        report(goal="placed", value=0, bound=0),
        report(goal="hosts", value=1_000_000),
    ]
    for each in reports:
        now[0] += 1
        printer(each)
    printer.finish()
    kept = [line.rpartition("\r")[2] for line in stream.getvalue().split("\n")]
    assert [line.split()[:3] for line in kept if line] == [["placed", "best", "0"], ["hosts", "best", "1"]]


def test_quiet() -> None:
    """Under -q there is no progress at all."""
    stream = io.StringIO()
    printer = ProgressPrinter(Terminal(err=stream, quiet=True))
    printer(report())
    printer.finish()
    assert stream.getvalue() == ""


def test_a_sweep_tells_the_time_left_once_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line every ten seconds where nobody watches, and the last one; seconds left are told from the third task on."""
    monkeypatch.setenv("TERM", "xterm")
    terminal, out = Terminal(verb="whatif"), io.StringIO()
    terminal.err = out
    now = [0.0]
    told = SweepProgress(terminal, "scenarios", clock=lambda: now[0])
    for done, seconds in ((0, 0), (1, 4), (2, 11), (3, 12), (5, 25), (8, 26)):
        now[0] = float(seconds)
        told(done, 8)
    lines = [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines == ["1 of 8 scenarios", "5 of 8 scenarios  15 s left", "8 of 8 scenarios"]
