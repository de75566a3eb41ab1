"""How VMs lie on their nodes now: who is far from its memory, by how much, and whose pins overlap. No plan needed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from placer.measure.as_now import places_now
from placer.measure.measure import ScoreCache, total_score
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.moves.changes import Spots


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedVm:
    """One VM on known nodes: remote access in vCPU equivalents, and the share of its accesses that leave the node."""

    vm: str
    host: str
    vcpus: int
    cpu_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    remote_access: float
    remote_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedHost:
    """One host: VMs on known nodes, the sum of their remote access, the mean share of accesses that stay local."""

    host: str
    vms: int
    remote_access: float
    locality_score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A CPU that is given to more than one dedicated vCPU; `vms` holds a VM as often as it has one of them."""

    host: str
    cpu: int
    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the VMs of a fleet are now.

    Attributes
    ----------
    vms, hosts : the worst first; VMs on known nodes and hosts that hold such alone.
    floating : VMs on a host whose CPUs or memory lie on no known node: how far they are from it is not known.
    pinned_nowhere : those of `floating` of which nothing is bound or pinned.
    overlaps : CPUs given twice, by host.
    locality_score : 100 is all local, of `vms`; None where there are none.
    """

    vms: tuple[PlacedVm, ...]
    hosts: tuple[PlacedHost, ...]
    floating: int
    pinned_nowhere: int
    overlaps: tuple[Overlap, ...]
    remote_access: float
    locality_score: float | None

    @property
    def far(self) -> int:
        """VMs of which some accesses leave the node."""
        return sum(1 for vm in self.vms if vm.remote_access > 0)


def placement_now(fleet: Fleet) -> Placement:
    """Measure a fleet as it runs; devices that VMs have are not told and count for nothing."""
    cache, spots = ScoreCache(), Spots(fleet)
    vms, scores, floating, nowhere = [], {}, 0, 0
    by_host: dict[str, list[str]] = defaultdict(list)
    for vm, at in places_now(fleet):
        if at is None or at.bound:
            floating += 1
            now = vm.current
            nowhere += now is not None and not now.bound and not now.pins and now.memory_nodes is None
            continue
        host = fleet.host_by_name[at.host]
        score = scores[vm.name] = cache.score(vm.spec, host.topology, at)
        by_host[host.name].append(vm.name)
        spot = spots.of(at)
        vms.append(
            PlacedVm(
                vm=vm.name,
                host=host.name,
                vcpus=vm.spec.vcpus,
                cpu_nodes=spot.cpu_nodes or (),
                memory_nodes=spot.memory_nodes or (),
                remote_access=score.remote_access,
                remote_share=score.remote_share,
            )
        )
    hosts = []
    for name, names in by_host.items():
        part = total_score({vm: scores[vm] for vm in names})
        hosts.append(
            PlacedHost(host=name, vms=len(names), remote_access=part.remote_access, locality_score=part.locality_score)
        )
    whole = total_score(scores)
    return Placement(
        vms=tuple(sorted(vms, key=lambda vm: (-vm.remote_access, vm.vm))),
        hosts=tuple(sorted(hosts, key=lambda host: (-host.remote_access, host.host))),
        floating=floating,
        pinned_nowhere=nowhere,
        overlaps=tuple(_overlaps(fleet)),
        remote_access=whole.remote_access,
        locality_score=whole.locality_score,
    )


def _overlaps(fleet: Fleet) -> list[Overlap]:
    holders: dict[tuple[str, int], list[str]] = defaultdict(list)
    for vm in fleet.vms:
        if vm.current is not None and is_present(fleet, vm):
            for vcpu, pin in vm.current.pins.items():
                if len(pin) == 1 and vm.spec.is_dedicated(vcpu):
                    holders[vm.current.host, next(iter(pin))].append(vm.name)
    return [
        Overlap(host=host, cpu=cpu, vms=tuple(names))
        for (host, cpu), names in sorted(holders.items())
        if len(names) > 1
    ]
