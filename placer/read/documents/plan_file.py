"""Read `placer.plan/v1` strictly: every fault of the file at once, with file and field."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from placer.errors import Fault, InputError
from placer.model.cpuset import one_document, parse_cpuset
from placer.model.plan import PLAN_SCHEMA, Change, GoalResult, Plan, PlanCell, PlanVm, Unplaced, WorkPart
from placer.model.units import KIB_PER_MIB, count
from placer.model.vm import Bound
from placer.read.collector import without_collector
from placer.read.documents.kinds import MAKES, cure_of_missing, refuse_directory, refuse_other

if TYPE_CHECKING:
    from placer.read.documents.plan_schema import BoundData, CellData, GoalData, PlanData, VmData, WorkData

CERTIFICATE_SCHEMA = "placer.certificate/v1"
LARGEST_NODE = 65535
"""Node ids, vCPU and IOThread numbers above this are garbage."""

Where = tuple[int, str]
"""The number and the name of a VM, from which messages make their path."""

_CHANGES = {change.value: change for change in Change}
_CELL_KEYS = ("id", "cpus", "vcpus", "memory_mib", "mode")


def read_plan(path: str | os.PathLike[str], *, certificate: bool = False) -> Plan:
    """Read a plan from a file, or from standard input for ``-``.

    Parameters
    ----------
    certificate
        Also read the side file with the certificate of the bounds, where there is one; refuse one of another plan.

    Raises
    ------
    InputError
        The file is no plan; all its faults together, each with file and field.
    """
    name = os.fspath(path)
    raw = _read_bytes(name)
    plan = parse_plan(raw, name)
    return replace(plan, certificate=_read_certificate(name, raw)) if certificate else plan


def parse_plan(raw: bytes, name: str) -> Plan:
    """Read a plan from the bytes of its file, which messages call `name`.

    Raises
    ------
    InputError
        As `read_plan`.
    """
    refuse_other(raw, "plan", name)
    with without_collector(), one_document():
        tree = _parse(raw, name)
        if not isinstance(tree, dict) or tree.get("schema") != PLAN_SCHEMA:
            found = tree.get("schema") if isinstance(tree, dict) else None
            said = "it names no schema" if found is None else f"its schema is {_short(found)}, not {PLAN_SCHEMA}"
            raise InputError(f"is not a plan: {said}", file=name, field="schema", cure=MAKES["plan"])
        from placer.read.documents.plan_schema import schema_faults  # pydantic takes its time to import

        faults = schema_faults(tree, name)
        if faults:
            raise InputError(faults)
        return _Reader(name).plan(tree)  # type: ignore[arg-type]  # `schema_faults` has just shown that it is one


def certificate_path(path: str | os.PathLike[str]) -> Path:
    """Return where the certificate of a plan lies: ``plan.json`` has ``plan.cert.json``."""
    plan = Path(path)
    stem = plan.name[:-5] if plan.name.endswith(".json") and len(plan.name) > 5 else plan.name
    return plan.with_name(stem + ".cert.json")


def _work(data: WorkData) -> WorkPart:
    return WorkPart(stage=data["stage"], steps=data["steps"], cut=data.get("cut", 0), reached=data.get("reached"))


class _Reader:
    """Turns checked plain data into the model and collects what only the model knows to be wrong.

    VMs whose cells or pins read alike share them: a large plan has few patterns.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self._cells: dict[Hashable, PlanCell] = {}
        self._cpusets: dict[Hashable, Mapping[int, frozenset[int]]] = {}

    def plan(self, data: PlanData) -> Plan:
        vms = tuple([self.vm(number, vm) for number, vm in enumerate(data["vms"])])
        if self.faults:
            raise InputError(self.faults)
        return Plan(
            fleet_path=data["fleet"]["path"],
            fleet_digest=data["fleet"]["digest"],
            seed=data["seed"],
            rounds=data["rounds"],
            status=data["status"],
            vms=vms,
            goals=tuple(map(_goal, data["goals"])),
            unplaced=tuple(Unplaced(name=vm["name"], reason=vm["reason"]) for vm in data["unplaced"]),
            versions=data.get("versions", {}),
            options=data.get("options", {}),
            summary=data.get("summary", {}),
            warnings=tuple(data.get("warnings", ())),
            work=tuple(map(_work, data.get("work", ()))),
        )

    def vm(self, number: int, data: VmData) -> PlanVm:
        where = (number, data["name"])
        emulator = data.get("emulator")
        addresses = tuple([device.get("address") for device in data.get("devices", ())])
        return PlanVm(
            name=data["name"],
            uuid=data.get("uuid"),
            host=data["host"],
            from_host=data.get("from_host"),
            change=_CHANGES[data["change"]],
            shown=data.get("shown", False),
            new_cells=data.get("new_cells", False),
            cells=tuple([self.cell(cell, where, index) for index, cell in enumerate(data["cells"])]),
            pins=self.cpusets(data["pins"], where, "pins"),
            emulator=None if emulator is None else self.cpus(emulator, where, "emulator"),
            iothreads=self.cpusets(data.get("iothreads", {}), where, "iothreads"),
            devices=tuple([(device["kind"], device["node"]) for device in data.get("devices", ())]),
            addresses=addresses if any(addresses) else (),
            bound=tuple([_bound(one) for one in data.get("bound", ())]),
        )

    def cell(self, data: CellData, vm: Where, number: int) -> PlanCell:
        alike = (*[data[name] for name in _CELL_KEYS], *data["nodes"].items())  # type: ignore[literal-required]
        found = self._cells.get(alike)
        if found is None:
            before = len(self.faults)
            found = self._new_cell(data, vm, f"cells[{number}]")
            if len(self.faults) == before:
                self._cells[alike] = found
        return found

    def _new_cell(self, data: CellData, *where: Where | str) -> PlanCell:
        # A guest cell may be of memory alone.
        alone = not data["vcpus"] and not data["cpus"]
        vcpus = frozenset[int]() if alone else self.cpus(data["cpus"], *where, "cpus")
        if len(vcpus) != data["vcpus"]:
            self.fault(f"says {count(data['vcpus'], 'vCPU')}, and cpus names {len(vcpus)}", *where, "vcpus")
        nodes = {
            self.index(node, *where, "nodes"): self.kib(mib, *where, "nodes", node)
            for node, mib in data["nodes"].items()
        }
        memory_kib = self.kib(data["memory_mib"], *where, "memory_mib")
        return PlanCell(id=data["id"], vcpus=vcpus, mode=data["mode"], memory_kib=memory_kib, nodes=nodes)

    def cpusets(self, data: Mapping[str, str], *where: Where | str) -> Mapping[int, frozenset[int]]:
        alike = tuple(data.items())
        found = self._cpusets.get(alike)
        if found is None:
            before = len(self.faults)
            found = {self.index(key, *where): self.cpus(text, *where, key) for key, text in data.items()}
            if len(self.faults) == before:
                self._cpusets[alike] = found
        return found

    def cpus(self, text: str, *where: Where | str) -> frozenset[int]:
        try:
            found = parse_cpuset(text)
        except InputError as error:
            self.fault(error.faults[0].message, *where)
            return frozenset()
        if not found:
            self.fault("is an empty list of CPUs", *where)
        return found

    def index(self, text: str, *where: Where | str) -> int:
        found = _index(text)
        if found < 0:
            self.fault(f"{_short(text)} is not a number of 0 to {LARGEST_NODE}", *where)
        return found

    def kib(self, mib: float, *where: Where | str) -> int:
        kib = mib * KIB_PER_MIB
        if kib != int(kib):
            self.fault(f"{mib} MiB is not a whole number of KiB", *where)
        return int(kib)

    def fault(self, message: str, *where: Where | str) -> None:
        # The path is put together only here: a plan has millions of values and hardly a fault.
        field = ".".join(part if isinstance(part, str) else f"vms[{part[0]}] {_short(part[1])}" for part in where)
        self.faults.append(Fault(message=message, file=self.file, field=field))


