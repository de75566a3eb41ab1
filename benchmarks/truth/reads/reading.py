"""An inventory as a person writes it, read for the reference model: its own reader, from docs/reference/inventory.md.

Only what decides where a VM may be is read. A wrong inventory is not looked for: that is the business of placer's own
reader, through which every raced fleet goes as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from benchmarks.truth.reads.quantities import cpu_list, kib
from benchmarks.truth.reads.reserve import kept_cpus, reserved_nodes, size_or_share
from benchmarks.truth.reads.rules import Rule, drain_of, read_rules

DEFAULT_DISTANCE = 20
UNREACHABLE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A NUMA node of `whole_kib` in all: `memory_kib` ordinary memory for VMs, `pools` pages for VMs by size (KiB),
    reserves taken off.
    """

    id: int
    cpus: frozenset[int]
    whole_kib: int
    kind: str
    memory_kib: int
    pools: Mapping[int, int]
    resources: Mapping[str, int]

    @property
    def has_memory(self) -> bool:
        """Tell whether it has any memory."""
        return self.whole_kib > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host. `core_of` and `l3_of` map a CPU to the whole set; a CPU in no told L3 domain is in none of `l3_of`.

    `distance[i, j]` is the relative distance by node ids, None where j cannot be reached. `devices` maps (kind, node
    or None) to how many there are.
    """

    name: str
    nodes: tuple[Node, ...]
    distance: Mapping[tuple[int, int], Fraction | None]
    core_of: Mapping[int, frozenset[int]]
    l3_of: Mapping[int, frozenset[int]]
    node_of: Mapping[int, int]
    usable: frozenset[int]
    dedicated: frozenset[int]
    shared: frozenset[int]
    split: bool
    ratio: Fraction
    cost: Fraction
    kvm: bool
    failed: bool
    domain: str | None
    gen: int
    watts: tuple[Fraction, Fraction]
    labels: Mapping[str, str]
    devices: Mapping[tuple[str, int | None], int]
    resources: Mapping[str, int]
    efficiency: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A guest cell: ids of its vCPUs, its memory, and its page size where that is its own (4 KiB: ordinary pages)."""

    vcpus: tuple[int, ...]
    memory_kib: int
    page_kib: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A VM. `cells` are the given ones, `auto` and `flat` say that the solver cuts it or that it has one.

    `devices` are kind, policy, per and count of its requests in the order of a plan. `nodes` and `memory_nodes` are
    where its cells are now, None where that is not known. `bound` are the sets of nodes that its CPUs and its memory
    are bound to where that is not one node a cell, None for the host: one pair, or one a cell.
    """

    name: str
    vcpus: int
    memory_kib: int
    auto: bool
    flat: bool
    cells: tuple[Cell, ...]
    interleave: int
    share_node: bool
    locality: Fraction | None
    page_kib: int | None
    dedicated: frozenset[int]
    thread_policy: str
    own_emulator: bool
    overhead_kib: int
    any_tier: bool
    weight: Fraction
    priority: int
    devices: tuple[tuple[str, str, str, int], ...]
    core_kind: str = "any"
    resources: Mapping[str, int]
    labels: Mapping[str, str]
    kvm: bool
    reshape: bool
    host: str | None
    nodes: tuple[int, ...] | None
    memory_nodes: tuple[int, ...] | None
    bound: tuple[tuple[frozenset[int] | None, frozenset[int] | None], ...]
    pin: str
    pins: Mapping[int, frozenset[int]]
    pins_fixed: bool
    emulator: frozenset[int] | None
    movable: str
    running: bool
    usage: Fraction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All of it."""

    hosts: tuple[Host, ...]
    vms: tuple[Vm, ...]
    rules: tuple[Rule, ...] = field(default=())

    def host(self, name: str) -> Host:
        """Return a host by its name."""
        return next(host for host in self.hosts if host.name == name)

    def present(self, vm: Vm) -> bool:
        """Tell whether a VM is on a host that works: such a VM keeps a place."""
        return vm.host is not None and any(host.name == vm.host and not host.failed for host in self.hosts)


