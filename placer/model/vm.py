"""VMs: what a VM needs (its spec, shared by all that are alike) and what one VM is (name, UUID, where it is now)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from placer.errors import InputError
from placer.model.cpu_topology import CpuTopology, TopologyPolicy

DEFAULT_LOCALITY = 0.8
DEFAULT_OVERHEAD_KIB = 128 * 1024
MAX_AUTO_CELLS = 8
ORDINARY_PAGE_KIB = 4


class CpuPolicy(StrEnum):
    """How vCPUs take CPUs: one each, floating over shared ones, or some of both."""

    DEDICATED = "dedicated"
    SHARED = "shared"
    MIXED = "mixed"


class ThreadPolicy(StrEnum):
    """How dedicated vCPUs use SMT siblings: as it comes, alone on a core, or filling whole cores: on a host with SMT
    only, as OpenStack has it, or on any host.
    """

    PREFER = "prefer"
    ISOLATE = "isolate"
    REQUIRE = "require"
    PAIRS = "pairs"

    @property
    def fills_cores(self) -> bool:
        """Tell whether the vCPUs of a cell fill whole cores, all but one."""
        return self in (ThreadPolicy.REQUIRE, ThreadPolicy.PAIRS)


class CoreKind(StrEnum):
    """Which cores of a hybrid host dedicated vCPUs may have: any, performance cores first, or those of one kind."""

    ANY = "any"
    PERFORMANCE = "performance"
    EFFICIENCY = "efficiency"


class EmulatorPolicy(StrEnum):
    """Where emulator threads and IOThreads run: the VM's own CPUs, one CPU more, or the host's housekeeping CPUs."""

    SHARE = "share"
    ISOLATE = "isolate"
    HOUSEKEEPING = "housekeeping"


class CellMode(StrEnum):
    """How the guest's cells are settled: given, none (one flat guest) or left to the solver."""

    GIVEN = "given"
    NONE = "none"
    AUTO = "auto"


class Movable(StrEnum):
    """Whether a placed VM may move, and how."""

    LIVE = "live"
    COLD = "cold"
    NO = "false"
    DRAIN = "drain"
    """Live, and only when its host is to be emptied."""

    @property
    def is_live(self) -> bool:
        """Tell whether moves are made while the VM runs."""
        return self in (Movable.LIVE, Movable.DRAIN)


