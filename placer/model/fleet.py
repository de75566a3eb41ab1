"""The fleet: all hosts, VMs and rules of one plan, and where they were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from placer.model.host import Host
from placer.model.notebook import html_table
from placer.model.rules import Rule, RuleKind, matches
from placer.model.sets import floats
from placer.model.units import count
from placer.model.vm import CpuPolicy, Movable, Vm


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What is planned. `path` and `digest` (sha256 of the file and all it names) tie a plan to it.

    `base_dir` is the directory that paths in the fleet (domain XML) are relative to. `warnings` are the reader's
    plain sentences on what it could not carry over or had to assume. `only_drained` says that no VM may move but those
    on hosts that are to be emptied, `still` that nothing changes on these hosts: no VM comes and none leaves.
    """

    hosts: tuple[Host, ...]
    vms: tuple[Vm, ...]
    rules: tuple[Rule, ...] = ()
    path: str | None = None
    digest: str = ""
    base_dir: str | None = None
    warnings: tuple[str, ...] = ()
    only_drained: bool = False
    still: frozenset[str] = frozenset()

    @cached_property
    def host_by_name(self) -> Mapping[str, Host]:
        """Hosts by name."""
        return {host.name: host for host in self.hosts}

    @cached_property
    def vm_by_name(self) -> Mapping[str, Vm]:
        """VMs by name."""
        return {vm.name: vm for vm in self.vms}

    @cached_property
    def drained(self) -> frozenset[str]:
        """Names of the hosts that are to be emptied."""
        rules = [rule for rule in self.rules if rule.kind is RuleKind.DRAIN and not rule.is_soft]
        return frozenset(
            host.name
            for host in (self.hosts if rules else ())
            if any(matches(rule.hosts, host.name, host.labels) for rule in rules)
        )

    def _repr_html_(self) -> str:
        """Show the hosts in a notebook, those with the most VMs first."""
        held = Counter(vm.current.host for vm in self.vms if vm.current is not None)
        rows = [
            (host.name, len(host.topology.nodes), len(host.topology.cpus), held[host.name])
            for host in sorted(self.hosts, key=lambda host: -held[host.name])
        ]
        sizes = ((self.hosts, "host"), (self.vms, "VM"), (self.rules, "rule"))
        caption = ", ".join(count(len(found), one) for found, one in sizes)
        return html_table(caption, ("host", "nodes", "CPUs", "VMs now"), rows)

    def is_held(self, vm: Vm) -> bool:
        """Tell whether a VM may not move now: never, or not while its host is not to be emptied."""
        if self.still and vm.current is not None and vm.current.host in self.still:
            return True
        if self.only_drained or vm.movable is Movable.DRAIN:
            return vm.movable is Movable.NO or vm.current is None or vm.current.host not in self.drained
        return vm.movable is Movable.NO

    @cached_property
    def most_float(self) -> bool:
        """Whether more than half of the VMs float."""
        return 2 * sum(floats(vm) for vm in self.vms) > len(self.vms)

    @cached_property
    def most_share(self) -> bool:
        """Whether more than half of the VMs share CPUs."""
        return 2 * sum(vm.spec.cpu_policy is CpuPolicy.SHARED for vm in self.vms) > len(self.vms)

    @cached_property
    def is_live(self) -> bool:
        """Tell whether any VM is already on a host."""
        return any(vm.current is not None for vm in self.vms)
