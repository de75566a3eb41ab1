"""Where all VMs that float are bound, few moves go first: who is bound first would take the room that they are for."""

from __future__ import annotations

from pathlib import Path

from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from placer.read.inventory.inventory import read_fleet
from solvers.evaluate import evaluate
from solvers.improve.stage import Stage, stage_of
from solvers.problem import MoveBudget
from solvers.result import Limits
from solvers.solve import solve

FLEET = """
schema: placer.inventory/v1
hosts:
  - {name: a, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "8-15", memory: 64GiB}],
     distances: [[10, 21], [21, 10]]}
vms:
  - {name: busy, vcpus: BUSY, memory: 1GiB, cells: none, overhead: 0MiB, host: a, nodes: [1], movable: "false"}
  - {name: far, vcpus: 2, memory: 2GiB, cells: none, overhead: 0MiB, cpu_policy: shared, host: a, nodes: [0],
     memory_nodes: [1]}
  - {name: large, vcpus: 1, memory: 5GiB, cells: none, overhead: 0MiB, cpu_policy: shared, host: a}
  - {name: small, vcpus: 1, memory: 3GiB, cells: none, overhead: 0MiB, cpu_policy: shared, host: a}
"""


def improved(folder: Path, busy: int) -> tuple[int, ...]:
    """Return the values of the stage's answer, with so many CPUs of a node taken: VMs not bound, remote access in
    millionths, and both parts of moves.
    """
    (folder / "fleet.yaml").write_text(FLEET.replace("BUSY", str(busy)))
    fleet = read_fleet(folder / "fleet.yaml")
    goals = parse_goals("remote,moves", fleet)
    problem = compile_fleet(fleet, goals, MoveBudget(moves=1), "all").problem
    start = solve(problem, engine="greedy", limits=Limits(time_limit_s=600))
    stage: Stage | None = stage_of(problem, start, seed=0, patience=0)
    assert stage is not None
    while stage.round():
        pass
    answer = stage.answer()
    return evaluate(problem, answer.patterns, answer.unplaced)


def test_the_memory_that_few_moves_bring_home_has_its_room(tmp_path: Path) -> None:
    """Bound as tightly as can be both VMs that float fill the node that the memory of the third one is to come to."""
    assert improved(tmp_path, 7) == (0, 0, 0, 1)


def test_all_that_shall_be_bound_are_bound_first_of_all(tmp_path: Path) -> None:
    """Where one VM that floats would find no node beside what was moved, it is bound and the move is not made."""
    assert improved(tmp_path, 8) == (0, 2_200_000, 0, 0)
