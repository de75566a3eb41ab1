"""``placer import``: inventories from what other tools tell; what could not be carried over is said, never dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN
from placer.cli.terminal import Terminal
from placer.errors import InputError, PartialError
from placer.model.units import count

if TYPE_CHECKING:
    from placer.read.imports.gathered import Imported

Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where the inventory goes; - prints it.")]
Topology = Annotated[
    str | None, typer.Option("--topology", metavar="DIR", help="Host files, each named after its host.")
]
Update = Annotated[
    bool, typer.Option("--update", help="Merge into the inventory that is there: labels, rules and reserves stay.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def libvirt(
    terminal: Terminal,
    output: Output,
    bundles: Annotated[
        list[str] | None, typer.Argument(metavar="TAR", help="Tars of placer collect, one a host.")
    ] = None,
    capabilities: Annotated[
        str | None,
        typer.Option("--capabilities", metavar="DIR", help="<host>.xml of each host, or any file that tells a host."),
    ] = None,
    domains: Annotated[
        str | None, typer.Option("--domains", metavar="DIR", help="Domain XML: <host>/*.xml, or flat for one host.")
    ] = None,
    connect: Annotated[
        list[str] | None, typer.Option("--connect", metavar="HOST=URI", help="Ask this host; may be given again.")
    ] = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From capabilities and domain XML, or tars of placer collect.

    A host that does not answer, or a file that cannot be read, is reported, and the rest goes on (exit 8). With
    --update alone the hosts of the inventory that is there are asked, each at its uri.
    """
    if update and not connect and not bundles and capabilities is None and domains is None:
        from placer.cli.sources.import_live import known_connections

        connect = known_connections(output)
    if connect:
        if bundles or capabilities is not None or domains is not None:
            raise InputError("give files or --connect, not both", field="--connect")
        from placer.cli.sources.import_live import import_connected

        imported, failures = import_connected(connect)
        failure = PartialError([fault for error in failures for fault in error.faults]) if failures else None
        return written(imported, output, update, force, terminal, failure)
    if not bundles and capabilities is None:
        raise InputError("nothing to import", cure="name tars, --capabilities DIR, or --connect HOST=URI")
    from placer.read.imports.libvirt import import_libvirt

    imported = import_libvirt(
        capabilities=None if capabilities is None else Path(capabilities),
        domains=None if domains is None else Path(domains),
        bundles=[Path(bundle) for bundle in bundles or ()],
        folder=folder_of(output),
    )
    failure = PartialError(imported.failures) if imported.failures else None
    return written(imported, output, update, force, terminal, failure)


