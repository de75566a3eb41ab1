"""``placer diff``: what differs between two plans, or between now and a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, fleet_of_plan, read_bytes
from placer.cli.terminal import Terminal
from placer.errors import DifferenceError, InputError
from placer.model.plan import PLAN_SCHEMA
from placer.show.words import count, visible

if TYPE_CHECKING:
    from rich.console import Console

    from placer.explain.diff import Comparison


def diff(
    terminal: Terminal,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A plan, or the inventory: where the VMs are now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A plan of the same fleet.")],
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plans say.")
    ] = None,
) -> Answer:
    """Compare two plans, or where the VMs are with a plan: stays, re-pinned, other node, migrated, restart."""
    from placer.explain.diff import compare_plans, compare_with_now
    from placer.read.documents.plan_file import read_plan

    if STDIN in (old, new):
        raise InputError("two files are compared, neither of them standard input", cure="name two files")
    later = read_plan(new)
    if _is_plan(old):
        earlier = read_plan(old)
        if earlier.fleet_digest != later.fleet_digest:
            raise InputError("the two plans are of different fleets", file=new, cure="compare plans of one fleet")
        model = fleet_of_plan(later, new, fleet, terminal)
        compared = compare_plans(model, earlier, later)
    else:
        if fleet is not None:
            raise InputError("OLD is an inventory already", field="--fleet", cure="leave --fleet out")
        compared = compare_with_now(fleet_of_plan(later, new, old, terminal), later)
    changed = [vm for vm in compared.vms if vm.difference.value != "stays"]
    failure = None if compared.same else DifferenceError(f"{count(len(changed), 'VM')} differ between {old} and {new}")

    def data() -> dict[str, Any]:
        return {
            "same": compared.same,
            "totals": dict(compared.totals),
            "vms": [
                {
                    "name": vm.vm,
                    "uuid": vm.uuid,
                    "difference": vm.difference.value,
                    "old": {"host": vm.old_host, "nodes": None if vm.old_nodes is None else list(vm.old_nodes)},
                    "new": {"host": vm.new_host, "nodes": None if vm.new_nodes is None else list(vm.new_nodes)},
                }
                for vm in compared.vms
            ],
        }

    return Answer(data=data, text=lambda console: _draw(compared, console), failure=failure)


def _is_plan(file: str) -> bool:
    """Tell a plan from an inventory by its schema."""
    content, _ = read_bytes(file)
    if not content.lstrip().startswith(b"{"):
        return False
    try:
        document = json.loads(content)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("schema") == PLAN_SCHEMA


def _draw(compared: Comparison, console: Console) -> None:
    from rich.table import Table

    changed = [vm for vm in compared.vms if vm.difference.value != "stays"]
    if changed:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for column in ("VM", "difference", "old", "new"):
            table.add_column(column, overflow="fold")
        for vm in changed:
            table.add_row(
                visible(vm.vm),
                vm.difference.value,
                _where(vm.old_host, vm.old_nodes),
                _where(vm.new_host, vm.new_nodes),
            )
        console.print(table)
    console.print(", ".join(f"{number:,} {kind}" for kind, number in compared.totals.items() if number) or "no VMs")


def _where(host: str | None, nodes: tuple[int, ...] | None) -> str:
    if host is None:
        return ""
    return visible(host) if nodes is None else f"{visible(host)} node {','.join(map(str, nodes))}"
