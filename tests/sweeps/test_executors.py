"""Sweeps on every executor: one answer, nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
from sweep_work import Place, die_on, die_once, fail_on, square

from placer.sweeps import executors
from placer.sweeps.answers import answer_fault
from placer.sweeps.executors import (
    LostError,
    Pool,
    ResumeError,
    SerialExecutor,
    Task,
    cores,
    kept_open,
    processes,
    run_sweep,
    serial,
)

TASKS = [Task(key=f"t{number}", payload=number) for number in range(12)]


def values(outcomes: Sequence[Any]) -> list[Any]:
    """Return what the tasks gave."""
    return [outcome.value for outcome in outcomes]


def test_serial_and_processes_agree() -> None:
    """The outcomes are those of the tasks, in their order, on either."""
    expected = [{"square": 3 * number * number} for number in range(12)]
    assert values(run_sweep(square, 3, TASKS, pool=serial())) == expected
    assert values(run_sweep(square, 3, TASKS, pool=processes(2))) == expected


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    """A worker that is killed in mid-sweep takes no task with it: all are there, as if nothing had been."""
    mark = tmp_path / "died"
    outcomes = run_sweep(die_once, Place(path=str(mark)), TASKS, pool=processes(2))
    assert mark.exists()
    assert values(outcomes) == list(range(12))


def test_a_task_that_always_kills_its_worker_is_given_up_alone() -> None:
    """After three attempts it is given up, and every other task has its value."""
    outcomes = run_sweep(die_on, 5, TASKS[:8], pool=processes(2))
    assert [outcome.key for outcome in outcomes if outcome.error] == ["t5"]
    assert "its worker died" in (outcomes[5].error or "")
    assert [outcome.value for outcome in outcomes if not outcome.error] == [0, 1, 2, 3, 4, 6, 7]


def test_a_task_that_fails_is_given_up_alone() -> None:
    """A fault is tried again and then told, beside the values of the others."""
    outcomes = run_sweep(fail_on, 2, TASKS[:4], pool=serial())
    assert outcomes[2].error == "given up after 3 attempts: RuntimeError: no 2"
    assert values(outcomes) == [0, 1, None, 3]


def test_a_sweep_goes_on_from_its_results(tmp_path: Path) -> None:
    """What the file holds is not run again, a line cut off in writing counts as missing, and a stop keeps what is."""
    file = tmp_path / "results.jsonl"
    seen: list[int] = []
    first = run_sweep(
        square,
        1,
        TASKS,
        pool=serial(),
        identity="a",
        results=file,
        on_done=lambda done, total: seen.append(done),
        stopped=lambda: len(seen) > 5,
    )
    assert len(first) == 5
    with file.open("a") as sheet:
        sheet.write('{"key": "t9", "val')
    told: list[tuple[int, int]] = []
    second = run_sweep(
        square, 1, TASKS, pool=serial(), identity="a", results=file, on_done=lambda *now: told.append(now)
    )
    assert told[0] == (5, 12) and told[-1] == (12, 12)
    assert second == run_sweep(square, 1, TASKS, pool=serial())
    third = run_sweep(fail_on, None, TASKS, pool=serial(), identity="a", results=file)
    assert third == second
    keys = [json.loads(line)["key"] for line in file.read_text().splitlines()[1:] if line.endswith("}")]
    assert sorted(keys) == sorted(task.key for task in TASKS)
    with pytest.raises(ResumeError, match="another sweep"):
        run_sweep(square, 1, TASKS, pool=serial(), identity="b", results=file)


def test_a_lost_executor_is_said_so() -> None:
    """An executor that takes no more tasks ends the sweep with one clear error."""

    class Gone(SerialExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            raise OSError("connection refused")

    with pytest.raises(LostError, match="connection refused"):
        run_sweep(square, 1, TASKS, pool=Pool(open=Gone))


def test_an_executor_kept_open_serves_several_sweeps(tmp_path: Path) -> None:
    """It is opened once, made anew when its workers died, and closed at the end."""
    opened: list[Executor] = []

    def fresh() -> Executor:
        opened.append(processes(2).open())
        return opened[-1]

    with kept_open(Pool(open=fresh, width=2)) as pool:
        for _ in range(2):
            assert values(run_sweep(square, 1, TASKS[:3], pool=pool)) == [{"square": n * n} for n in range(3)]
        assert len(opened) == 1
        assert values(run_sweep(die_once, Place(path=str(tmp_path / "died")), TASKS[:6], pool=pool)) == list(range(6))
        assert len(opened) > 1
    with pytest.raises(RuntimeError, match="shutdown"):
        opened[-1].submit(int)


def test_a_context_is_sent_to_each_worker_and_not_with_each_task() -> None:
    """Tasks go without the context; a worker that has not got it asks, and the task comes again with it."""
    sent: list[bool] = []

    class Watching(SerialExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            sent.append(args[2] is not None)
            if len(sent) == 6:
                executors._CONTEXTS.clear()
            return super().submit(fn, *args, **kwargs)

    expected = [{"square": 7 * number * number} for number in range(12)]
    assert values(run_sweep(square, 7, TASKS, pool=Pool(open=Watching))) == expected
    # The first, and the sixth again after its worker forgot.
    assert sent == [True] + [False] * 5 + [True] + [False] * 6


def test_no_more_processes_than_cores() -> None:
    """By default a pool is as wide as the cores that this process may use, each worker with one solver thread."""
    assert processes().width == cores()


@pytest.fixture
def cluster() -> Any:
    """Yield a Dask scheduler with two worker processes on loopback, and a client."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as made,
        distributed.Client(made) as client,
    ):
        folder = str(Path(__file__).parent)
        client.run(lambda path=folder: __import__("sys").path.insert(0, path))
        yield made, client


