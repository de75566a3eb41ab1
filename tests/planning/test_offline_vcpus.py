"""vCPUs that are not online float over what shared vCPUs may float over, not over CPUs that others have."""

from __future__ import annotations

from pathlib import Path

from placer import read_fleet, solve
from placer.check.check import check


def test_offline_vcpus_float_over_what_is_free(tmp_path: Path) -> None:
    """Of eight vCPUs four are online and pinned each to a CPU of its own: the others float beside these."""
    pins = "".join(f"<vcpupin vcpu='{n}' cpuset='{n}'/>" for n in range(4))
    (tmp_path / "a.xml").write_text(
        f"<domain><name>a</name><memory>1048576</memory><vcpu current='4'>8</vcpu><cputune>{pins}</cputune></domain>"
    )
    path = tmp_path / "f.yaml"
    path.write_text(
        "schema: placer.inventory/v1\n"
        'hosts: [{name: h, overcommit: 4, nodes: [{id: 0, cpus: "0-7", memory: 8GiB}]}]\n'
        "vms: [{domain: a.xml}]\n"
    )
    fleet = read_fleet(path)
    plan = solve(fleet)
    own = frozenset().union(*(plan.vms[0].pins[vcpu] for vcpu in range(4)))
    assert len(own) == 4
    assert all(plan.vms[0].pins[vcpu] == frozenset(range(8)) - own for vcpu in range(4, 8))
    assert check(fleet, plan).ok
