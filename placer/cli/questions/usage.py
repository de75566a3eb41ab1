"""``placer usage``: join what VMs really use to an inventory, and list those that have much more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import STDIN, read_fleet, refuse_existing
from placer.cli.terminal import Terminal
from placer.errors import InputError
from placer.model.units import count
from placer.show.rows import MOST

if TYPE_CHECKING:
    from rich.console import Console

    from placer.read.imports.usage import Oversized

_NAMED = 5


def usage(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory.")],
    samples: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A table with vm or uuid, cpu_p95, memory_p95; or outputs of virsh domstats, one behind the other.",
        ),
    ] = None,
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="TIME", help="Between two outputs of virsh domstats: 60s.")
    ] = None,
    cpu_below: Annotated[
        float, typer.Option("--cpu-below", metavar="SHARE", min=0, max=1, help="List VMs below this share.")
    ] = 0.25,
    memory_below: Annotated[
        float, typer.Option("--memory-below", metavar="SHARE", min=0, max=1, help="The same for memory.")
    ] = 0.5,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the inventory with the usage, beside the old one."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Every VM that uses little.")] = False,
) -> Answer:
    """List the VMs that use little of what they have; requests rule a plan all the same."""
    from placer.read.imports.usage import join_usage, oversized, read_usage

    if output is not None:
        refuse_existing(output, force)
    model = read_fleet(fleet, terminal)
    if samples is not None:
        seconds = None if interval is None else parse_duration_s(interval, "--interval")
        model, strangers = join_usage(model, read_usage(samples, interval_s=seconds))
        if strangers:
            more = f" and {len(strangers) - _NAMED} more" if len(strangers) > _NAMED else ""
            named = ", ".join(map(repr, strangers[:_NAMED]))
            terminal.warn([f"the inventory has no VM {named}{more}"])
    known = sum(1 for vm in model.vms if vm.usage is not None)
    found = oversized(model.vms, cpu_below=cpu_below, memory_below=memory_below)
    if output is not None:
        from placer.emit.writer import write_files
        from placer.read.inventory.write import inventory_text

        if fleet == STDIN or output == STDIN or Path(output).resolve().parent != Path(fleet).resolve().parent:
            raise InputError(
                "the inventory names files relative to its folder", field="-o", cure="give a name in the same folder"
            )
        write_files({Path(output): inventory_text(replace(model, path=None)).encode()}, force=force)
        terminal.note(f"wrote {output}")
    terminal.note(f"usage is known of {known:,} of {count(len(model.vms), 'VM')}")
    return Answer(
        data=lambda: {"known": known, "vms": len(model.vms), "oversized": [_data(entry) for entry in found]},
        text=lambda console: _draw(found, known, console, None if show_all else MOST),
    )


def _data(entry: Oversized) -> dict[str, Any]:
    return {
        "name": entry.vm.name,
        "uuid": entry.vm.uuid,
        "vcpus": entry.vm.spec.vcpus,
        "memory_kib": entry.vm.spec.memory_kib,
        "cpu_p95": entry.cpu_p95,
        "memory_p95": entry.memory_p95,
    }


def _draw(found: tuple[Oversized, ...], known: int, console: Console, most: int | None) -> None:
    from placer.show.rows import draw_rows, say
    from placer.show.words import amount, figure, percent, visible

    if not found:
        unknown = "" if known else ": usage is known of none, --from FILE tells it"
        say(console, f"no VM is known to use so little{unknown}")
        return
    vcpus = sum(entry.vm.spec.vcpus - entry.used_vcpus for entry in found if entry.used_vcpus is not None)
    using = count(len(found), "VM uses", "VMs use")
    say(console, f"{using} little of what is given: {figure(vcpus, 1)} {'vCPU is' if vcpus == 1 else 'vCPUs are'} idle")
    rows = [
        (
            visible(entry.vm.name),
            f"{entry.vm.spec.vcpus}",
            figure(entry.used_vcpus, 1),
            percent(entry.cpu_p95),
            amount(entry.vm.spec.memory_kib),
            "unknown" if entry.used_kib is None else amount(entry.used_kib),
            percent(entry.memory_p95),
        )
        for entry in found
    ]
    titles = ("VM", "vCPUs#", "used#", "share#", "memory#", "used#", "share#")
    draw_rows(titles, rows, console, most=most, rest="--all")
