"""The plan: where every VM goes, and how good that is. `placer.plan/v1` is its file form."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from placer.model.notebook import html_table
from placer.model.units import count
from placer.model.vm import Bound

if TYPE_CHECKING:
    import pandas as pd

PLAN_SCHEMA = "placer.plan/v1"


class Change(StrEnum):
    """What a plan does to a VM, in growing order of what it costs."""

    NONE = "none"
    FOLLOW = "follow"
    """CPUs that it floats over are given to others, and its cpusets leave them; all else stays as it is."""
    REPIN = "repin"
    RENODE = "renode"
    MIGRATE = "migrate"
    RESTART = "restart"

    @property
    def stays(self) -> bool:
        """Tell whether the VM is left as it is, but for cpusets that follow what others are given."""
        return self in (Change.NONE, Change.FOLLOW)

    @property
    def moves(self) -> bool:
        """Tell whether the VM goes to another node or host."""
        return self in (Change.RENODE, Change.MIGRATE, Change.RESTART)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCell:
    """A guest cell: its vCPUs and on which host nodes its memory lies (node id -> KiB).

    `mode` is ``strict`` (one node), ``interleave`` (equal parts) or ``floats`` (the kernel puts it where it likes, so
    no nodes are named). A flat guest has one cell with id 0.
    """

    id: int
    vcpus: frozenset[int]
    memory_kib: int
    mode: Literal["strict", "interleave", "floats"]
    nodes: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVm:
    """One placed VM: host, cells, and the hard affinity of every vCPU, the emulator threads and the IOThreads.

    A vCPU whose cpuset holds one CPU of its own is dedicated; shared vCPUs float over several. `bound` says what the VM
    is bound to where that is not one node a cell, in the terms of `Current.bound`: its `pins` then are the CPUs that
    its vCPUs may run on, and what is the whole host there is not pinned. `shown` says whether the
    guest sees its cells (False: flat guest). `addresses` are those of its `devices`, in their order, None where one is
    not known; empty where none is. `new_cells` says that the solver chose the cells, so the guest's ABI is
    new.
    """

    name: str
    host: str
    cells: tuple[PlanCell, ...]
    pins: Mapping[int, frozenset[int]]
    uuid: str | None = None
    shown: bool = False
    new_cells: bool = False
    emulator: frozenset[int] | None = None
    iothreads: Mapping[int, frozenset[int]] = field(default_factory=dict)
    devices: tuple[tuple[str, int | None], ...] = ()
    addresses: tuple[str | None, ...] = ()
    bound: tuple[Bound, ...] = ()
    change: Change = Change.NONE
    from_host: str | None = None

    @property
    def named_devices(self) -> tuple[str, ...]:
        """Each device by its kind, and by its PCI address where the plan names one."""
        named = itertools.zip_longest(self.devices, self.addresses[: len(self.devices)])
        return tuple(kind if address is None else f"{kind} {address}" for (kind, _), address in named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A VM without a place and the reason in the planner's words."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalResult:
    """How good the plan is in one goal. `value` and `bound` are in the goal's own unit; unknown is None.

    `source` says where the bound comes from, `stopped` why the search ended. `held_at` names the first earlier goal
    that is not proven, where there is one; `held` the values of earlier goals under which the bound holds: for every
    plan that is no worse in them, and of goals that are not named whatever they are; of ``rules`` it is what is broken
    without the room that rules keep. `tiers` are the parts of a goal that is several objectives in order.
    """

    name: str
    value: float | None
    bound: float | None
    gap: float | None
    source: str
    status: Literal["optimal", "feasible", "unknown", "infeasible"]
    stopped: str = ""
    held_at: str | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    tiers: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPart:
    """A piece of the work on a plan: so many `steps` of a `stage` came to their end, and then the limit did not allow
    one as often as `cut` says. `reached` (CRC-32) stands for what was used of something cut off.
    """

    stage: str
    steps: int
    cut: int = 0
    reached: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole plan. `certificate` (integer duals) travels in the side file, never in the plan itself.

    `work` is what was done to find it: plans of the same input and work are the same, wherever a limit cut it.
    """

    fleet_path: str | None
    fleet_digest: str
    seed: int
    rounds: int
    status: str
    goals: tuple[GoalResult, ...]
    vms: tuple[PlanVm, ...]
    unplaced: tuple[Unplaced, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    certificate: Mapping[str, Any] | None = None
    work: tuple[WorkPart, ...] = ()

    @cached_property
    def vm_by_name(self) -> Mapping[str, PlanVm]:
        """Placed VMs by name."""
        return {vm.name: vm for vm in self.vms}

    def _repr_html_(self) -> str:
        """Show the goals in a notebook."""
        rows = [(goal.name, goal.value, goal.bound, goal.gap, goal.status) for goal in self.goals]
        caption = f"{count(len(self.vms), 'VM')} placed, {len(self.unplaced):,} without a place: {self.status}"
        return html_table(caption, ("goal", "value", "bound", "gap", "status"), rows)

    def goal(self, name: str) -> GoalResult:
        """Return the result of a goal; KeyError if the plan has no such goal."""
        for goal in self.goals:
            if goal.name == name:
                return goal
        raise KeyError(name)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a vCPU: vm, host, cell, vcpu, node, cpuset, affinity (hard or floating)."""
        import pandas as pd

        from placer.model.cpuset import format_cpuset

        columns = ("vm", "uuid", "host", "cell", "vcpu", "memory_nodes", "cpuset", "affinity", "change")
        rows = []
        for vm in self.vms:
            for cell in vm.cells:
                memory = format_cpuset(cell.nodes)
                for vcpu in sorted(cell.vcpus):
                    pin = vm.pins[vcpu]
                    rows.append(
                        (
                            vm.name,
                            vm.uuid,
                            vm.host,
                            cell.id,
                            vcpu,
                            memory,
                            format_cpuset(pin),
                            "hard" if len(pin) == 1 else "floating",
                            vm.change.value,
                        )
                    )
        return pd.DataFrame.from_records(rows, columns=list(columns))
