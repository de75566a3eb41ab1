"""One piece of work on many hosts at once: each in a thread of its own, none waited for longer than it answers."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from placer.errors import PlacerError
from placer.live.connect import UnreachableError

ANSWER_TIMEOUT_S = 45.0
"""A host that has not answered for so long is reported, and the rest goes on."""
AT_ONCE = 32
"""Hosts asked at the same time."""

Result = TypeVar("Result")


class GivenUpError(Exception):
    """The worker was waited for in vain, or the run was interrupted: it must begin nothing more."""


class Beat:
    """The pulse of one worker: what it calls after each answer of its host."""

    def __init__(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self.given_up = False
        self.last_answer = time.monotonic()

    def __call__(self) -> None:
        """Tell that the host answered; raises `GivenUpError` where the worker is to begin nothing more."""
        if self.given_up:
            raise GivenUpError
        self.last_answer = time.monotonic()

    def answered(self) -> None:
        """Tell that the host answered in the middle of what is not to be left half done."""
        self.last_answer = time.monotonic()

    def allow(self, timeout_s: float) -> None:
        """Let the host be silent for so long (s) from now on: some calls take their time."""
        self.timeout_s = timeout_s
        self.answered()


@dataclass(frozen=True, slots=True)
class Collected(Generic[Result]):
    """Results by host, and the error of each host that failed, both in the order in which the work was given."""

    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, PlacerError] = field(default_factory=dict)


class _Run(Generic[Result]):
    """The threads of one call of `on_each_host`."""

    def __init__(self, work: Mapping[str, Callable[[Beat], Result]], timeout_s: float, at_once: int) -> None:
        self._work = work
        self._timeout_s = timeout_s
        self._at_once = at_once
        self._waiting = deque(work)
        self._beats: dict[str, Beat] = {}
        self._done: queue.Queue[tuple[str, Result | BaseException]] = queue.Queue()
        self.ended: dict[str, Result | BaseException] = {}

    def finish(self) -> None:
        """Start what may run and wait until all has ended or is given up."""
        while self._waiting or self._beats:
            while self._waiting and len(self._beats) < self._at_once:
                self._start(self._waiting.popleft())
            try:
                host, outcome = self._done.get(timeout=0.2)
                if self._beats.pop(host, None) is not None:
                    self.ended[host] = outcome
            except queue.Empty:
                pass
            self._give_up_silent()

    def wind_down(self) -> None:
        """Begin nothing more, and wait until the workers have ended what they are at."""
        self._waiting.clear()
        for beat in self._beats.values():
            beat.given_up = True
        self.finish()

    def _start(self, host: str) -> None:
        beat = self._beats[host] = Beat(self._timeout_s)
        threading.Thread(target=self._run, args=(host, beat), name=f"host {host}", daemon=True).start()

    def _run(self, host: str, beat: Beat) -> None:
        try:
            outcome: Result | BaseException = self._work[host](beat)
        except BaseException as error:
            outcome = error
        self._done.put((host, outcome))

    def _give_up_silent(self) -> None:
        now = time.monotonic()
        for host, beat in list(self._beats.items()):
            if now - beat.last_answer > beat.timeout_s:
                beat.given_up = True
                del self._beats[host]
                self.ended[host] = UnreachableError(
                    f"host {host!r}: no answer for {beat.timeout_s:g} s",
                    cure="see that the host is up and libvirtd answers: virsh -c URI list",
                )


def on_each_host(
    work: Mapping[str, Callable[[Beat], Result]], *, timeout_s: float = ANSWER_TIMEOUT_S, at_once: int = AT_ONCE
) -> Collected[Result]:
    """Do the work of every host, many at once.

    A call into libvirt cannot be interrupted. So the threads are daemons: one that hangs is left behind, it is told to
    stop at its next answer, and it does not keep the program from ending.

    Parameters
    ----------
    work
        What to do for each host. It raises a `PlacerError` where the host fails.
    timeout_s
        How long a host may be silent (s), unless its worker allows more.

    Raises
    ------
    KeyboardInterrupt
        It was interrupted; every worker has then ended what it was at. A second interrupt does not wait for that.
    Exception
        What a worker raised that is no `PlacerError`: a fault of ours, once all the others are done or given up.
    """
    run = _Run(work, timeout_s, at_once)
    try:
        run.finish()
    except KeyboardInterrupt:
        run.wind_down()
        raise
    return _collect(work, run.ended)


def _collect(hosts: Mapping[str, object], ended: Mapping[str, Result | BaseException]) -> Collected[Result]:
    collected: Collected[Result] = Collected()
    for host in hosts:
        outcome = ended[host]
        if isinstance(outcome, PlacerError):
            collected.failures[host] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            collected.results[host] = outcome
    return collected
