"""The shape of `placer.plan/v1` as plain data, and the faults of a file that does not have it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12

from placer.errors import Fault
from placer.model.plan import Change

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Count = Annotated[int, Field(ge=0, le=2**53)]
Mib = Annotated[int, Field(ge=0, le=2**43)] | Annotated[float, Field(ge=0, le=2**43)]
Name = Annotated[str, Field(min_length=1)]
Figure = Annotated[int, Field(ge=-(2**63), le=2**63)] | float | None


class FleetData(TypedDict):
    """Which fleet the plan is for."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    digest: str
    path: str | None


class CellData(TypedDict):
    """A guest cell; `vcpus` is how many `cpus` names."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    id: Count
    vcpus: Count
    cpus: str
    memory_mib: Mib
    mode: Literal["strict", "interleave", "floats"]
    nodes: dict[str, Mib]


class BoundData(TypedDict):
    """The nodes that a cell's vCPUs may run on and its memory may lie on; null: the whole host."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    cpus: list[Count] | None
    memory: list[Count] | None
    wish: NotRequired[list[Count]]


class DeviceData(TypedDict):
    """A device of the VM and the node it hangs on."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    kind: str
    node: Count | None
    address: NotRequired[str]


class VmData(TypedDict):
    """One placed VM."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: Name
    uuid: NotRequired[str | None]
    host: Name
    from_host: NotRequired[str | None]
    change: Literal[tuple(change.value for change in Change)]  # type: ignore[valid-type]
    shown: NotRequired[bool]
    new_cells: NotRequired[bool]
    cells: Annotated[list[CellData], Field(min_length=1)]
    pins: dict[str, str]
    emulator: NotRequired[str | None]
    iothreads: NotRequired[dict[str, str]]
    devices: NotRequired[list[DeviceData]]
    bound: NotRequired[list[BoundData]]


class TierData(TypedDict):
    """One objective of a goal that is several."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    part: str
    value: Figure
    bound: Figure
    source: str
    status: Literal["optimal", "feasible", "unknown", "infeasible"]


class OptionsData(TypedDict, total=False):
    """What the plan was asked for; more may be noted."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)  # type: ignore[misc]
    goals: list[Annotated[str, Field(max_length=200)]]
    max_moves: Count | None
    max_migrations: Count | None
    running_only: bool
    max_hosts: Count
    max_vms: Count


class GoalData(TypedDict):
    """One goal's result."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: Name
    value: Figure
    bound: Figure
    gap: Figure
    source: str
    status: Literal["optimal", "feasible", "unknown", "infeasible"]
    stopped: NotRequired[str]
    held_at: NotRequired[str | None]
    held: NotRequired[dict[str, float]]
    tiers: NotRequired[list[TierData]]


class WorkData(TypedDict):
    """A piece of the work on the plan."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    stage: str
    steps: Count
    cut: NotRequired[Count]
    reached: NotRequired[Count]


class UnplacedData(TypedDict):
    """One VM without a place."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: Name
    reason: str


class PlanData(TypedDict):
    """The whole file."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    schema: str
    fleet: FleetData
    seed: int
    rounds: Count
    status: str
    goals: list[GoalData]
    vms: list[VmData]
    unplaced: list[UnplacedData]
    versions: NotRequired[dict[str, str]]
    options: NotRequired[OptionsData]
    summary: NotRequired[dict[str, Any]]
    warnings: NotRequired[list[str]]
    work: NotRequired[list[WorkData]]


_PLAN = TypeAdapter(PlanData)


def schema_faults(tree: dict[str, Any], file: str) -> list[Fault]:
    """Return every place where plain data has not the shape of a plan, each VM named beside its number."""
    try:
        _PLAN.validate_python(tree)
    except ValidationError as error:
        # A number is a union of int and float: each branch reports the same place, once is enough.
        found = {_field(detail["loc"], tree): _message(detail) for detail in reversed(error.errors(include_url=False))}
        return [Fault(message=message, file=file, field=field) for field, message in reversed(found.items())]
    return []


def _field(location: tuple[int | str, ...], tree: dict[str, Any]) -> str:
    """Return ``vms[3] 'db-1'.cells[0].nodes.0`` for pydantic's location, without the branches of unions it adds."""
    text = ""
    value: Any = tree
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if isinstance(part, int):
            if not isinstance(value, list):
                break
            text += f"[{part}]"
            value = value[part]
            name = value.get("name") if isinstance(value, dict) else None
            if isinstance(name, str) and len(text) < 20:
                text += f" {name[:60]!r}"
        elif isinstance(value, dict) and part == "[key]":
            break
        elif isinstance(value, dict) and (part in value or last):
            text += f".{part[:60]}" if text else part[:60]
            value = value.get(part)
        else:
            break
    return text


def _message(detail: Any) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    shown = repr(detail["input"])
    return f"{str(detail['msg']).removeprefix('Input ')}, not {shown if len(shown) <= 60 else shown[:57] + '...'}"
