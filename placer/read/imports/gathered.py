"""What an importer knows of hosts and domains before they are a fleet, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from placer.errors import Fault
from placer.model.fleet import Fleet
from placer.model.host import HostSettings, Topology
from placer.read.inventory.write import inventory_text


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredDomain:
    """One domain as found on one host.

    `xml` is what the inventory will refer to under `path`: the saved definition where there is one. `live` is the XML
    of the running domain, if that was gathered too. `running` None: the source does not tell. `source` names it in
    messages. `memory_on` is where its pages lie (node id -> KiB), empty where nobody looked.
    """

    xml: bytes
    path: str
    source: str
    live: bytes | None = None
    running: bool | None = None
    memory_on: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredHost:
    """One host: its topology (its `source` is the path that the inventory refers to, None for written in full)."""

    name: str
    topology: Topology
    source: str
    uuid: str | None = None
    uri: str | None = None
    domains: tuple[GatheredDomain, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: HostSettings = field(default_factory=HostSettings)
    resources: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An imported fleet and the files that its inventory refers to and that have to be written beside it.

    `contents` holds the bytes of every file that the inventory names, by path relative to it; `files` those of them
    that are not on disk yet. What could not be carried over stands in ``fleet.warnings``, files and domains that could
    not be read at all in `failures`. `written` is the text where it is settled already, comments of a person in it.
    """

    fleet: Fleet
    files: Mapping[str, bytes] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    failures: tuple[Fault, ...] = ()
    written: str | None = None

    def text(self) -> str:
        """Return the inventory."""
        if self.written is not None:
            return self.written
        return inventory_text(self.fleet, contents={**self.contents, **self.files}, comments=self.comments)
