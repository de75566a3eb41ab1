"""A maintenance as data, as Markdown, and as files: for each wave a script, a ticket and the fleet afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from placer.emit.moves.json import schedule_data
from placer.emit.moves.markdown import schedule_markdown
from placer.emit.moves.script import schedule_script
from placer.read.inventory.write import inventory_text
from placer.whatif.maintain import Maintenance, MaintenanceWave


def nights_of(waves: Sequence[MaintenanceWave], reboot_minutes: float, night_minutes: float | None) -> list[int] | None:
    """Return the night of each wave, from 1 on: as many waves a night as its time allows, one at least.

    None where nights, or the copying times, are not known.
    """
    if night_minutes is None or any(wave.minutes is None for wave in waves):
        return None
    nights: list[int] = []
    night, spent = 1, 0.0
    for wave in waves:
        takes = (wave.minutes or 0.0) + reboot_minutes
        if spent and spent + takes > night_minutes:
            night, spent = night + 1, 0.0
        spent += takes
        nights.append(night)
    return nights


def maintenance_data(found: Maintenance, nights: Sequence[int] | None) -> dict[str, Any]:
    """Return a maintenance as JSON holds it; what is not known is null."""
    return {
        "waves": [
            {
                "number": number,
                "hosts": list(wave.hosts),
                "night": None if nights is None else nights[number - 1],
                "moves": wave.moves,
                "minutes": wave.minutes,
                "reserve_kept": wave.reserve,
                "schedule": schedule_data(wave.schedule),
                "home": None if wave.home is None else schedule_data(wave.home),
            }
            for number, wave in enumerate(found.waves, start=1)
        ],
        "waves_count": {"value": len(found.waves), "bound": found.waves_bound},
        "moves": {"value": found.moves, "bound": found.moves_bound},
        "moved_twice": found.moved_twice,
        "stuck": dict(found.stuck),
    }


def maintenance_markdown(found: Maintenance, nights: Sequence[int] | None) -> str:
    """Return the waves, each with its schedule, for a change ticket."""
    parts = []
    for number, wave in enumerate(found.waves, start=1):
        night = "" if nights is None else f", night {nights[number - 1]}"
        hosts = ", ".join(name.replace("\n", " ") for name in wave.hosts)
        parts.append(f"# Maintenance wave {number}{night}: {hosts}\n\n{schedule_markdown(wave.schedule)}")
        parts.append("Then maintain these hosts, and go on when they are back.\n")
        if wave.home is not None:
            parts.append(f"# Home after wave {number}\n\n{schedule_markdown(wave.home)}")
    return "\n".join(parts)


def maintenance_files(found: Maintenance, nights: Sequence[int] | None) -> dict[str, bytes]:
    """Return the files of every wave by name: a script, a ticket, and the fleet after it as an inventory; where VMs go
    home, a script and a ticket of that too.
    """
    files: dict[str, bytes] = {"maintenance.md": maintenance_markdown(found, nights).encode()}
    for number, wave in enumerate(found.waves, start=1):
        stem = f"wave-{number:02d}"
        files[f"{stem}.sh"] = schedule_script(wave.schedule, wave.before).encode("utf-8", "surrogateescape")
        files[f"{stem}.md"] = schedule_markdown(wave.schedule).encode()
        if wave.home is not None:
            back = schedule_script(wave.home, wave.away)
            files[f"{stem}-home.sh"] = back.encode("utf-8", "surrogateescape")
            files[f"{stem}-home.md"] = schedule_markdown(wave.home).encode()
        files[f"{stem}.yaml"] = inventory_text(wave.after).encode()
    return files
