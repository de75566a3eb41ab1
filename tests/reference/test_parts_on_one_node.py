"""Parts of a flat guest that come to one node, and cells that keep what they share while others of their VM move."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.truth.cases import Case
from benchmarks.truth.race import race, reference
from solvers.choice import Engine

ENGINES: tuple[Engine, ...] = ("auto", "exact", "columns", "greedy")


def case_of(host: dict[str, Any], *vms: dict[str, Any], goals: str, max_moves: int | None = None) -> Case:
    """Return a fleet of one host."""
    each = [{"name": f"v{n}", "memory": "256MiB", **vm} for n, vm in enumerate(vms)]
    inventory = {"schema": "placer.inventory/v1", "hosts": [{"name": "h", **host}], "vms": each}
    return Case(inventory=inventory, goals=goals, max_moves=max_moves)


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_of_a_flat_guest_fill_the_cores_of_a_node_together(engine: Engine) -> None:
    """Interleaved over a node and one without CPUs, both its vCPUs are on one core, the only one that there is."""
    nodes = [{"id": 0, "cpus": "0-1", "memory": "1GiB"}, {"id": 1, "memory": "1GiB"}]
    flat = {"vcpus": 2, "cells": "none", "interleave": 2, "thread_policy": "pairs", "memory_tier": "any"}
    case = case_of({"nodes": nodes, "siblings": ["0,1"]}, flat, goals="placed")
    assert reference(case).values["placed"][0] == 0
    assert race(case, engine).wrong == ()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_node_that_is_over_closes_no_other_to_what_floats(engine: Engine) -> None:
    """Two copies have the same CPUs of one node: a VM may come that floats over the other, for which there is room."""
    nodes = [{"id": 0, "cpus": "0-1", "memory": "4GiB"}, {"id": 1, "cpus": "4-5", "memory": "4GiB"}]
    copy = {"vcpus": 2, "cells": "none", "host": "h", "nodes": [1], "pins": {0: "4", 1: "5"}}
    floats = {"vcpus": 1, "host": "h", "nodes": []}
    case = case_of({"nodes": nodes}, copy, copy, floats, {"vcpus": 1, "pin": "never"}, goals="placed,excess")
    assert reference(case).values["placed"][0] == 0
    assert race(case, engine).wrong == ()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cell_keeps_the_cpu_that_it_shares_while_another_moves(engine: Engine) -> None:
    """Of two copies that share both CPUs of a node one gives a part to the other node: the excess falls by one."""
    nodes = [{"id": n, **own, "memory": "4GiB"} for n, own in enumerate(({"cpus": "0"}, {"cpus": "4-5"}, {}))]
    flat = {"vcpus": 2, "cells": "none", "interleave": 2, "memory_tier": "any", "host": "h", "nodes": [1, 1]}
    copy = {**flat, "memory_nodes": [2, 1], "pins": {0: "4", 1: "5"}}
    case = case_of({"nodes": nodes}, copy, copy, goals="excess,moves", max_moves=1)
    assert reference(case).values["excess"][1] == 1
    assert race(case, engine).wrong == ()
