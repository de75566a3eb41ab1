"""Options that say a scenario each, without a file."""

from __future__ import annotations

from typing import Annotated

import typer

Fail = Annotated[
    list[str] | None, typer.Option("--fail", metavar="HOSTS", help="These hosts fail: h1,h2 or rack=a3; repeatable.")
]
Drain = Annotated[
    list[str] | None, typer.Option("--drain", metavar="HOSTS", help="These hosts are emptied; repeatable.")
]
AddHosts = Annotated[
    list[str] | None, typer.Option("--add-hosts", metavar="HOST*N", help="N more hosts like this one; repeatable.")
]
AddVms = Annotated[
    list[str] | None, typer.Option("--add-vms", metavar="N*FLAVOR", help="N more VMs: 40*4x8GiB; repeatable.")
]
Grow = Annotated[
    list[str] | None, typer.Option("--grow", metavar="PERCENT", help="More of every flavor: 20%; repeatable.")
]
