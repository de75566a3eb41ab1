"""The one place that prints: results to standard output, all else to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from placer.errors import Fault, PlacerError, printable

if TYPE_CHECKING:
    from rich.console import Console

    from placer.cli.answer import Answer

INTERRUPTED = 130
WITHOUT_TERMINAL = 200
"""Columns where nothing has an edge: into a pipe or a file, unless COLUMNS says otherwise."""
BROKEN_PIPE = 141
"""What a shell reports of a command that nobody reads from any more: 128 + SIGPIPE."""


@dataclass(slots=True)
class Terminal:
    """The streams of one run of placer, and how much of what to print on them."""

    verb: str = ""
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = True
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def note(self, text: str) -> None:
        """Say something on standard error, unless ``-q`` was given."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Say something on standard error that only ``-v`` asks for."""
        if self.verbose:
            self._say(text)

    def warn(self, texts: Iterable[str]) -> None:
        """Print warnings, a line each, unless ``-q`` was given."""
        for text in texts:
            self.note(f"warning: {text}")

    def console(self, stream: TextIO | None = None) -> Console:
        """Return a rich console that adds nothing of its own: no markup, no highlights, no colour into a pipe."""
        from rich.console import Console

        stream = stream or self.out
        # Without a terminal the picture must not depend on who runs it, and a table must not be broken.
        width = None if stream.isatty() or os.environ.get("COLUMNS") else WITHOUT_TERMINAL
        return Console(
            file=stream, width=width, no_color=not self.color or None, markup=False, emoji=False, highlight=False
        )

    def deliver(self, answer: Answer) -> int:
        """Print an answer and return the exit code."""
        if self.json:
            envelope = {"schema": self._schema, "ok": answer.failure is None, "result": answer.data()}
            if answer.failure is not None:
                envelope["error"] = error_data(answer.failure)
            self._print_json(envelope)
        else:
            # What goes on after its answer, such as a server, must not wait for a person to leave the pager.
            self._print_text(answer.text, pages=self._pages and answer.after is None)
        self.out.flush()
        if answer.after is not None:
            answer.after()
        if answer.failure is None:
            return answer.exit_code
        self._print_faults(answer.failure)
        return answer.failure.exit_code

    def _print_text(self, text: str | Callable[[Console], None], *, pages: bool) -> None:
        """Print for a person, where it pages through a pager, as git does."""
        console = self.console()
        if pages:
            # What git sets: leave at once where all fits, keep colours, keep the screen.
            os.environ.setdefault("LESS", "FRX")
        with console.pager(styles=self.color) if pages else contextlib.nullcontext():
            if not isinstance(text, str):
                text(console)
            elif pages:
                console.out(text, highlight=False, end="" if text.endswith("\n") else "\n")
            else:
                self.out.write(text if not text or text.endswith("\n") else text + "\n")

    @property
    def _pages(self) -> bool:
        """Whether both ends are a person's, and a pager is there that shows at once what fits on the screen."""
        if self.out is not sys.stdout or not (sys.stdin.isatty() and self.out.isatty()):
            return False
        return os.environ.get("TERM", "dumb") != "dumb" and bool(os.environ.get("PAGER") or shutil.which("less"))

    def fail(self, error: PlacerError) -> int:
        """Print a failure without a result and return its exit code."""
        if self.json:
            self._print_json({"schema": self._schema, "ok": False, "error": error_data(error)})
            self.out.flush()
        self._print_faults(error)
        return error.exit_code

    def abandon(self) -> None:
        """Send what is still to be printed nowhere: the reader of standard output is gone."""
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())

    @property
    def _schema(self) -> str:
        return f"placer.{self.verb}/v1" if self.verb else "placer/v1"

    def _print_json(self, envelope: dict[str, Any]) -> None:
        # ASCII only: a name may hold what no encoding but JSON's escapes carries.
        self.out.write(json.dumps(envelope, indent=2, sort_keys=True, allow_nan=False) + "\n")

    def _print_faults(self, error: PlacerError) -> None:
        for fault in error.faults:
            self._say(str(fault) if fault.file else f"placer: {fault}")

    def _say(self, text: str) -> None:
        # Warnings and notes name hosts and VMs as they are.
        with contextlib.suppress(BrokenPipeError):
            print(printable(text), file=self.err, flush=True)


def error_data(error: PlacerError) -> dict[str, Any]:
    """Return a failure as the envelope carries it: a stable code and every fault."""
    return {"code": error.code, "faults": [fault_data(fault) for fault in error.faults]}


def fault_data(fault: Fault) -> dict[str, Any]:
    """Return a fault as plain data; what is not known is null."""
    return {
        "message": fault.message,
        "file": fault.file,
        "line": fault.line,
        "field": fault.field,
        "cure": fault.cure,
    }
