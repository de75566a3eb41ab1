"""Read the comparison that ``placer whatif`` writes: its ``-o FILE.json``, or the envelope of ``--json``."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from placer.errors import Fault, InputError
from placer.read.documents.kinds import MAKES, cure_of_missing, refuse_other

COMPARISON_SCHEMA = "placer.whatif/v1"
LARGEST_BYTES = 64 << 20

Count = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    # Fields may grow: those that are not known here are left alone.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class ComparedGoal(_Part):
    """One goal of a scenario; None is what is not known."""

    name: Name
    value: float | None
    bound: float | None
    gap: float | None
    status: str


class Fit(_Part):
    """How many more VMs of a flavor fit, and what runs out first."""

    fit: Count
    runs_out_first: str | None = None


class Harm(_Part):
    """A failure that leaves VMs without a place; it stands for so many `ways` just like it."""

    domains: list[str]
    vms: Count
    vms_lost: Count
    proven: bool
    ways: Count = 1


class Unsettled(_Part):
    """A failure whose outcome is not known."""

    domains: list[str]
    why: str = ""
    ways: Count = 1


class Kept(_Part):
    """Whether a rule that keeps room is kept, and what lacks: vCPUs after a failure, or slots."""

    rule: str
    proven: bool
    value: float | None = None
    bound: float | None = None


class Over(_Part):
    """What VMs that run would take that their hosts have not, part by part, and why they stay there."""

    parts: dict[str, float]
    why: str | None = None


class Failures(_Part):
    """All failures of one scenario, the worst first."""

    scope: str
    at_once: Count
    combinations: Count
    harmful: list[Harm]
    unknown: list[Unsettled]


class Planned(_Part):
    """What a scenario's plan comes to. `remote_access` is in vCPU equivalents, `locality_score` from 0 to 100."""

    vms: Count
    placed: Count
    unplaced: dict[str, Count]
    remote_access: float | None
    locality_score: float | None
    hosts_used: Count
    hosts: Count
    headroom: dict[str, Fit]
    migrations: Count
    node_changes: Count
    restarts: Count = 0
    goals: list[ComparedGoal]
    failures: Failures | None = None
    reserve: list[Kept] = []
    over: Over | None = None


class Scenario(_Part):
    """One row: its name, what it changes, and its plan; `reason` says why there is none."""

    name: Name
    changes: list[str]
    status: str
    reason: str | None = None
    planned: Planned | None = None


class _Rows(_Part):
    scenarios: Annotated[list[Scenario], Field(min_length=1)]


def read_comparison(path: str) -> tuple[Scenario, ...]:
    """Return the scenarios of a comparison, the fleet as it is first; ``-`` reads standard input.

    Raises
    ------
    InputError
        The file is no comparison; all its faults together, each with file and field.
    """
    tree = _tree(path)
    found = tree.get("result", tree) if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or not isinstance(found, dict) or tree.get("schema") != COMPARISON_SCHEMA:
        raise InputError(
            f"is not a comparison ({COMPARISON_SCHEMA})",
            file=path,
            cure="placer whatif FLEET SCENARIO… -o compare.json writes one",
        )
    rows = found.get("scenarios")
    if isinstance(rows, list):
        rows = [{**row, "planned": row} if isinstance(row, dict) and "placed" in row else row for row in rows]
    try:
        return tuple(_Rows.model_validate({"scenarios": rows}).scenarios)
    except ValidationError as error:
        raise InputError(
            [
                Fault(message=str(fault["msg"]).removeprefix("Input "), file=path, field=_field(fault["loc"]))
                for fault in error.errors(include_url=False)
            ]
        ) from None


def _tree(path: str) -> Any:
    try:
        data = sys.stdin.buffer.read(LARGEST_BYTES + 1) if path == "-" else Path(path).read_bytes()
    except OSError as error:
        cure = cure_of_missing(path, "whatif")
        raise InputError(f"cannot be read: {error.strerror or error}", file=path, cure=cure) from error
    if len(data) > LARGEST_BYTES:
        raise InputError(f"is larger than {LARGEST_BYTES >> 20} MiB, which no comparison is", file=path)
    refuse_other(data, "whatif", path)
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        text = f"is no comparison, for it is not JSON: {error.msg}"
        raise InputError(text, file=path, line=error.lineno, cure=MAKES["whatif"]) from error
    except (ValueError, RecursionError) as error:
        raise InputError("is not JSON that a comparison can be", file=path) from error


def _refuse(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if part != "planned":
            text += f"[{part}]" if isinstance(part, int) else f".{part[:60]}" if text else part[:60]
    return text
