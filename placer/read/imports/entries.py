"""What importers of other managers share: JSON they print, host files joined by name, and entries of an inventory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from placer.errors import InputError
from placer.read.collector import without_collector
from placer.read.hosts.host import read_file
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import comments
from placer.read.imports.load import with_overcommit
from placer.read.inventory.files import Files
from placer.read.inventory.inventory import Sections, fleet_of
from placer.read.text.json_lines import load_json_lines
from placer.read.text.located import FaultLog, LineList, LineMap
from placer.read.text.yaml_lines import decode, load_lines

_YAML = re.compile(r"(?:---[ \t]*\r?\n|#.*\n|\s)*+(?:apiVersion|kind|items):[ \t\r\n]")
"""How an object of Kubernetes begins in YAML, whose keys kubectl sorts."""
_ENDINGS = (".tar.gz", ".tar.xz", ".tar.bz2")


def load_objects(path: Path) -> list[LineMap]:
    """Return the objects of a JSON document: a list of them, or one alone. Every scalar in it is text.

    A mapping in YAML is read as well, as ``-o yaml`` and manifests are.

    Raises
    ------
    InputError
        Not JSON, or something else than objects.
    """
    log = FaultLog(str(path))
    text = decode(read_file(path, str(path)), str(path))
    tree = load_lines(text, log) if _YAML.match(text) else load_json_lines(text, log)
    log.raise_if_any()
    if isinstance(tree, LineMap) and len(tree) == 1:
        # An API wraps what its command line prints: {"data": …}, {"servers": […]}.
        (key, inner), *_ = tree.items()
        tree = inner if key == "data" or isinstance(inner, LineList) else tree
    listed = tree if isinstance(tree, list) else [tree]
    if not isinstance(tree, list | dict) or not all(isinstance(item, LineMap) for item in listed):
        raise InputError(
            "this is no JSON list of objects", file=str(path), cure="print it with -f json, or --output-format json"
        )
    return list(listed)


def said(tree: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these keys that says something, whatever its case; tools rename their columns."""
    small = {key.lower(): value for key, value in tree.items()}
    for name in names:
        value = small.get(name.lower())
        if isinstance(value, str) and value.strip() and value != "None":
            return value.strip()
    return None


def entry(**keys: Any) -> LineMap:
    """Return an entry of these keys; None is left out, lists and mappings may hold any depth of text."""
    made = LineMap()
    for key, value in keys.items():
        if value is not None and value != {} and value != []:
            made[key] = _tree(value)
    return made


def _tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        made = LineMap()
        made.update((str(key), _tree(inner)) for key, inner in value.items())
        return made
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = LineList()
        listed.extend(_tree(inner) for inner in value)
        return listed
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


class HostFiles:
    """Host files of a folder by the name of the host: ``<host>.<anything>``, whole or without its domain."""

    def __init__(self, folder: Path | None, inventory_folder: Path) -> None:
        self._by_name: dict[str, str] = {}
        self._unused: set[str] = set()
        for path in _files(folder) if folder is not None else ():
            name = path.name
            for ending in _ENDINGS:
                name = name.removesuffix(ending)
            stem = name if name != path.name else path.stem
            self._by_name[stem.lower()] = os.path.relpath(path, inventory_folder)
            self._unused.add(stem.lower())

    def find(self, host: str) -> str | None:
        """Return the path of a host's file; a short name finds a long one and the other way round."""
        wanted = host.lower()
        if wanted not in self._by_name:
            short = wanted.partition(".")[0]
            near = [
                name
                for name in self._by_name
                if name.partition(".")[0] == short and "." not in min(name, wanted, key=len)
            ]
            if len(near) != 1:
                return None
            wanted = near[0]
        self._unused.discard(wanted)
        return self._by_name[wanted]

    @property
    def unused(self) -> list[str]:
        """The files that no host asked for."""
        return sorted(self._by_name[name] for name in self._unused)


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", file=str(folder)) from None


def unique_names(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name for each (name, identity): the name where it is the only one, else with the identity behind it."""
    counts: dict[str, int] = {}
    for name, _ in wanted:
        counts[name] = counts.get(name, 0) + 1
    return [name if counts[name] == 1 else f"{name}/{identity}" for name, identity in wanted]


def imported(
    tool: str, source: Path, folder: Path, hosts: Sequence[LineMap], vms: Sequence[LineMap], rules: Sequence[LineMap],
    warnings: Sequence[str],
) -> Imported:  # fmt: skip
    """Return the fleet of these entries, checked as any inventory is; faults name `source`.

    Raises
    ------
    InputError
        What the tool says contradicts itself, or a host file cannot be read.
    """
    if not hosts:
        left = next((text for text in warnings if "left out" in text), None)
        cure = "give the list of hosts too" if left is None else left
        raise InputError(f"no host of {tool} is told in these files", file=str(source), cure=cure)
    log = FaultLog(str(source))
    sections = []
    for entries in (hosts, vms, rules):
        listed = LineList(1, [one.line for one in entries])
        listed.extend(entries)
        sections.append((listed, log))
    with without_collector():
        fleet = fleet_of(Sections(*sections), Files(folder))
    all_warnings = tuple(dict.fromkeys([*warnings, *fleet.warnings]))
    rules_made = tuple(replace(rule, line=None) for rule in fleet.rules)
    fleet = with_overcommit(replace(fleet, rules=rules_made, warnings=all_warnings))
    return Imported(fleet=fleet, comments=comments(fleet.warnings, tool))
