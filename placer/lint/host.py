"""Lint of hosts: kernel settings and daemons that work against the pins and memory policy of the VMs on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from placer.lint.remark import Remark
from placer.lint.seen import Said, pins_something
from placer.model.cpuset import format_cpuset
from placer.model.host import Host
from placer.model.units import count
from placer.model.vm import Vm

_NAMED = 5


def numa_balancing(host: Host, vms: Sequence[Vm]) -> Iterator[Said]:
    """Automatic NUMA balancing unmaps pages to see who touches them, and finds nothing to mend in a pinned guest."""
    if host.settings.numa_balancing and any(map(pins_something, vms)):
        yield "automatic NUMA balancing beside pinned VMs", "sysctl kernel.numa_balancing=0"


def ksm_across_nodes(host: Host, vms: Sequence[Vm]) -> Iterator[Said]:
    """KSM keeps one copy of equal pages, on one node: for the others they are remote."""
    settings = host.settings
    if settings.ksm and settings.ksm_across_nodes is not False and vms and len(host.topology.nodes) > 1:
        yield "KSM merges pages across nodes", "set /sys/kernel/mm/ksm/merge_across_nodes to 0, or stop KSM"


def thp(host: Host, vms: Sequence[Vm]) -> Iterator[Said]:
    """Without transparent huge pages, guests on ordinary pages miss the TLB; ``always`` runs khugepaged over pinned
    CPUs.
    """
    mode = host.settings.thp
    if mode == "never" and any(vm.spec.page_kib is None for vm in vms):
        yield "transparent huge pages are off, and VMs use ordinary pages", "set them to madvise, or page_size: 1GiB"
    if mode == "always" and any(vm.spec.page_kib is not None for vm in vms):
        yield (
            "transparent huge pages are 'always' beside VMs on huge pages: khugepaged takes time",
            "set them to madvise",
        )


def numad(host: Host, vms: Sequence[Vm]) -> Iterator[Said]:
    """Numad moves processes between nodes while they run."""
    if host.settings.numad and any(map(pins_something, vms)):
        yield "numad runs beside pinned VMs, and moves them", "stop and disable numad"


def cpus_pinned_twice(host: Host, vms: Sequence[Vm]) -> Iterator[Said]:
    """Two VMs with the same CPU of their own, as copied XML leaves it."""
    holders: dict[int, list[str]] = {}
    for vm in vms:
        now = vm.current
        if now is not None and now.host == host.name:
            own = {
                cpu for vcpu, cpus in now.pins.items() if len(cpus) == 1 and vm.spec.is_dedicated(vcpu) for cpu in cpus
            }
            for cpu in own:
                holders.setdefault(cpu, []).append(vm.name)
    together: dict[tuple[str, ...], list[int]] = {}
    for cpu, sharers in holders.items():
        if len(sharers) > 1:
            together.setdefault(tuple(sharers), []).append(cpu)
    for names, cpus in together.items():
        named = ", ".join(repr(name) for name in names[:_NAMED]) + (" and more" if len(names) > _NAMED else "")
        yield f"VMs {named} are pinned to the same CPUs {format_cpuset(cpus)}", "give each CPUs of its own"


def floating_unbalanced(host: Host, vms: Sequence[Vm]) -> Iterator[Said]:
    """Where nothing binds a VM and the kernel does not balance either, its pages stay where they happened to fall."""
    if host.settings.numa_balancing is False and len(host.topology.nodes) > 1:
        floating = [vm for vm in vms if vm.current is not None and vm.current.nodes is None and not vm.current.pins]
        if floating:
            yield (
                f"{count(len(floating), 'VM floats', 'VMs float')} over its nodes, and automatic NUMA balancing is off",
                "sysctl kernel.numa_balancing=1, or bind them",
            )


RULES: tuple[tuple[str, Callable[[Host, Sequence[Vm]], Iterator[Said]]], ...] = (
    ("numa-balancing", numa_balancing),
    ("ksm-across-nodes", ksm_across_nodes),
    ("thp", thp),
    ("numad", numad),
    ("cpus-pinned-twice", cpus_pinned_twice),
    ("floating-unbalanced", floating_unbalanced),
)


def lint_host(host: Host, vms: Sequence[Vm]) -> Iterator[Remark]:
    """Yield what the rules say of one host and the VMs that are, or may come, there."""
    for name, rule in RULES:
        for message, cure in rule(host, vms):
            yield Remark(rule=name, subject=f"host {host.name!r}", message=message, cure=cure)
