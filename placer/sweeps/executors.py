"""Sweeps: many independent tasks on any `concurrent.futures.Executor`, kept as they come, resumed and retried.

The answer is the same on every executor: outcomes stand in the order of the tasks and carry no times.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from concurrent.futures.process import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

SCHEMA = "placer.sweep/v1"
ATTEMPTS = 3
"""A task that ends its worker, or fails by a fault, so many times is given up; the others go on."""
_LOOK_S = 1.0
_CONTEXTS: dict[str, Any] = {}
"""In a worker: the context unpacked last, by its digest."""

Work = Callable[[Any, Any], Any]
"""What a task runs: a module's function of the context that all tasks share and of the task's own payload. It returns
plain data."""


class LostError(RuntimeError):
    """The executor itself is gone (a scheduler that does not answer any more); what is done is kept."""


class ResumeError(ValueError):
    """The results file is of another sweep, or is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: a key that names it in the results, and its payload (plain data or picklable)."""

    key: str
    payload: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task gave: plain data, or why it was given up."""

    key: str
    value: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Where tasks run.

    Attributes
    ----------
    open : makes the executor; called again when its workers were lost.
    width : about how many tasks run at a time.
    alive : tells whether the executor can still answer, asked while nothing comes.
    """

    open: Callable[[], Executor]
    width: int = 1
    alive: Callable[[], bool] = field(default=lambda: True)


class SerialExecutor(Executor):
    """Runs each task where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a task now and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def serial() -> Pool:
    """Return a pool that runs the tasks here, one after the other."""
    return Pool(open=SerialExecutor)


def processes(workers: int | None = None) -> Pool:
    """Return a pool of processes: as many as there are cores for this process, unless told."""
    width = workers or cores()
    # Fresh processes: a fork of a process with solver threads may hang.
    return Pool(open=lambda: ProcessPoolExecutor(max_workers=width, mp_context=get_context("spawn")), width=width)


@contextmanager
def kept_open(pool: Pool) -> Iterator[Pool]:
    """Yield a pool whose executor serves several sweeps, one after the other, and is closed at the end.

    An executor that lost its workers, or was left in mid-sweep, is made anew.
    """
    keeper = _Keeper(pool)
    try:
        yield replace(pool, open=lambda: keeper)
    finally:
        keeper.close()


class _Keeper(Executor):
    """Passes tasks on to an executor that outlives the end of a sweep."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.inner: Executor | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin a task on the executor behind."""
        if self.inner is None:
            self.inner = self.pool.open()
        return self.inner.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Keep the executor at the end of a sweep; drop one that is not waited for: it is broken or not needed."""
        if not wait and self.inner is not None:
            # Dask's executor knows no cancel_futures: whoever leaves a sweep cancels its tasks beforehand.
            self.inner.shutdown(wait=False)
            self.inner = None

    def close(self) -> None:
        """Close the executor behind."""
        if self.inner is not None:
            self.inner.shutdown()
            self.inner = None


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_sweep(
    work: Work,
    context: Any,
    tasks: Sequence[Task],
    *,
    pool: Pool,
    identity: str = "",
    results: Path | None = None,
    on_done: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    fault: Callable[[Any], str | None] = lambda _: None,
) -> tuple[Outcome, ...]:
    """Run every task and return the outcomes in the order of the tasks.

    Parameters
    ----------
    work, context : see `Work`; both go to the workers by pickle.
    identity : what the sweep depends on; a results file of another identity is refused.
    results : a file of JSON lines to which outcomes are appended as they come. What it holds already is not run again;
        tasks that were given up are.
    on_done : told how many tasks are done, and how many there are.
    stopped : asked between tasks; once true, no further task is begun and the outcomes so far are returned.
    fault : tells what is wrong with a value that the results file holds.

    Raises
    ------
    LostError
        The executor is gone; the results file keeps what was done.
    ResumeError
        The results file is of another sweep, or holds a value that is none of it.
    """
    if len({task.key for task in tasks}) < len(tasks):
        raise ValueError("two tasks have one key")
    done: dict[str, Outcome] = {} if results is None else _resume(results, identity, fault)
    sheet = None if results is None else _open_sheet(results, identity)
    try:
        wanted = deque(task for task in tasks if task.key not in done)
        sweep = _Sweep(work, context, pool, wanted, done, sheet, on_done, stopped, len(tasks))
        sweep.run()
    finally:
        if sheet is not None:
            sheet.close()
    return tuple(done[task.key] for task in tasks if task.key in done)


@dataclass(frozen=True, slots=True)
class Missing:
    """What a worker answers that has not got the context yet."""


def call(work: Work, digest: str, packed: bytes | None, payload: Any) -> Any:
    """Run one task: what an executor's worker does. The context comes along, and is unpacked, once a worker."""
    if digest not in _CONTEXTS:
        if packed is None:
            return Missing()
        _CONTEXTS.clear()
        _CONTEXTS[digest] = pickle.loads(packed)
    return work(_CONTEXTS[digest], payload)


