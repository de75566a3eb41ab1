"""One solve at a time behind the page: begun, watched, stopped with the best plan so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from placer.emit.report.course import Point
from placer.errors import InputError, PlacerError
from placer.planner import solve_fleet
from placer.serve.desk import Desk, Shown
from placer.serve.edits import edited
from placer.show.progress_words import progress_figures, progress_line, progress_name
from solvers.choice import UnsupportedError
from solvers.result import Interrupt, Progress

_READING = ("running_only", "max_hosts", "max_vms")
"""Options of a plan that say how its fleet was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a page asks to be solved: edits by kind, seconds, and the limits on moves (None: as a solve has them)."""

    edits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    time_limit_s: float = 20.0
    max_moves: int | None = None
    max_migrations: int | None = None
    goals: str | None = None


@dataclass(slots=True)
class Solving:
    """The solve of a desk. `state` is ``idle``, ``running``, ``done`` or ``failed``; faults say why it failed."""

    desk: Desk
    workers: int
    state: str = "idle"
    faults: tuple[str, ...] = ()
    lines: dict[str, str] = field(default_factory=dict)
    course: dict[str, list[Point]] = field(default_factory=dict)
    began: float = 0.0
    _interrupt: Interrupt = field(default_factory=Interrupt)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def begin(self, wish: Wish) -> None:
        """Begin a solve.

        Raises
        ------
        InputError
            One is running; or the edits cannot be made.
        """
        with self._lock:
            if self.state == "running":
                raise InputError("a solve is running", cure="stop it, or wait for its plan")
            self.state, self.faults, self.lines, self.began = "running", (), {}, time.monotonic()
            self.course = {}
            self._interrupt = Interrupt()
        self._thread = threading.Thread(target=self._run, args=(wish,), name="solve", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask for the best plan so far."""
        self._interrupt.request()

    def wait(self) -> None:
        """Return when no solve is running any more."""
        if self._thread is not None:
            self._thread.join()

    def told(self) -> dict[str, Any]:
        """Return how far it is, for the page."""
        state = self.state  # once: the solve may end meanwhile
        seconds = round(time.monotonic() - self.began, 1) if state == "running" else None
        return {
            "state": state,
            "faults": list(self.faults),
            "lines": list(self.lines.values()),
            "seconds": seconds,
            "stopping": state == "running" and self._interrupt.requested,
        }

    def _run(self, wish: Wish) -> None:
        try:
            solved = self._solved(wish)
            _ = solved.columns  # what the page asks for first
            self.desk.show(solved)
            self.state = "done"
        except PlacerError as error:
            self.faults = tuple(str(fault) for fault in error.faults)
            self.state = "failed"
        except UnsupportedError as error:
            self.faults = (str(error),)
            self.state = "failed"
        except Exception as error:
            self.faults = (f"a fault of placer's own: {type(error).__name__}: {error}"[:300],)
            self.state = "failed"
            raise

    def _solved(self, wish: Wish) -> Shown:
        files = self.desk.files
        fleet, changes = edited(files.fleet, wish.edits)
        options = {} if files.plan is None else files.plan.options
        plan = solve_fleet(
            fleet,
            goals=wish.goals or options.get("goals"),
            time_limit_s=wish.time_limit_s,
            max_moves=wish.max_moves,
            max_migrations=wish.max_migrations,
            max_repins=options.get("max_repins"),
            pin=options.get("pin", "none"),
            workers=self.workers,
            on_progress=self._report,
            interrupt=self._interrupt,
        )
        read = {name: options[name] for name in _READING if options.get(name)}
        if read and not changes:
            # It is a plan of the same file, and is checked against what is read of it in the same way.
            plan = replace(plan, options={**plan.options, **read})
        for goal in plan.goals:
            if goal.name in self.course:  # what the plan says of it in the end
                seconds = time.monotonic() - self.began
                self.course[goal.name].append(Point(seconds=seconds, value=goal.value, bound=goal.bound))
        return Shown(fleet=fleet, plan=plan, changes=changes, earlier=files.earlier, course=dict(self.course))

    def _report(self, progress: Progress) -> None:
        name = progress_name(progress)
        self.lines[name] = progress_line(progress)
        value, bound = progress_figures(progress)
        points = self.course.setdefault(name, [])
        if not points or (points[-1].value, points[-1].bound) != (value, bound):
            points.append(Point(seconds=progress.seconds, value=value, bound=bound))
