"""Make a failing case small: drop VMs, hosts, rules, goals and keys, and halve numbers, while it fails alike."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks.truth.cases import Case
from placer.errors import PlacerError

_KEPT = {"name", "vcpus", "memory", "nodes", "cpus", "id"}
"""Keys without which there is no such host, node or VM."""


def shrink(case: Case, fails: Callable[[Case], bool], tries: int = 400) -> Case:
    """Return a smaller case that still fails: no single step makes it smaller, or `tries` were used up.

    A step that makes the inventory invalid is no failure.
    """
    smaller = True
    while smaller and tries > 0:
        smaller = False
        for candidate in _steps(case):
            tries -= 1
            if tries < 0:
                break
            if _still(candidate, fails):
                case, smaller = candidate, True
                break
    return case


def _still(case: Case, fails: Callable[[Case], bool]) -> bool:
    try:
        return fails(case)
    except (PlacerError, KeyError, ValueError, IndexError, StopIteration):
        return False


def _steps(case: Case) -> Iterator[Case]:
    """Yield the case less one thing, the largest things first."""
    goals = case.goals.split(",")
    for number in range(len(goals)):
        if len(goals) > 1:
            yield replace(case, goals=",".join(goals[:number] + goals[number + 1 :]))
    for section in ("vms", "rules", "hosts"):
        for number, one in enumerate(case.inventory.get(section, ())):
            yield replace(case, inventory=_without(case.inventory, section, number, one))
    if case.max_migrations is not None:
        yield replace(case, max_migrations=None)
    if case.max_repins is not None:
        yield replace(case, max_repins=None)
    for path, value in list(_leaves(case.inventory, ())):
        for other in _less(path, value):
            made = copy.deepcopy(dict(case.inventory))
            _put(made, path, other)
            yield replace(case, inventory=made)


_GONE = object()


def _without(inventory: Any, section: str, number: int, one: Any) -> dict[str, Any]:
    made = copy.deepcopy(dict(inventory))
    del made[section][number]
    if section == "hosts":
        for vm in made["vms"]:
            if vm.get("host") == one["name"]:
                for key in ("host", "nodes", "memory_nodes", "bound", "memory_on", "pins", "pins_fixed", "emulator"):
                    vm.pop(key, None)
    return made


def _leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every key and entry below a value with its path, outer ones first."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if path or key in ("hosts", "vms", "rules"):
            yield (*path, key), inner
            yield from _leaves(inner, (*path, key))


def _less(path: tuple[Any, ...], value: Any) -> Iterator[Any]:
    """Yield what may stand in place of a value: nothing, half of it, fewer CPUs."""
    key = path[-1]
    if isinstance(key, str) and len(path) > 2 and key not in _KEPT:
        yield _GONE
    if key == "siblings" or (len(path) > 3 and path[-2] in ("siblings", "l3", "devices")):
        yield _GONE
    if isinstance(value, int) and not isinstance(value, bool) and value > 1 and key not in ("id", "node"):
        yield value // 2
        yield value - 1
    if isinstance(value, str) and value.endswith("MiB") and int(value[:-3]) > 256:
        yield f"{int(value[:-3]) // 2 // 256 * 256}MiB"
    if key == "cpus" and isinstance(value, str) and "," in value:
        yield value.rpartition(",")[0]


def _put(data: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        data = data[key]
    if value is _GONE:
        del data[path[-1]]
    else:
        data[path[-1]] = value
