"""Ctrl-C during a search: the first asks for the best plan so far, the second ends placer at once.

So does the first one where no answer is there yet: while a fleet is made into numbers there is nothing to keep.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from placer.cli.terminal import INTERRUPTED, Terminal

if TYPE_CHECKING:
    from solvers.result import Interrupt


Outcome = TypeVar("Outcome")
_WATCHED = {signal.SIGINT}
_SECONDS_BETWEEN_LOOKS = 0.1


def run_interruptible(work: Callable[[Interrupt], Outcome], terminal: Terminal) -> tuple[Outcome, bool]:
    """Run `work` and return what it returns, and whether it was asked to stop before its time.

    The work runs in a thread of its own while SIGINT is blocked, and this thread looks for the pending signal. A
    handler would run only between two steps of Python, and the solver stays in C++ for as long as it likes; and CP-SAT
    puts a handler of its own in place, which ends the process when the signal comes to another thread than its own.
    Threads and processes that the work starts inherit the blocked signal; where older threads take it, Python's handler
    does the same. Outside the main thread the work just runs.
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

    thread = threading.Thread(target=run, name="solve", daemon=True)
    handler = signal.signal(signal.SIGINT, lambda _number, _frame: _stop(interrupt, terminal))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_SECONDS_BETWEEN_LOOKS)
            if _was_signalled():
                _stop(interrupt, terminal)
    finally:
        _was_signalled()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if failure:
        raise failure[0]
    return outcome[0], interrupt.requested


def _was_signalled() -> bool:
    """Tell whether SIGINT came since the last look, and take it."""
    if signal.SIGINT not in signal.sigpending():
        return False
    signal.sigwait(_WATCHED)
    return True


def _stop(interrupt: Interrupt, terminal: Terminal) -> None:
    if not interrupt.requested and not interrupt.preparing:
        _say("stopping with the best plan so far; Ctrl-C once more stops at once", terminal)
        interrupt.request()
        return
    _say("stopped at once, nothing is written", terminal)
    # The solver's threads cannot be joined: leave without tearing down what they still use.
    os._exit(INTERRUPTED)


def _say(text: str, terminal: Terminal) -> None:
    terminal.err.write(f"\nplacer: {text}\n")
    terminal.err.flush()
