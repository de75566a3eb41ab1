"""The fleet: all hosts, VMs and rules of one plan, and where they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from placer.model.host import Host
from placer.model.rules import Rule
from placer.model.vm import Vm


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What is planned. `path` and `digest` (sha256 of the file and all it names) tie a plan to it.

    `base_dir` is the directory that paths in the fleet (domain XML) are relative to. `warnings` are the reader's
    plain sentences on what it could not carry over or had to assume.
    """

    hosts: tuple[Host, ...]
    vms: tuple[Vm, ...]
    rules: tuple[Rule, ...] = ()
    path: str | None = None
    digest: str = ""
    base_dir: str | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def host_by_name(self) -> Mapping[str, Host]:
        """Hosts by name."""
        return {host.name: host for host in self.hosts}

    @cached_property
    def vm_by_name(self) -> Mapping[str, Vm]:
        """VMs by name."""
        return {vm.name: vm for vm in self.vms}

    @property
    def is_live(self) -> bool:
        """Tell whether any VM is already on a host."""
        return any(vm.current is not None for vm in self.vms)