class _Sweep:
    """One run of a sweep: tasks in flight, tasks that were there when a worker died, and what came back."""

    def __init__(
        self,
        work: Work,
        context: Any,
        pool: Pool,
        wanted: deque[Task],
        done: dict[str, Outcome],
        sheet: TextIO | None,
        on_done: Callable[[int, int], None] | None,
        stopped: Callable[[], bool],
        total: int,
    ) -> None:
        self.work, self.pool, self.wanted, self.done = work, pool, wanted, done
        self.sheet, self.on_done, self.stopped, self.total = sheet, on_done, stopped, total
        self.packed = pickle.dumps(context)
        self.digest = hashlib.sha256(self.packed).hexdigest()
        self.suspects: deque[Task] = deque()
        self.without: set[str] = set()
        self.sent = 0
        self.failures: dict[str, int] = {}
        self.running: dict[Future[Any], Task] = {}

    def run(self) -> None:
        """Run until nothing is left."""
        if self.on_done is not None:
            self.on_done(len(self.done), self.total)
        executor = self.pool.open()
        try:
            while self.wanted or self.suspects or self.running:
                if self.stopped():
                    self.wanted.clear()
                    self.suspects.clear()
                broken = self._submit(executor) or self._collect()
                if broken:
                    executor.shutdown(wait=False)
                    self.suspects.extend(self.running.values())
                    self.running.clear()
                    self.sent = 0
                    executor = self.pool.open()
        except BaseException:
            for future in self.running:
                future.cancel()
            executor.shutdown(wait=False)
            raise
        executor.shutdown()

    def _submit(self, executor: Executor) -> bool:
        """Begin tasks; return whether the executor turned out to be broken.

        Tasks that were in flight when a worker died run one at a time: whichever dies again is the guilty one.
        """
        room = 1 if self.suspects else 2 * self.pool.width
        while len(self.running) < room and (self.suspects or self.wanted):
            if self.suspects and self.running:
                return False
            task = (self.suspects or self.wanted).popleft()
            # Contexts may be large: the first tasks take it along, then those whose worker asked for it.
            packed = self.packed if self.sent < self.pool.width or task.key in self.without else None
            try:
                future = executor.submit(call, self.work, self.digest, packed, task.payload)
            except BrokenExecutor:
                self.wanted.appendleft(task)
                return True
            except Exception as error:
                raise LostError(_said(error)) from error
            self.sent += 1
            self.running[future] = task
            if future.done() or self.suspects:
                return False
        return False

    def _collect(self) -> bool:
        """Wait for something to end and keep it; return whether workers were lost with the executor."""
        if not self.running:
            return False
        ended, _ = wait(self.running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
        if not ended and not self.pool.alive():
            raise LostError("the scheduler does not answer any more")
        alone = len(self.running) == 1
        broken = False
        for future in sorted(ended, key=lambda one: self.running[one].key):
            task = self.running.pop(future)
            try:
                value = future.result()
            except BrokenExecutor as error:
                broken = True
                if alone:
                    self._failed(task, f"its worker died: {_said(error)}", self.suspects)
                else:
                    self.suspects.append(task)
            except CancelledError as error:
                raise LostError("the scheduler does not answer any more") from error
            except Exception as error:
                if not self.pool.alive():
                    raise LostError(_said(error)) from error
                self._failed(task, _said(error), self.wanted)
            else:
                if isinstance(value, Missing):
                    self.without.add(task.key)
                    self.wanted.appendleft(task)
                else:
                    self._keep(Outcome(key=task.key, value=json.loads(json.dumps(value))))
        return broken

    def _failed(self, task: Task, why: str, again: deque[Task]) -> None:
        self.failures[task.key] = self.failures.get(task.key, 0) + 1
        if self.failures[task.key] < ATTEMPTS:
            again.append(task)
        else:
            self._keep(Outcome(key=task.key, error=f"given up after {ATTEMPTS} attempts: {why}"))

    def _keep(self, outcome: Outcome) -> None:
        self.done[outcome.key] = outcome
        if self.sheet is not None:
            self.sheet.write(json.dumps(_line(outcome), sort_keys=True) + "\n")
            self.sheet.flush()
        if self.on_done is not None:
            self.on_done(len(self.done), self.total)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def _line(outcome: Outcome) -> Mapping[str, Any]:
    return {"key": outcome.key, "value": outcome.value, "error": outcome.error}


def _resume(path: Path, identity: str, fault: Callable[[Any], str | None]) -> dict[str, Outcome]:
    """Return what the file holds; a last line that was cut off in writing counts as not there."""
    if not path.exists() or not path.stat().st_size:
        return {}
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines(keepends=True)
    try:
        head = json.loads(lines[0])
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise ResumeError("it is no results file of a sweep")
    if head.get("identity") != identity:
        raise ResumeError("it holds the results of another sweep: another fleet, other scenarios or other options")
    done = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.endswith("\n"):
            break
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line that was cut off, and another after it
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("key"), str)
            or not {"value", "error"} <= entry.keys()
        ):
            raise ResumeError(f"line {number} is no result of a sweep: it has not a key, a value and an error")
        if entry["error"] is not None:
            continue
        wrong = fault(entry["value"])
        if wrong is not None:
            raise ResumeError(f"line {number} is no result of this sweep: {wrong}")
        done[entry["key"]] = Outcome(key=entry["key"], value=entry["value"])
    return done


def _open_sheet(path: Path, identity: str) -> TextIO:
    fresh = not path.exists() or not path.stat().st_size
    cut = not fresh and not path.read_bytes().endswith(b"\n")
    sheet = path.open("a", encoding="utf-8")
    if fresh:
        sheet.write(json.dumps({"schema": SCHEMA, "identity": identity}, sort_keys=True) + "\n")
    elif cut:
        sheet.write("\n")
    sheet.flush()
    return sheet
