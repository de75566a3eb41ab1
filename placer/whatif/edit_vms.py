"""Edits of VMs: new ones, growth, and other needs for those that are there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

from placer.errors import InputError
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.goals import as_most, parse_flavor
from placer.model.host import Host
from placer.model.sets import floats
from placer.model.vm import Cell, CellMode, CpuPolicy, Current, Movable, PinPolicy, Vm, VmSpec
from placer.planning.compile.needs import part_vcpus
from placer.read.inventory.files import Files
from placer.read.inventory.schema import VmEntry
from placer.read.inventory.specs import SPEC_KEYS, build_spec
from placer.read.inventory.validation import Problem
from placer.read.inventory.vms import VmSection
from placer.read.text.located import FaultLog, LineList, field_path


def listed(section: LineList, hosts: Mapping[str, Host], base_dir: Path, file: str | None) -> tuple[Vm, ...]:
    """Return the VMs of entries as an inventory has them."""
    log = FaultLog(file)
    reader = VmSection(hosts, frozenset(), Files(base_dir), log)
    reader.read(section)
    log.raise_if_any()
    return tuple(reader.made)


def homeless(vm: Vm) -> Vm:
    """Return a VM whose host is gone."""
    return replace(vm, current=None, pins_fixed=False, movable=Movable.LIVE)


def unsettled(vm: Vm, *, off: bool = False) -> Vm:
    """Return a VM that is on its host still, on no known node: the host or the VM is started anew.

    Where its machine becomes one of another migration domain it is shut `off` for that, and so may go anywhere cold.
    """
    assert vm.current is not None
    movable = Movable.COLD if off and vm.movable is Movable.LIVE else vm.movable
    return replace(vm, current=Current(host=vm.current.host), pins_fixed=False, movable=movable)


def grown(vms: Iterable[Vm], share: Fraction, taken: set[str]) -> tuple[Vm, ...]:
    """Return new VMs: of each kind that many more, rounded up, so that a larger share holds all of a smaller one."""
    numbers = SpecNumbers()
    kinds: dict[Hashable, list[Vm]] = defaultdict(list)
    for vm in vms:
        kinds[numbers.of(vm.spec), tuple(sorted(vm.spec.labels.items()))].append(vm)
    return tuple(
        _copy(own[number % len(own)], f"{own[number % len(own)].name}+{number // len(own) + 1}", taken)
        for own in kinds.values()
        for number in range(math.ceil(len(own) * share))
    )


def _copy(vm: Vm, name: str, taken: set[str]) -> Vm:
    while name in taken:
        name += "+"
    taken.add(name)
    return Vm(name=name, spec=vm.spec, pin=PinPolicy.NEVER if floats(vm) else PinPolicy.ALLOWED)


def of_flavors(mix: Mapping[str, int], taken: set[str], fleet: Fleet) -> tuple[Vm, ...]:
    """Return new VMs of flavors written like ``16x64GiB/2:shared``, of the policy of most VMs where none is said."""
    out: list[Vm] = []
    for text, many in mix.items():
        spec = flavor_spec(text, fleet)
        floating = as_most(fleet, parse_flavor(text)).policy == "floating"
        pin = PinPolicy.NEVER if floating else PinPolicy.ALLOWED
        fresh = (name for number in count(1) if (name := f"{text.strip()}+{number}") not in taken)
        out.extend(Vm(name=next(fresh), spec=spec, pin=pin) for _ in range(many))
    return tuple(out)


def flavor_spec(text: str, fleet: Fleet) -> VmSpec:
    """Return what a VM of a flavor needs: so many cells where it says them, else those that fit."""
    flavor = as_most(fleet, parse_flavor(text))
    if not flavor.memory_kib:
        raise InputError(f"flavor {text!r} has no memory, so there is no such VM", cure="write it like 16x64GiB")
    policy = CpuPolicy.DEDICATED if flavor.policy == "dedicated" else CpuPolicy.SHARED
    spec = VmSpec(vcpus=flavor.vcpus, memory_kib=flavor.memory_kib, cpu_policy=policy)
    if "/" not in text:
        return spec
    each = flavor.memory_kib // flavor.cells
    cells = tuple(Cell(vcpus=frozenset(ids), memory_kib=each) for ids in part_vcpus(spec, flavor.cells))
    return replace(spec, cell_mode=CellMode.GIVEN, cells=cells)


def keys_of(change: VmEntry) -> tuple[str, ...]:
    """Return the keys that a change sets."""
    return tuple(name for name in SPEC_KEYS if getattr(change, name) is not None)


def changed(vms: Sequence[Vm], change: VmEntry) -> dict[str, Vm]:
    """Return the VMs with other needs, by name; running ones stay on their host, started anew on no known node."""
    specs: dict[int, VmSpec] = {}
    out = {}
    for vm in vms:
        if id(vm.spec) not in specs:
            specs[id(vm.spec)] = _changed_spec(vm, change)
        fresh = replace(vm, spec=specs[id(vm.spec)])
        out[vm.name] = unsettled(fresh) if fresh.current is not None else fresh
    return out


def _changed_spec(vm: Vm, change: VmEntry) -> VmSpec:
    """Return the spec after a change; equal cells stay as many, and labels are added to."""
    spec = vm.spec
    asked = change
    sized = change.vcpus is not None or change.memory is not None
    if sized and change.cells is None and spec.cell_mode is CellMode.GIVEN:
        if len({(len(cell.vcpus), cell.memory_kib) for cell in spec.cells}) > 1:
            raise InputError(f"VM {vm.name}: its cells are not equal", cure="say its new cells too")
        asked = asked.model_copy(update={"cells": len(spec.cells)})
    if change.labels is not None:
        asked = asked.model_copy(update={"labels": {**spec.labels, **change.labels}})
    if change.vcpus is not None and change.vcpus_current is None:
        spec = replace(spec, vcpus_current=None)
    problems: list[Problem] = []
    made = build_spec(asked, spec, problems)
    if made is None:
        path, message, cure = problems[0]
        raise InputError(f"VM {vm.name}: {field_path('', path)}: {message}", cure=cure)
    return made
