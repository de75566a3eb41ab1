"""A schedule of moves as CSV: a row a step, in order, with what it needs, copies and gains."""

from __future__ import annotations

import csv
import io

from placer.emit.moves.markdown import wanted_words
from placer.model.cpuset import format_cpuset
from placer.moves.changes import Changes
from placer.moves.model import Schedule
from placer.moves.pages import page_command
from placer.show.words import no_formula

COLUMNS = (
    "wave",
    "vm",
    "uuid",
    "needs",
    "from_host",
    "from_nodes",
    "from_memory_nodes",
    "to_host",
    "to_nodes",
    "to_memory_nodes",
    "copied_gib",
    "gain",
    "put_aside",
    "wants_free",
    "pages_first",
)
"""`gain` is remote access saved, in vCPU equivalents: empty where it is not known, or the step is not the VM's last."""


def schedule_csv(schedule: Schedule, changes: Changes) -> str:
    """Return the steps as CSV; what is not known is empty."""
    gains = {vm.vm: vm.gain for vm in changes.vms}
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, wave in enumerate(schedule.waves, start=1):
        for step in wave.steps:
            source, target = step.source, step.target
            last = not step.parking and not step.passing
            row = (
                number,
                step.vm,
                step.uuid,
                step.need.value,
                None if source is None else source.host,
                _nodes(None if source is None else source.nodes),
                _nodes(None if source is None else source.memory_nodes),
                target.host,
                _nodes(target.nodes),
                _nodes(target.memory_nodes),
                step.copied_gib,
                gains.get(step.vm) if last else None,
                "yes" if step.parking else "no",
                wanted_words(step) or None,
                "; ".join(map(page_command, step.pages_first)) or None,
            )
            writer.writerow([no_formula(cell) for cell in row])
    return out.getvalue()


def _nodes(nodes: tuple[int, ...] | None) -> str | None:
    return None if not nodes else format_cpuset(nodes)
