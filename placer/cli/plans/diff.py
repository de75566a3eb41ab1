"""``placer diff``: what differs between two plans, between now and a plan, or between two weeks."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN
from placer.cli.plans.states import read_state
from placer.cli.terminal import Terminal
from placer.errors import DifferenceError, InputError
from placer.model.cpuset import format_cpuset
from placer.model.units import count

if TYPE_CHECKING:
    from rich.console import Console

    from placer.explain.diff import Comparison


class DiffFormat(StrEnum):
    """The forms of a comparison."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def diff(
    terminal: Terminal,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A plan, or an inventory: where its VMs are.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A plan or an inventory, of this fleet or later.")],
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plans say.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Every VM that differs.")] = False,
    format: Annotated[DiffFormat, typer.Option("--format", help="How to print it.")] = DiffFormat.TABLE,
) -> Answer:
    """Compare two plans, two inventories, or where the VMs are with a plan.

    Hosts are known by name, VMs by UUID, else by name.
    """
    if STDIN in (old, new):
        raise InputError("two files are compared, neither of them standard input", cure="name two files")
    compared = _compared(old, new, fleet, terminal)
    changed = [vm for vm in compared.vms if vm.difference.value != "stays"]
    failure = (
        None
        if compared.same
        else DifferenceError(
            f"{count(len(changed), 'VM')} {'differs' if len(changed) == 1 else 'differ'} between {old} and {new}"
        )
    )

    def data() -> dict[str, Any]:
        return {
            "same": compared.same,
            "totals": dict(compared.totals),
            "hosts_came": list(compared.hosts_came),
            "hosts_gone": list(compared.hosts_gone),
            "vms": [
                {
                    "name": vm.vm,
                    "uuid": vm.uuid,
                    "was": vm.was,
                    "difference": vm.difference.value,
                    "moves_memory": vm.moves_memory,
                    "memory_modes": None if vm.memory_modes is None else list(vm.memory_modes),
                    "lost_cpuset": None if vm.lost_cpuset is None else format_cpuset(vm.lost_cpuset),
                    "old": _side(vm.old_host, vm.old_nodes, vm.old_devices),
                    "new": _side(vm.new_host, vm.new_nodes, vm.new_devices),
                }
                for vm in compared.vms
            ],
        }

    text: str | Callable[[Console], None]
    if format is DiffFormat.CSV:
        from placer.show.differences import difference_csv

        text = difference_csv(compared)
    else:

        def text(console: Console) -> None:
            from placer.show.differences import draw_differences
            from placer.show.rows import MOST

            draw_differences(compared, console, None if show_all else MOST)

    return Answer(data=data, text=text, failure=failure)


def _side(host: str | None, nodes: tuple[int, ...] | None, devices: tuple[str, ...] | None) -> dict[str, Any]:
    """Return where a VM is on one side, and the devices that it is known to have there."""
    return {
        "host": host,
        "nodes": None if nodes is None else list(nodes),
        "devices": None if devices is None else list(devices),
    }


def _compared(old: str, new: str, fleet: str | None, terminal: Terminal) -> Comparison:
    from placer.explain.states import between

    earlier = read_state(old, fleet, terminal)
    if fleet is not None and earlier.plan is None:
        raise InputError("OLD is an inventory already", field="--fleet", cure="leave --fleet out")
    return between(earlier, read_state(new, fleet, terminal, known=earlier.fleet))