def read(data: Mapping[str, Any]) -> Inventory:
    """Return the inventory that a mapping of `placer.inventory/v1` describes."""
    hosts = tuple(_host(one) for one in data["hosts"])
    vms = tuple(_vm(one) for one in data.get("vms", ()))
    drains = [drain_of(one["name"], vms) for one in data["hosts"] if one.get("state") in ("drain", "maintenance")]
    rules = [rule for one in data.get("rules", ()) if "reserve" not in one for rule in read_rules(one, hosts, vms)]
    return Inventory(hosts=hosts, vms=vms, rules=(*rules, *drains))


def _host(data: Mapping[str, Any]) -> Host:
    all_cpus = frozenset[int]().union(*(cpu_list(node.get("cpus", "")) for node in data["nodes"]))
    reserve = data.get("reserve", {})
    cores = [cpu_list(text) for text in data.get("siblings", ())]
    core_of = {cpu: core for core in cores for cpu in core}
    usable = all_cpus - kept_cpus(data, core_of)
    overcommit = data.get("overcommit", 1)
    ratios = overcommit if isinstance(overcommit, Mapping) else {"cpu": overcommit}
    nodes = tuple(_node(one, data["nodes"], reserve, Fraction(str(ratios.get("memory", 1)))) for one in data["nodes"])
    l3 = [cpu_list(text) for text in data.get("l3", ())]
    dedicated, shared = _pools(data, usable)
    ids = {node.id for node in nodes}
    devices: dict[tuple[str, int | None], int] = {}
    for one in data.get("devices", ()):
        at = one.get("node") if one.get("node") in ids else None
        devices[one["kind"], at] = devices.get((one["kind"], at), 0) + one.get("count", 1)
    return Host(
        name=data["name"],
        nodes=nodes,
        distance=_distances(data, nodes),
        core_of={cpu: core_of.get(cpu, frozenset({cpu})) for cpu in all_cpus},
        l3_of={cpu: domain for domain in l3 for cpu in domain},
        node_of={cpu: node.id for node in nodes for cpu in node.cpus},
        usable=usable,
        dedicated=dedicated,
        shared=shared,
        split="dedicated_cpus" in data or "shared_cpus" in data,
        ratio=Fraction(str(ratios.get("cpu", 1))),
        cost=Fraction(str(data.get("cost", 1))),
        kvm=data.get("kvm", True),
        failed=data.get("state") == "failed" or data.get("failed", False),
        domain=data.get("migration_domain"),
        gen=data.get("gen", 0),
        watts=_watts(data),
        labels=data.get("labels", {}),
        devices=devices,
        resources={name: int(amount) for name, amount in data.get("resources", {}).items()},
        efficiency=_efficiency(data, all_cpus, core_of),
    )


