"""Why a changed fleet has no plan: VMs on hosts that could no longer hold them, and what keeps them from leaving."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from placer.check.fits import impossible_vms
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.host import Host
from placer.model.vm import Vm
from placer.planning.compile.compile import compile_fleet


def stuck_vms(fleet: Fleet, *, moves: bool = False) -> str | None:
    """Name the VMs that are on a host that could not hold them even if it held nothing else; None if there are none.

    `moves` says whether any may move: then it is told why that does not help.
    """
    compiled = compile_fleet(fleet, parse_goals("placed", fleet))
    stuck: list[Vm] = []
    for host_class in compiled.problem.classes:
        alone: dict[int, bool] = {}
        shape = compiled.problem.shapes[host_class.shape]
        holds = set(shape.flavor[(shape.use <= host_class.capacity).all(axis=1)].tolist())
        for member in host_class.members:
            for flavor, vms in compiled.floating.get(member, {}).items():
                if flavor not in holds:
                    stuck += [fleet.vms[vm] for vm in vms]
            # What is over its host counts as room of it: whether it would hold a VM is asked of the host alone.
            for vms in compiled.now.get(member, {}).values() if host_class.over_rows else ():
                flavor = compiled.flavors.of_vm[vms[0]]
                if flavor not in alone:
                    alone[flavor] = _reason(fleet, fleet.vms[vms[0]], [fleet.hosts[member]]) is not None
                stuck += [fleet.vms[vm] for vm in vms] if alone[flavor] else []
    if not stuck:
        return None
    named = [f"{vm.name} on {vm.current.host}" for vm in stuck[:3] if vm.current is not None]
    some = ", ".join(named) + (f" and {len(stuck) - 3} more" if len(stuck) > 3 else "")
    said = f"no place on its own host for {some}"
    if not moves:
        return f"{said}; allow moves with --max-moves, or move it first"
    return f"{said}: {_why_stuck(fleet, stuck[0])}"


def _reason(fleet: Fleet, vm: Vm, hosts: Iterable[Host]) -> str | None:
    """Return why none of these hosts would hold a VM by itself; None where one would."""
    alone = dataclasses.replace(vm, current=None, pins_fixed=False)
    # Without rules: of them only those that close hosts could be meant, and they bind arrivals only.
    part = dataclasses.replace(fleet, hosts=tuple(hosts), vms=(alone,), rules=(), digest="")
    return impossible_vms(part).get(vm.name, None) if part.hosts else "there is no other host"


def _why_stuck(fleet: Fleet, vm: Vm) -> str:
    """Return why a VM can neither stay where it is nor go elsewhere."""
    assert vm.current is not None
    own = fleet.host_by_name[vm.current.host]

    def reason(hosts: Iterable[Host]) -> str | None:
        return _reason(fleet, vm, hosts)

    here = reason([own]) or "beside what cannot leave it, nothing is free"
    text = f"it {here.removeprefix('it ')}" if not here.startswith("beside") else here
    if fleet.is_held(vm):
        return f"{text}; and {vm.name} does not move ({', '.join(vm.movable_why) or 'movable: {vm.movable.value}'})"
    others = [host for host in fleet.hosts if host.name != own.name and not host.failed]
    near = [host for host in others if host.takes_live_from(own)]
    if reason(near) is not None and reason(others) is None:
        far = sorted({str(host.migration_domain) for host in others if host not in near and reason([host]) is None})
        return (
            f"{text}; the hosts that could hold it are in another migration domain ({', '.join(far[:3])} in place of "
            f"{own.migration_domain}): say movable: cold for {vm.name}, or shut it off"
        )
    elsewhere = reason(others)
    if elsewhere is not None:
        return f"{text}; nor could another host hold it: {elsewhere}"
    return f"{text}; more moves than were allowed are needed to make room elsewhere"
