"""HiGHS runs in a process of its own: what interrupts it, and what its answers are."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time

import pytest
from ortools.math_opt.python import mathopt
from ortools.sat.python import cp_model

from solvers.backends.highs import minimised, run_highs
from solvers.result import Interrupt


def _market_split(rows: int, items: int) -> mathopt.Model:
    """Return a program of few rows that no search of a tree ends in minutes."""
    random_ = random.Random(1)
    model = mathopt.Model()
    chosen = [model.add_binary_variable() for _ in range(items)]
    off = []
    for _ in range(rows):
        weights = [random_.randrange(100) for _ in range(items)]
        over, under = model.add_variable(lb=0), model.add_variable(lb=0)
        total = mathopt.LinearSum(w * x for w, x in zip(weights, chosen, strict=True))
        model.add_linear_constraint(total + over - under == sum(weights) // 2)
        off += [over, under]
    model.minimize(mathopt.LinearSum(off))
    return model


def _small() -> mathopt.Model:
    """Return a program whose best value is 4."""
    model = mathopt.Model()
    x = model.add_integer_variable(lb=0, ub=10)
    model.add_linear_constraint(2 * x >= 7)
    model.minimize(x)
    return model


def test_solve_that_goes_on_ends_with_an_interrupt() -> None:
    """Whoever presses Ctrl-C does not wait for HiGHS."""
    interrupt = Interrupt()
    timer = threading.Timer(0.5, interrupt.request)
    timer.start()
    began = time.monotonic()
    assert run_highs(_market_split(6, 60), 600.0, interrupt=interrupt) is None
    timer.join()
    assert interrupt.stops == []
    assert time.monotonic() - began < 300.0


def test_nothing_is_begun_after_an_interrupt() -> None:
    """Of who was interrupted before HiGHS, HiGHS is not asked."""
    assert run_highs(_small(), 600.0, interrupt=Interrupt(requested=True)) is None


def test_next_model_is_solved_after_an_interrupt() -> None:
    """What ends one process leaves the next ones alone."""
    assert run_highs(_small(), 600.0, interrupt=Interrupt(requested=True)) is None
    for _ in range(2):
        found = run_highs(_small(), 600.0, interrupt=Interrupt())
        assert found is not None
        assert found.objective_value() == 4


def test_interrupted_program_counts_as_cut_off() -> None:
    """A round in which an interrupt comes counts as never begun."""
    model = cp_model.CpModel()
    model.minimize(model.new_int_var(0, 3, ""))
    answer = minimised(model, nodes=1, seconds=600.0, interrupt=Interrupt(requested=True))
    assert answer.cut
    assert answer.values is None


def test_what_highs_prints_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output is the result's alone."""
    assert run_highs(_small(), 600.0) is not None
    assert capfd.readouterr().out == ""


def test_no_process_is_left_behind() -> None:
    """HiGHS's process ends with placer's, however that ends."""
    text = (
        "import os, sys; sys.path[:0] = ['.', 'tests/solvers/backends']\n"
        "from test_highs import _small\nfrom solvers.backends.highs import run_highs\nrun_highs(_small(), 60.0)\n"
        "print(open(f'/proc/self/task/{os.getpid()}/children').read(), flush=True)\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    ends = time.monotonic() + 300.0
    while _runs(int(done.stdout)):
        assert time.monotonic() < ends
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Tell whether a process runs: one that waits for whoever asks after it does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
