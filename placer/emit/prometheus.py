"""Figures as Prometheus' text format, version 0.0.4: names with their unit, labels escaped, each family told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from placer.whatif.headroom import Headroom


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A gauge: its name, what it is, and its samples: labels and value; None is not told."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float | None]]


def exposition(families: Iterable[Family]) -> str:
    """Return the text that a scrape, or the textfile collector of the node exporter, reads."""
    lines: list[str] = []
    for family in families:
        # A series that is there twice makes a scrape invalid: a flavor that was asked for twice is told once.
        known = {tuple(labels.items()): value for labels, value in family.samples if value is not None}
        if not known:
            continue
        lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} gauge"]
        for labels, value in known.items():
            named = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels)
            lines.append(f"{family.name}{{{named}}} {value:.10g}" if named else f"{family.name} {value:.10g}")
    return "\n".join([*lines, ""])


def headroom_families(found: Sequence[Headroom], by: str | None) -> list[Family]:
    """Return the headroom of each flavor, and by host or label where `by` says one."""
    families = [
        Family(
            name="placer_headroom_vms",
            help="VMs of a flavor that fit beside what is there, NUMA-true and with reserves for failures kept.",
            samples=[({"flavor": one.flavor}, one.total) for one in found],
        ),
        Family(
            name="placer_headroom_bound_vms",
            help="VMs of a flavor of which it is proven that no more fit.",
            samples=[({"flavor": one.flavor}, one.at_most) for one in found],
        ),
    ]
    if by is not None:
        families.append(
            Family(
                name="placer_headroom_part_vms",
                help="VMs of a flavor that fit on a host, or on the hosts of a value of a label.",
                samples=[
                    ({"flavor": one.flavor, "by": by, "part": part}, many)
                    for one in found
                    for part, many in sorted((one.per_host if by == "host" else one.per_label).items())
                ],
            )
        )
    return families


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
