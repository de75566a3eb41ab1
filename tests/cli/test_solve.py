"""``placer solve``: a plan in a file or on standard output, its summary, and what is required of it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.model.plan import Plan
from placer.read.documents.plan_file import read_plan
from solvers.result import Interrupt

Placer = Callable[..., Any]
IMPOSSIBLE = "  - {name: huge, vcpus: 7, memory: 1GiB, cells: none}\n"


def test_plan_and_summary(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """The plan goes to the file, the summary to standard output, and a checked plan says how good it is."""
    path = tmp_path / "plan.json"
    run = placer("solve", fleet_file, "-o", path)
    assert run.code == 0
    assert read_plan(path).status == "optimal"
    for words in ("placed", "remote", "optimal", "largest free slot", "worst single host failure", "reserved"):
        assert words in run.out
    assert f"wrote {path}" in run.err


def test_the_same_twice(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """The same input and seed give the same bytes."""
    plans = [tmp_path / "one.json", tmp_path / "two.json"]
    for path in plans:
        assert placer("solve", fleet_file, "-o", path, "--seed", "7").code == 0
    assert plans[0].read_bytes() == plans[1].read_bytes()


def test_standard_output_is_the_plan_alone(placer: Placer, fleet_file: Path) -> None:
    """With ``-o -`` the plan is all of standard output, and the summary goes to standard error."""
    run = placer("solve", fleet_file, "-o", "-")
    assert json.loads(run.out)["schema"] == "placer.plan/v1"
    assert "largest free slot" in run.err
    assert placer("solve", fleet_file, "-o", "-", "-q").err == ""


def test_envelope(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """Under --json the envelope has goals and summary, and the whole plan where that goes to standard output."""
    path = tmp_path / "plan.json"
    envelope = placer("solve", fleet_file, "-o", path, "--json").envelope
    assert envelope["schema"] == "placer.solve/v1"
    assert envelope["result"]["file"] == str(path) and envelope["result"]["vms_placed"] == 3
    assert {goal["name"] for goal in envelope["result"]["goals"]} >= {"placed", "remote"}
    assert len(placer("solve", fleet_file, "-o", "-", "--json").envelope["result"]["vms"]) == 3


def test_folders_are_made_and_what_cannot_be_written_is_said_first(
    placer: Placer, fleet_file: Path, tmp_path: Path
) -> None:
    """A plan's folder is made; a place where no file can be is refused before any solving."""
    assert placer("solve", str(fleet_file), "-o", str(tmp_path / "new/er/plan.json")).code == 0
    assert (tmp_path / "new/er/plan.json").is_file()
    (tmp_path / "file").write_text("x")
    refused = placer("solve", str(fleet_file), "-o", str(tmp_path / "file/plan.json"))
    assert refused.code == 2
    assert "nothing can be written into" in refused.err
    assert "solved in" not in refused.err
    for folder in (str(tmp_path), "."):
        refused = placer("solve", str(fleet_file), "-o", folder, "--force")
        assert refused.code == 2
        assert "is a folder" in refused.err and "solved in" not in refused.err


def test_nothing_is_overwritten(placer: Placer, plan_file: Path, fleet_file: Path) -> None:
    """A plan that is there stays as it is without --force, and no work is done for it."""
    before = plan_file.read_bytes()
    run = placer("solve", fleet_file, "-o", plan_file)
    assert (run.code, run.out) == (2, "") and "--force" in run.err
    assert plan_file.read_bytes() == before
    assert placer("solve", fleet_file, "-o", plan_file, "--force").code == 0
    plan_file.with_name("other.cert.json").write_text("mine")
    run = placer("solve", fleet_file, "-o", plan_file.with_name("other.json"))
    assert run.code == 2 and "other.cert.json" in run.err and "solved in" not in run.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--goals", "placed,speed"], "speed"),
        (["--time-limit", "soon"], "soon"),
        (["--require", "placed,gap=half"], "gap=half"),
        (["--max-moves", "-1"], "--max-moves"),
        (["--executor", "carrier-pigeon"], "dask:tcp://"),
    ],
)
def test_bad_options(placer: Placer, fleet_file: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    """An option that makes no sense is exit 2 with a line that names it, and nothing is written."""
    path = tmp_path / "plan.json"
    run = placer("solve", fleet_file, "-o", path, *arguments)
    assert run.code == 2 and message in run.err
    assert not path.exists()


def test_engine_that_cannot_do_it(
    placer: Placer, fleet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine asked for by name that lacks what is needed is a usage fault with the engine's own words."""
    import solvers.choice

    monkeypatch.setattr(solvers.choice, "columns_cannot", lambda _problem: ["rules between hosts"])
    run = placer("solve", fleet_file, "-o", tmp_path / "plan.json", "--engine", "states")
    assert run.code == 2 and "rules between hosts" in run.err and "--engine" in run.err


def test_standard_input(placer: Placer, fleet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads the inventory from standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fleet_file.read_bytes())))
    run = placer("solve", "-", "-o", "-", "-q")
    assert run.code == 0 and len(json.loads(run.out)["vms"]) == 3


