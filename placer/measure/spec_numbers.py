"""Numbers for specs: those that are alike in all that a place depends on share one, however many objects there are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from placer.model.vm import VmSpec


@dataclass(slots=True)
class SpecNumbers:
    """Gives every spec a number by its value. An imported fleet has a spec object a VM, and few distinct ones.

    Objects are known again by identity: keep the fleet alive as long as this.
    """

    _by_object: dict[int, int] = field(default_factory=dict)
    _by_value: dict[Hashable, int] = field(default_factory=dict)

    def of(self, spec: VmSpec) -> int:
        """Return the number of a spec: labels, current vCPUs and what the cells are called do not enter."""
        number = self._by_object.get(id(spec))
        if number is None:
            number = self._by_value.setdefault(_value(spec), len(self._by_value))
            self._by_object[id(spec)] = number
        return number


def _value(spec: VmSpec) -> Hashable:
    cells = tuple([(cell.vcpus, cell.memory_kib, cell.page_kib) for cell in spec.cells])
    return (
        (spec.vcpus, spec.memory_kib, spec.cell_mode, cells, spec.interleave, spec.share_node, spec.reshape),
        (spec.locality, spec.weight, spec.page_kib, spec.overhead_taken_kib, spec.memory_tier),
        (
            spec.cpu_policy,
            spec.dedicated_vcpus,
            spec.thread_policy,
            spec.core_kind,
            spec.emulator_threads,
            spec.iothreads,
        ),
        (spec.devices, tuple(sorted(spec.resources.items())), spec.kvm, spec.priority),
    )
