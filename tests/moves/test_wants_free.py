"""Where VMs float, what a step brings to a node must really be free there: the schedule says how much."""

from __future__ import annotations

import json
from typing import Any

from placer.emit.moves.json import step_data
from placer.emit.moves.markdown import remark
from placer.model.vm import CpuPolicy, PinPolicy
from placer.moves.model import Step
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet

GIB = 1024**2


def steps(fleet: Any, **options: Any) -> dict[str, Step]:
    """Return the steps of a fleet's plan by VM."""
    plan = solve_fleet(fleet, time_limit_s=20, **options)
    return {step.vm: step for step in schedule_moves(fleet, plan).steps}


def test_a_node_of_a_host_over_which_vms_float_must_be_free_first(build: Any) -> None:
    """Of two nodes the full one sends a VM to the other, where a VM that floats may lie; else all is known."""
    spec = build.spec(2, 10, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(name, spec, current=build.now()) for name in "uv"]
    loose = build.vm("loose", build.spec(1, 4, cpu_policy=CpuPolicy.SHARED), current=build.now("a", None))
    for more, wanted in (([loose], {1: 10 * GIB}), ([], {})):
        (step,) = steps(build.fleet([build.host()], [*vms, *more]), max_moves=1).values()
        assert dict(step.wants_free) == wanted
        assert ("10GiB on node 1 must be free first" in remark(step)) is bool(more)


def test_a_vm_that_is_bound_wants_its_node_free_by_its_next_start(build: Any) -> None:
    """It floats itself, so that nobody knows whether its node is free of others."""
    spec = build.spec(2, 6, cpu_policy=CpuPolicy.SHARED)
    vm = build.vm("v", spec, current=build.now("a", None), pin=PinPolicy.MUST)
    (step,) = steps(build.fleet([build.host()], [vm])).values()
    assert list(step.wants_free.values()) == [6 * GIB] and "by its next start" in remark(step)
    assert json.loads(json.dumps(step_data(step)))["wants_free_kib"].popitem()[1] == 6 * GIB
