"""A host's kernel and daemon settings: as an inventory writes them and as the collect script gathers them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from placer.model.host import HostSettings
from placer.read.inventory.types import Bool, Kib

GATHERED = frozenset(
    {
        "proc/sys/kernel/numa_balancing",
        "proc/swaps",
        "sys/kernel/mm/ksm/run",
        "sys/kernel/mm/ksm/merge_across_nodes",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "numad",
    }
)
"""Files of a bundle, below its top folder, that settings are read from."""

_CHOSEN = re.compile(r"\[(always|madvise|never)\]")


class SettingsEntry(BaseModel):
    """``hosts[].settings``: what the kernel and daemons are set to, for ``placer check --lint``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numa_balancing: Bool | None = None
    ksm: Bool | None = None
    ksm_across_nodes: Bool | None = None
    thp: Literal["always", "madvise", "never"] | None = None
    numad: Bool | None = None
    swap: Kib | None = None


def settings_of_entry(entry: SettingsEntry | None) -> HostSettings:
    """Return the settings that an inventory says."""
    if entry is None:
        return HostSettings()
    said = entry.model_dump(exclude={"swap"})
    return HostSettings(**said, swap_kib=entry.swap)


def settings_of_files(texts: Mapping[str, bytes]) -> HostSettings:
    """Return the settings that gathered files tell (by path, see `GATHERED`); a file that is not there is unknown."""
    thp = _CHOSEN.search(_text(texts, "sys/kernel/mm/transparent_hugepage/enabled") or "")
    mode: Literal["always", "madvise", "never"] | None = None
    if thp is not None:
        mode = "always" if thp[1] == "always" else "madvise" if thp[1] == "madvise" else "never"
    return HostSettings(
        numa_balancing=_switched(texts, "proc/sys/kernel/numa_balancing"),
        ksm=_is_one(texts, "sys/kernel/mm/ksm/run"),
        ksm_across_nodes=_switched(texts, "sys/kernel/mm/ksm/merge_across_nodes"),
        thp=mode,
        numad={"yes": True, "no": False}.get((_text(texts, "numad") or "").strip()),
        swap_kib=_swap_kib(_text(texts, "proc/swaps")),
    )


def _text(texts: Mapping[str, bytes], name: str) -> str | None:
    return texts[name].decode("utf-8", "replace") if name in texts else None


def _switched(texts: Mapping[str, bytes], name: str) -> bool | None:
    text = (_text(texts, name) or "").strip()
    return int(text) != 0 if text.isascii() and text.isdigit() and len(text) < 9 else None


def _is_one(texts: Mapping[str, bytes], name: str) -> bool | None:
    # 0 stops KSM, 2 also splits what it merged; only 1 merges.
    text = _text(texts, name)
    return None if text is None else text.strip() == "1"


def _swap_kib(text: str | None) -> int | None:
    """Return the sum of the column Size of /proc/swaps (KiB)."""
    if text is None or not text.startswith("Filename"):
        return None
    sizes = [fields[-3] for fields in map(str.split, text.splitlines()[1:]) if len(fields) >= 5]
    return sum(int(size) for size in sizes if size.isascii() and size.isdigit() and len(size) < 16)
