"""Scenes for the tests of the lab: domains defined in it, and the inventory that placer plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from placer.live.discover import discover
from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab


def define(lab: Lab, folder: Path, domains: Iterable[LabDomain]) -> None:
    """Define domains in the lab."""
    for domain in domains:
        file = folder / f"{domain.name}.define.xml"
        file.write_text(domain.xml())
        lab.virsh("define", str(file))


def reserve_pages(lab: Lab, node: int, count: int) -> None:
    """Let the lab's kernel keep so many 2 MiB pages on a node."""
    pool = f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"
    kept = lab.shell(f"echo {count} > {pool}; cat {pool}").strip()
    assert kept == str(count), f"the lab kept {kept} pages of {count}"


def inventory(
    lab: Lab, folder: Path, vms: Mapping[str, Mapping[str, object]], host: Mapping[str, object] | None = None
) -> Path:
    """Write the inventory of the lab as libvirt tells it now, with what a person says of each VM beside it."""
    [reading] = discover({"lab": lab.uri}).hosts
    (folder / "lab.capabilities.xml").write_bytes(reading.capabilities)
    entries = []
    for state in sorted(reading.domains, key=lambda state: list(vms).index(state.name) if state.name in vms else -1):
        if state.name in vms:
            (folder / f"{state.name}.xml").write_bytes(state.xml)
            said = {"overhead": "16MiB", **vms[state.name]}
            entries.append({"domain": f"{state.name}.xml", "host": "lab", "running": state.running, **said})
    tree = {
        "schema": "placer.inventory/v1",
        "hosts": [{"name": "lab", "topology": "lab.capabilities.xml", "uri": lab.uri, **(host or {})}],
        "vms": entries,
    }
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path