@pytest.mark.slow
def test_dask_agrees_though_a_worker_is_killed(cluster: Any, tmp_path: Path) -> None:
    """Two real worker processes give what serial gives; so they do with one killed in mid-sweep."""
    _, client = cluster
    pool = Pool(open=client.get_executor, width=2)
    expected = run_sweep(square, 3, TASKS, pool=serial())
    assert run_sweep(square, 3, TASKS, pool=pool) == expected
    pids = list(client.run(os.getpid).values())

    def kill(done: int, _total: int) -> None:
        if done == 3 and pids:
            os.kill(pids.pop(), signal.SIGKILL)

    assert run_sweep(square, 3, TASKS, pool=pool, on_done=kill) == expected
    assert len(pids) == 1


@pytest.mark.slow
def test_a_killed_scheduler_is_one_error_and_a_second_run_goes_on(tmp_path: Path) -> None:
    """The scheduler dies in mid-sweep: a clear error; the second run solves only what is missing."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    address = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    scheduler = subprocess.Popen(
        [*module, "--no-dashboard", "--scheduler-file", str(address)], env=environment, stderr=subprocess.DEVNULL
    )
    begin = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address)]
    worker = subprocess.Popen(
        [*begin, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "30"],
        env=environment,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    kept = tmp_path / "results.jsonl"
    try:
        with distributed.Client(scheduler_file=str(address), timeout=600) as client:
            client.wait_for_workers(1, timeout=600)

            def kill(done: int, _total: int) -> None:
                if done >= 3:
                    scheduler.kill()

            over = Pool(open=client.get_executor, width=1, alive=lambda: not client.scheduler_comm.comm.closed())
            with pytest.raises(LostError), kept_open(over) as pool:
                run_sweep(square, 1, TASKS, pool=pool, identity="x", results=kept, on_done=kill)
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()
    before = len(kept.read_text().splitlines()) - 1
    assert 3 <= before < len(TASKS)
    told: list[int] = []
    outcomes = run_sweep(
        square, 1, TASKS, pool=serial(), identity="x", results=kept, on_done=lambda done, _total: told.append(done)
    )
    assert told == list(range(before, len(TASKS) + 1))
    assert outcomes == run_sweep(square, 1, TASKS, pool=serial())


@pytest.mark.parametrize(
    ("kind", "value", "wrong"),
    [
        ("row", {"status": "impossible", "reason": "full"}, None),
        ("row", {"status": "optimal", "vms": 3}, "reason: Field required"),
        ("point", ["no"], "valid dictionary"),
        ("failure", {"vms": 1, "unknown": "no plan"}, None),
        ("failure", {"vms": 1, "lost": ["a"], "vcpus_lost": 2, "proven": True}, None),
        ("failure", {"vms": 1, "lost": "a", "vcpus_lost": 2, "proven": True}, "lost: "),
        ("month", {"month": 1, "vms": 2, "unplaced": -1, "proven": True}, "unplaced: "),
    ],
)
def test_what_is_no_answer_is_named(kind: Any, value: Any, wrong: str | None) -> None:
    """A value of a results file has the shape of its sweep's answers, or the place where it has not is told."""
    found = answer_fault(kind, value)
    assert found is None if wrong is None else wrong in (found or "")


def test_a_damaged_line_of_results_is_refused(tmp_path: Path) -> None:
    """A whole line that holds no answer of the sweep is refused by its number; one that was cut off is run again."""
    path = tmp_path / "r.jsonl"
    run_sweep(square, 1, TASKS[:3], pool=serial(), identity="i", results=path)
    whole = path.read_text()
    path.write_text(whole + '{"key": 3}\n')
    with pytest.raises(ResumeError, match="line 5 is no result of a sweep"):
        run_sweep(square, 1, TASKS, pool=serial(), identity="i", results=path)
    path.write_text(whole)
    with pytest.raises(ResumeError, match="line 2 is no result of this sweep: odd"):
        run_sweep(square, 1, TASKS, pool=serial(), identity="i", results=path, fault=lambda _: "odd")
    path.write_text(whole[:-5])
    assert len(run_sweep(square, 1, TASKS[:3], pool=serial(), identity="i", results=path)) == 3
