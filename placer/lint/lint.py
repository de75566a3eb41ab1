"""Lint a fleet: what is valid and still unwise, guest by guest and host by host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

from placer.lint.guest import RULES as GUEST_RULES
from placer.lint.host import RULES as HOST_RULES
from placer.lint.host import lint_host
from placer.lint.pins import RULES as PIN_RULES
from placer.lint.remark import Remark
from placer.lint.room import room_beside_others, taken_by_host
from placer.lint.seen import Guest, NodeSize, pins_something
from placer.model.fleet import Fleet
from placer.model.vm import MAX_AUTO_CELLS, Vm

RULE_NAMES = tuple(name for name, _ in (*GUEST_RULES, *PIN_RULES, *HOST_RULES))


def lint(fleet: Fleet, source: Callable[[Vm, Fleet], bytes | None]) -> tuple[Remark, ...]:
    """Return all remarks on a fleet: VMs in their order, then hosts. `source` returns a VM's domain XML, if any.

    A VM that is on a host is held against that host's nodes, any other against the largest of the fleet. Rules that
    need the domain XML say nothing of VMs without any.

    Raises
    ------
    InputError
        A domain XML that the fleet names is gone or has changed.
    """
    return (*_guests(fleet, source), *_hosts(fleet))


def _guests(fleet: Fleet, source: Callable[[Vm, Fleet], bytes | None]) -> Iterator[Remark]:
    from placer.read.text.xml import parse_xml

    topologies = {id(host.topology): host.topology for host in fleet.hosts}
    sizes = {key: NodeSize.of(topology) for key, topology in topologies.items()}
    if not sizes:
        return
    largest = reduce(NodeSize.with_larger, sizes.values())
    taken = taken_by_host(fleet)
    for vm in fleet.vms:
        host = fleet.host_by_name.get(vm.current.host) if vm.current is not None else None
        xml = source(vm, fleet)
        root = parse_xml(xml, vm.domain.path) if xml is not None and vm.domain is not None else None
        node = sizes[id(host.topology)] if host is not None else largest
        room = room_beside_others(vm, host, taken[host.name]) if host is not None else (largest,) * MAX_AUTO_CELLS
        guest = Guest(vm=vm, host=host, node=node, room=room, root=root)
        for name, rule in (*GUEST_RULES, *PIN_RULES):
            for message, cure in rule(guest):
                yield Remark(rule=name, subject=f"VM {vm.name!r}", message=message, cure=cure)


def _hosts(fleet: Fleet) -> Iterator[Remark]:
    residents: dict[str, list[Vm]] = {}
    for vm in fleet.vms:
        if vm.current is not None:
            residents.setdefault(vm.current.host, []).append(vm)
    # VMs that are nowhere yet may come to any host; one of each kind that the rules tell apart stands for all.
    homeless = {(pins_something(vm), vm.spec.page_kib is None): vm for vm in fleet.vms if vm.current is None}
    for host in fleet.hosts:
        if not host.failed:
            yield from lint_host(host, [*residents.get(host.name, ()), *homeless.values()])
