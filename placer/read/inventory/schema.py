"""The shape of ``placer.inventory/v1`` as pydantic models: keys, types, and every fault of an entry at once."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, ValidationError

from placer.read.hosts.host_settings import SettingsEntry
from placer.read.inventory.types import (
    Amount,
    Bool,
    Count,
    Cpus,
    FileNames,
    Int,
    IoThreads,
    Kib,
    NodeSet,
    Number,
    PageKib,
    Pages,
    Positive,
    Ratio,
    ReservedCpus,
    ReservedMemory,
    Share,
    SomeCpus,
    Text,
    Threads,
    Uuid,
    cell_count,
    fixed,
    shown,
    unit_share,
)
from placer.read.text.located import FaultLog, LineMap, field_path, locate

SCHEMA = "placer.inventory/v1"

_ALIASES = {"allocation_ratio": "overcommit", "maintenance": "drain", "migration": "movable"}
"""Other people's words for a key, taken as the key itself."""


class Entry(BaseModel):
    """A mapping of the inventory: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self, *names: str) -> bool:
        """Tell whether the file says any of these keys (a null says nothing)."""
        return any(getattr(self, name) is not None for name in names)


def _kind(value: Any) -> str:
    return "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "text"


def either(message: str) -> Discriminator:
    """Tell a mapping, a list and a text apart; `message` is for a value of none of the kinds allowed."""
    return Discriminator(_kind, custom_error_type="kind", custom_error_message=message)


Labels = dict[Text, Text]
Resources = dict[Text, Amount]


class NodeEntry(Entry):
    """``hosts[].nodes[]``: a NUMA node written by hand."""

    id: Count
    cpus: Cpus = frozenset()
    memory: Kib = 0
    pages: Pages = {}
    kind: Literal["normal", "memory-only", "device"] | None = None
    resources: Resources = {}
    free: Kib | None = None
    free_pages: Pages = {}


class NodeReserveEntry(Entry):
    """``reserve.nodes.<id>``."""

    cpus: ReservedCpus | None = None
    memory: ReservedMemory | None = None
    pages: Pages | None = None


class ReserveEntry(Entry):
    """``hosts[].reserve``: what the host keeps, as a whole and per node."""

    cpus: ReservedCpus | None = None
    memory: ReservedMemory | None = None
    pages: Pages | None = None
    nodes: dict[Count, NodeReserveEntry] | None = None


class OvercommitEntry(Entry):
    """``hosts[].overcommit`` where CPU and memory differ."""

    cpu: Ratio | None = None
    memory: Ratio | None = None


Overcommit = Annotated[
    Annotated[Ratio, Tag("text")] | Annotated[OvercommitEntry, Tag("mapping")],
    either("is neither a number nor {cpu: …, memory: …}"),
]
IoThreadIds = Annotated[
    Annotated[IoThreads, Tag("text")] | Annotated[list[Positive], Tag("list")],
    either("is neither a number of IOThreads nor a list of their ids"),
]


class DeviceEntry(Entry):
    """``hosts[].devices[]``."""

    address: Text
    kind: Text
    node: Count | None = None
    count: Positive = 1


class HostEntry(Entry):
    """``hosts[]``."""

    name: Text | None = None
    count: Count | None = None
    uuid: Uuid | None = None
    uri: Text | None = None
    topology: FileNames | None = None
    nodes: list[NodeEntry] | None = None
    siblings: list[SomeCpus] | None = None
    threads_per_core: Threads | None = None
    packages: list[SomeCpus] | None = None
    dies: list[SomeCpus] | None = None
    clusters: list[SomeCpus] | None = None
    l3: list[SomeCpus] | None = None
    offline: Cpus | None = None
    efficiency: Cpus | None = None
    page_size: PageKib | None = None
    arch: Text | None = None
    model: Text | None = None
    source: Text | None = None
    assumptions: list[Text] | None = None
    bandwidth_mib_s: list[list[Number | None]] | None = None
    distances: list[list[Number]] | None = None
    distances_from: Text | None = None
    devices: list[DeviceEntry] | None = None
    reserve: ReserveEntry | None = None
    dedicated_cpus: Cpus | None = None
    shared_cpus: Cpus | None = None
    isolated_cpus: Cpus | None = None
    overcommit: Overcommit | None = None
    cost: Share | None = None
    kvm: Bool | None = None
    failed: Bool | None = None
    state: Literal["normal", "drain", "maintenance", "failed"] | None = None
    migration_domain: Text | None = None
    labels: Labels | None = None
    resources: Resources | None = None
    settings: SettingsEntry | None = None


class CellEntry(Entry):
    """``vms[].cells[]``: a guest cell; ``cpus`` names its vCPUs where they are not simply the next ones."""

    vcpus: Threads | None = None
    cpus: Cpus | None = None
    memory: Kib
    mem_access: Literal["shared", "private"] | None = None


class TopologyEntry(Entry):
    """``vms[].cpu_topology`` in full: a level left out is 1, cores left out are what is left."""

    sockets: Threads | None = None
    dies: Threads | None = None
    clusters: Threads | None = None
    cores: Threads | None = None
    threads: Threads | None = None


class DeviceRequestEntry(Entry):
    """``vms[].devices[]``."""

    kind: Text
    policy: Literal["required", "preferred"] = "preferred"
    count: Positive = 1


class BoundEntry(Entry):
    """``vms[].bound``: the nodes of its CPUs and of its memory, each a list or the host, and those wished for."""

    cpus: NodeSet = None
    memory: NodeSet = None
    wish: list[Count] = []


class UsageEntry(Entry):
    """``vms[].usage``: shares of what the VM has."""

    cpu_p95: Share | None = None
    memory_p95: Share | None = None


class VmEntry(Entry):
    """``vms[]``."""

    name: Text | None = None
    count: Count | None = None
    uuid: Uuid | None = None
    manager_id: Text | None = None
    domain: Text | None = None
    vcpus: Threads | None = None
    vcpus_current: Threads | None = None
    memory: Kib | None = None
    cells: (
        Annotated[
            Annotated[str | int, BeforeValidator(cell_count), Tag("text")] | Annotated[list[CellEntry], Tag("list")],
            either("is neither auto, none, a number of cells nor a list of cells"),
        ]
        | None
    ) = None
    interleave: Threads | None = None
    share_node: Bool | None = None
    locality: Annotated[Literal["uniform"] | Share, BeforeValidator(unit_share)] | None = None
    page_size: PageKib | None = None
    cpu_policy: Literal["dedicated", "shared", "mixed"] | None = None
    dedicated_vcpus: SomeCpus | None = None
    thread_policy: Literal["prefer", "isolate", "require", "pairs"] | None = None
    core_kind: Literal["any", "performance", "efficiency"] | None = None
    emulator_threads: Literal["share", "isolate", "housekeeping"] | None = None
    iothreads: IoThreadIds | None = None
    overhead: Kib | None = None
    memory_tier: Literal["normal", "any"] | None = None
    weight: Share | None = None
    priority: Int | None = None
    devices: list[DeviceRequestEntry] | None = None
    resources: Resources | None = None
    labels: Labels | None = None
    reshape: Bool | None = None
    kvm: Bool | None = None
    cpu_topology: (
        Annotated[
            Annotated[Literal["keep", "auto"], Tag("text")] | Annotated[TopologyEntry, Tag("mapping")],
            either("is neither keep, auto nor {sockets: …, cores: …, threads: …}"),
        ]
        | None
    ) = None
    max_sockets: Positive | None = None
    host: Text | None = None
    nodes: list[Count] | None = None
    memory_nodes: list[Count] | None = None
    pins: (
        Annotated[
            Annotated[Literal["fixed"], BeforeValidator(fixed), Tag("text")]
            | Annotated[dict[Count, SomeCpus], Tag("mapping")],
            either("is neither fixed nor a mapping of vCPUs to CPUs"),
        ]
        | None
    ) = None
    pins_fixed: Bool | None = None
    emulator: SomeCpus | None = None
    iothread_pins: dict[Positive, SomeCpus] | None = None
    bound: (
        Annotated[
            Annotated[BoundEntry, Tag("mapping")] | Annotated[list[BoundEntry], Tag("list")],
            either("is neither {cpus: …, memory: …} nor a list of these, one a cell"),
        ]
        | None
    ) = None
    memory_on: dict[Count, Kib] | None = None
    pin: Literal["never", "allowed", "must"] | None = None
    movable: Literal["live", "cold", "false"] | None = None
    movable_why: list[Text] | None = None
    running: Bool | None = None
    usage: UsageEntry | None = None
    notes: list[Text] | None = None


Values = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[Text], Tag("list")],
    either("is neither a value nor a list of values"),
]
Selection = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[Text], Tag("list")] | Annotated[dict[Text, Values], Tag("mapping")],
    either("is neither a name, a list of names nor labels such as {app: db}"),
]


class FailureEntry(Entry):
    """``rules[].reserve``: how many domains of a scope may fail at once."""

    fail: Positive
    scope: Text = "host"
    members: Selection | None = None


class RuleEntry(Entry):
    """``rules[]``: exactly one of the kinds, and what that kind takes."""

    anti_affinity: Selection | None = None
    affinity: Selection | None = None
    within: Selection | None = None
    outside: Selection | None = None
    drain: Selection | None = None
    reserve: FailureEntry | None = None
    hosts: Selection | None = None
    scope: Text | None = None
    max_per: Positive | None = None
    unless: Selection | None = None
    name: Text | None = None


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
        near = get_close_matches(str(path[-1]), known, n=1)
        return path, "unknown key", f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    if kind == "missing":
        return path, "is missing", None
    if kind == "value_error":
        error = fault["ctx"]["error"]
        return path, str(error), getattr(error, "cure", None)
    if kind == "literal_error":
        near = get_close_matches(str(fault["input"]), _words(fault["ctx"]["expected"]), n=1)
        message = f"{shown(fault['input'])} is not {fault['ctx']['expected']}"
        return path, message, f"did you mean {near[0]}?" if near else None
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
