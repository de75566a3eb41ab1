"""The fleet after what a page asks for: drains, failures, growth, as ``placer whatif`` makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.read.inventory.inventory import parse_fleet
from placer.read.inventory.write import inventory_text
from placer.whatif.scenario import variants
from placer.whatif.spoken import spoken_scenarios

KINDS = ("fail", "drain", "add_hosts", "add_vms", "grow")


def edited(fleet: Fleet, said: Mapping[str, Sequence[str]]) -> tuple[Fleet, tuple[str, ...]]:
    """Return the fleet after all edits, and what each did in words.

    The fleet is that of an inventory of its own, so that a plan of it can be checked by whoever takes both files.

    Parameters
    ----------
    said : a kind of `KINDS` -> what is said of it, as behind the option of ``placer whatif``.

    Raises
    ------
    InputError
        What is said cannot be understood or done.
    """
    unknown = sorted(set(said) - set(KINDS))
    if unknown:
        raise InputError(f"{unknown[0][:40]!r} is no edit", field="edits", cure=f"one of {', '.join(KINDS)}")
    scenarios = spoken_scenarios(fleet.host_by_name, **{kind: list(texts) for kind, texts in said.items()})
    if not scenarios:
        return fleet, ()
    found = variants(fleet, [one for one, _ in scenarios], stack=True)
    words = tuple(change for variant in found[1:] for change in variant.changes)
    path = Path(fleet.path or "fleet.yaml")
    text = inventory_text(found[-1].fleet)
    return parse_fleet(text.encode(), f"{path.stem}-edited.yaml", fleet.base_dir or path.parent), words
