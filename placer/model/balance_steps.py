"""How fine the goal ``balance`` sees: steps of a share that fit the fleet, whatever its overcommit and its load."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from placer.model.fleet import Fleet
from placer.model.goals import BALANCE_USAGE
from placer.model.usage_levels import THOUSAND
from placer.model.vm import CpuPolicy

BALANCE_STEPS = 10
STEPS_A_MEAN = 5
"""Steps from nothing to the fleet's mean share; as many again lie above it, beyond them the cost grows evenly."""


def step_widths(fleet: Fleet, goals: Sequence[str]) -> dict[str, int]:
    """Return, a goal of balance, the width of a step of share in thousandths: a fifth of the mean share, at least one.

    The mean is what the VMs ask for over what there is: ``D / Σ CPUs + S / Σ (CPUs × overcommit)`` over usable CPUs of
    hosts that work, D the vCPUs of VMs that are not shared and S of those that are; by usage what they use over the
    CPUs. It depends on no plan, so that all plans of a fleet are measured alike.
    """
    hosts = [(len(host.usable_cpus), Fraction(str(host.cpu_ratio))) for host in fleet.hosts if not host.failed]
    cpus = sum(count for count, _ in hosts)
    if not cpus:
        return dict.fromkeys(goals, 1)
    capacity = sum(count * ratio for count, ratio in hosts)
    own, shared, used = 0, 0, Fraction(0)
    for vm in fleet.vms:
        is_shared = vm.spec.cpu_policy is CpuPolicy.SHARED
        known = vm.usage is not None and vm.usage.cpu_p95 is not None
        if known and BALANCE_USAGE in goals:
            assert vm.usage is not None
            used += vm.spec.vcpus * Fraction(str(vm.usage.cpu_p95)) / cpus
        elif BALANCE_USAGE in goals:
            used += Fraction(vm.spec.vcpus) / (capacity if is_shared else cpus)
        own, shared = own + (0 if is_shared else vm.spec.vcpus), shared + (vm.spec.vcpus if is_shared else 0)
    asked = Fraction(own, cpus) + shared / Fraction(capacity)
    means = {BALANCE_USAGE: used}
    return {goal: max(1, int(means.get(goal, asked) * THOUSAND / STEPS_A_MEAN)) for goal in goals}
