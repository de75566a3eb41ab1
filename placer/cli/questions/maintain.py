"""``placer maintain``: rolling maintenance, in waves of hosts that are emptied together."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import read_fleet
from placer.cli.plans.moves import parse_bandwidth_gib_s
from placer.cli.questions.sweeps import SweepProgress
from placer.cli.terminal import Terminal
from placer.errors import InputError, PartialError
from placer.model.units import count
from placer.show.rows import MOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from placer.model.fleet import Fleet
    from placer.whatif.maintain import Maintenance


class Return(StrEnum):
    """Where VMs are once their host is done."""

    ANYWHERE = "anywhere"
    HOME = "home"


class MaintainFormat(StrEnum):
    """The forms of a maintenance."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def maintain(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory, with the VMs where they are.")],
    hosts: Annotated[
        list[str] | None,
        typer.Option("--hosts", metavar="HOST|LABEL=VALUE", help="Only these hosts; repeatable. All if not said."),
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", metavar="K", min=1, help="Most hosts empty together.")] = 1,
    returning: Annotated[
        Return, typer.Option("--return", help="Where VMs are in the end: where a wave took them, or where they were.")
    ] = Return.ANYWHERE,
    at_once: Annotated[int, typer.Option("--at-once", metavar="K", min=1, help="Most moves at once on a host.")] = 2,
    bandwidth: Annotated[
        str | None, typer.Option("--bandwidth", metavar="RATE", help="Of a host's network: 10Gbit/s or 1GiB/s.")
    ] = None,
    reboot: Annotated[
        str, typer.Option("--reboot", metavar="TIME", help="What a wave takes once it is empty.")
    ] = "10m",
    per_night: Annotated[
        str | None, typer.Option("--per-night", metavar="TIME", help="Spread the waves over nights of so long.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write a script, a ticket and the fleet after each wave."),
    ] = None,
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="For each plan that is tried.")
    ] = "10s",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same answer.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    format: Annotated[MaintainFormat, typer.Option("--format", help="How to print it.")] = MaintainFormat.TABLE,
    show_all: Annotated[bool, typer.Option("--all", help="Every wave and every host that cannot be emptied.")] = False,
) -> Answer:
    """Empty hosts in waves, each once, with rules and reserves kept all the way.

    Exit code 8: some hosts cannot be emptied; the others are in the waves.
    """
    from placer.emit.moves.maintenance import maintenance_data, maintenance_files, maintenance_markdown, nights_of
    from placer.moves.model import MoveLimits
    from placer.whatif.maintain import maintain as find_waves

    rate = None if bandwidth is None else parse_bandwidth_gib_s(bandwidth)
    if per_night is not None and rate is None:
        raise InputError(
            "how much fits into a night depends on the network", field="--per-night", cure="give --bandwidth"
        )
    night = None if per_night is None else parse_duration_s(per_night, "--per-night") / 60
    down = parse_duration_s(reboot, "--reboot") / 60
    model = read_fleet(fleet, terminal)
    found = find_waves(
        model,
        _chosen(model, hosts or ()),
        parallel=parallel,
        return_home=returning is Return.HOME,
        limits=MoveLimits(per_host=at_once, bandwidth_gib_s=rate),
        time_limit_s=parse_duration_s(time_limit, "--time-limit"),
        seed=seed,
        on_wave=SweepProgress(terminal, "hosts with a wave"),
    )
    nights = nights_of(found.waves, down, night)
    if output is not None:
        from placer.emit.writer import write_files

        files = {Path(output) / name: data for name, data in maintenance_files(found, nights).items()}
        write_files(files, force=force)
        terminal.note(f"wrote {count(len(files), 'file')} to {output}")
    failure = None
    if found.stuck:
        name, why = next(iter(found.stuck.items()))
        others = f", {name!r} among them" if len(found.stuck) > 1 else f": {name!r}"
        failure = PartialError(f"{count(len(found.stuck), 'host')} cannot be emptied{others}: {why}")
    if format is MaintainFormat.MARKDOWN:
        text = maintenance_markdown(found, nights)
        return Answer(data=lambda: maintenance_data(found, nights), text=text, failure=failure)
    return Answer(
        data=lambda: maintenance_data(found, nights),
        text=lambda console: _draw(console, found, nights, None if show_all else MOST),
        failure=failure,
    )


def _chosen(fleet: Fleet, hosts: Sequence[str]) -> list[str]:
    """Return the names of the hosts that are meant, each once."""
    from placer.model.rules import matches

    if not hosts:
        return [host.name for host in fleet.hosts if not host.failed]
    out: dict[str, None] = {}
    for text in hosts:
        key, equals, value = text.partition("=")
        wanted = {key: value} if equals else {"name": text}
        found = [host.name for host in fleet.hosts if matches(wanted, host.name, host.labels)]
        found = [text] if text in fleet.host_by_name else found
        if not found:
            raise InputError(f"no host is {text[:60]!r}", field="--hosts", cure="name a host, or a label: rack=r1")
        out.update(dict.fromkeys(found))
    return list(out)


def _proof(many: int, least: int) -> str:
    """Return what is proven of as many waves or moves, of the hosts that can be emptied."""
    return "proven fewest" if many == least else f"at least {least:,} are needed"


def _draw(console: Console, found: Maintenance, nights: Sequence[int] | None, most: int | None) -> None:
    from placer.show.rows import draw_rows, say
    from placer.show.words import listed, visible

    proof = _proof(len(found.waves), found.waves_bound)
    moves = _proof(found.moves, found.moves_bound)
    say(
        console,
        f"{count(len(found.waves), 'wave')} ({proof}), {count(found.moves, 'move')} ({moves}), "
        f"{count(found.moved_twice, 'VM')} moved twice",
    )
    rows = []
    for number, wave in enumerate(found.waves, start=1):
        night = [] if nights is None else [str(nights[number - 1])]
        minutes = "-" if wave.minutes is None else f"{wave.minutes:.1f}"
        hosts = listed([visible(name) for name in wave.hosts], len(wave.hosts) if most is None else most)
        rows.append((str(number), *night, hosts, str(wave.moves), minutes))
    night_title = () if nights is None else ("night#",)
    draw_rows(("wave#", *night_title, "hosts", "moves#", "minutes#"), rows, console, most=most, rest="--all")
    stuck = list(found.stuck.items())
    for host, why in stuck if most is None else stuck[:most]:
        say(console, f"{visible(host)} cannot be emptied: {visible(why)}")
    if most is not None and len(stuck) > most:
        say(console, f"and {len(stuck) - most:,} more that cannot be emptied: --all")
