"""Hold entries of an inventory against their models: every fault of an entry at once, with its line and cure."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from placer.errors import nearest
from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.read.inventory.schema import Entry
from placer.read.inventory.types import shown
from placer.read.text.located import FaultLog, LineMap, field_path, locate

_ALIASES = {"allocation_ratio": "overcommit", "maintenance": "drain", "migration": "movable"}
"""Other people's words for a key, taken as the key itself."""

SomeEntry = TypeVar("SomeEntry", bound=Entry)
Problem = tuple[tuple[str | int, ...], str, str | None]
"""Path inside the entry, message, cure: a fault without the line, so that equal entries can share it."""


def validate(model: type[SomeEntry], tree: Any) -> tuple[SomeEntry | None, list[Problem]]:
    """Return the entry and what is wrong with it; lines are added by `note`.

    Of an entry with faults the sound keys are returned, so that what they contradict can be told in the same run.
    """
    if not isinstance(tree, LineMap):
        return None, [((), f"{shown(tree)} is not a mapping", None)]
    plain = {_ALIASES.get(key, key) if key not in model.model_fields else key: value for key, value in tree.items()}
    twice = [key for key in tree if _ALIASES.get(key) in tree and key not in model.model_fields]
    problems: list[Problem] = [((key,), f"says the same as {_ALIASES[key]}", "keep one") for key in twice]
    try:
        return model.model_validate(plain), problems
    except ValidationError as error:
        problems += [_problem(model, fault) for fault in error.errors(include_url=False)]
    sound = {key: value for key, value in plain.items() if key not in {path[0] for path, _, _ in problems if path}}
    try:
        return model.model_validate(sound), problems
    except ValidationError:
        return None, problems


def further(problems: Sequence[Problem], found: Sequence[Problem]) -> list[Problem]:
    """Return those of `found` that do not merely follow from `problems`: a key left out there is missing here."""
    left_out = {path[0] for path, _, _ in problems if path}
    return [
        problem
        for problem in found
        if not (left_out and problem[1] == "is missing") and not (problem[0] and problem[0][0] in left_out)
    ]


def note(log: FaultLog, problems: Sequence[Problem], tree: Any, prefix: str, line: int | None) -> None:
    """Add the problems of an entry to the log, with the lines that this entry stands on."""
    for path, message, cure in problems:
        where, taken = locate(tree, path, line)
        log.add(message, line=where, field=field_path(prefix, taken), cure=cure)


def _problem(model: type[BaseModel], fault: Any) -> Problem:
    path = tuple(fault["loc"])
    kind = fault["type"]
    if kind == "extra_forbidden":
        known = sorted(_fields_at(model, path[:-1]))
        near = nearest(str(path[-1]), known)
        return path, "unknown key", f"did you mean {near}?" if near else f"known here: {', '.join(known)}"
    if kind == "missing":
        return path, "is missing", None
    if kind == "value_error":
        error = fault["ctx"]["error"]
        return path, str(error), getattr(error, "cure", None)
    if kind == "literal_error":
        near = nearest(str(fault["input"]), _words(fault["ctx"]["expected"]))
        message = f"{shown(fault['input'])} is not {fault['ctx']['expected']}"
        return path, message, f"did you mean {near}?" if near else None
    if kind in ("model_type", "dict_type"):
        return path, f"{shown(fault['input'])} is not a mapping", None
    if kind == "list_type":
        return path, f"{shown(fault['input'])} is not a list", None
    return path, str(fault["msg"]), None


def _words(expected: str) -> list[str]:
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> set[str]:
    """Return the keys that the mapping at `path` inside an entry may have."""
    annotations: list[Any] = [model]
    for part in path:
        annotations = [inner for annotation in annotations for inner in _inside(annotation, part)] or annotations
    return {name for annotation in annotations for found in _models(annotation) for name in found.model_fields}


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    for found in _models(annotation):
        if part in found.model_fields:
            yield found.model_fields[str(part)].annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, list, dict, Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _models(inner)


def no_node(node: int, topology: Topology) -> str:
    """Return the message on a node that the host lacks."""
    return f"the host has no node {node}, only {format_cpuset(topology.node_ids)}"
