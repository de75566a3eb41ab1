"""Write `placer.plan/v1`: one JSON object, sorted keys, a line a VM, streamed; the certificate goes to a side file."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from placer.emit.writer import write_files
from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.plan import PLAN_SCHEMA, GoalResult, Plan, PlanVm, WorkPart
from placer.model.units import mib_number
from placer.model.vm import Bound
from placer.read.documents.plan_file import CERTIFICATE_SCHEMA, certificate_path

_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False)
_json = _ENCODER.encode
"""ASCII only: a name may hold characters that no encoding but JSON's escapes carries."""
_MOST_TEXTS = 4096
"""Places whose text is kept: VMs of a running fleet may all be placed unlike."""


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
    stale = plan.certificate is None and side.exists()
    if stale and not force:
        raise InputError("a certificate is there already", file=str(side), cure="give --force, or another name")
    digest = hashlib.sha256()
    contents = {_behind_links(target): _plan_bytes(plan, digest)}
    if plan.certificate is not None:
        contents[_behind_links(side)] = _certificate_bytes(plan.certificate, digest)
    write_files(contents, force=force, durable=True)
    if stale:
        side.unlink(missing_ok=True)


def _plan_bytes(plan: Plan, digest: hashlib._Hash) -> Iterator[bytes]:
    for piece in plan_text(plan):
        raw = piece.encode()
        digest.update(raw)
        yield raw


def _certificate_bytes(certificate: Mapping[str, Any], digest: hashlib._Hash) -> Iterator[bytes]:
    """Yield the side file's bytes; `digest` has taken in the whole plan by the time these are asked for."""
    content = {"schema": CERTIFICATE_SCHEMA, "plan_sha256": digest.hexdigest(), "certificate": certificate}
    for piece in _ENCODER.iterencode(content):
        yield piece.encode()
    yield b"\n"


def _behind_links(path: Path) -> Path:
    """Return the file that a link stands for: writing through a link leaves it a link."""
    return Path(os.path.realpath(path))


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
        "work": [_work(part) for part in plan.work],
    }
    lists: dict[str, Iterator[str]] = {
        "goals": (_json(_goal(goal)) for goal in plan.goals),
        "unplaced": (_json({"name": vm.name, "reason": vm.reason}) for vm in plan.unplaced),
        "vms": map(_VmTexts().of, plan.vms),
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
            yield between + entry
            between = ",\n "
        yield "[]" if between == "[\n " else "\n]"
    yield "\n}\n"


def _work(part: WorkPart) -> dict[str, Any]:
    told = {"cut": part.cut} if part.cut else {}
    reached = {} if part.reached is None else {"reached": part.reached}
    return {"stage": part.stage, "steps": part.steps, **told, **reached}


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
        "held": dict(goal.held),
        "tiers": [dict(tier) for tier in goal.tiers],
    }


@dataclass(slots=True)
class _VmTexts:
    """VMs as JSON; the text of what VMs share that are placed alike is made once."""

    # The VM is kept beside the texts: else another object could come to have the identity of what it is made of.
    _known: dict[Hashable, tuple[PlanVm, dict[str, str]]] = field(default_factory=dict)
    _pinned: dict[int, tuple[PlanVm, str]] = field(default_factory=dict)

    def of(self, vm: PlanVm) -> str:
        """Return a VM as a JSON object with its keys sorted."""
        alike = (id(vm.cells), id(vm.iothreads), vm.emulator, vm.devices, vm.addresses, vm.bound)
        key = (alike, vm.change, vm.shown, vm.new_cells)
        if key not in self._known:
            if len(self._known) >= _MOST_TEXTS:
                self._known.clear()
            self._known[key] = (vm, {name: _json(value) for name, value in sorted(_vm(vm).items())})
        texts = {**self._known[key][1], "name": _json(vm.name), "host": _json(vm.host), "pins": self._pins(vm)}
        for name, value in (("uuid", vm.uuid), ("from_host", vm.from_host)):
            texts[name] = "null" if value is None else _json(value)
        return "{" + ", ".join([f'"{name}": {text}' for name, text in texts.items()]) + "}"

    def _pins(self, vm: PlanVm) -> str:
        """Return the text of pins, which VMs that run often have for themselves where they share all else."""
        if id(vm.pins) not in self._pinned:
            if len(self._pinned) >= _MOST_TEXTS:
                self._pinned.clear()
            self._pinned[id(vm.pins)] = (vm, _json(_pins(vm)))
        return self._pinned[id(vm.pins)][1]


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
        "pins": _pins(vm),
        "emulator": None if vm.emulator is None else format_cpuset(vm.emulator),
        "iothreads": {str(number): format_cpuset(pin) for number, pin in vm.iothreads.items()},
        "devices": [
            {"kind": kind, "node": node, **({} if address is None else {"address": address})}
            for (kind, node), address in zip_longest(vm.devices, vm.addresses)
        ],
        **({"bound": [_bound(one) for one in vm.bound]} if vm.bound else {}),
    }


def _pins(vm: PlanVm) -> dict[str, str]:
    return {str(vcpu): format_cpuset(pin) for vcpu, pin in vm.pins.items()}


def _bound(bound: Bound) -> dict[str, Any]:
    return {
        "cpus": None if bound.cpus is None else sorted(bound.cpus),
        "memory": None if bound.memory is None else sorted(bound.memory),
        **({"wish": sorted(bound.wish)} if bound.wish else {}),
    }


def _mib_by_node(nodes: Mapping[int, int]) -> dict[str, int | float]:
    return {str(node): mib_number(kib) for node, kib in nodes.items()}


def _write_through(plan: Plan, path: Path) -> None:
    try:
        with path.open("w", encoding="ascii") as file:
            file.writelines(plan_text(plan))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", file=str(path)) from error