def test_all_faults_of_an_inventory(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """Every fault of a bad inventory is a line with file and line number, and nothing is written."""
    fleet_file.write_text(fleet_file.read_text().replace("memory: 4GiB", "memory: 4").replace("vcpus: 1", "vcpu: 1"))
    path = tmp_path / "plan.json"
    run = placer("solve", fleet_file, "-o", path)
    lines = run.err.splitlines()
    assert run.code == 2 and len(lines) >= 2
    assert all(line.startswith(f"{fleet_file}:") for line in lines)
    assert not path.exists()


def test_impossible_vm_is_named_and_the_rest_planned(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """A VM that no host could hold is reported with its reason, exit 0; required, it is proven impossible: exit 3."""
    fleet_file.write_text(fleet_file.read_text() + IMPOSSIBLE)
    path = tmp_path / "plan.json"
    run = placer("solve", fleet_file, "-o", path)
    assert run.code == 0 and "huge:" in run.out
    assert len(read_plan(path).vms) == 3
    required = placer("solve", fleet_file, "-o", path, "--force", "--require", "placed", "--json")
    assert required.code == 3
    assert required.envelope["error"]["code"] == "impossible"
    assert required.envelope["result"]["unplaced"][0]["name"] == "huge"


def test_strict_asks_for_the_goal_excess(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """On a fleet that runs goals without it cannot tell: that is a fault of the command, and nothing is written."""
    fleet_file.write_text(fleet_file.read_text().replace("vcpus: 1,", "vcpus: 1, host: kvm-a, nodes: [0],"))
    path = tmp_path / "plan.json"
    run = placer("solve", fleet_file, "-o", path, "--strict", "--goals", "placed,remote")
    assert run.code == 2 and "excess" in run.err and not path.exists()
    assert placer("solve", fleet_file, "-o", path, "--strict").code == 0


def test_gap_that_is_not_met(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """A greedy plan has no proof of its goals: a required gap is missed with exit 5, and the plan is written."""
    path = tmp_path / "plan.json"
    arguments = ["--engine", "greedy", "--goals", "placed,hosts"]
    run = placer("solve", fleet_file, "-o", path, *arguments, "--require", "placed,gap=0.5%")
    assert run.code == 5 and path.exists()
    assert "gap" in run.err
    assert placer("solve", fleet_file, "-o", path, "--force", "--require", "placed,gap=0%").code == 0


def test_shut_off_vms_can_be_left_out(placer: Placer, fleet_file: Path, tmp_path: Path) -> None:
    """With --running-only a VM that is shut off is not planned, and check knows that from the plan."""
    fleet_file.write_text(fleet_file.read_text() + "  - {name: off, vcpus: 1, memory: 1GiB, running: false}\n")
    path = tmp_path / "plan.json"
    assert placer("solve", fleet_file, "-o", path, "--running-only").code == 0
    assert "off" not in {vm.name for vm in read_plan(path).vms}
    assert placer("check", fleet_file, path).code == 0
    assert placer("solve", fleet_file, "-o", path, "--force").code == 0
    assert "off" in {vm.name for vm in read_plan(path).vms}


def slow_solve(stops: bool, answer: bool) -> str:
    """Return a script that solves with an engine that waits in C until it is interrupted, or for ever.

    `answer` says whether there is one already that it would keep.
    """
    return f"""
import sys, threading, time
import placer.planner as door
from placer.cli.app import main
real = door.solve_fleet
def slow(fleet, *, interrupt, **options):
    interrupt.preparing = not {answer}
    print("ready", file=sys.stderr, flush=True)
    gate = threading.Event()
    if {stops}:
        interrupt.stops.append(gate.set)
    gate.wait(60)
    return real(fleet, interrupt=interrupt, **options)
door.solve_fleet = slow
sys.exit(main(sys.argv[1:]))
"""


def interrupted(arguments: list[str], stops: bool, signals: int, *, answer: bool = True) -> tuple[int, str]:
    """Run the slow solve, send it so many SIGINTs, and return exit code and standard error."""
    process = subprocess.Popen(
        [sys.executable, "-c", slow_solve(stops, answer), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "ready" in next(line for line in process.stderr if "ready" in line)
    for _ in range(signals):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
    _, errors = process.communicate(timeout=1800)
    return process.returncode, errors


def test_first_interrupt_keeps_the_best_plan(fleet_file: Path, tmp_path: Path) -> None:
    """One Ctrl-C asks the engine to stop; the plan found so far is written, exit 130."""
    path = tmp_path / "plan.json"
    code, errors = interrupted(["solve", str(fleet_file), "-o", str(path)], stops=True, signals=1)
    assert code == 130, errors
    assert "best plan so far" in errors
    assert isinstance(read_plan(path), Plan)


def test_second_interrupt_stops_at_once(fleet_file: Path, tmp_path: Path) -> None:
    """Where the engine does not stop, a second Ctrl-C ends placer at once, exit 130, nothing written."""
    path = tmp_path / "plan.json"
    code, errors = interrupted(["solve", str(fleet_file), "-o", str(path)], stops=False, signals=2)
    assert code == 130, errors
    assert "stopped at once" in errors
    assert not path.exists()


def test_the_first_interrupt_stops_at_once_where_no_answer_is_there(fleet_file: Path, tmp_path: Path) -> None:
    """While the fleet is made into numbers there is nothing to keep: exit 130, nothing written."""
    path = tmp_path / "plan.json"
    code, errors = interrupted(["solve", str(fleet_file), "-o", str(path)], stops=False, signals=1, answer=False)
    assert code == 130, errors
    assert "stopped at once" in errors
    assert not path.exists()


def test_interrupt_in_another_thread_is_not_watched() -> None:
    """Outside the main thread, where no signal can be watched, the work runs and is not called interrupted."""
    import threading

    from placer.cli.interrupts import run_interruptible
    from placer.cli.terminal import Terminal

    found: list[tuple[bool, bool]] = []

    def work(interrupt: Interrupt) -> bool:
        return interrupt.requested

    thread = threading.Thread(target=lambda: found.append(run_interruptible(work, Terminal())))
    thread.start()
    thread.join()
    assert found == [(False, False)]


def test_a_plan_notes_the_guards_that_its_fleet_was_read_with(placer: Any, tmp_path: Path) -> None:
    """Whoever reads the fleet for the plan reads the same; who says no guard is refused."""
    fleet, plan = tmp_path / "fleet.json", tmp_path / "plan.json"
    node = {"id": 0, "cpus": "0-3", "memory": "16GiB"}
    vms = [{"name": "v", "count": 3, "vcpus": 1, "memory": "1GiB"}]
    fleet.write_text(
        json.dumps({"schema": "placer.inventory/v1", "hosts": [{"name": "h", "nodes": [node]}], "vms": vms})
    )
    refused = placer("solve", fleet, "-o", plan, "--max-vms", "2")
    assert refused.code == 2
    assert "--max-vms" in refused.err
    assert placer("solve", fleet, "-o", plan, "--max-vms", "3", "--max-hosts", "1").code == 0
    assert {name: read_plan(plan).options[name] for name in ("max_vms", "max_hosts")} == {"max_vms": 3, "max_hosts": 1}
    assert placer("check", fleet, plan).code == 0
    assert placer("check", fleet, "--max-vms", "2").code == 2
