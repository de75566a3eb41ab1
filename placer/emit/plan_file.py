"""Write `placer.plan/v1`: one JSON object, sorted keys, a line a VM, streamed; the certificate goes to a side file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.plan import PLAN_SCHEMA, GoalResult, Plan, PlanVm
from placer.model.units import mib_number
from placer.read.plan_file import CERTIFICATE_SCHEMA, certificate_path


def write_plan(plan: Plan, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a plan to a file, or to standard output for ``-``.

    The file is written beside its place and renamed, so that no reader ever sees half a plan. A certificate goes to
    `certificate_path`, tied to the plan by the SHA-256 of its bytes; a side file of an overwritten plan is removed.

    Parameters
    ----------
    force
        Overwrite what is there.

    Raises
    ------
    InputError
        Something is there and `force` is not given, or the place cannot be written.
    """
    if os.fspath(path) == "-":
        for piece in plan_text(plan):
            sys.stdout.write(piece)
        sys.stdout.flush()
        return
    target, side = Path(path), certificate_path(path)
    if target.exists() and not target.is_dir() and not target.is_file():
        _write_through(plan, target)  # /dev/stdout or a named pipe: nothing is overwritten, nothing renamed
        return
    _refuse_existing([target, side], force)
    digest = hashlib.sha256()
    with _replacing(target) as file:
        for piece in plan_text(plan):
            raw = piece.encode()
            digest.update(raw)
            file.write(raw)
    if plan.certificate is None:
        with contextlib.suppress(FileNotFoundError):
            side.unlink()
        return
    content = {"schema": CERTIFICATE_SCHEMA, "plan_sha256": digest.hexdigest(), "certificate": plan.certificate}
    with _replacing(side) as file:
        for piece in json.JSONEncoder(sort_keys=True, allow_nan=False).iterencode(content):
            file.write(piece.encode())
        file.write(b"\n")


def plan_text(plan: Plan) -> Iterator[str]:
    """Yield the plan's file text in pieces: keys sorted, a line a VM, goal and unplaced VM, no wall time in it."""
    values: dict[str, Any] = {
        "fleet": {"digest": plan.fleet_digest, "path": plan.fleet_path},
        "options": plan.options,
        "rounds": plan.rounds,
        "schema": PLAN_SCHEMA,
        "seed": plan.seed,
        "status": plan.status,
        "summary": plan.summary,
        "versions": plan.versions,
        "warnings": list(plan.warnings),
    }
    lists: dict[str, Iterator[dict[str, Any]]] = {
        "goals": map(_goal, plan.goals),
        "unplaced": ({"name": vm.name, "reason": vm.reason} for vm in plan.unplaced),
        "vms": map(_vm, plan.vms),
    }
    opening = "{\n"
    for key in sorted([*values, *lists]):
        yield f"{opening}{_json(key)}: "
        opening = ",\n"
        if key in values:
            yield _json(values[key])
            continue
        between = "[\n "
        for entry in lists[key]:
            yield between + _json(entry)
            between = ",\n "
        yield "[]" if between == "[\n " else "\n]"
    yield "\n}\n"


def _json(value: Any) -> str:
    # ASCII only: a name may hold characters that no encoding but JSON's escapes carries.
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _goal(goal: GoalResult) -> dict[str, Any]:
    return {
        "name": goal.name,
        "value": goal.value,
        "bound": goal.bound,
        "gap": goal.gap,
        "source": goal.source,
        "status": goal.status,
        "stopped": goal.stopped,
        "held_at": goal.held_at,
        "tiers": [dict(tier) for tier in goal.tiers],
    }


def _vm(vm: PlanVm) -> dict[str, Any]:
    return {
        "name": vm.name,
        "uuid": vm.uuid,
        "host": vm.host,
        "from_host": vm.from_host,
        "change": vm.change.value,
        "shown": vm.shown,
        "new_cells": vm.new_cells,
        "cells": [
            {
                "id": cell.id,
                "vcpus": len(cell.vcpus),
                "cpus": format_cpuset(cell.vcpus),
                "mode": cell.mode,
                "memory_mib": mib_number(cell.memory_kib),
                "nodes": _mib_by_node(cell.nodes),
            }
            for cell in vm.cells
        ],
        "pins": {str(vcpu): format_cpuset(pin) for vcpu, pin in vm.pins.items()},
        "emulator": None if vm.emulator is None else format_cpuset(vm.emulator),
        "iothreads": {str(number): format_cpuset(pin) for number, pin in vm.iothreads.items()},
        "devices": [{"kind": kind, "node": node} for kind, node in vm.devices],
    }


def _mib_by_node(nodes: Mapping[int, int]) -> dict[str, int | float]:
    return {str(node): mib_number(kib) for node, kib in nodes.items()}


def _refuse_existing(paths: list[Path], force: bool) -> None:
    if paths[0].is_dir():
        raise InputError("is a folder, not a file to write a plan to", file=str(paths[0]))
    for path in paths:
        if path.exists() and not force:
            raise InputError(
                "is there already and was not overwritten", file=str(path), cure="give --force or another name"
            )


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place when all is written, and is gone when writing fails.

    Folders that are missing are made.
    """
    real = Path(os.path.realpath(path))
    beside = real.with_name(f".{real.name[:100]}.{os.getpid()}.part")
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(real)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", file=str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _write_through(plan: Plan, path: Path) -> None:
    try:
        with path.open("w", encoding="ascii") as file:
            file.writelines(plan_text(plan))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", file=str(path)) from error
