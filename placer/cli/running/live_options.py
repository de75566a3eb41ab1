"""Options that apply, verify and rollback share."""

from __future__ import annotations

from typing import Annotated

import typer

PlanFile = Annotated[str, typer.Argument(metavar="PLAN", help="The plan; - reads standard input.")]
FleetFile = Annotated[
    str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
]
Connect = Annotated[
    list[str] | None,
    typer.Option(
        "--connect",
        metavar="HOST=URI",
        help="Ask this host, at this libvirt URI, and no others; may be given again. Default: the inventory's uris.",
    ),
]
Ssh = Annotated[
    bool,
    typer.Option("--ssh", help="Read page cache, threads and pages of other machines over ssh (to the URI's host)."),
]
SshConfig = Annotated[
    str | None, typer.Option("--ssh-config", metavar="FILE", help="What ssh takes with -F; implies --ssh.")
]
