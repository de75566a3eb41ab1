"""What a verification found, as metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from placer.emit.prometheus import Family
from placer.live.verify import Verification


def verify_families(found: Verification) -> list[Family]:
    """Return VMs, drift and locality by host, as planned and as measured."""
    vms: dict[str, int] = defaultdict(int)
    seen: dict[str, int] = defaultdict(int)
    drifted: dict[str, int] = defaultdict(int)
    drifts: dict[str, int] = defaultdict(int)
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in found.vms:
        vms[one.host] += 1
        seen[one.host] += one.looked_at
        drifted[one.host] += bool(one.drifts)
        drifts[one.host] += len(one.drifts)
        for source, share in (("planned", one.planned_share), ("measured", one.measured_share)):
            if share is not None:
                shares[one.host, source].append(share)

    def by_host(counts: Mapping[str, int]) -> list[tuple[dict[str, str], float]]:
        return [({"host": host}, counts.get(host, 0)) for host in sorted(vms)]

    return [
        Family(name="placer_plan_vms", help="VMs that the plan has on a host.", samples=by_host(vms)),
        Family(name="placer_seen_vms", help="Of these, VMs that were looked at.", samples=by_host(seen)),
        Family(name="placer_drifted_vms", help="VMs of which something is not as planned.", samples=by_host(drifted)),
        Family(name="placer_drifts", help="Things that are not as planned.", samples=by_host(drifts)),
        Family(
            name="placer_remote_access_ratio",
            help="Share of accesses to memory that leave their node, the mean of a host's VMs.",
            samples=[
                ({"host": host, "source": source}, sum(values) / len(values))
                for (host, source), values in sorted(shares.items())
            ],
        ),
        Family(
            name="placer_unreached_hosts",
            help="Hosts that did not answer, or whose files could not be read.",
            samples=[({}, len(found.failures))],
        ),
    ]
