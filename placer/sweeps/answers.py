"""The shape of what the tasks of a sweep answer, for those that are read from a results file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Kind = Literal["row", "point", "failure", "month"]
"""A scenario's plan, a point of a front, a failure, a month."""

Count = Annotated[int, Field(ge=0, le=2**53)]
Known = Annotated[float, Field(ge=-1e15, le=1e15)]
Figure = Known | None


def _pair(value: list[int | str]) -> list[int | str]:
    if [type(part) for part in value] != [int, str]:
        raise ValueError("a pair is the number of a rule and a domain")
    return value


Spread = Annotated[list[Count | str], AfterValidator(_pair)]


class _Goal(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: str
    value: Figure
    bound: Figure
    gap: Figure
    status: str


class _Fit(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    policy: str
    fit: Count
    runs_out_first: str | None


class _Left(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    vm: str
    why: str


class _Drain(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    host: str
    moved: Count
    restarts: Count
    moved_mib: Known
    left: list[_Left]
    proven: bool


class _Over(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    parts: dict[str, Known]
    why: str | None


class _Worst(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    domains: list[str]
    vms_lost: Count
    vcpus_lost: Count


class _Kept(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    rule: str
    scope: str
    fail: Count
    proven: bool
    value: Count | None
    bound: Count


class _Survived(_Kept):
    failures: Count
    harmful: Count
    unknown: Count
    worst: _Worst | None


class _Held(_Kept):
    slots: Count
    free: Count
    hosts: dict[str, Count]


class _Row(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    status: str
    vms: Count
    placed: Count
    vcpus_placed: Count
    unplaced: dict[str, Count]
    remote_access: Figure
    locality_score: Figure
    hosts_used: Count
    hosts: Count
    headroom: dict[str, _Fit]
    migrations: Count
    node_changes: Count
    restarts: Count
    goals: list[_Goal]
    drains: list[_Drain]
    reserve: list[_Survived | _Held]
    over: _Over | None
    rounds: Count


class _Point(_Row):
    limit: Count | None
    slack: Count | None
    moves: Count
    remote_access: Known  # type: ignore[misc]
    host_cost: Known
    proven: bool


class _NoPlan(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    status: NotRequired[str]
    reason: str


class _Refuge(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    hosts: list[str]
    spread: list[Spread]
    together: list[Count]


class _Failure(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    vms: Count
    lost: list[str]
    vcpus_lost: Count
    proven: bool
    into: NotRequired[list[_Refuge]]


class _Unknown(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    vms: Count
    unknown: str


class _Month(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    month: Count
    vms: Count
    unplaced: Count
    proven: bool
    reason: NotRequired[str | None]
    reserve: NotRequired[bool | None]


_SHAPES: dict[Kind, tuple[TypeAdapter[Any], ...]] = {
    "row": (TypeAdapter(_Row), TypeAdapter(_NoPlan)),
    "point": (TypeAdapter(_Point), TypeAdapter(_NoPlan)),
    "failure": (TypeAdapter(_Failure), TypeAdapter(_Unknown)),
    "month": (TypeAdapter(_Month),),
}


def answer_fault(kind: Kind, value: Any) -> str | None:
    """Return what is wrong with an answer as plain data, None where it has the shape of its kind."""
    best: str | None = None
    fewest = 1 << 30
    for shape in _SHAPES[kind]:
        try:
            shape.validate_python(value)
        except ValidationError as error:
            if error.error_count() < fewest:
                detail = error.errors(include_url=False)[0]
                place = ".".join(str(part)[:40] for part in detail["loc"])
                fewest = error.error_count()
                best = f"{place}: {str(detail['msg']).removeprefix('Input ')}" if place else str(detail["msg"])
        else:
            return None
    return best
