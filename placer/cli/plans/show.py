"""``placer show``: draw a host, a domain, its CPU affinity, a plan or the hosts of an inventory, told by content."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, fleet_of_plan, read_bytes
from placer.cli.terminal import Terminal
from placer.errors import InputError
from placer.show.rows import MOST

if TYPE_CHECKING:
    from rich.console import Console

    from placer.model.fleet import Fleet
    from placer.model.host import Topology
    from placer.model.plan import Plan
    from placer.read.recognise import Format


class Picture(StrEnum):
    """The forms of the answer; the last two are for hosts."""

    TABLE = "table"
    JSON = "json"
    DOT = "dot"
    SVG = "svg"


def show(
    terminal: Terminal,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A machine file, a folder with a copy of /sys, a domain, text of virsh vcpuinfo or vcpupin, a QEMU "
            "command line, a plan or an inventory; - reads standard input.",
        ),
    ],
    host: Annotated[str | None, typer.Argument(metavar="HOST", help="One host of a plan or of an inventory.")] = None,
    format: Annotated[
        Picture, typer.Option("--format", help="How to print it; dot and svg draw a host.")
    ] = Picture.TABLE,
    distances: Annotated[
        str | None, typer.Option("--distances", metavar="FILE", help="Text of Intel MLC measured on this host.")
    ] = None,
    fleet: Annotated[str | None, typer.Option("--fleet", metavar="FILE", help="The inventory of the plan.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Every host of a plan, every size of an inventory.")] = False,
) -> Answer:
    """Draw a host, a domain, its CPU affinity or a plan."""
    from placer.read.recognise import Format, recognise

    if file != STDIN and Path(file).is_dir():
        return _show_topology(_read_folder(file), Path(file).name or file, format, distances)
    data, source = read_bytes(file)
    kind = recognise(data, source)
    if format in (Picture.DOT, Picture.SVG) and not (kind.is_topology or kind is Format.INVENTORY):
        raise InputError(f"this is a {kind.value}: only a host can be drawn as {format}", file=source)
    if distances is not None and not (kind.is_topology or kind is Format.INVENTORY):
        raise InputError(f"this is a {kind.value}: distances belong to a host", file=source)
    if host is not None and kind not in (Format.PLAN, Format.INVENTORY):
        raise InputError(f"this is a {kind.value}: it holds one thing, and no host {host!r} to choose", file=source)
    if kind is Format.PLAN:
        return _show_plan(data, source, host, fleet, terminal, None if show_all else MOST)
    if kind is Format.INVENTORY:
        return _show_inventory(data, source, host, format, distances, None if show_all else MOST)
    if kind.is_topology:
        from placer.read.hosts.host import parse_topology

        return _show_topology(parse_topology(data, source), Path(source).name, format, distances)
    return _show_guest(kind, data, source)


def _read_folder(file: str) -> Topology:
    from placer.read.hosts.host import read_topology

    return read_topology(file)


def _refined(topology: Topology, distances: str | None) -> Topology:
    if distances is None:
        return topology
    from placer.read.hosts.mlc import refine_distances

    data, source = read_bytes(distances)
    return refine_distances(topology, data, source)


def _show_topology(topology: Topology, name: str, format: Picture, distances: str | None) -> Answer:
    from placer.show.hosts.data import host_data

    topology = _refined(topology, distances)
    return Answer(data=lambda: host_data(topology, name), text=_host_text(topology, name, format))


def _host_text(topology: Topology, name: str, format: Picture) -> str | Callable[[Console], None]:
    if format is Picture.DOT:
        from placer.show.hosts.dot import host_dot

        return host_dot(topology, name)
    if format is Picture.SVG:
        from placer.show.hosts.svg import host_svg

        return host_svg(topology, name)
    from placer.show.hosts.picture import draw_host

    return lambda console: draw_host(topology, name, console)


def _show_inventory(
    data: bytes, source: str, host: str | None, format: Picture, distances: str | None, most: int | None
) -> Answer:
    from placer.read.inventory.inventory import parse_fleet

    fleet = parse_fleet(data, source, Path(source).parent if source != "<stdin>" else Path())
    if host is None:
        if format in (Picture.DOT, Picture.SVG) or distances is not None:
            raise InputError("the inventory holds several hosts", file=source, cure="name one: placer show FILE HOST")
        from placer.show.fleet_picture import draw_fleet, fleet_data

        return Answer(data=lambda: fleet_data(fleet), text=lambda console: draw_fleet(fleet, console, most=most))
    if host not in fleet.host_by_name:
        raise InputError(f"the inventory has no host {host!r}", file=source)
    return _show_topology(fleet.host_by_name[host].topology, host, format, distances)


def _show_plan(
    data: bytes, source: str, host: str | None, fleet_file: str | None, terminal: Terminal, most: int | None
) -> Answer:
    from placer.read.documents.plan_file import parse_plan
    from placer.show.plan_picture import draw_plan, plan_host_data

    plan = parse_plan(data, source)
    fleet = _fleet_if_there(plan, source, fleet_file, terminal)

    def result() -> dict[str, Any]:
        if host is not None:
            return plan_host_data(plan, fleet, host)
        from placer.cli.plans.plan_result import plan_document

        return {"kind": "plan", **plan_document(plan)}

    return Answer(data=result, text=lambda console: draw_plan(plan, fleet, host, console, most=most))


def _fleet_if_there(plan: Plan, file: str, fleet_file: str | None, terminal: Terminal) -> Fleet | None:
    """Return the fleet of a plan; a plan can be drawn without, and then a note says what is missing."""
    try:
        return fleet_of_plan(plan, file, fleet_file, terminal)
    except InputError as error:
        if fleet_file is not None:
            raise
        terminal.note(f"drawn without free CPUs: {error.faults[0]}")
        return None


def _show_guest(kind: Format, data: bytes, source: str) -> Answer:
    from placer.read.recognise import Format

    name = Path(source).name
    if kind in (Format.VCPUINFO, Format.VCPUPIN):
        from placer.read.domains import virsh_text
        from placer.show import affinity

        if kind is Format.VCPUINFO:
            states = virsh_text.read_vcpuinfo(data, source)
            return Answer(
                data=lambda: affinity.vcpuinfo_data(states, name),
                text=lambda console: affinity.draw_vcpuinfo(states, name, console),
            )
        pins = virsh_text.read_vcpupin(data, source)
        return Answer(
            data=lambda: affinity.vcpupin_data(pins, name),
            text=lambda console: affinity.draw_vcpupin(pins, name, console),
        )
    if kind in (Format.THREADPIN, Format.NUMATUNE):
        return _show_setting(kind, data, source, name)
    if kind in (Format.DOMAIN, Format.QEMU):
        from placer.show.domain_picture import domain_data, draw_domain

        if kind is Format.DOMAIN:
            from placer.read.domains.domain_xml import read_domain

            reading = read_domain(data, source)
        else:
            from placer.read.domains.qemu_cmdline import read_qemu_cmdline

            reading = read_qemu_cmdline(data, source)
        return Answer(data=lambda: domain_data(reading), text=lambda console: draw_domain(reading, console))
    raise InputError(
        f"this is a {kind.value}: by itself it is nothing to draw",
        file=source,
        cure="give it with --distances beside the host's own file" if kind is Format.MLC else None,
    )


def _show_setting(kind: Format, data: bytes, source: str, name: str) -> Answer:
    from placer.read.domains import virsh_text
    from placer.read.recognise import Format
    from placer.show import affinity

    if kind is Format.NUMATUNE:
        mode, nodes = virsh_text.read_numatune(data, source)
        return Answer(
            data=lambda: affinity.numatune_data(mode, nodes, name),
            text=lambda console: affinity.draw_numatune(mode, nodes, name, console),
        )
    pins = virsh_text.read_threadpin(data, source)
    return Answer(
        data=lambda: affinity.threadpin_data(pins, name),
        text=lambda console: affinity.draw_threadpin(pins, name, console),
    )
