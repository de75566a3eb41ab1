"""Which CPUs of a host a plan takes, and for whom: read from the pins alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from placer.measure.sets_taken import own_vcpus
from placer.model.core_pairs import core_pairs
from placer.model.fleet import Fleet
from placer.model.host import Host, Topology
from placer.model.plan import Plan, PlanVm
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy, Vm, VmSpec

NOBODY: frozenset[int] = frozenset()


@dataclass(slots=True)
class CpuUse:
    """The CPUs of one host under a plan.

    `placed` are its VMs. `holders` maps a CPU to the positions in `placed` of those who have it for themselves: through
    a dedicated vCPU or an emulator thread with a CPU of its own. `idle` are CPUs that nobody may use since a thread
    policy leaves them empty, each with the positions of the VMs whose policy it is. `own` are the CPUs of each VM's
    dedicated vCPUs.
    """

    host: Host
    placed: Sequence[tuple[Vm, PlanVm]]
    holders: dict[int, list[int]] = field(default_factory=dict)
    idle: dict[int, list[int]] = field(default_factory=dict)
    own: list[set[int]] = field(default_factory=list)

    @property
    def taken(self) -> set[int]:
        """CPUs that no shared vCPU may float over."""
        return self.holders.keys() | self.idle.keys()


def cpu_use(host: Host, placed: Sequence[tuple[Vm, PlanVm]]) -> CpuUse:
    """Return which CPUs the VMs of one host hold and leave idle.

    With thread policy ``isolate`` the siblings of every dedicated vCPU stay idle; with ``require`` and ``pairs`` those
    siblings that the VM itself does not fill. Fixed pins over several CPUs hold all of them.
    """
    use = CpuUse(host=host, placed=placed)
    holders = use.holders
    for position, (vm, planned) in enumerate(placed):
        own = dedicated_cpus(vm, planned, wide=vm.pins_fixed)
        use.own.append(own)
        for cpu in own:
            holders.setdefault(cpu, []).append(position)
        for cpu in emulator_cpus(vm.spec, planned):
            if cpu not in own:
                holders.setdefault(cpu, []).append(position)
        if vm.spec.thread_policy is not ThreadPolicy.PREFER and own:
            mates = _siblings(host.topology, own)
            if vm.spec.thread_policy.fills_cores:
                mates = mates.difference(own)
            for cpu in mates:
                use.idle.setdefault(cpu, []).append(position)
    return use


def hosts_in_use(fleet: Fleet, plan: Plan) -> Iterator[tuple[Host, list[tuple[Vm, PlanVm]]]]:
    """Yield every host that holds a VM with its VMs, in the fleet's order of hosts."""
    placed: dict[str, list[tuple[Vm, PlanVm]]] = {}
    for planned in plan.vms:
        placed.setdefault(planned.host, []).append((fleet.vm_by_name[planned.name], planned))
    for host in fleet.hosts:
        if host.name in placed:
            yield host, placed[host.name]


def dedicated_cpus(vm: Vm, planned: PlanVm, *, wide: bool = True) -> set[int]:
    """Return the CPUs of the VM's dedicated vCPUs; not `wide`: only of those that are pinned to one alone, or in groups
    to the threads of cores.
    """
    if vm.spec.cpu_policy is CpuPolicy.SHARED:
        return set()
    own = own_vcpus(vm, planned)
    pairs = NOBODY if wide else core_pairs(planned.pins)
    pins = ((vcpu, planned.pins[vcpu]) for vcpu in own)
    return set().union(*(pin for vcpu, pin in pins if wide or len(pin) == 1 or vcpu in pairs))


def loose_pins(vm: Vm, planned: PlanVm) -> list[frozenset[int]]:
    """Return the pins of dedicated vCPUs that leave open which of several CPUs each has, of a VM bound to nodes.

    Fixed pins over several CPUs leave nothing open: they hold all of them.
    """
    if planned.bound or vm.pins_fixed or vm.spec.cpu_policy is CpuPolicy.SHARED:
        return []
    wide = {vcpu: pin for vcpu, pin in planned.pins.items() if len(pin) > 1 and vm.spec.is_dedicated(vcpu)}
    pairs = core_pairs(planned.pins) if wide else NOBODY
    return [pin for vcpu, pin in wide.items() if vcpu not in pairs]


def emulator_cpus(spec: VmSpec, planned: PlanVm) -> frozenset[int]:
    """Return the CPUs that the VM's emulator threads have for themselves."""
    if planned.bound and planned.emulator is not None and len(planned.emulator) != 1:
        return NOBODY
    return planned.emulator or NOBODY if spec.emulator_threads is EmulatorPolicy.ISOLATE else NOBODY


def _siblings(topology: Topology, cpus: set[int]) -> set[int]:
    """Return the other threads of the cores: for ``isolate`` even those that are pinned too, which is a fault."""
    core_of, cores = topology.core_of_cpu, topology.cores
    out: set[int] = set()
    for cpu in cpus:
        core = cores[core_of[cpu]]
        if len(core) > 1:
            out |= core - {cpu}
    return out


