"""``placer collect``: the script that gathers one host for import, without placer being installed there."""

from __future__ import annotations

from typing import Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.terminal import Terminal


def collect(
    terminal: Terminal,
    print_: Annotated[bool, typer.Option("--print", help="Print the script; it is all that this does.")] = True,
) -> Answer:
    """Print a read-only script that gathers one host.

    The script changes nothing on the host and makes a tar, which placer import libvirt reads:

    placer collect | ssh HOST sh
    """
    from placer.read.imports.collect import collect_script

    script = collect_script()
    return Answer(data=lambda: {"script": script}, text=script)