def _efficiency(data: Mapping[str, Any], cpus: frozenset[int], core_of: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Return the CPUs of efficiency cores; not told, cores of one thread beside cores of several are taken for such
    where the numbers of the CPUs have no gap.
    """
    if "efficiency" in data:
        return cpu_list(data["efficiency"])
    wide = frozenset[int]().union(*(core for core in core_of.values() if len(core) > 1))
    gaps = bool(cpus) and len(cpus) <= max(cpus) - min(cpus)
    return frozenset() if gaps or not wide else cpus - wide


def _watts(data: Mapping[str, Any]) -> tuple[Fraction, Fraction]:
    """Return what a host takes while its VMs do nothing, and how much more while they do all they can."""
    idle = Fraction(str(data.get("idle_watts", 0)))
    return idle, max(Fraction(0), Fraction(str(data.get("busy_watts", idle))) - idle)


def _pools(data: Mapping[str, Any], usable: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the CPUs for dedicated and for shared vCPUs; if one set is given the other is the rest."""
    isolated = cpu_list(data.get("isolated_cpus", ""))
    dedicated = cpu_list(data["dedicated_cpus"]) if "dedicated_cpus" in data else None
    shared = cpu_list(data["shared_cpus"]) if "shared_cpus" in data else None
    for_dedicated = usable & dedicated if dedicated is not None else usable - (shared or frozenset())
    for_shared = usable & shared if shared is not None else usable - (dedicated or frozenset())
    return for_dedicated, for_shared - isolated


def _node(
    data: Mapping[str, Any], all_nodes: Sequence[Mapping[str, Any]], reserve: Mapping[str, Any], ratio: Fraction
) -> Node:
    own = dict(reserved_nodes(reserve)).get(data["id"], {})
    memory = kib(data.get("memory", "0KiB"))
    kept = size_or_share(own.get("memory", "0KiB"), memory)
    holders = [n["id"] for n in all_nodes if n.get("cpus") and kib(n.get("memory", "0KiB"))]
    holders = holders or [n["id"] for n in all_nodes]
    of_host = reserve.get("memory", "0KiB")
    if of_host.endswith("%"):
        kept += size_or_share(of_host, memory) if data.get("cpus") else 0
    elif data["id"] in holders:
        kept += -(-kib(of_host) // len(holders))
    pools: dict[int, int] = {}
    pool_kib = 0
    for text, count in data.get("pages", {}).items():
        size = kib(text)
        pool_kib += size * count
        sharing = sum(1 for n in all_nodes if n.get("pages", {}).get(text))
        whole = -(-reserve.get("pages", {}).get(text, 0) // max(1, sharing))
        pools[size] = max(0, count - own.get("pages", {}).get(text, 0) - whole)
    cpus = cpu_list(data.get("cpus", ""))
    return Node(
        id=data["id"],
        cpus=cpus,
        whole_kib=memory,
        kind=data.get("kind", "normal" if cpus else "memory-only"),
        memory_kib=max(0, int((memory - pool_kib - kept) * ratio)),
        pools=pools,
        resources={name: int(amount) for name, amount in data.get("resources", {}).items()},
    )


def _distances(data: Mapping[str, Any], nodes: Sequence[Node]) -> dict[tuple[int, int], Fraction | None]:
    table = data.get("distances")
    found: dict[tuple[int, int], Fraction | None] = {}
    for i, one in enumerate(nodes):
        for j, other in enumerate(nodes):
            figure = 10 if i == j else DEFAULT_DISTANCE if table is None else table[i][j]
            found[one.id, other.id] = None if figure >= UNREACHABLE else Fraction(str(figure)) / 10
    return found


def _vm(data: Mapping[str, Any]) -> Vm:
    vcpus, memory = data["vcpus"], kib(data["memory"])
    policy = data.get("cpu_policy", "dedicated")
    dedicated = {"dedicated": frozenset(range(vcpus)), "shared": frozenset[int]()}
    iothreads = data.get("iothreads", 0)
    iothreads = iothreads if isinstance(iothreads, int) else len(iothreads)
    overhead = 128 * 1024 + -(-memory // 512) + 8 * 1024 * (vcpus + iothreads)
    said = data.get("cells", "auto")
    locality = data.get("locality", "0.8")
    nodes, memory_nodes, bound = _now(data)
    usage = data.get("usage", {}).get("cpu_p95")
    page = kib(data["page_size"]) if "page_size" in data else None
    return Vm(
        name=data["name"],
        vcpus=vcpus,
        memory_kib=memory,
        auto=said == "auto",
        flat=said == "none",
        cells=_cells(said, vcpus, memory),
        interleave=data.get("interleave", 1),
        share_node=data.get("share_node", False),
        locality=None if locality == "uniform" or said == "none" else Fraction(str(locality)),
        page_kib=page if page != 4 else None,
        dedicated=dedicated[policy] if policy in dedicated else cpu_list(data["dedicated_vcpus"]),
        thread_policy=data.get("thread_policy", "prefer"),
        own_emulator=data.get("emulator_threads") == "isolate",
        overhead_kib=kib(data["overhead"]) if "overhead" in data else overhead,
        any_tier=data.get("memory_tier") == "any",
        weight=Fraction(str(data.get("weight", 1))),
        priority=data.get("priority", 0),
        devices=tuple(
            sorted(
                (one["kind"], one.get("policy", "preferred"), one.get("per", "vm"), one.get("count", 1))
                for one in data.get("devices", ())
            )
        ),
        core_kind=data.get("core_kind", "any"),
        resources={name: int(amount) for name, amount in data.get("resources", {}).items()},
        labels=data.get("labels", {}),
        kvm=data.get("kvm", True),
        reshape=data.get("reshape", False),
        host=data.get("host"),
        nodes=nodes,
        memory_nodes=memory_nodes,
        bound=bound,
        pin=data.get("pin", "allowed"),
        pins={int(vcpu): cpu_list(pin) for vcpu, pin in data.get("pins", {}).items()},
        pins_fixed=data.get("pins_fixed", False),
        emulator=cpu_list(data["emulator"]) if "emulator" in data else None,
        movable=str(data.get("movable", "live")),
        running=data.get("running", True),
        usage=None if usage is None else Fraction(str(usage)),
    )


_Bounds = tuple[tuple[frozenset[int] | None, frozenset[int] | None], ...]


def _now(data: Mapping[str, Any]) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None, _Bounds]:
    """Return the nodes of a VM's cells and of their memory, and what it is bound to where those are sets."""
    nodes = tuple(data.get("nodes", ())) or None
    memory = tuple(data["memory_nodes"]) if data.get("memory_nodes") else nodes
    said = data.get("bound", ())
    bound: _Bounds = tuple(
        (_set(one.get("cpus")), _set(one.get("memory"))) for one in (said if isinstance(said, list) else [said]) if one
    )
    if not bound and nodes is None and memory is not None:
        return None, None, tuple((None, frozenset({node})) for node in memory)
    if bound and all(len(cpus or ()) == len(far or ()) == 1 for cpus, far in bound):
        # A node a cell is what it says, whichever key says it.
        count = data["cells"] if isinstance(data.get("cells"), int) else 1
        count = len(data["cells"]) if isinstance(data.get("cells"), list) else count
        pairs = bound * count if len(bound) == 1 else bound
        return tuple(min(cpus or ()) for cpus, _ in pairs), tuple(min(far or ()) for _, far in pairs), ()
    return (None, None, bound) if bound else (nodes, memory, ())


def _set(said: Any) -> frozenset[int] | None:
    return None if said in (None, "host") else frozenset(said)


def _cells(said: Any, vcpus: int, memory: int) -> tuple[Cell, ...]:
    if said in ("auto", "none"):
        return () if said == "auto" else (Cell(vcpus=tuple(range(vcpus)), memory_kib=memory),)
    if isinstance(said, int):
        return equal_cells(vcpus, memory, said)
    cells, first = [], 0
    for one in said:
        own = tuple(sorted(cpu_list(one["cpus"]))) if "cpus" in one else tuple(range(first, first + one["vcpus"]))
        first += len(own)
        page = kib(one["page_size"]) if "page_size" in one else None
        cells.append(Cell(vcpus=own, memory_kib=kib(one["memory"]), page_kib=page))
    return tuple(cells)


def equal_cells(vcpus: int, memory: int, count: int) -> tuple[Cell, ...]:
    """Cut vCPUs and memory in `count` parts as even as possible, earlier ones taking what is left over."""
    cells, first = [], 0
    for number in range(count):
        own = vcpus // count + (number < vcpus % count)
        size = memory // count + (number < memory % count)
        cells.append(Cell(vcpus=tuple(range(first, first + own)), memory_kib=size))
        first += own
    return tuple(cells)
