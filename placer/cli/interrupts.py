"""Ctrl-C during a search: the first asks for the best plan so far, the second ends placer at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from placer.cli.terminal import INTERRUPTED, Terminal

if TYPE_CHECKING:
    from solvers.result import Interrupt


Outcome = TypeVar("Outcome")


def run_interruptible(work: Callable[[Interrupt], Outcome], terminal: Terminal) -> tuple[Outcome, bool]:
    """Run `work` and return what it returns, and whether it was asked to stop before its time.

    The work runs in a thread of its own, for a signal handler runs only when the main thread runs Python, and a solver
    holds it in C++ for as long as it likes. Outside the main thread no handler can be set, and the work just runs.
    """
    from solvers.result import Interrupt

    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        return work(interrupt), interrupt.requested
    outcome: list[Outcome] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work(interrupt))
        except BaseException as error:
            failure.append(error)

    def on_signal(_number: int, _frame: Any) -> None:
        if interrupt.requested:
            # Solver threads cannot be joined: leave without running what they still use.
            terminal.err.write("\nplacer: stopped at once, nothing is written\n")
            terminal.err.flush()
            os._exit(INTERRUPTED)
        terminal.err.write("\nplacer: stopping with the best plan so far; Ctrl-C once more stops at once\n")
        terminal.err.flush()
        interrupt.request()

    thread = threading.Thread(target=run, name="solve", daemon=True)
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    if failure:
        raise failure[0]
    return outcome[0], interrupt.requested
