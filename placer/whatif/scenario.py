"""Scenarios: a fleet as it would be after edits, with what each edit changed in plain words."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from placer.errors import Fault, InputError
from placer.model.fleet import Fleet
from placer.model.goals import with_policy
from placer.model.host import Host
from placer.model.rules import Selection, drain_of, matches, values_of
from placer.model.same_host import same_shape
from placer.model.units import count
from placer.model.vm import Vm
from placer.read.documents.scenario_file import Edit, Scenario
from placer.read.inventory.entries import MAX_COUNT
from placer.read.inventory.rules import LabelIndex, Said, selection_of
from placer.read.text.located import FaultLog, freeze
from placer.sweeps.tasks import Variant
from placer.whatif import edit_hosts as on_hosts
from placer.whatif import edit_vms as on_vms

_NAMED = 3


def variants(fleet: Fleet, scenarios: Sequence[Scenario], *, stack: bool = False) -> tuple[Variant, ...]:
    """Return the fleet as it is and after each scenario; stacked, each begins where the one before ended.

    Raises
    ------
    InputError
        All faults of all scenarios: an edit that selects nothing, cannot be made, or contradicts another one.
    """
    out = [Variant(name="base", fleet=fleet)]
    faults: list[Fault] = []
    for scenario in scenarios:
        start = out[-1] if stack else out[0]
        try:
            out.append(apply_scenario(start.fleet, scenario))
        except InputError as error:
            faults.extend(error.faults)
            if stack:
                break
    if faults:
        raise InputError(faults)
    return tuple(out)


def apply_scenario(fleet: Fleet, scenario: Scenario) -> Variant:
    """Return the fleet after the edits of one scenario, made in their order.

    Raises
    ------
    InputError
        Every edit that selects nothing, cannot be made, or contradicts an earlier one, with its line.
    """
    work = _Work(fleet=fleet, scenario=scenario, log=FaultLog(scenario.file))
    for edit in scenario.edits:
        try:
            work.changes.append(work.apply(edit))
        except InputError as error:
            work.log.take(error, line=edit.line, field=edit.kind)
    work.log.raise_if_any()
    if not any(not host.failed for host in work.fleet.hosts):
        raise InputError("no host is left that works", file=scenario.file, line=scenario.edits[-1].line)
    said = repr((fleet.digest, [freeze(edit.tree) for edit in scenario.edits]))
    changed = dataclasses.replace(work.fleet, digest=hashlib.sha256(said.encode()).hexdigest())
    return Variant(name=scenario.name, fleet=changed, changes=tuple(work.changes))


@dataclass(slots=True)
class _Work:
    """A fleet under edit. `touched` is aspect and object -> the line of the edit that set it."""

    fleet: Fleet
    scenario: Scenario
    log: FaultLog
    changes: list[str] = field(default_factory=list)
    touched: dict[tuple[str, str], int | None] = field(default_factory=dict)

    def apply(self, edit: Edit) -> str:
        """Make one edit and return what it did."""
        if edit.kind in ("add_hosts", "remove_hosts", "fail", "drain"):
            return {
                "add_hosts": self._add_hosts,
                "remove_hosts": self._remove_hosts,
                "fail": self._fail,
                "drain": self._drain,
            }[edit.kind](edit)
        if edit.kind in ("add_vms", "remove_vms", "grow", "change_vms"):
            return {
                "add_vms": self._add_vms,
                "remove_vms": self._remove_vms,
                "grow": self._grow,
                "change_vms": self._change_vms,
            }[edit.kind](edit)
        return self._edit_hosts(edit)

    def _hosts(self, selection: Said | None) -> list[Host]:
        """Return the hosts selected by name, labels or shape; all for None."""
        if selection is None:
            return list(self.fleet.hosts)
        if isinstance(selection, dict) and set(selection) == {"shape"}:
            pattern = self._host(str(selection["shape"]))
            return [host for host in self.fleet.hosts if same_shape(host, pattern)]
        wanted = selection_of(selection)
        found = [host for host in self.fleet.hosts if matches(wanted, host.name, host.labels)]
        if not found:
            hint = LabelIndex((host.name, host.labels) for host in self.fleet.hosts).hint(wanted)
            raise InputError(f"no host has {_words(wanted)}", cure=hint)
        return found

    def _host(self, name: str) -> Host:
        return self._hosts(name)[0]

    def _vms(self, selection: Said | None) -> list[Vm]:
        if selection is None:
            return list(self.fleet.vms)
        wanted = selection_of(selection)
        found = [vm for vm in self.fleet.vms if matches(wanted, vm.name, vm.spec.labels)]
        if not found:
            hint = LabelIndex((vm.name, vm.spec.labels) for vm in self.fleet.vms).hint(wanted)
            raise InputError(f"no VM has {_words(wanted)}", cure=hint)
        return found

    def _touch(self, aspects: Sequence[str], what: str, names: Sequence[str], line: int | None) -> None:
        """Note what an edit sets; what another edit of the scenario has set already is a contradiction."""
        for aspect in aspects:
            for name in names:
                if (aspect, name) in self.touched:
                    said = f"the edit on line {self.touched[aspect, name]} sets {aspect} of {what} {name!r} already"
                    raise InputError(said, cure="keep one, or put the second into a scenario of its own and --stack")
                self.touched[aspect, name] = line

    def _swap_hosts(self, changed: dict[str, Host], *, reshaped: bool) -> None:
        """Put changed hosts in; VMs on reshaped ones stay on their host, on no known node."""
        hosts = tuple(changed.get(host.name, host) for host in self.fleet.hosts)
        vms = self.fleet.vms
        if reshaped:
            anew = {name for name, host in changed.items() if host.topology != self.fleet.host_by_name[name].topology}
            swapped = {
                name
                for name, host in changed.items()
                if host.migration_domain != self.fleet.host_by_name[name].migration_domain
            }
            vms = tuple(
                on_vms.unsettled(vm, off=vm.current.host in swapped)
                if vm.current is not None and vm.current.host in anew | swapped
                else vm
                for vm in vms
            )
        self.fleet = dataclasses.replace(self.fleet, hosts=hosts, vms=vms)

    def _add_hosts(self, edit: Edit) -> str:
        said = edit.entry.add_hosts
        assert said is not None
        if isinstance(said, list):
            new, drains = on_hosts.listed(edit.tree["add_hosts"], self.scenario.base_dir, self.log.file)
        else:
            new, drains = on_hosts.copies(self._host(said.like), said, set(self.fleet.host_by_name)), ()
        for host in new:
            if host.name in self.fleet.host_by_name:
                raise InputError(f"there is a host {host.name!r} already", cure="give the new one another name")
        if len(self.fleet.hosts) + len(new) > MAX_COUNT:
            raise InputError(f"the hosts would be more than {MAX_COUNT}")
        self.fleet = dataclasses.replace(
            self.fleet, hosts=(*self.fleet.hosts, *new), rules=(*self.fleet.rules, *drains)
        )
        return f"add {count(len(new), 'host')}" + (f" like {said.like}" if not isinstance(said, list) else "")

    def _remove_hosts(self, edit: Edit) -> str:
        gone = {host.name for host in self._hosts(edit.entry.remove_hosts)}
        self._touch(["the state"], "host", sorted(gone), edit.line)
        homeless = [vm for vm in self.fleet.vms if vm.current is not None and vm.current.host in gone]
        lost = {vm.name for vm in homeless}
        self.fleet = dataclasses.replace(
            self.fleet,
            hosts=tuple(host for host in self.fleet.hosts if host.name not in gone),
            vms=tuple(on_vms.homeless(vm) if vm.name in lost else vm for vm in self.fleet.vms),
        )
        return f"remove {count(len(gone), 'host')}" + (f", {count(len(lost), 'VM')} homeless" if lost else "")

    def _fail(self, edit: Edit) -> str:
        found = self._hosts(edit.entry.fail)
        self._touch(["the state"], "host", [host.name for host in found], edit.line)
        self._swap_hosts({host.name: dataclasses.replace(host, failed=True) for host in found}, reshaped=False)
        return f"fail {_named(found)}{self._torn(found)}"

    def _torn(self, hosts: Sequence[Host]) -> str:
        """Return how many VMs the failure of these hosts tears down; nothing where none is on them."""
        names = {host.name for host in hosts}
        lost = [vm for vm in self.fleet.vms if vm.current is not None and vm.current.host in names]
        if not lost:
            return ""
        vcpus, gib = sum(vm.spec.vcpus for vm in lost), sum(vm.spec.memory_kib for vm in lost) / 2**20
        return f": {count(len(lost), 'VM')} with {count(vcpus, 'vCPU')} and {round(gib, 1):,g} GiB go down"

    def _drain(self, edit: Edit) -> str:
        found = self._hosts(edit.entry.drain)
        self._touch(["the state"], "host", [host.name for host in found], edit.line)
        rules = [drain_of(host.name, host.labels, edit.line) for host in found]
        self.fleet = dataclasses.replace(self.fleet, rules=(*self.fleet.rules, *rules))
        return f"drain {_named(found)}"

    def _edit_hosts(self, edit: Edit) -> str:
        entry = edit.entry
        selection = entry.replace_hosts if edit.kind == "replace_hosts" else entry.hosts
        pattern = self._host(entry.like) if entry.like is not None else None
        aspects, text, change = on_hosts.change_of(edit, pattern)
        found = self._hosts(selection)
        self._touch(aspects, "host", [host.name for host in found], edit.line)
        cache = on_hosts.Shared(change)
        self._swap_hosts({host.name: cache(host) for host in found}, reshaped=edit.kind in on_hosts.RESHAPING)
        return f"{text} on {count(len(found), 'host')}"

    def _add_vms(self, edit: Edit) -> str:
        new = on_vms.listed(edit.tree["add_vms"], self.fleet.host_by_name, self.scenario.base_dir, self.log.file)
        self._append(new)
        return f"add {count(len(new), 'VM')}"

    def _remove_vms(self, edit: Edit) -> str:
        gone = {vm.name for vm in self._vms(edit.entry.remove_vms)}
        self._touch(["the state"], "VM", sorted(gone), edit.line)
        left = tuple(vm for vm in self.fleet.vms if vm.name not in gone)
        # A rule that is about nobody any more goes with its VMs.
        rules = tuple(
            rule
            for rule in self.fleet.rules
            if rule.members is None or any(matches(rule.members, vm.name, vm.spec.labels) for vm in left)
        )
        self.fleet = dataclasses.replace(self.fleet, vms=left, rules=rules)
        return f"remove {count(len(gone), 'VM')}"

    def _grow(self, edit: Edit) -> str:
        said = edit.entry.grow
        assert said is not None
        names = set(self.fleet.vm_by_name)
        if isinstance(said, Fraction):
            new = on_vms.grown(self._vms(edit.entry.vms), said, names)
            text = f"grow by {float(100 * said):g} %"
        else:
            if edit.entry.vms is not None:
                raise InputError("a mix of flavors selects no VMs", cure="leave vms out, or grow by a percentage")
            new = on_vms.of_flavors(said, names, self.fleet)
            text = "grow by " + ", ".join(
                f"{many} of {with_policy(self.fleet, flavor)}" for flavor, many in said.items()
            )
        self._append(new)
        return f"{text}: {count(len(new), 'VM')}"

    def _change_vms(self, edit: Edit) -> str:
        change = edit.entry.change_vms
        assert change is not None
        found = self._vms(edit.entry.vms)
        keys = on_vms.keys_of(change)
        self._touch(keys, "VM", [vm.name for vm in found], edit.line)
        changed = on_vms.changed(found, change)
        self.fleet = dataclasses.replace(self.fleet, vms=tuple(changed.get(vm.name, vm) for vm in self.fleet.vms))
        return f"change {', '.join(keys)} of {count(len(found), 'VM')}"

    def _append(self, new: Sequence[Vm]) -> None:
        for vm in new:
            if vm.name in self.fleet.vm_by_name:
                raise InputError(f"there is a VM {vm.name!r} already", cure="give the new one another name")
        if len(self.fleet.vms) + len(new) > MAX_COUNT:
            raise InputError(f"the VMs would be more than {MAX_COUNT}")
        self.fleet = dataclasses.replace(self.fleet, vms=(*self.fleet.vms, *new))


def _words(selection: Selection) -> str:
    said = (f"{label}: {' or '.join(sorted(values_of(selection, label)))}" for label in selection)
    return ", ".join(said) or "no labels at all"


def _named(hosts: Sequence[Host]) -> str:
    """Return how many hosts, and their names where they are few."""
    names = f" ({', '.join(host.name for host in hosts)})" if len(hosts) <= _NAMED else ""
    return count(len(hosts), "host") + names
