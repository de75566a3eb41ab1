"""Build the reference model of an inventory: places, CPUs, capacity, limits, in this order."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.truth.capacity import crowded_nodes, keep_capacity
from benchmarks.truth.headroom import Flavor, add_headroom
from benchmarks.truth.model import ReferenceModel
from benchmarks.truth.reads.reading import Inventory


def build(
    inventory: Inventory,
    *,
    max_moves: int | None,
    max_migrations: int | None,
    max_repins: int | None,
    binds: Mapping[str, str],
    flavor: Flavor | None,
) -> ReferenceModel:
    """Return the model of all that a plan has to keep, rules aside; `binds` as the model has it.

    Raises
    ------
    NotCoveredError
        The inventory has what the reference does not know.
    """
    model = ReferenceModel(
        inventory=inventory,
        max_moves=max_moves,
        max_migrations=max_migrations,
        max_repins=max_repins,
        binds=binds,
    )
    if flavor is not None:
        add_headroom(model, flavor)
    for vm in inventory.vms:
        model.place(vm)
    model.crowded = crowded_nodes(model)
    for vm in inventory.vms:
        model.cpus(vm)
    for vm in inventory.vms:
        model.thread_policy(vm)
    keep_capacity(model)
    model.limits()
    return model
