"""``placer import``: KubeVirt, OpenNebula, oVirt and Incus, from the JSON of their own commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.sources.import_ import Force, Output, Topology, Update, folder_of, written
from placer.cli.terminal import Terminal


def kubevirt(
    terminal: Terminal,
    output: Output,
    objects: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="kubectl get nodes,vmi,noderesourcetopologies --all-namespaces -o json"),
    ],
    topology: Topology = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From the JSON of kubectl.

    Several files are read as one. Without NodeResourceTopologies, host files tell the NUMA nodes.
    """
    from placer.read.imports.kubevirt import import_kubevirt

    imported = import_kubevirt([Path(file) for file in objects], topology=_path(topology), folder=folder_of(output))
    return written(imported, output, update, force, terminal)


def opennebula(
    terminal: Terminal,
    output: Output,
    hosts: Annotated[str, typer.Option("--hosts", metavar="FILE", help="onehost list -j")],
    vms: Annotated[str, typer.Option("--vms", metavar="FILE", help="onevm list --extended -j")],
    topology: Topology = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From the JSON of onehost and onevm."""
    from placer.read.imports.opennebula import import_opennebula

    imported = import_opennebula(hosts=Path(hosts), vms=Path(vms), topology=_path(topology), folder=folder_of(output))
    return written(imported, output, update, force, terminal)


def ovirt(
    terminal: Terminal,
    output: Output,
    hosts: Annotated[str, typer.Option("--hosts", metavar="FILE", help="GET /api/hosts?follow=numa_nodes,cluster")],
    vms: Annotated[str, typer.Option("--vms", metavar="FILE", help="GET /api/vms?follow=numa_nodes")],
    topology: Topology = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From the JSON of an oVirt engine's REST API."""
    from placer.read.imports.ovirt import import_ovirt

    imported = import_ovirt(hosts=Path(hosts), vms=Path(vms), topology=_path(topology), folder=folder_of(output))
    return written(imported, output, update, force, terminal)


def incus(
    terminal: Terminal,
    output: Output,
    instances: Annotated[
        str,
        typer.Option("--instances", metavar="FILE", help='incus query "/1.0/instances?recursion=1&all-projects=true"'),
    ],
    members: Annotated[
        str, typer.Option("--members", metavar="FILE", help='incus query "/1.0/cluster/members?recursion=1"')
    ],
    resources: Annotated[
        str,
        typer.Option(
            "--resources", metavar="DIR", help='<member>.json of incus query "/1.0/resources?target=<member>"'
        ),
    ],
    topology: Topology = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From the JSON of incus query."""
    from placer.read.imports.incus import import_incus

    imported = import_incus(
        instances=Path(instances),
        members=Path(members),
        resources=Path(resources),
        topology=_path(topology),
        folder=folder_of(output),
    )
    return written(imported, output, update, force, terminal)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