def shared_cores(use: CpuUse) -> int:
    """Return the goal ``cores`` on one host: Σ over cores of (VMs that hold a CPU there − 1).

    A VM holds CPUs through dedicated vCPUs and an emulator thread with a CPU of its own. With two threads a core this
    is the number of cores that two VMs share.
    """
    core_of = use.host.topology.core_of_cpu
    pairs = {(core_of[cpu], position) for cpu, positions in use.holders.items() for position in positions}
    return len(pairs) - len({core for core, _ in pairs})


def extra_l3(use: CpuUse) -> int:
    """Return the goal ``l3`` on one host: Σ over cells and their nodes of (L3 domains used − fewest possible).

    What counts are a cell's dedicated vCPUs on a node. The fewest possible is what they would touch alone on that node:
    domains taken from the largest down, counted in CPUs of the host's dedicated pool (thread policy ``prefer``) or in
    cores of it (``isolate``, one vCPU a core; ``require`` and ``pairs``, whole cores). CPUs without an L3 domain do not
    count.
    """
    topology = use.host.topology
    l3_of, node_of = topology.l3_of_cpu, topology.node_of_cpu
    total = 0
    for vm, planned in use.placed:
        spec = vm.spec
        if spec.cpu_policy is CpuPolicy.SHARED or planned.bound:
            continue
        for cell in planned.cells:
            by_node: dict[int, set[int]] = {}
            for vcpu in cell.vcpus:
                if spec.is_dedicated(vcpu):
                    for cpu in planned.pins[vcpu]:
                        by_node.setdefault(node_of[cpu], set()).add(cpu)
            for node, cpus in by_node.items():
                used = {l3_of[cpu] for cpu in cpus if cpu in l3_of}
                if len(used) > 1:
                    total += len(used) - min(len(used), fewest_l3(use.host, node, spec.thread_policy, len(cpus)))
    return total


def fewest_l3(host: Host, node: int, policy: ThreadPolicy, vcpus: int) -> int:
    """Return how few L3 domains of a node could carry so many dedicated vCPUs if the node were empty."""
    topology = host.topology
    pool = topology.node(node).cpus & host.dedicated_pool
    sizes = []
    for domain in topology.l3:
        free = domain & pool
        cores = [len(core & free) for core in {topology.cores[topology.core_of_cpu[cpu]] for cpu in free}]
        sizes.append(len(cores) if policy is ThreadPolicy.ISOLATE else sum(cores))
    need = vcpus
    for number, size in enumerate(sorted(sizes, reverse=True), start=1):
        need -= size
        if need <= 0:
            return number
    return len(sizes)


def node_load(use: CpuUse) -> dict[int, float]:
    """Return the CPUs' worth of work a node carries: dedicated vCPUs, own emulator CPUs, shared vCPUs / ratio.

    CPUs left idle beside an isolated vCPU do no work. A shared vCPU counts on the nodes of its cpuset, by their CPUs,
    and so does a dedicated one of which nobody knows yet which CPU it has.
    """
    node_of = use.host.topology.node_of_cpu
    load: dict[int, float] = {}
    for cpu, positions in use.holders.items():
        load[node_of[cpu]] = load.get(node_of[cpu], 0.0) + len(positions)
    for vm, planned in use.placed:
        for pin in loose_pins(vm, planned):
            for node, cpus in Counter(node_of[cpu] for cpu in pin).items():
                load[node] = load.get(node, 0.0) + cpus / len(pin)
    for node, vcpus in shared_vcpus(use).items():
        load[node] = load.get(node, 0.0) + vcpus / use.host.cpu_ratio
    return load


def shared_vcpus(use: CpuUse) -> dict[int, float]:
    """Return how many shared vCPUs online lie on each node; one whose cpuset spans nodes counts by its CPUs."""
    node_of = use.host.topology.node_of_cpu
    found: dict[int, float] = {}
    on: dict[frozenset[int], Counter[int]] = {}
    for vm, planned in use.placed:
        if vm.spec.cpu_policy is CpuPolicy.DEDICATED and not planned.bound:
            continue
        sets: dict[frozenset[int], int] = {}
        own = own_vcpus(vm, planned)
        for vcpu, pin in planned.pins.items():
            if vm.spec.is_online(vcpu) and vcpu not in own:
                sets[pin] = sets.get(pin, 0) + 1
        for pin, count in sets.items():
            if pin not in on:
                on[pin] = Counter(node_of[cpu] for cpu in pin)
            for node, cpus in on[pin].items():
                found[node] = found.get(node, 0.0) + count * cpus / len(pin)
    return found


def node_usage(use: CpuUse) -> dict[int, float]:
    """Return the CPUs' worth of work a node really carries: a vCPU counts for what of its time it uses (`cpu_p95`).

    VMs whose usage is not known count for what they ask for, as in `node_load`.
    """
    node_of = use.host.topology.node_of_cpu
    unknown = [pair for pair in use.placed if pair[0].usage is None or pair[0].usage.cpu_p95 is None]
    load = node_load(cpu_use(use.host, unknown))
    for vm, planned in use.placed:
        if vm.usage is not None and vm.usage.cpu_p95 is not None:
            for pin in planned.pins.values():
                for cpu in pin:
                    load[node_of[cpu]] = load.get(node_of[cpu], 0.0) + vm.usage.cpu_p95 / len(pin)
    return load