class PinPolicy(StrEnum):
    """Whether a VM may be bound to nodes: not at all, where that is asked for or gains something, or in any case."""

    NEVER = "never"
    ALLOWED = "allowed"
    MUST = "must"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A guest NUMA cell: its vCPU ids and its memory (KiB, memory devices in it included).

    `page_kib` is the size of its pages where that is not the VM's: 4 are ordinary ones.
    """

    vcpus: frozenset[int]
    memory_kib: int
    mem_access: str | None = None
    page_kib: int | None = None


class MemoryMode(StrEnum):
    """How memory is bound to its node: by QEMU, for good, or by the cgroup, which may be changed while the VM runs."""

    STRICT = "strict"
    RESTRICTIVE = "restrictive"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """`count` devices of a kind: each on a node of the VM (`required`) or rather near it (`preferred`); with `per` cell
    so many on the node of every cell that has vCPUs.
    """

    kind: str
    policy: Literal["required", "preferred"] = "preferred"
    count: int = 1
    per: Literal["vm", "cell"] = "vm"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """What a VM needs. VMs that share one spec object and the same rules are interchangeable.

    `vcpus` is the maximum; `cells` are the guest's cells (one cell with everything for `CellMode.NONE`, empty for
    `CellMode.AUTO`). `interleave` is over how many nodes a flat guest's vCPUs and memory are spread in equal parts
    (1 = strict). `vcpus_current` are online at first where that is fewer; `offline_vcpus` names those that are not,
    where they are not simply the last. `real_time` are those that run under FIFO or RR. `locality` None means uniform.
    `dedicated_vcpus` are the pinned ones of a mixed VM. `page_kib` None means ordinary pages. `overhead_kib` None means
    the default formula. `memory_mode` None means that of the domain's XML, strict where there is none. `cpu_topology`
    None means that of the domain's XML, and one made from cells and pins where
    there is none or the cells are new.
    """

    vcpus: int
    memory_kib: int
    cell_mode: CellMode = CellMode.AUTO
    cells: tuple[Cell, ...] = ()
    interleave: int = 1
    share_node: bool = False
    locality: float | None = DEFAULT_LOCALITY
    page_kib: int | None = None
    cpu_policy: CpuPolicy = CpuPolicy.DEDICATED
    dedicated_vcpus: frozenset[int] = frozenset()
    thread_policy: ThreadPolicy = ThreadPolicy.PREFER
    core_kind: CoreKind = CoreKind.ANY
    emulator_threads: EmulatorPolicy | None = None
    iothreads: tuple[int, ...] = ()
    overhead_kib: int | None = None
    memory_tier: Literal["normal", "any"] = "normal"
    memory_mode: MemoryMode | None = None
    vcpus_current: int | None = None
    offline_vcpus: frozenset[int] = frozenset()
    real_time: frozenset[int] = frozenset()
    weight: float = 1.0
    priority: int = 0
    devices: tuple[DeviceRequest, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    reshape: bool = False
    kvm: bool = True
    cpu_topology: CpuTopology | TopologyPolicy | None = None
    max_sockets: int | None = None

    def __post_init__(self) -> None:
        """Refuse a spec whose cells do not add up."""
        if self.vcpus < 1:
            raise InputError(f"a VM has at least one vCPU, not {self.vcpus}", field="vcpus")
        if self.memory_kib < 0:
            raise InputError(f"memory cannot be negative: {self.memory_kib} KiB", field="memory")
        if self.cell_mode is CellMode.AUTO:
            if self.cells:
                raise InputError("cells are either auto or given", field="cells")
            return
        union: set[int] = set()
        for cell in self.cells:
            if union & cell.vcpus:
                raise InputError(f"vCPU {min(union & cell.vcpus)} is in two cells", field="cells")
            union |= cell.vcpus
        if union != set(range(self.vcpus)):
            raise InputError(
                f"the cells hold {len(union)} vCPUs, the VM has {self.vcpus}",
                field="cells",
                cure="make the cells add up",
            )
        total = sum(cell.memory_kib for cell in self.cells)
        if total != self.memory_kib:
            raise InputError(
                f"the cells hold {total} KiB, the VM has {self.memory_kib} KiB",
                field="cells",
                cure="make the cells add up",
            )

    @property
    def overhead_taken_kib(self) -> int:
        """Ordinary memory the VM takes beside its RAM (KiB): 128 MiB + RAM / 512 + 8 MiB × (vCPUs + IOThreads) unless
        given.
        """
        if self.overhead_kib is not None:
            return self.overhead_kib
        return DEFAULT_OVERHEAD_KIB + -(-self.memory_kib // 512) + 8 * 1024 * (self.vcpus + len(self.iothreads))

    def page_of(self, cell: int) -> int | None:
        """Return the huge page size (KiB) of a cell by its position, that of the VM where it has none of its own."""
        own = self.cells[cell].page_kib if cell < len(self.cells) else None
        if own is None:
            return self.page_kib
        return None if own <= ORDINARY_PAGE_KIB else own

    def device_requests(self, cells: int) -> tuple[tuple[DeviceRequest, int], ...]:
        """Return the device requests in the order of a plan, by kind, policy, `per` and count, and how many devices
        each asks for where `cells` cells have vCPUs.
        """
        ordered = sorted(self.devices, key=lambda one: (one.kind, one.policy, one.per, one.count))
        return tuple((one, one.count * (cells if one.per == "cell" else 1)) for one in ordered)

    @property
    def page_sizes(self) -> frozenset[int | None]:
        """The page sizes (KiB) of all of its cells; None are ordinary pages."""
        return frozenset(map(self.page_of, range(len(self.cells)))) if self.cells else frozenset((self.page_kib,))

    @property
    def width(self) -> int:
        """How many vCPUs run, or hold a CPU, from the start."""
        if self.cpu_policy is CpuPolicy.DEDICATED:
            return self.vcpus
        if self.offline_vcpus or self.vcpus_current is not None:
            return sum(self.is_dedicated(vcpu) or self.is_online(vcpu) for vcpu in range(self.vcpus))
        return self.vcpus

    def shared_with_helpers(self, pins: Mapping[int, frozenset[int]]) -> frozenset[int]:
        """Return the CPUs of its vCPUs that its emulator threads and IOThreads may share: not those of real-time vCPUs,
        where they would starve, unless there are no others.
        """
        ruled = frozenset[int]().union(*(pins.get(vcpu, frozenset()) for vcpu in self.real_time))
        own = frozenset[int]().union(*pins.values())
        return own - ruled or own

    def is_online(self, vcpu: int) -> bool:
        """Tell whether this vCPU is there from the start; the others can be plugged in."""
        if self.offline_vcpus:
            return vcpu not in self.offline_vcpus
        return self.vcpus_current is None or vcpu < self.vcpus_current

    @property
    def needs_smt(self) -> bool:
        """Tell whether only a host with SMT may take it, as OpenStack has it."""
        return self.thread_policy is ThreadPolicy.REQUIRE and self.cpu_policy is not CpuPolicy.SHARED

    def is_dedicated(self, vcpu: int) -> bool:
        """Tell whether this vCPU gets a CPU of its own."""
        if self.cpu_policy is CpuPolicy.MIXED:
            return vcpu in self.dedicated_vcpus
        return self.cpu_policy is CpuPolicy.DEDICATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a cell, or a whole VM, is bound to on its host: the nodes whose CPUs it may run on, and those its memory
    may lie on; None is the host, all of it. `wish` are the nodes that its memory rather lies on while there is room.
    """

    cpus: frozenset[int] | None = None
    memory: frozenset[int] | None = None
    wish: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """Where a VM is now. `nodes` and `memory_nodes` hold real node ids a cell (None: not one node a cell).

    For an interleaved flat guest the entries are its parts. `pins` maps a vCPU to its cpuset, as far as known.
    `bound` says what the VM is bound to where that is not one node a cell: one entry for the whole VM, or one a cell;
    empty where `nodes` say it, and where neither does, the VM floats over its host (`memory_nodes` alone bind its
    memory). `memory_on` is where its pages lie now (node id -> KiB), as far as known: it informs, it binds nothing.
    `devices` are the addresses of the host's devices that it has, as far as known.
    """

    host: str
    nodes: tuple[int, ...] | None = None
    memory_nodes: tuple[int, ...] | None = None
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator: frozenset[int] | None = None
    iothread_pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    bound: tuple[Bound, ...] = ()
    memory_on: Mapping[int, int] = field(default_factory=dict)
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSource:
    """The libvirt XML a VM came from: a path relative to the fleet file and the SHA-256 of its bytes.

    `memory_modes` are the modes in which it binds the memory of each cell to nodes, None where it binds none.
    """

    path: str
    sha256: str
    memory_modes: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Measured use as shares of what the VM has: 0.25 = a quarter at the 95th percentile."""

    cpu_p95: float | None = None
    memory_p95: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """One VM: identity (the UUID where there is one), its spec, and where it is now if it is anywhere.

    `manager_id` is what the platform that runs it calls it: a VMID of Proxmox, ``namespace/name`` of KubeVirt.
    `copied` are those of its free resources, sizes all of them, that are copied when it changes host: local disks.
    """

    name: str
    spec: VmSpec
    uuid: str | None = None
    manager_id: str | None = None
    current: Current | None = None
    movable: Movable = Movable.LIVE
    movable_why: tuple[str, ...] = ()
    pins_fixed: bool = False
    pin: PinPolicy = PinPolicy.ALLOWED
    running: bool = True
    domain: DomainSource | None = None
    usage: Usage | None = None
    copied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def disk_gib(self) -> float:
        """GiB that are copied beside its memory when it changes host."""
        return sum(self.spec.resources.get(name, 0) for name in self.copied) / 2**30
