"""The shape of a plan's certificate as plain data, and the faults of one that does not have it."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12

from placer.errors import Fault

_STRICT = ConfigDict(extra="forbid", strict=True)
DEEPEST = 400
"""Branches below branches: no tree that placer writes is as deep."""

Number = Annotated[int, Field(ge=-(2**62), le=2**62)]
Dual = Annotated[int, Field(ge=0, le=2**62)]


class LeafData(TypedDict):
    """Integer duals, what the earlier objectives are held at, and the bound that they prove."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    objective: Annotated[int, Field(ge=0, le=2**20)]
    scale: Annotated[int, Field(ge=1, le=2**62)]
    flavor: list[Dual]
    hold: list[Dual]
    moves: Dual
    migrations: Dual
    held: list[Number]
    least: list[Number | None]
    bound: Number | None
    below: NotRequired[Number | None]


class RowData(TypedDict):
    """A row of a rule by number: what these flavors may be in some domains, which are `closed` to them or not."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    rule: Annotated[int, Field(ge=0, le=2**31)]
    domains: list[Annotated[int, Field(ge=0, le=2**31)]]
    members: list[Annotated[int, Field(ge=0, le=2**31)]]
    closed: NotRequired[bool]


class EntryData(TypedDict):
    """What proves the bound of one objective: duals, or a tree of branches with duals at each leaf."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    bound: Number
    objective: NotRequired[Annotated[int, Field(ge=0, le=2**20)]]
    scale: NotRequired[Annotated[int, Field(ge=1, le=2**62)]]
    flavor: NotRequired[list[Dual]]
    hold: NotRequired[list[Dual]]
    moves: NotRequired[Dual]
    migrations: NotRequired[Dual]
    held: NotRequired[list[Number]]
    least: NotRequired[list[Number | None]]
    below: NotRequired[Number | None]
    tree: NotRequired[dict[str, Any]]
    rows: NotRequired[list[RowData]]
    choice: NotRequired[Dual]


class RuledData(LeafData):
    """Duals beside rules that are rows, and that of what these choose."""

    rows: list[RowData]
    choice: Dual


class SplitData(TypedDict):
    """At most `most` VMs of a flavor are in these placements of each shape."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    flavor: Annotated[int, Field(ge=-1, le=2**31)]
    most: Number
    placements: list[list[Annotated[int, Field(ge=0, le=2**31)]]]


class PricesData(TypedDict):
    """Prices of the rows that loads of an objective lie on, for each class of hosts, in so many parts of its unit."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    of: Annotated[int, Field(ge=0, le=2**20)]
    free: bool
    scale: Annotated[int, Field(ge=1, le=2**31)]
    rows: list[list[Dual]]


class CountData(TypedDict):
    """An objective that is to be proven on the counts, by `prices` where there are some: its value, and its bound where
    it has one.
    """

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    goal: str
    part: str
    value: Number | None
    bound: Number | None
    prices: NotRequired[list[PricesData]]


class _Counts(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    kind: str
    objectives: list[CountData]


class _Duals(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    objectives: list[EntryData | None]
    counts: NotRequired[list[CountData]]


_COUNTS, _DUALS = TypeAdapter(_Counts), TypeAdapter(_Duals)
_LEAF, _RULED, _SPLIT = TypeAdapter(LeafData), TypeAdapter(RuledData), TypeAdapter(SplitData)


def certificate_faults(tree: dict[str, Any], file: str) -> list[Fault]:
    """Return every place where plain data has not the shape of a certificate."""
    counts = "kind" in tree
    if counts and tree["kind"] != "counts":
        return [Fault(message='is no kind of certificate: it is "counts", or left out', file=file, field="kind")]
    faults = _faults(_COUNTS if counts else _DUALS, tree, "certificate", file)
    if faults or counts:
        return faults
    for number, entry in enumerate(tree["objectives"]):
        where = f"certificate.objectives[{number}]"
        if entry is not None and "tree" in entry:
            faults += _tree_faults(entry["tree"], f"{where}.tree", file)
        elif entry is not None:
            faults += _faults(_RULED if "rows" in entry else _LEAF, entry, where, file)
    return faults


def _tree_faults(tree: Any, where: str, file: str) -> list[Fault]:
    """Return the faults of a tree of branches: each node has a split and two children, or is a leaf."""
    faults: list[Fault] = []
    open_ = [(tree, where, 0)]
    while open_:
        node, at, depth = open_.pop()
        keys = set(node) if isinstance(node, dict) else None
        if depth > DEEPEST or keys not in ({"leaf"}, {"split", "few", "many"}):
            message = "is nested too deep" if depth > DEEPEST else "is neither a leaf nor a split with few and many"
            faults.append(Fault(message=message, file=file, field=at[:200]))
        elif "leaf" in node:
            faults += _faults(_LEAF, node["leaf"], f"{at}.leaf", file)
        else:
            faults += _faults(_SPLIT, node["split"], f"{at}.split", file)
            open_ += [(node[side], f"{at}.{side}", depth + 1) for side in ("few", "many")]
    return faults


def _faults(adapter: TypeAdapter[Any], value: Any, where: str, file: str) -> list[Fault]:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return [
            Fault(message=_message(detail), file=file, field=_field(where, detail["loc"]))
            for detail in error.errors(include_url=False)[:20]
        ]
    return []


def _field(where: str, location: tuple[int | str, ...]) -> str:
    for part in location:
        where += f"[{part}]" if isinstance(part, int) else f".{part[:60]}"
    return where[:200]


def _message(detail: Any) -> str:
    kind = detail["type"]
    if kind in ("extra_forbidden", "missing"):
        return "unknown key" if kind == "extra_forbidden" else "is missing"
    shown = repr(detail["input"])
    return f"{str(detail['msg']).removeprefix('Input ')}, not {shown if len(shown) <= 60 else shown[:57] + '...'}"
