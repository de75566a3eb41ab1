"""Scenarios said in a line, without a file: ``--fail rack=a3``, ``--add-vms 40*4x8GiB``."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from placer.errors import InputError
from placer.read.documents.scenario_file import Scenario, parse_scenario
from placer.read.documents.scenario_schema import SCHEMA

_MANY = re.compile(r"([1-9][0-9]{0,6})\*(.+)")
_LIKE = re.compile(r"(.+)\*([1-9][0-9]{0,6})")


def spoken_scenarios(
    hosts: Collection[str],
    *,
    fail: Sequence[str] = (),
    drain: Sequence[str] = (),
    add_hosts: Sequence[str] = (),
    add_vms: Sequence[str] = (),
    grow: Sequence[str] = (),
) -> tuple[tuple[Scenario, str], ...]:
    """Return a scenario for each thing said, named by it, with the text of its file.

    Parameters
    ----------
    hosts : names of the fleet's hosts: what is one of them is no label.
    fail, drain : host names and labels, ``h1,h2`` or ``rack=a3,a4``.
    add_hosts : a host and how many more like it, ``h1*4``.
    add_vms : how many of a flavor, ``40*4x8GiB``.
    grow : a percentage of every flavor, ``20%``.

    Raises
    ------
    InputError
        What cannot be understood, with its option.
    """
    edits: list[tuple[str, str, dict[str, Any]]] = []
    edits += [("fail", text, {"fail": _selection(text, hosts, "--fail")}) for text in fail]
    edits += [("drain", text, {"drain": _selection(text, hosts, "--drain")}) for text in drain]
    edits += [("add-hosts", text, {"add_hosts": _like(text)}) for text in add_hosts]
    edits += [("add-vms", text, {"grow": _flavor(text)}) for text in add_vms]
    edits += [("grow", text, {"grow": text}) for text in grow]
    found, names = [], set()
    for kind, said, edit in edits:
        name = f"{kind} {said}"
        if name in names:
            raise InputError(f"{said[:60]!r} is said twice", field=f"--{kind}", cure="say it once")
        names.add(name)
        text = f"schema: {SCHEMA}\nname: {json.dumps(name)}\nedits:\n  - {json.dumps(edit)}\n"
        found.append((parse_scenario(text.encode(), f"--{kind} {said}", Path()), text))
    return tuple(found)


def _selection(text: str, hosts: Collection[str], option: str) -> Any:
    """Return names, or labels with their values: ``rack=a3,a4`` has two values."""
    if text in hosts:
        return text
    names: list[str] = []
    labels: dict[str, list[str]] = {}
    last = None
    for part in (part.strip() for part in text.split(",")):
        key, equals, value = part.partition("=")
        if equals and part not in hosts:
            last = labels.setdefault(key, [])
            last.append(value)
        elif last is not None:
            last.append(part)
        else:
            names.append(part)
    if (names and labels) or not all([*names, *labels, *(value for values in labels.values() for value in values)]):
        raise InputError(
            f"{text[:60]!r} is neither names of hosts nor labels", field=option, cure="write h1,h2 or rack=a3,a4"
        )
    return names or {key: values[0] if len(values) == 1 else values for key, values in labels.items()}


def _like(text: str) -> dict[str, Any]:
    match = _LIKE.fullmatch(text)
    return {"like": match[1], "count": int(match[2])} if match else {"like": text}


def _flavor(text: str) -> dict[str, int]:
    match = _MANY.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:60]!r} is no number of VMs", field="--add-vms", cure="write it like 40*4x8GiB")
    return {match[2]: int(match[1])}
