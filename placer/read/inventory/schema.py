"""The shape of ``placer.inventory/v1`` as pydantic models: keys and types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag

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
    unit_share,
)

SCHEMA = "placer.inventory/v1"


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
    count: Positive | None = None
    functions: list[Text] = []
    group: Text | None = None


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
    huge_pages: Literal["unknown"] | None = None
    arch: Text | None = None
    model: Text | None = None
    source: Text | None = None
    assumptions: list[Text] | None = None
    bandwidth_mib_s: list[list[Number | None]] | None = None
    distances: list[list[Number]] | None = None
    distances_from: Text | None = None
    devices: list[DeviceEntry] | None = None
    links_from: Text | None = None
    reserve: ReserveEntry | None = None
    dedicated_cpus: Cpus | None = None
    shared_cpus: Cpus | None = None
    isolated_cpus: Cpus | None = None
    overcommit: Overcommit | None = None
    cost: Share | None = None
    wide_vms: Bool | None = None
    idle_watts: Share | None = None
    busy_watts: Share | None = None
    kvm: Bool | None = None
    failed: Bool | None = None
    state: Literal["normal", "drain", "maintenance", "failed"] | None = None
    migration_domain: Text | None = None
    gen: Count | None = None
    labels: Labels | None = None
    resources: Resources | None = None
    settings: SettingsEntry | None = None


class CellEntry(Entry):
    """``vms[].cells[]``: a guest cell; ``cpus`` names its vCPUs where they are not simply the next ones."""

    vcpus: Count | None = None
    cpus: Cpus | None = None
    memory: Kib
    mem_access: Literal["shared", "private"] | None = None
    page_size: PageKib | None = None


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
    per: Literal["vm", "cell"] = "vm"


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
    memory_mode: Literal["strict", "restrictive"] | None = None
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
    device_addresses: list[Text] | None = None
    pin: Literal["never", "allowed", "must"] | None = None
    movable: Literal["live", "cold", "drain", "false"] | None = None
    movable_why: list[Text] | None = None
    running: Bool | None = None
    usage: UsageEntry | None = None
    copied: list[Text] | None = None
    notes: list[Text] | None = None


Values = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[Text], Tag("list")],
    either("is neither a value nor a list of values"),
]
Selection = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[Text], Tag("list")] | Annotated[dict[Text, Values], Tag("mapping")],
    either("is neither a name, a list of names nor labels such as {app: db}"),
]


Pairs = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[list[Text]], Tag("list")],
    either("is neither a file nor a list of pairs"),
]


class FailureEntry(Entry):
    """``rules[].reserve``: how many domains of a scope may fail at once."""

    fail: Positive
    scope: Text = "host"
    members: Selection | None = None


class HoldEntry(Entry):
    """``rules[].hold``: how many slots of a flavor stay free, in each domain of a scope or in all."""

    flavor: Text
    count: Positive
    scope: Text | None = None


class RuleEntry(Entry):
    """``rules[]``: exactly one of the kinds, and what that kind takes."""

    anti_affinity: Selection | None = None
    affinity: Selection | None = None
    apart: list[Selection] | None = None
    pairs: Pairs | None = None
    label: Text | None = None
    alone: Selection | None = None
    dedicated: Selection | None = None
    spread: Selection | None = None
    even: Selection | None = None
    share: Selection | None = None
    within: Selection | None = None
    outside: Selection | None = None
    drain: Selection | None = None
    reserve: FailureEntry | None = None
    hold: HoldEntry | None = None
    failover_for: Selection | None = None
    hosts: Selection | None = None
    scope: Text | None = None
    max_per: Positive | None = None
    unless: Selection | None = None
    max_together: Count | None = None
    at_least: Positive | None = None
    max_skew: Count | None = None
    max_vcpus: Count | None = None
    max_memory: Kib | None = None
    max_hosts: Count | None = None
    soft: Bool | None = None
    weight: Positive | None = None
    priority: Int | None = None
    name: Text | None = None
