"""``placer.scenario/v1``: the edits of a what-if, read with every fault named at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, nearest
from placer.read.documents.kinds import refuse_other
from placer.read.documents.scenario_schema import SCHEMA, TAKES, EditEntry
from placer.read.hosts.host import read_file
from placer.read.inventory.schema import VmEntry
from placer.read.inventory.specs import SPEC_KEYS
from placer.read.inventory.types import shown
from placer.read.inventory.validation import Problem, further, note, validate
from placer.read.text.located import FaultLog, LineList, LineMap
from placer.read.text.yaml_lines import decode, load_lines

_KEYS = ("schema", "name", "edits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One edit: its kind, what it says, the text it came from and the line it stands on."""

    kind: str
    entry: EditEntry
    tree: LineMap
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The edits of one file, in order; `base_dir` is what paths in it are relative to."""

    name: str
    file: str
    base_dir: Path
    edits: tuple[Edit, ...]


def read_scenario(path: str | Path) -> Scenario:
    """Read a scenario.

    Raises
    ------
    InputError
        All that is wrong with it: one fault each, with file, line, field and cure.
    """
    source = str(path)
    return parse_scenario(read_file(Path(path), source), source, Path(path).parent)


def read_scenarios(paths: Iterable[str | Path]) -> tuple[Scenario, ...]:
    """Read several scenarios, whose names must differ.

    Raises
    ------
    InputError
        The faults of all files together.
    """
    faults: list[Fault] = []
    found: list[Scenario] = []
    for path in paths:
        try:
            scenario = read_scenario(path)
        except InputError as error:
            faults.extend(error.faults)
            continue
        twin = next((other for other in found if other.name == scenario.name), None)
        if twin is not None or scenario.name == "base":
            said = "of the fleet as it is" if twin is None else f"of {twin.file} too"
            message = f"the name {scenario.name!r} is that {said}"
            faults.extend(InputError(message, file=scenario.file, field="name", cure="say another name:").faults)
        found.append(scenario)
    if faults:
        raise InputError(faults)
    return tuple(found)


def parse_scenario(data: bytes, source: str, base_dir: Path) -> Scenario:
    """Read a scenario from bytes; see `read_scenario`."""
    refuse_other(data, "scenario", source)
    log = FaultLog(source)
    tree = load_lines(decode(data, source), log)
    if not isinstance(tree, LineMap):
        message = f"{shown(tree)} is not a scenario"
        raise InputError(message, file=source, line=1, cure=f"the first line of one is: schema: {SCHEMA}")
    lines = tree.lines or {}
    if tree.get("schema") != SCHEMA:
        said = f"{shown(tree['schema'])} is not a scenario's schema" if "schema" in tree else "is missing"
        log.add(said, line=lines.get("schema", 1), field="schema", cure=f"write schema: {SCHEMA}")
    for key in tree:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            cure = f"did you mean {near}?" if near else f"known here: {', '.join(_KEYS)}"
            log.add("unknown key", line=lines.get(key), field=key, cure=cure)
    name = tree.get("name")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        log.add(f"{shown(name)} is not a name", line=lines.get("name"), field="name")
        name = None
    section = tree.get("edits")
    if not isinstance(section, LineList) or not section:
        log.add("no edits", line=lines.get("edits", 1), field="edits", cure="list at least one, such as - smt: off")
        section = LineList()
    edits = [_edit(one, number, section, log) for number, one in enumerate(section)]
    log.raise_if_any()
    return Scenario(
        name=name or Path(source).stem,
        file=source,
        base_dir=base_dir,
        edits=tuple(edit for edit in edits if edit is not None),
    )


def _edit(tree: Any, number: int, section: LineList, log: FaultLog) -> Edit | None:
    line = section.lines[number] if section.lines is not None else None
    entry, problems = validate(EditEntry, tree)
    kind = None
    if entry is not None:
        found: list[Problem] = []
        kind = _kind(entry, found)
        problems = [*problems, *further(problems, found)]
    note(log, problems, tree, f"edits[{number}]", line)
    if problems or entry is None or kind is None:
        return None
    return Edit(kind=kind, entry=entry, tree=tree, line=line)


def _kind(entry: EditEntry, problems: list[Problem]) -> str | None:
    """Return the kind of an edit; what does not go with it is a problem."""
    kinds = [kind for kind in TAKES if entry.given(kind)]
    if len(kinds) != 1:
        said = f"says {' and '.join(kinds)} at once" if kinds else "is missing"
        problems.append((() if kinds else ("edit",), said, f"write one of {', '.join(TAKES)}"))
        return None
    kind = kinds[0]
    takes = TAKES[kind]
    for key in ("hosts", "vms", "like", "distance"):
        if entry.given(key) and key not in takes:
            cure = f"it takes {', '.join(takes)}" if takes else None
            problems.append(((key,), f"does not go with {kind}", cure))
    if kind == "replace_hosts" and entry.like is None:
        problems.append((("like",), "is missing", "name a host of the new shape"))
    if entry.memory is not None and sum(entry.memory.given(key) for key in ("per_node", "add_per_node", "factor")) != 1:
        problems.append((("memory",), "says not exactly one thing", "write one of per_node, add_per_node, factor"))
    if entry.distance is not None and not 10 <= entry.distance <= 255:
        problems.append((("distance",), f"{entry.distance:g} is not from 10 to 255", None))
    if entry.change_vms is not None:
        _check_change(entry.change_vms, problems)
    return kind


def _check_change(change: VmEntry, problems: list[Problem]) -> None:
    said = [name for name in VmEntry.model_fields if getattr(change, name) is not None]
    if not said:
        problems.append((("change_vms",), "changes nothing", "say for example vcpus: 8"))
    for name in said:
        if name not in SPEC_KEYS:
            cure = "only what a VM needs can be changed"
            problems.append((("change_vms", name), "cannot be changed by a scenario", cure))
