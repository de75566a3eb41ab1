"""When two hosts are built and run alike."""

from __future__ import annotations

from collections.abc import Hashable

from placer.model.host import Host


def same_shape(host: Host, pattern: Host) -> bool:
    """Tell whether two hosts are of one shape: the same topology, reserves and overcommit."""
    same = host.topology is pattern.topology or host.topology == pattern.topology
    return same and said_of(host) == said_of(pattern)


def said_of(host: Host) -> tuple[object, ...]:
    """Return what is said of a host beside its topology, its name and its labels."""
    return (
        (host.reserve, host.dedicated_cpus, host.shared_cpus, host.isolated_cpus, host.cpu_ratio, host.memory_ratio),
        (
            host.cost,
            host.idle_watts,
            host.busy_watts,
            host.wide_vms,
            host.kvm,
            host.migration_domain,
            host.gen,
            host.resources,
        ),
    )


def room_key(host: Host) -> Hashable:
    """Return what of a host by itself settles how much it has and of what."""
    return (
        id(host.topology),
        id(host.reserve),
        host.dedicated_cpus,
        host.shared_cpus,
        host.isolated_cpus,
        host.cpu_ratio,
        host.memory_ratio,
        tuple(sorted(host.resources.items())),
    )