def tables(
    terminal: Terminal,
    output: Output,
    map_: Annotated[str, typer.Option("--map", metavar="FILE", help="The map: what each column means.")],
    hosts: Annotated[
        str | None, typer.Option("--hosts", metavar="FILE", help="A table of hosts in place of the map's.")
    ] = None,
    vms: Annotated[
        str | None, typer.Option("--vms", metavar="FILE", help="A table of VMs in place of the map's.")
    ] = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From tables (CSV or xlsx), one row a host or a VM.

    The map says in the inventory's own words what a row is, with columns in braces; tables that it names are relative
    to it.
    """
    from placer.read.imports.table import import_table

    given = {name: Path(file) for name, file in (("hosts", hosts), ("vms", vms)) if file is not None}
    imported = import_table(Path(map_), folder=folder_of(output), files=given)
    return written(imported, output, update, force, terminal)


def openstack(
    terminal: Terminal,
    output: Output,
    flavors: Annotated[str, typer.Option("--flavors", metavar="FILE", help="openstack flavor list --long")],
    servers: Annotated[
        str, typer.Option("--servers", metavar="FILE", help="openstack server list --long --all-projects")
    ],
    hypervisors: Annotated[str, typer.Option("--hypervisors", metavar="FILE", help="openstack hypervisor list --long")],
    server_groups: Annotated[
        str | None, typer.Option("--server-groups", metavar="FILE", help="openstack server group list --long")
    ] = None,
    aggregates: Annotated[
        list[str] | None,
        typer.Option("--aggregates", metavar="FILE", help="openstack aggregate list --long; may be given again."),
    ] = None,
    services: Annotated[
        str | None, typer.Option("--services", metavar="FILE", help="openstack compute service list --long")
    ] = None,
    topology: Topology = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From the JSON of the openstack command.

    Each file is what the command in its line prints with -f json. The API tells no NUMA nodes: host files join by name.
    """
    from placer.read.imports.openstack import OpenstackFiles, import_openstack

    files = OpenstackFiles(
        flavors=Path(flavors),
        servers=Path(servers),
        hypervisors=Path(hypervisors),
        server_groups=None if server_groups is None else Path(server_groups),
        aggregates=[Path(file) for file in aggregates or ()],
        services=None if services is None else Path(services),
    )
    hosts = None if topology is None else Path(topology)
    imported = import_openstack(files, topology=hosts, folder=folder_of(output))
    return written(imported, output, update, force, terminal)


def proxmox(
    terminal: Terminal,
    output: Output,
    resources: Annotated[
        str, typer.Option("--resources", metavar="FILE", help="pvesh get /cluster/resources --output-format json")
    ],
    configs: Annotated[
        str, typer.Option("--configs", metavar="DIR", help="<vmid>.conf of each VM, or <vmid>.json of pvesh.")
    ],
    ha_rules: Annotated[
        str | None,
        typer.Option("--ha-rules", metavar="FILE", help="pvesh get /cluster/ha/rules --output-format json"),
    ] = None,
    topology: Topology = None,
    update: Update = False,
    force: Force = False,
) -> Answer:
    """From the JSON of pvesh and the configuration of each VM."""
    from placer.read.imports.proxmox import import_proxmox

    hosts = None if topology is None else Path(topology)
    imported = import_proxmox(
        resources=Path(resources),
        configs=Path(configs),
        topology=hosts,
        folder=folder_of(output),
        ha_rules=None if ha_rules is None else Path(ha_rules),
    )
    return written(imported, output, update, force, terminal)


def folder_of(output: str) -> Path:
    """Return the folder that paths in the inventory are relative to."""
    return Path() if output == STDIN else Path(output).parent


def written(
    imported: Imported,
    output: str,
    update: bool,
    force: bool,
    terminal: Terminal,
    failure: PartialError | None = None,
) -> Answer:
    """Write the inventory and the files that it refers to; return how much it holds."""
    if not imported.fleet.hosts and not (update and Path(output).is_file()):
        raise InputError("there is no host in what was given, and no inventory is without", cure="name the hosts too")
    if output == STDIN:
        if update or imported.files:
            what = "an update" if update else "domain XML, which goes into files of its own,"
            raise InputError(f"{what} cannot be written to standard output", cure="give -o FILE")
        terminal.warn(imported.fleet.warnings)
        text = imported.text()
        return Answer(data=lambda: {"inventory": text}, text=text, failure=failure)
    from placer.emit.writer import write_files

    target = Path(output)
    if update and target.is_file():
        from placer.read.imports.update import update as merged

        imported = merged(target, imported)
    files = {target: imported.text().encode()} | {
        target.parent / name: content for name, content in sorted(imported.files.items())
    }
    terminal.warn(imported.fleet.warnings)
    write_files(files, force=force or update)
    for path in files:
        terminal.detail(f"wrote {path}")
    hosts, vms = imported.fleet.hosts, imported.fleet.vms
    text = f"{output}: {count(len(hosts), 'host')}, {count(len(vms), 'VM')}"
    return Answer(
        data=lambda: {
            "file": output,
            "files": [str(path) for path in files],
            "hosts": len(hosts),
            "vms": len(vms),
            "warnings": list(imported.fleet.warnings),
        },
        text=text,
        failure=failure,
    )