@lru_cache(maxsize=1 << 16)
def _index(text: str) -> int:
    """Return the number that a key spells, -1 for any other key."""
    plain = text.isascii() and text.isdigit() and len(text) <= 5 and str(int(text)) == text
    return int(text) if plain and int(text) <= LARGEST_NODE else -1


def _bound(data: BoundData) -> Bound:
    cpus, memory = data["cpus"], data["memory"]
    return Bound(
        cpus=None if cpus is None else frozenset(cpus),
        memory=None if memory is None else frozenset(memory),
        wish=frozenset(data.get("wish", ())),
    )


def _goal(data: GoalData) -> GoalResult:
    return GoalResult(
        name=data["name"],
        value=data["value"],
        bound=data["bound"],
        gap=data["gap"],
        source=data["source"],
        status=data["status"],
        stopped=data.get("stopped", ""),
        held_at=data.get("held_at"),
        held=data.get("held", {}),
        tiers=tuple(data.get("tiers", ())),
    )


def _read_bytes(name: str) -> bytes:
    if name != "-":
        refuse_directory(name, "plan")
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        cure = cure_of_missing(name, "plan")
        raise InputError(f"cannot be read: {error.strerror or error}", file=name, cure=cure) from error


def _parse(raw: bytes, name: str) -> Any:
    if not raw.strip():
        raise InputError("is empty, not a plan", file=name, cure=MAKES["plan"])
    try:
        return json.loads(
            raw.decode("utf-8-sig"), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except json.JSONDecodeError as error:
        text = f"is no plan, for it is not JSON: {error.msg}"
        raise InputError(text, file=name, line=error.lineno, cure=MAKES["plan"]) from error
    except UnicodeDecodeError as error:
        raise InputError("is no plan, for it is not UTF-8 text", file=name, cure=MAKES["plan"]) from error
    except RecursionError as error:
        raise InputError("is nested too deep to be a plan", file=name) from error
    except ValueError as error:
        raise InputError(
            str(error) if isinstance(error, _NotPlain) else "holds a number that is too long", file=name
        ) from error


class _NotPlain(ValueError):
    """JSON that Python would take and a plan never holds."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _NotPlain(f"key {_short(twice)} is here twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise _NotPlain(f"{_short(text)} is not a finite number")


def _read_certificate(name: str, raw: bytes) -> Mapping[str, Any] | None:
    side = certificate_path(name)
    if name == "-" or not side.exists():
        return None  # a plan may have no bound that needs one
    tree = _parse(_read_bytes(str(side)), str(side))
    if (
        not isinstance(tree, dict)
        or tree.get("schema") != CERTIFICATE_SCHEMA
        or not isinstance(tree.get("certificate"), dict)
    ):
        raise InputError(f"is not a certificate ({CERTIFICATE_SCHEMA})", file=str(side))
    if tree.get("plan_sha256") != hashlib.sha256(raw).hexdigest():
        raise InputError(
            "is the certificate of another plan", file=str(side), cure="solve again: the plan was changed since"
        )
    certificate: dict[str, Any] = tree["certificate"]
    from placer.read.documents.certificate_schema import certificate_faults  # pydantic takes its time to import

    faults = certificate_faults(certificate, str(side))
    if faults:
        raise InputError(faults)
    return certificate


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
