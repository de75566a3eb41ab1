"""Runs in the environment of Meta's Rebalancer: vector packing by its local search. Arguments: QUESTION ANSWER."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main(question: dict[str, Any]) -> dict[str, Any]:
    """Pack the items, from one item a bin on, and return the bin of each."""
    library = importlib.import_module("rebalancer")
    items, capacity = question["items"], question["capacity"]
    names = [f"item-{number}" for number in range(len(items))]
    solver = library.ProblemSolver(service_name="rebalancer", service_scope="benchmark")
    solver.set_object_name("item").set_container_name("bin")
    solver.set_assignment({f"bin-{number}": [name] for number, name in enumerate(names)})
    for row, most in enumerate(capacity):
        dimension = f"resource-{row}"
        solver.add_object_dimension(
            dimension, {name: float(item[row]) for name, item in zip(names, items, strict=True)}
        )
        solver.add_container_dimension(dimension, {}, default_value=float(most))
        solver.add_constraint({"capacitySpec": {"name": f"fits-{row}", "scope": "bin", "dimension": dimension}})
    solver.add_goal({"minimizeContainersSpec": {"name": "bins", "scope": "bin", "dimension": "resource-0"}})
    moves: list[dict[str, Any]] = [{"singleMoveTypeSpec": {}}, {"swapMoveTypeSpec": {}}]
    search = {"solveTime": question["time_limit_s"], "randomSeed": question["seed"], "moveTypeList": moves}
    solver.add_solver({"localSearchSolverSpec": search})
    solver.disable_solution_summary()
    began = time.perf_counter()
    assignment = solver.solve()["assignment"]
    return {"bins": [assignment[name] for name in names], "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    answer = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")
